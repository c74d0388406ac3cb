use crate::clock::since_boot;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// A look that comes later than it was to come by more than this: the machine slept, or this program stood still, as in a virtual machine that was
/// paused. A loop that is merely busy is not so late.
const LATE: Duration = Duration::from_secs(5);

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Here {
    /// Time that no sleep hides.
    up: Duration,
    /// Who is at the other end of the connections: the backend, or its proxy. None before either answered.
    peer: Option<SocketAddr>,
    /// The address of this machine's that packets to it leave from now; none where there is no way.
    source: Option<IpAddr>,
}

impl Here {
    pub(crate) fn read(peer: Option<SocketAddr>) -> Self {
        Self { up: since_boot().unwrap_or_default(), peer, source: peer.and_then(source_towards) }
    }
}

/// Where the connections of before lead no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// For so long nobody looked.
    Slept(Duration),
    /// Packets to the backend leave from another address than before, or leave again at all.
    Moved,
}

impl std::fmt::Display for Left {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Slept(time) => write!(out, "this machine slept, or this program stood still, for {} s", time.as_secs()),
            Self::Moved => out.write_str("this machine stands in another network, or has its own again"),
        }
    }
}

/// Whether the machine slept, or stands in another network, since the last look.
#[derive(Debug, Default)]
pub(crate) struct Whereabouts {
    last: Option<Here>,
}

impl Whereabouts {
    /// From here on it is looked.
    pub(crate) fn note(&mut self, here: Here) {
        self.last = Some(here);
    }

    /// A look that was to come `after` the last one at the latest.
    pub(crate) fn look(&mut self, here: Here, after: Duration) -> Option<Left> {
        let last = self.last.replace(here)?;
        let passed = here.up.saturating_sub(last.up);
        if passed > after + LATE {
            return Some(Left::Slept(passed));
        }
        // A network that is away is waited for; which of several backends answered says nothing.
        let is_elsewhere = here.peer == last.peer && here.source.is_some() && here.source != last.source;
        is_elsewhere.then_some(Left::Moved)
    }
}

/// The address that packets to the peer would leave from now. Nothing is sent, and no name is asked for: the system's routes alone say it.
fn source_towards(peer: SocketAddr) -> Option<IpAddr> {
    let socket = unconnected(peer)?;
    socket.connect(peer).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

/// Without an address and a port of its own, so that it takes packets from nobody, not for a moment.
#[cfg(unix)]
fn unconnected(peer: SocketAddr) -> Option<UdpSocket> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let family = if peer.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    socket(family, SockType::Datagram, SockFlag::empty(), None).ok().map(UdpSocket::from)
}

#[cfg(not(unix))]
fn unconnected(peer: SocketAddr) -> Option<UdpSocket> {
    use std::net::{Ipv4Addr, Ipv6Addr};
    let any: IpAddr = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    fn here(up: u64, source: Option<&str>) -> Here {
        let peer = Some("192.0.2.1:443".parse().unwrap());
        Here { up: Duration::from_secs(up), peer, source: source.map(|text| text.parse().unwrap()) }
    }

    #[test]
    fn a_sleep_is_noticed_however_the_clocks_count_it_and_a_busy_loop_is_none() {
        let mut whereabouts = Whereabouts::default();
        let home = Some("10.0.0.5");
        assert_eq!(whereabouts.look(here(100, home), EVERY), None, "nothing is known of before");
        assert_eq!(whereabouts.look(here(115, home), EVERY), None);
        assert_eq!(whereabouts.look(here(131, home), EVERY), Some(Left::Slept(Duration::from_secs(16))));
        assert_eq!(whereabouts.look(here(141, home), EVERY), None, "it is told once");
        whereabouts.note(here(3_600, home));
        assert_eq!(whereabouts.look(here(3_610, home), EVERY), None, "nobody wanted to look meanwhile");
    }

    #[test]
    fn another_network_is_noticed_once_it_is_there() {
        let mut whereabouts = Whereabouts::default();
        whereabouts.note(here(0, Some("10.0.0.5")));
        for (up, source, moved) in [
            (10, Some("10.0.0.5"), false),
            (20, None, false),
            (30, None, false),
            (40, Some("172.16.0.9"), true),
            (50, Some("172.16.0.9"), false),
            (60, None, false),
            (70, Some("172.16.0.9"), true),
            (80, Some("10.0.0.5"), true),
        ] {
            let told = whereabouts.look(here(up, source), EVERY);
            assert_eq!(told == Some(Left::Moved), moved, "{up}");
        }
        let other = Here { peer: Some("[2001:db8::1]:443".parse().unwrap()), ..here(90, Some("10.0.0.6")) };
        assert_eq!(whereabouts.look(other, EVERY), None, "another of the backend's addresses answered");
        let nobody = Here { peer: None, ..here(100, None) };
        assert_eq!(whereabouts.look(nobody, EVERY), None);
    }

    #[test]
    fn the_way_to_this_machine_itself_leaves_from_it() {
        assert_eq!(source_towards("127.0.0.1:9".parse().unwrap()), Some(IpAddr::from([127, 0, 0, 1])));
    }
}
