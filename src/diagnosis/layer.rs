use netsonde_contract::cause;
use netsonde_contract::kind::Kind;

/// The order in which an exchange passes through the network: a fault in an earlier layer explains silence in a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    Host,
    Dns,
    Path,
    /// Ports: of TCP, and of UDP.
    Tcp,
    Tls,
    Http,
    /// What lies behind the connection: cloud platforms and other protocols.
    Service,
}

impl Layer {
    /// The layer of a cause, from its area.
    pub fn of(code: &str) -> Self {
        match cause::area(code) {
            "host" => Self::Host,
            "dns" => Self::Dns,
            "path" => Self::Path,
            "tcp" | "udp" => Self::Tcp,
            "tls" => Self::Tls,
            "http" => Self::Http,
            _ => Self::Service,
        }
    }

    /// The layer that a kind of check looks at.
    pub fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Host => Self::Host,
            Kind::Dns => Self::Dns,
            Kind::Tcp => Self::Tcp,
            Kind::Tls => Self::Tls,
            Kind::Http | Kind::Proxy => Self::Http,
            Kind::Icmp | Kind::Traceroute | Kind::Load | Kind::Mtu | Kind::Reflect => Self::Path,
            Kind::Ntp | Kind::Quic | Kind::Cloud | Kind::Service => Self::Service,
        }
    }
}
