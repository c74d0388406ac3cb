use crate::capability::Grantor;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The machine and the program that measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// The agent's version, such as `0.1.0`.
    pub version: String,
    /// `linux`, `windows`, `macos`.
    pub os: String,
    /// The system's name and release, such as `Debian GNU/Linux 12 (bookworm)`.
    pub os_release: String,
    pub kernel: String,
    /// `x86_64`, `aarch64`.
    pub architecture: String,
    pub hostname: String,
    /// Raw sockets can be opened.
    pub raw_sockets: bool,
    /// Unprivileged ICMP sockets can be opened.
    pub ping_sockets: bool,
    /// The process has the rights of root or an administrator, and not only root's name: on Linux each capability that netsonde has a use for.
    pub elevated: bool,
    /// Linux: the packet filter can be read (CAP_NET_ADMIN). Here and below, `elevated` says it where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet_filter: Option<bool>,
    /// Linux: it can be seen which sockets other users' processes hold (CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_processes: Option<bool>,
    /// Linux: a port below 1024 can be opened (CAP_NET_BIND_SERVICE, or `net.ipv4.ip_unprivileged_port_start`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_ports: Option<bool>,
    /// Who can give the process further rights.
    #[serde(default, skip_serializing_if = "Grantor::is_person")]
    pub grantor: Grantor,
    /// The wall clock when the run began.
    pub began: Timestamp,
    /// What an agent's service gave up before it began; a person's run gives up nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<Confinement>,
}

/// Rights that a process gave up for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Confinement {
    /// What keeps it from writing outside its own directory and from executing anything, such as `Landlock`; none where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<String>,
    /// The capabilities that it kept, in lower case, such as `cap_net_raw`.
    #[serde(default)]
    pub capabilities: Vec<String>,
}
