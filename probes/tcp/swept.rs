//! The packets that answered a sweep over many ports, of one address or of many: one socket of each family reads them all, as opening and
//! closing one for each port would take the kernel longer than the port takes to answer.

use super::answer::{Answered, Sought, Way, filter, read_any};
use crate::clock::Clock;
use crate::platform::packet_socket::{IPV4, IPV6, PacketSocket};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// Answers kept until their attempt takes them: several times as many as are under way at once.
const MAX_KEPT: usize = 1_024;

/// Reads what the ports of some addresses answer, where the process may read packets.
pub(super) struct Swept {
    /// Each with whether it reads IPv4.
    sockets: Vec<(bool, PacketSocket)>,
    addresses: HashSet<IpAddr>,
    /// By the port that answered and the local one.
    seen: Mutex<HashMap<(IpAddr, u16, u16), Answered>>,
}

impl Swept {
    /// Begins to listen, before the first SYN leaves.
    pub(super) fn of(addresses: impl Iterator<Item = IpAddr>) -> Self {
        let addresses: HashSet<IpAddr> = addresses.collect();
        let of_family = |is_v4: bool| {
            let mut of_it = addresses.iter().copied().filter(|address| address.is_ipv4() == is_v4);
            let first = of_it.next()?;
            let address = Some(first).filter(|_| of_it.next().is_none());
            let protocol = if is_v4 { IPV4 } else { IPV6 };
            let socket = PacketSocket::open(protocol, None, &filter(Sought { is_v4, address, port: None }, Way::Back)).ok()?;
            Some((is_v4, socket))
        };
        let sockets = [true, false].into_iter().filter_map(of_family).collect();
        Self { sockets, addresses, seen: Mutex::default() }
    }

    /// What has answered the local port from the remote one so far; the first of each kind.
    pub(super) fn take(&self, remote: SocketAddr, local_port: u16, clock: Clock) -> Answered {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (is_v4, socket) in &self.sockets {
            while let Some(packet) = socket.receive() {
                let Some((from, answer)) = read_any(&packet, *is_v4, clock) else { continue };
                let key = (from.ip(), from.port(), answer.local_port);
                if self.addresses.contains(&from.ip()) && (seen.len() < MAX_KEPT || seen.contains_key(&key)) {
                    let of_kind = seen.entry(key).or_default();
                    let kept = if answer.is_reset { &mut of_kind.reset } else { &mut of_kind.syn_ack };
                    kept.get_or_insert(answer.segment);
                }
            }
        }
        seen.remove(&(remote.ip(), remote.port(), local_port)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_answers_of_several_ports_and_families_are_told_apart() {
        let clock = Clock::start();
        let listeners = ["127.0.0.1", "::1"].map(|loopback| TcpListener::bind((loopback, 0)).unwrap());
        let swept = Swept::of(listeners.iter().map(|listener| listener.local_addr().unwrap().ip()));
        if swept.sockets.is_empty() {
            eprintln!("skipped: answers to a sweep, whose reading needs raw sockets");
            return;
        }
        for listener in listeners {
            let open = listener.local_addr().unwrap();
            let stream = TcpStream::connect(open).unwrap();
            let local = stream.local_addr().unwrap().port();
            let answered = swept.take(open, local, clock);
            assert_eq!(answered.syn_ack.map(|segment| segment.ttl), Some(64), "{open}");
            assert_eq!((answered.reset, swept.take(open, local, clock)), (None, Answered::default()));
            drop((stream, listener));
            let socket = socket2::Socket::new(socket2::Domain::for_address(open), socket2::Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::new(open.ip(), 0).into()).unwrap();
            let local = socket.local_addr().unwrap().as_socket().unwrap().port();
            assert!(socket.connect_timeout(&open.into(), std::time::Duration::from_secs(1)).is_err());
            assert_eq!(swept.take(open, local, clock).reset.map(|segment| segment.ttl), Some(64), "{open}");
        }
    }
}
