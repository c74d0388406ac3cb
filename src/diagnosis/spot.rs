use std::net::{IpAddr, SocketAddr};

/// The part of the network that a fault or a symptom is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// All that this machine does for the target.
    Everything,
    /// Turning this name into an address.
    Name(String),
    /// Every protocol and port of this address.
    Address(IpAddr),
    /// One TCP port of one address.
    Endpoint(SocketAddr),
    /// What is behind one URL, once a connection stands.
    Url(String),
}

impl Spot {
    /// Whether `other` lies within this spot: an address holds its ports.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everything, _) => true,
            (Self::Address(address), Self::Endpoint(endpoint)) => endpoint.ip() == *address,
            _ => self == other,
        }
    }
}
