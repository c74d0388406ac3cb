use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Where the system looks for a name before and beside DNS, read from its files and not from its resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NameSources {
    /// The name as it was given.
    pub name: String,
    /// Lines of the hosts file that name it (hosts(5)).
    #[serde(default)]
    pub hosts: Vec<HostsLine>,
    /// The hosts file, or why it could not be read.
    pub hosts_file: String,
    /// The sources that the C library asks, in their order, such as `files`, `mdns4_minimal`, `dns` (nsswitch.conf(5), `hosts`); empty where
    /// the system has no such list.
    #[serde(default)]
    pub order: Vec<String>,
    /// The suffixes of the search list (resolv.conf(5)).
    #[serde(default)]
    pub search: Vec<String>,
    /// A name with fewer dots is first tried with the suffixes (resolv.conf(5)).
    #[serde(default)]
    pub ndots: u32,
    /// The names that the resolver asks DNS for, in this order, until one exists.
    #[serde(default)]
    pub tried: Vec<String>,
}

/// One line of the hosts file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostsLine {
    /// From 1.
    pub line: u32,
    /// The address at the beginning of the line.
    pub address: IpAddr,
    /// The names that follow.
    pub names: Vec<String>,
}
