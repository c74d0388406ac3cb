use crate::outcome::Note;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The machine's own packet filter in figures. No rule is kept, only how many there are and what they counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Firewall {
    /// The tables that could be read.
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
    /// Its name.
    pub name: String,
    /// Its chains that packets enter by.
    pub chains: Vec<Chain>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where packets enter it, such as `input`, `output`; none for one that others call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// `accept` or `drop`, for what no rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// How many rules it has.
    pub rules: u32,
    /// Rules that drop, and the packets that those with a counter counted.
    pub drop_rules: u32,
    /// Packets that its dropping rules counted.
    #[serde(default)]
    pub dropped: u64,
    /// Rules that reject, and the packets that those with a counter counted.
    pub reject_rules: u32,
    /// Packets that its rejecting rules counted.
    #[serde(default)]
    pub rejected: u64,
}
