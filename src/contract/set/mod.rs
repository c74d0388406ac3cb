//! Probe sets: named, versioned TOML files of checks.
//!
//! [`ProbeSet::parse`] reads a file and reports the first error with its line and column. [`ProbeSet::plan`] fills in targets and
//! parameters and yields a [`Plan`], the flat list of checks that the runner walks. Text in a check's `with` may name values in
//! braces: `{target.host}`, `{target.port}`, `{target.url}`, `{target.scheme}` and each parameter, `{count}`; `{proxy.host}` and
//! `{proxy.port}` of the proxy that the target's URL is asked for through; and `{contact.host}`, the host that this machine itself
//! connects to: the proxy's, or the target's where there is none. A text that is one such name takes the type that the
//! kind's parameter has, where it says the same in it, and a key whose name has no value is left out.
//!
//! A check's `when` lists conditions that must all hold, or it is left out: `named`, `tls`, `port` and `no_port` tell of the target,
//! `direct` and `proxied` of the way to it, `given:PARAMETER` of the set's own parameters, and `failed:CHECK`, `succeeded:CHECK` and `unless:CHECK` of what an earlier check came to.
//! [`Condition`] says what each means.
//!
//! A check with `for_each` becomes one check for each item of a list, which its `with` names `{each}`; one with `samples` is measured
//! that often, a sample beginning `every` so long. Both may name a parameter of the set instead: `for_each = "{ports}"`.

mod catalogue;
mod condition;
mod parse;
mod plan;
mod rehearsal;
mod repetition;
mod template;

pub use catalogue::{BuiltIn, built_in, find_built_in, name_taken_by};
pub use condition::Condition;
pub use plan::{Plan, PlanError, PlannedCheck, Proxied, ProxyAddress, Request, STAND_IN_PROXY, Way};
pub use repetition::Samples;

use crate::config_error::ConfigError;
use crate::document::SetReference;
use crate::kind::Kind;
use crate::target::TargetForm;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A parsed probe set.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeSet {
    pub name: String,
    pub version: u32,
    /// The question that the set answers, in one sentence.
    pub question: String,
    /// The whole run's time budget.
    pub budget: Duration,
    /// What a run sends and receives at most; where none is given, what whoever runs it allows.
    pub bytes: Option<u64>,
    /// What the set needs as targets; none where it takes no target.
    pub target: Option<TargetForm>,
    pub parameters: Vec<SetParameter>,
    pub checks: Vec<SetCheck>,
    /// The exact text, which the digest covers.
    pub text: String,
}

/// A parameter of a set: `[parameters.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SetParameter {
    pub name: String,
    pub help: String,
    pub kind: SetParameterType,
    pub default: Option<Value>,
    pub minimum: Option<i64>,
    pub maximum: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetParameterType {
    Text,
    Integer,
    Boolean,
    /// Texts or whole numbers; on the command line separated by commas.
    List,
}

impl SetParameterType {
    const ALL: [(&'static str, Self); 4] =
        [("text", Self::Text), ("integer", Self::Integer), ("boolean", Self::Boolean), ("list", Self::List)];
}

/// One `[[check]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SetCheck {
    pub id: String,
    pub kind: Kind,
    pub required: bool,
    /// Ids of checks that must have succeeded, have given what others need of them, or not applied, before this one runs.
    pub needs: Vec<String>,
    /// Conditions that must all hold; otherwise the check is skipped as not meant to run.
    pub when: Vec<Condition>,
    /// The longest that one sample may take.
    pub deadline: Duration,
    /// The items of which each gets a check of its own: a list, or the name in braces of a parameter that is one.
    pub for_each: Option<Value>,
    /// How often the check is measured: a number, or the name in braces of a parameter that is one.
    pub samples: Option<Value>,
    /// From the beginning of one sample to that of the next: a duration, or the name of a parameter that is a number of seconds.
    pub every: Option<Value>,
    /// The kind's parameters, before values are filled in.
    pub with: Map<String, Value>,
}

/// A set may hold this many checks at most; with the targets it bounds a run.
pub const MAX_CHECKS: usize = 64;
/// A `for_each` may have this many items at most: more is a sweep, which the kinds bring themselves.
pub const MAX_EACH: usize = 64;
/// A check is measured this often at most: once a second for an hour.
pub const MAX_SAMPLES: u32 = 3_600;
/// A run may have this many checks at most.
pub const MAX_PLANNED: usize = 2_048;
/// A run may have this many targets at most.
pub const MAX_TARGETS: usize = 32;
/// No check runs longer, whatever its set says.
pub const MAX_DEADLINE: Duration = Duration::from_secs(120);
/// No run takes longer, whatever its set says; what takes longer is a schedule's.
pub const MAX_BUDGET: Duration = Duration::from_secs(3_600);
/// A set's text may be this long at most.
pub const MAX_SET_BYTES: usize = 256 * 1024;

impl ProbeSet {
    /// Reads a set's text. `origin` names it in errors.
    ///
    /// # Errors
    /// The first thing that is wrong, with line, column and the nearest known word.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ConfigError> {
        parse::parse(origin, text)
    }

    /// As [`Self::parse`].
    ///
    /// # Errors
    /// All mistakes that do not follow from one another, some dozens at most.
    pub fn parse_whole(origin: &str, text: &str) -> Result<Self, Vec<ConfigError>> {
        parse::parse_whole(origin, text)
    }

    /// As [`Self::parse_whole`], and what a run with this set would refuse whatever it is aimed at: each check is filled in as a run
    /// fills it in, with the parameters' defaults, each item of its `for_each`, and a target that stands for any.
    ///
    /// # Errors
    /// As [`Self::parse_whole`].
    pub fn check_whole(origin: &str, text: &str) -> Result<Self, Vec<ConfigError>> {
        let set = parse::parse_whole(origin, text)?;
        let refused = rehearsal::refused(&set);
        if refused.is_empty() { Ok(set) } else { Err(parse::at_checks(origin, text, refused)) }
    }

    pub fn reference(&self) -> SetReference {
        SetReference {
            name: self.name.clone(),
            version: self.version,
            sha256: crate::bundle::hexadecimal(&Sha256::digest(&self.text)),
        }
    }
}
