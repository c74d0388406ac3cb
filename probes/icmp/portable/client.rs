use crate::context::NotMeasurable;
use crate::icmp::denied;
use crate::platform::{borrowed, error_queue, icmp_filter, icmp_socket};
use netsonde_contract::failure::{Failure, IcmpError, Step};
use socket2::{SockRef, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use surge_ping::{AsyncSocket, Config, ICMP, PingIdentifier, Pinger};

/// A socket of its own for each series: the kernel gives a datagram socket its identifier, so two series on one such socket would
/// take each other's replies.
pub(super) struct Client {
    inner: surge_ping::Client,
    socket: AsyncSocket,
    /// Random, so that series of other programs are told apart on raw sockets.
    identifier: PingIdentifier,
}

/// Why an address cannot be pinged.
pub(super) enum NoClient {
    /// The process lacks the right.
    Denied(NotMeasurable),
    /// The system lacks the family, or has no descriptor left.
    Failed(Failure),
}

/// Opens a client for the address: raw where the process may, else datagram where it really may.
pub(super) fn open(address: IpAddr) -> Result<Client, NoClient> {
    let kind = permitted_kind(address)?;
    let protocol = if address.is_ipv4() { ICMP::V4 } else { ICMP::V6 };
    let mut config = Config::builder().kind(protocol).sock_type_hint(kind);
    if cfg!(windows) {
        // There the library panics on a socket that is not bound.
        let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        config = config.bind(SocketAddr::new(any, 0));
    }
    let inner = surge_ping::Client::new(&config.build()).map_err(|error| failed(&error))?;
    let socket = inner.get_socket();
    // The library falls back to the other type by itself, and what it reports then is not a measurement.
    if socket.get_type() != kind {
        return Err(NoClient::Denied(denied()));
    }
    let client = Client { inner, socket, identifier: PingIdentifier(rand::random()) };
    client.prepare(address, kind).map_err(|error| failed(&error))?;
    Ok(client)
}

impl Client {
    /// A raw socket hears everything unless it is told not to, a datagram socket no error unless it is told to.
    fn prepare(&self, address: IpAddr, kind: Type) -> io::Result<()> {
        let descriptor = borrowed(&self.socket);
        let socket = SockRef::from(&descriptor);
        if kind == Type::RAW { icmp_filter::answers_only(&socket, address) } else { error_queue::enable(&socket, address) }
    }

    pub(super) fn is_raw(&self) -> bool {
        self.socket.get_type() == Type::RAW
    }

    pub(super) async fn pinger(&self, address: IpAddr) -> Pinger {
        self.inner.pinger(address, self.identifier).await
    }

    /// Takes the ICMP errors that the kernel kept for a datagram socket; a raw one receives them as packets.
    pub(super) fn queued_errors(&self) -> impl Iterator<Item = IcmpError> {
        error_queue::drain(&SockRef::from(&borrowed(&self.socket))).into_iter().map(|error| error.icmp)
    }
}

/// What may be opened is found out by opening it.
fn permitted_kind(address: IpAddr) -> Result<Type, NoClient> {
    match icmp_socket(address, Type::RAW) {
        Ok(_) => Ok(Type::RAW),
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(failed(&error)),
        Err(_) => icmp_socket(address, Type::DGRAM).map(|_| Type::DGRAM).map_err(|_| NoClient::Denied(denied())),
    }
}

fn failed(error: &io::Error) -> NoClient {
    NoClient::Failed(Failure::from_io(error, Step::Open))
}
