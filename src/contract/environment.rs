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
    /// The process has the rights of root or an administrator.
    pub elevated: bool,
    /// The wall clock when the run began.
    pub began: Timestamp,
}
