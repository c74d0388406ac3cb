use crate::control::Control;
use crate::environment::Environment;
use crate::finding::{Finding, NotMeasured, State, Unexplained};
use crate::id::{BundleId, CaseId, RunId, TicketId};
use crate::outcome::Outcome;
use crate::target::Target;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of [`Document`]'s shape; a new field does not change it, a changed meaning does.
pub const SCHEMA: &str = "netsonde.run/1";

/// A whole run, as `--format json` prints it and reports are made from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    pub schema: String,
    pub run: Run,
    pub environment: Environment,
    pub state: State,
    /// The bundle that holds the run; none where none was made (`netsonde probe`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundlePlace>,
    pub findings: Vec<Finding>,
    pub unexplained: Vec<Unexplained>,
    pub not_measured: Vec<NotMeasured>,
    /// The other run that the diagnosis was held against (`netsonde diagnose --against`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Box<Control>>,
    pub outcomes: Vec<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    pub id: RunId,
    pub set: SetReference,
    pub targets: Vec<Target>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketId>,
    pub began: Timestamp,
    pub took_us: u64,
    /// A person interrupted the run; what was measured until then is kept.
    #[serde(default)]
    pub interrupted: bool,
    /// Bounds that were reached, in words.
    #[serde(default)]
    pub limits_hit: Vec<String>,
    /// What it was asked beside its set and its targets; none where an older version ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Box<Asked>>,
}

/// What a run was asked beside its set and targets, as far as it was not left to its defaults: whoever repeats it without measures
/// something else. It holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// The set's parameters that were given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The statuses that were given as expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect_status: Vec<String>,
    /// The name servers that were given in place of the system's, each with its port where one was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolvers: Vec<String>,
    /// The time for everything together, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_us: Option<u64>,
    /// The proxy of the targets, given or of the environment, without credentials; `none` where the environment's was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Files with certificates to trust were given.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trust: bool,
    /// A file with the key that a reflector and this machine share was given.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reflector_key: bool,
    /// A file that names networks was given.
    #[serde(default, skip_serializing_if = "is_false")]
    pub networks: bool,
    /// Nothing was to be asked beyond the set.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_follow_up: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Which probe set was run: its name and the digest of its exact text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetReference {
    pub name: String,
    pub version: u32,
    /// SHA-256 of the set's text, lower-case hexadecimal.
    pub sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BundlePlace {
    pub id: BundleId,
    /// The bundle's file; none once it was delivered and removed, or where it is read on the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Where the case can be read, once the bundle was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case_url: Option<String>,
}

/// The JSON Schema of [`Document`], for publication.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}
