use crate::outcome::Note;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The machine's own packet filter in figures. No rule is kept, only how many there are and what they counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Firewall {
    pub tables: Vec<FirewallTable>,
    /// Tables of the older iptables, such as `ip filter`, of which no more is read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legacy_tables: Vec<String>,
    /// Why nothing was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Note>,
}

/// A table of nftables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirewallTable {
    /// `ip`, `ip6`, `inet`, `arp`, `bridge` or `netdev`.
    pub family: String,
    pub name: String,
    pub chains: Vec<Chain>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Chain {
    pub name: String,
    /// Where packets enter it, such as `input`, `output`; none for one that others call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// `accept` or `drop`, for what no rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    pub rules: u32,
    /// Rules that drop, and the packets that those with a counter counted.
    pub drop_rules: u32,
    #[serde(default)]
    pub dropped: u64,
    /// Rules that reject, and the packets that those with a counter counted.
    pub reject_rules: u32,
    #[serde(default)]
    pub rejected: u64,
}
