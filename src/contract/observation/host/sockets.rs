use crate::outcome::Note;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The sockets of the process's network namespace, counted. What belongs to other users is counted by state only, unless the process
/// runs as root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sockets {
    /// Of all users.
    pub tcp: Vec<StateCount>,
    /// Of all users.
    pub udp: u32,
    /// Datagrams dropped because their reader was too slow, of the sockets that are open.
    #[serde(default)]
    pub udp_drops: u64,
    /// The user's own where the process may not see more.
    pub owners: Vec<OwnerSockets>,
    /// The user's own where the process may not see more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessSockets>,
    /// The ports that most connections lead to: the user's own where the process may not see more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remote_ports: Vec<RemotePort>,
    /// Sockets that are connected to the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub towards_target: Vec<TowardsTarget>,
    /// What waits for connections or datagrams, of all users; the lowest ports first, 64 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listening: Vec<Listener>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<EphemeralPorts>,
    /// Everything was read, and not only a beginning.
    pub complete: bool,
    /// Why the programs of other processes are not named, and what names them, where an agent's service gave up looking into them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Note>,
}

/// How many TCP sockets are in one state, such as `established`, `time_wait`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateCount {
    /// The TCP state (RFC 9293 section 3.3.2).
    pub state: String,
    /// How many sockets.
    pub count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnerSockets {
    /// The user's number.
    pub user_id: u32,
    /// It is the user that the process runs as.
    pub own: bool,
    /// How many sockets the user has.
    pub count: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessSockets {
    /// The program's name, without its arguments.
    pub process: String,
    /// How many sockets the process has.
    pub count: u32,
}

/// A socket that waits for connections or datagrams.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Listener {
    /// The local port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The local address; the unspecified one stands for all.
    pub address: IpAddr,
    /// The user's number.
    pub user_id: u32,
    /// The program's name, without its arguments; none where the process may not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemotePort {
    /// The remote port.
    pub port: u16,
    /// How many sockets are connected to it.
    pub count: u32,
}

/// Connections of all users to one address of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TowardsTarget {
    /// The target's address.
    pub address: IpAddr,
    /// How many sockets are in each TCP state.
    pub states: Vec<StateCount>,
}

/// The local ports that the system chooses from for connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EphemeralPorts {
    /// The first port that the system chooses.
    pub low: u16,
    /// The last port that the system chooses.
    pub high: u16,
    /// Of these, used by any TCP socket.
    pub in_use: u32,
    /// Used towards one port of one address of the target, of which each takes a port of its own; the most used first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub towards: Vec<PortUse>,
}

impl EphemeralPorts {
    /// How many there are.
    pub fn size(&self) -> u32 {
        u32::from(self.high).saturating_sub(self.low.into()) + 1
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortUse {
    /// The remote address.
    pub address: IpAddr,
    /// The remote port.
    pub port: u16,
    /// Local ports in use towards it.
    pub in_use: u32,
}
