use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the machine has only so much of, and how much of it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// None where the kernel tracks no connections, or does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conntrack: Option<Conntrack>,
    /// This process's file descriptors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_descriptors: Option<Descriptors>,
    /// The whole system's file descriptors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_descriptors: Option<Descriptors>,
}

/// The kernel's table of connections, which its firewall and address translation need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conntrack {
    /// Connections that are tracked now.
    pub count: u64,
    /// Connections that can be tracked at most.
    pub max: u64,
    /// Packets dropped since the system began because no entry could be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// Entries thrown out early to make room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_early: Option<u64>,
    /// Connections that could not be entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insert_failed: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Descriptors {
    /// How many are open.
    pub used: u64,
    /// How many may be open.
    pub limit: u64,
}
