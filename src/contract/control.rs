use crate::id::{BundleId, ObservationId, RunId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Another run that a diagnosis was held against: another machine's, or an older one of the same machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Control {
    /// The bundle that holds the other run; what its findings' and differences' control evidence names is in there.
    pub bundle: BundleId,
    pub run: RunId,
    /// The machine that measured, as its bundle names it.
    pub machine: String,
    /// By that machine's wall clock.
    pub began: Timestamp,
    pub relation: ControlRelation,
    /// Things that both runs looked at, whether they differ or not.
    pub compared: u32,
    pub differences: Vec<Difference>,
}

impl Control {
    /// A person reads no more, and a target of the largest set has fewer things to compare.
    pub const MAX_DIFFERENCES: usize = 64;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ControlRelation {
    /// Both bundles are signed by one agent's own key, or name the same machine by its host name and a hardware address.
    SameMachine,
    /// What the bundles say does not tell: it may be this machine at another time, or another place to look from.
    Unsure,
    /// Anything else: another place to look from.
    #[serde(other)]
    OtherMachine,
}

/// One thing that the two runs saw differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    pub about: DifferenceAbout,
    /// Which endpoint, name, URL or address.
    pub subject: String,
    /// What the diagnosed run saw.
    pub here: String,
    /// What the other run saw.
    pub there: String,
    /// Observations of the diagnosed run.
    pub evidence: Vec<ObservationId>,
    /// Observations in the other bundle.
    pub control_evidence: Vec<ObservationId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceAbout {
    /// Whether an endpoint takes connections.
    Reach,
    /// The addresses that a program gets for a name.
    Addresses,
    /// What name servers say of a name.
    DnsAnswer,
    /// Which certificate an endpoint shows, and who issued it.
    Certificate,
    /// How a URL is answered.
    HttpStatus,
    /// How a handshake of QUIC ends.
    Quic,
    /// What a time server says, and how far the clock is from its time.
    Time,
    /// What a service says before anybody signs in.
    Service,
    /// The least round trip to an address.
    RoundTrip,
    /// The routers on the way, or how far the way goes.
    Path,
    /// The largest packet that passes to an address.
    Mtu,
    /// How many of the packets to an address are lost.
    Loss,
    /// How a check ended, where nothing narrower says why.
    Check,
    #[serde(other)]
    Other,
}

impl DifferenceAbout {
    /// What it is about, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Reach => "connection",
            Self::Addresses => "addresses",
            Self::DnsAnswer => "DNS answer",
            Self::Certificate => "certificate",
            Self::HttpStatus => "HTTP answer",
            Self::Quic => "QUIC handshake",
            Self::Time => "time answer",
            Self::Service => "service answer",
            Self::RoundTrip => "round trip",
            Self::Path => "path",
            Self::Mtu => "largest packet",
            Self::Loss => "loss",
            Self::Check => "check",
            Self::Other => "other",
        }
    }
}

/// What the control says of one finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ControlSays {
    pub bundle: BundleId,
    pub effect: ControlEffect,
    /// The confidence that the finding would have without the control.
    pub confidence_alone: f64,
    /// What was seen there and what follows from it, in a sentence or two.
    pub text: String,
    /// Observations in that bundle.
    pub evidence: Vec<ObservationId>,
    /// Neighbouring causes that these observations rule out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejects: Vec<ControlRejects>,
}

/// A cause that the control rules out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ControlRejects {
    /// The neighbouring cause.
    pub cause: String,
    /// What the control saw that rules it out.
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ControlEffect {
    /// It makes the cause likelier.
    Raised,
    /// It makes the cause less likely.
    Lowered,
    /// Only together with the control was the cause found at all.
    Found,
    /// It is told beside the finding and changes nothing.
    #[serde(other)]
    Unchanged,
}
