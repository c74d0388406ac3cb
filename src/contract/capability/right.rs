use super::System;
use crate::environment::Environment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a process may be allowed beyond opening connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Echo requests from an unprivileged socket. Raw sockets include it.
    Ping,
    /// Packets of one's own making.
    RawSockets,
    /// Linux: to read the packet filter of the network namespace.
    PacketFilter,
    /// Linux: to see which files and sockets other users' processes hold.
    OtherProcesses,
    /// Linux: to receive at a port below 1024.
    LowPorts,
    /// All that an administrator may. On Linux it is split into those above.
    Administrator,
}

impl Right {
    pub const ALL: [Self; 6] =
        [Self::Ping, Self::RawSockets, Self::PacketFilter, Self::OtherProcesses, Self::LowPorts, Self::Administrator];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping sockets",
            Self::RawSockets => "raw sockets",
            Self::PacketFilter => "the right to the packet filter (CAP_NET_ADMIN)",
            Self::OtherProcesses => "the right to look into other users' processes (CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH)",
            Self::LowPorts => "the right to ports below 1024 (CAP_NET_BIND_SERVICE)",
            Self::Administrator => "an administrator's rights",
        }
    }

    /// The capabilities of Linux that give it (capabilities(7)), without the `CAP_` before each; none where root is no matter of capabilities.
    fn capabilities(self) -> &'static [&'static str] {
        match self {
            Self::Ping | Self::RawSockets => &["NET_RAW"],
            Self::PacketFilter => &["NET_ADMIN"],
            Self::OtherProcesses => &["SYS_PTRACE", "DAC_READ_SEARCH"],
            Self::LowPorts => &["NET_BIND_SERVICE"],
            Self::Administrator => &[],
        }
    }

    /// The one command or step that grants it, the smallest right first.
    pub fn grant(self, system: System, grantor: Grantor) -> String {
        grant(&[self], system, grantor)
    }
}

/// Who can give a process further rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grantor {
    /// The person at it, with sudo or as administrator.
    #[default]
    Person,
    /// Whoever starts its container.
    Container,
    /// Whoever starts it, such as systemd: what a process and all that it starts may never have again, sudo does not bring back.
    Starter,
}

impl Grantor {
    #[must_use]
    pub fn is_person(&self) -> bool {
        *self == Self::Person
    }
}

/// The one command or step that grants all of these.
pub(super) fn grant(rights: &[Right], system: System, grantor: Grantor) -> String {
    let mut capabilities: Vec<&str> = Vec::new();
    for capability in rights.iter().flat_map(|right| right.capabilities()) {
        if !capabilities.contains(capability) {
            capabilities.push(capability);
        }
    }
    match (system, grantor) {
        (System::Windows, _) => "run the same command as administrator".to_owned(),
        (System::Linux, Grantor::Container) => {
            let options: Vec<String> = capabilities.iter().map(|name| format!("--cap-add {name}")).collect();
            let (options, list) = (options.join(" "), capabilities.join(", "));
            format!("start the container with --user 0 {options} (Kubernetes: runAsUser: 0, capabilities.add: [{list}])")
        }
        // Ping sockets are the smaller right: they send echo requests and nothing else. The IPv4 setting rules over both families.
        (System::Linux, _) if rights == [Right::Ping] => "sudo sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"".to_owned(),
        (System::Linux, Grantor::Starter) => {
            let list = capabilities.iter().map(|name| format!("CAP_{name}")).collect::<Vec<_>>().join(" ");
            format!("start it with {list} (systemd: AmbientCapabilities={list} and CapabilityBoundingSet={list})")
        }
        _ => "run the same command with sudo".to_owned(),
    }
}

/// The rights that a process has, and who can give it the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rights {
    pub ping_sockets: bool,
    pub raw_sockets: bool,
    pub packet_filter: bool,
    pub other_processes: bool,
    pub low_ports: bool,
    pub administrator: bool,
    pub grantor: Grantor,
}

impl Rights {
    pub const NONE: Self = Self {
        ping_sockets: false,
        raw_sockets: false,
        packet_filter: false,
        other_processes: false,
        low_ports: false,
        administrator: false,
        grantor: Grantor::Person,
    };

    pub fn include(self, right: Right) -> bool {
        match right {
            Right::Ping => self.ping_sockets || self.raw_sockets,
            Right::RawSockets => self.raw_sockets,
            Right::PacketFilter => self.packet_filter,
            Right::OtherProcesses => self.other_processes,
            Right::LowPorts => self.low_ports,
            Right::Administrator => self.administrator,
        }
    }
}

impl From<&Environment> for Rights {
    fn from(environment: &Environment) -> Self {
        let Environment { raw_sockets, ping_sockets, elevated, packet_filter, other_processes, low_ports, grantor, .. } =
            *environment;
        Self {
            ping_sockets,
            raw_sockets,
            packet_filter: packet_filter.unwrap_or(elevated),
            other_processes: other_processes.unwrap_or(elevated),
            low_ports: low_ports.unwrap_or(elevated),
            administrator: elevated,
            grantor,
        }
    }
}
