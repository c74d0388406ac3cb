use crate::control::ControlSays;
use crate::id::{CheckId, ObservationId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What the engine concludes of a run: `findings.json` of the bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    pub state: State,
    /// The most important first.
    pub findings: Vec<Finding>,
    pub unexplained: Vec<Unexplained>,
    pub not_measured: Vec<NotMeasured>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    AsExpected,
    Explained,
    Unexplained,
    Indeterminate,
}

/// One root cause that was found, what it rests on, and what was ruled out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// A code of the closed list.
    pub cause: String,
    pub severity: Severity,
    /// How likely the cause is the right one: 0 to 1.
    pub confidence: f64,
    #[serde(rename = "where")]
    pub place: Place,
    /// One or two plain sentences for a customer.
    pub sentence: String,
    pub evidence: Vec<ObservationId>,
    pub rejected: Vec<Rejected>,
    pub next_step: NextStep,
    /// The article that explains the cause, such as `docs/causes/tls.expired.md`.
    pub article: String,
    /// The target that it is about, as shown, where the run has targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Causes that this one explains and that are therefore not reported themselves.
    #[serde(default)]
    pub suppressed: Vec<String>,
    /// The broader causes that this one refines.
    #[serde(default)]
    pub refines: Vec<String>,
    /// What would settle it, where the confidence is not full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_by: Option<String>,
    /// What another run says of it, where the diagnosis was held against one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Box<ControlSays>>,
    /// Neighbouring causes that what was seen does not rule out, where the confidence is not full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub could_not_separate: Vec<NotSeparated>,
}

/// A neighbouring cause that remains possible, and what would decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotSeparated {
    pub cause: String,
    /// The permission, the place to measure from, or the measurement that it would take.
    pub would_take: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nobody would feel it.
    Notice,
    /// Works, but worse than it should.
    Degraded,
    /// Does not work.
    Problem,
}

/// Where the traffic stalls: what applies is filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolver: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// A neighbouring cause and what rules it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    pub cause: String,
    pub reason: String,
    pub evidence: Vec<ObservationId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NextStep {
    pub who: Who,
    pub action: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    Customer,
    Network,
    Server,
    Support,
}

/// A failed check that no cause explains: said to be one, with what was ruled out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unexplained {
    pub check: CheckId,
    pub required: bool,
    /// What was seen.
    pub what: String,
    pub ruled_out: Vec<Rejected>,
    /// What to do about it; none in what an older version stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<NextStep>,
}

/// A check without a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotMeasured {
    pub check: CheckId,
    pub required: bool,
    pub why: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

impl Diagnosis {
    /// The state that findings and gaps amount to: unexplained when a required check is; else explained when there is a problem or
    /// degraded finding; else indeterminate when a required check was not measured; else as expected.
    pub fn state_of(findings: &[Finding], unexplained: &[Unexplained], not_measured: &[NotMeasured]) -> State {
        if unexplained.iter().any(|failure| failure.required) {
            State::Unexplained
        } else if findings.iter().any(|finding| finding.severity >= Severity::Degraded) {
            State::Explained
        } else if not_measured.iter().any(|gap| gap.required) {
            State::Indeterminate
        } else {
            State::AsExpected
        }
    }
}
