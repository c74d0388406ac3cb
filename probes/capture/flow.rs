//! Which flows the run made, and which check each belongs to.

use super::headers::{Headers, Transport, read};
use netsonde_contract::id::CheckId;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// A flow as the machine sees it. The local address is left out: it is only known once the packet has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flow {
    Tcp {
        local_port: u16,
        remote: SocketAddr,
    },
    Udp {
        local_port: u16,
        remote: SocketAddr,
    },
    /// To whatever port of the address: a traceroute counts it up.
    UdpAnyPort {
        local_port: u16,
        remote: IpAddr,
    },
    /// Echo requests by their identifier, to whatever address.
    Echo {
        identifier: u16,
    },
}

/// The flows that the run made so far. Nothing is noted unless a capture is under way.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    wanted: AtomicBool,
    checks: Mutex<HashMap<Flow, CheckId>>,
}

/// Flows of one run: above what its budget of packets can open, less a sweep's own.
const MAX_FLOWS: usize = 65_536;

impl Flows {
    pub(crate) fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn note(&self, flow: Flow, check: &CheckId) {
        if !self.wanted.load(Ordering::Relaxed) {
            return;
        }
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if checks.len() < MAX_FLOWS {
            checks.insert(flow, check.clone());
        }
    }

    /// The check whose flow the packet belongs to, in whatever direction, or about whose packet it is an ICMP error.
    pub(super) fn check_of(&self, packet: &[u8]) -> Option<CheckId> {
        let headers = read(packet)?;
        if let Transport::IcmpError { quoted_at } = headers.transport {
            // The quoted packet is one that left, as it left.
            let quoted = read(packet.get(quoted_at..)?)?;
            return self.find(&keys(&quoted).0);
        }
        let (leaving, arriving) = keys(&headers);
        self.find(&leaving).or_else(|| self.find(&arriving))
    }

    fn find(&self, keys: &[Flow]) -> Option<CheckId> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().find_map(|key| checks.get(key)).cloned()
    }
}

/// What the flow is called if the packet leaves, and if it arrives.
fn keys(headers: &Headers) -> (Vec<Flow>, Vec<Flow>) {
    match headers.transport {
        Transport::Tcp { source, destination } => (
            vec![Flow::Tcp { local_port: source, remote: SocketAddr::new(headers.destination, destination) }],
            vec![Flow::Tcp { local_port: destination, remote: SocketAddr::new(headers.source, source) }],
        ),
        Transport::Udp { source, destination } => {
            let side = |local_port: u16, address: IpAddr, port: u16| {
                let remote = SocketAddr::new(address, port);
                vec![Flow::Udp { local_port, remote }, Flow::UdpAnyPort { local_port, remote: address }]
            };
            (side(source, headers.destination, destination), side(destination, headers.source, source))
        }
        Transport::Echo { identifier } => (vec![Flow::Echo { identifier }], vec![Flow::Echo { identifier }]),
        Transport::IcmpError { .. } | Transport::Other => (Vec::new(), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::headers::tests::v4;
    use super::*;

    fn udp(from: u16, to: u16) -> Vec<u8> {
        let [from, to] = [from.to_be_bytes(), to.to_be_bytes()];
        v4(17, &[from[0], from[1], to[0], to[1], 0, 0, 0, 0])
    }

    fn flows() -> Flows {
        let flows = Flows::default();
        flows.want();
        flows.note(Flow::Udp { local_port: 4000, remote: "10.0.0.2:53".parse().unwrap() }, &CheckId::new("resolve"));
        flows
    }

    #[test]
    fn another_programs_packets_to_the_same_server_are_not_ours() {
        let flows = flows();
        assert_eq!(flows.check_of(&udp(4000, 53)).unwrap().as_str(), "resolve");
        assert!(flows.check_of(&udp(4001, 53)).is_none());
        assert!(flows.check_of(&udp(4000, 54)).is_none());
    }

    #[test]
    fn an_icmp_error_belongs_to_the_packet_that_it_quotes() {
        let flows = flows();
        let error = |quoted: &[u8]| v4(1, &[&[3, 3, 0, 0, 0, 0, 0, 0], quoted].concat());
        assert!(flows.check_of(&error(&udp(4000, 53))).is_some());
        assert!(flows.check_of(&error(&udp(53, 4000))).is_none(), "no packet of ours was sent so");
    }

    #[test]
    fn without_a_capture_nothing_is_kept() {
        let flows = Flows::default();
        flows.note(Flow::Echo { identifier: 7 }, &CheckId::new("echo"));
        assert!(flows.check_of(&v4(1, &[8, 0, 0, 0, 0, 7, 0, 0])).is_none());
    }
}
