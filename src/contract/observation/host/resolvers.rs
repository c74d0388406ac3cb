use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The resolvers that the system is configured with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resolvers {
    /// The name servers, in the order in which they are asked.
    pub servers: Vec<IpAddr>,
    /// The search suffixes, in the order in which they are tried.
    pub search: Vec<String>,
    /// Where the configuration was read.
    pub read_from: String,
    /// Where a resolver of the machine itself stands between, the files that say whom that one asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<ResolverSource>,
    /// How many addresses were left out that no name server has: Windows names fec0:0:0:ffff::1 to ::3 where an adapter has none, and WSL copies them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub placeholders: u32,
}

/// Name servers that one file names, and what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResolverSource {
    /// The file or service that said so.
    pub read_from: String,
    /// The interface whose names they serve; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The name servers, in the order in which they are asked.
    pub servers: Vec<IpAddr>,
    /// The search suffixes, in the order in which they are tried.
    #[serde(default)]
    pub search: Vec<String>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}
