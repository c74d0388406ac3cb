//! Probe sets: named, versioned TOML files of checks.
//!
//! [`ProbeSet::parse`] reads a file and reports the first error with its line and column. [`ProbeSet::plan`] fills in targets and
//! parameters and yields a [`Plan`], the flat list of checks that the runner walks. Text in a check's `with` may name values in
//! braces: `{target.host}`, `{target.port}`, `{target.url}`, `{target.scheme}` and each parameter, `{count}`; `{proxy.host}` and
//! `{proxy.port}` of the proxy that the target's URL is asked for through; and `{contact.host}`, the host that this machine itself
//! connects to: the proxy's, or the target's where there is none. A text that is one such name takes the value's own type, and a
//! key whose name has no value is left out.
//!
//! A check's `when` lists conditions that must all hold, or it is left out: `named`, `tls`, `port` and `no_port` tell of the target,
//! `direct` and `proxied` of the way to it, and `failed:CHECK`, `succeeded:CHECK` and `unless:CHECK` of what an earlier check came to.
//! [`Condition`] says what each means.

mod catalogue;
mod condition;
mod parse;
mod plan;
mod template;

pub use catalogue::{BuiltIn, built_in, find_built_in};
pub use condition::Condition;
pub use plan::{Plan, PlanError, PlannedCheck, ProxyAddress, Request};

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
}

impl SetParameterType {
    const ALL: [(&'static str, Self); 3] = [("text", Self::Text), ("integer", Self::Integer), ("boolean", Self::Boolean)];
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
    pub deadline: Duration,
    /// The kind's parameters, before values are filled in.
    pub with: Map<String, Value>,
}

/// A set may hold this many checks at most; with the targets it bounds a run.
pub const MAX_CHECKS: usize = 64;
/// A run may have this many targets at most.
pub const MAX_TARGETS: usize = 32;
/// No check runs longer, whatever its set says.
pub const MAX_DEADLINE: Duration = Duration::from_secs(120);
/// No run takes longer, whatever its set says.
pub const MAX_BUDGET: Duration = Duration::from_secs(600);
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

    pub fn reference(&self) -> SetReference {
        SetReference {
            name: self.name.clone(),
            version: self.version,
            sha256: crate::bundle::hexadecimal(&Sha256::digest(&self.text)),
        }
    }
}
