use crate::control::Control;
use crate::environment::Environment;
use crate::finding::{Finding, NotMeasured, State, Unexplained};
use crate::id::{BundleId, CaseId, RunId, TicketId};
use crate::outcome::Outcome;
use crate::target::Target;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
