use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The chain of signatures from the root's keys down to a name's records, verified by netsonde itself (RFC 4035 section 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnssecChain {
    /// Its name.
    pub name: String,
    /// The DNS record type, such as A (RFC 1035 section 3.2.2).
    pub record_type: String,
    pub verdict: Security,
    /// What is wrong, or not known; none where it is secure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Each zone on the way, the root first.
    pub zones: Vec<ZoneSecurity>,
    /// The machine's wall clock, by which signatures are good or over.
    pub verified_at: Timestamp,
}

/// One zone of the chain: whether its keys are those that the zone above vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ZoneSecurity {
    /// `.` for the root.
    pub zone: String,
    /// The server whose records were verified; none where none answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<SocketAddr>,
    pub verdict: Security,
    /// Why the zone is not secure, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The key that the zone above vouches for and that signed the zone's keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_tag: Option<u16>,
}

/// The four ends of validation (RFC 4033 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// Every signature verifies, from a trust anchor down.
    Secure,
    /// A zone on the way proves that it does not vouch for the next one.
    Insecure,
    /// A signature that must be there is not, does not verify, or is not good now.
    Bogus,
    /// There is no trust anchor, or records that it takes did not come.
    #[serde(other)]
    Indeterminate,
}
