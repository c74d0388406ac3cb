//! ICMP probes from one datagram socket of macOS, which any user may open: it gets echo replies and ICMP errors as a raw socket does, IPv4 header
//! included, and leaves the identifier and, for IPv4, the checksum as they were set (icmp(4) there).
//!
//! The IPv4 identification is the kernel's, so that the sequence number alone tells a probe, and routers may cut what is too large for a link.

use super::matching::{Manner, Probes};
use super::wire::{Heard, Packet, Traits, Wire, on_run_clock, set_class, set_ttl};
use crate::capture::flow::Flow;
use crate::clock::Clock;
use crate::packet::socket::{RECEIVE_BYTES, messages, take};
use crate::zone;
use netsonde_contract::observation::{TraceClock, TraceIds};
use socket2::{SockRef, Type};
use std::io;
use std::net::IpAddr;
use tokio::io::Interest;
use tokio::net::UdpSocket;

pub(super) struct PingWire {
    probes: Probes,
    /// Not connected: it would not get the errors of routers.
    socket: UdpSocket,
}

/// The kind of socket is that of datagrams; a raw one of Linux behaves alike.
///
/// # Errors
/// The system's own, such as a family that it lacks.
pub(super) fn open(manner: Manner, source: IpAddr, kind: Type) -> io::Result<PingWire> {
    let socket = messages(manner.target, kind)?;
    set_class(&SockRef::from(&socket), manner.target, manner.class)?;
    Ok(PingWire { probes: Probes::new(manner, source, None, false), socket })
}

impl Wire for PingWire {
    fn traits(&self) -> Traits {
        let ids = if self.probes.manner.each_flow { TraceIds::Classic } else { TraceIds::Paris };
        Traits { ids, clock: TraceClock::Process, lacks: Vec::new(), privileged: false }
    }

    async fn ready(&self) -> io::Result<()> {
        self.socket.ready(Interest::READABLE).await.map(|_| ())
    }

    fn flows(&self) -> Vec<Flow> {
        vec![Flow::Echo { identifier: self.probes.identifier }]
    }

    fn send(&mut self, packet: Packet) -> io::Result<()> {
        let target = self.probes.manner.target;
        let socket = SockRef::from(&self.socket);
        set_ttl(&socket, target, packet.ttl)?;
        let (sent, request) = self.probes.echo_request(packet);
        // Not tokio's own send, which would fail where the writability was never awaited.
        socket.send_to(&request, &zone::socket(target, 0).into())?;
        self.probes.sent.insert(packet.probe.0, sent);
        Ok(())
    }

    fn hear(&mut self, clock: &Clock) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut buffer = [0_u8; RECEIVE_BYTES];
        take(&self.socket, &mut buffer, |bytes, from, ttl, stamp| {
            heard.extend(self.probes.icmp(bytes, from, ttl).map(|found| found.heard(on_run_clock(stamp, clock))));
        });
        heard
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::super::machine::ProbeNumber;
    use super::*;
    use netsonde_contract::observation::TraceProtocol;

    #[tokio::test]
    async fn echo_requests_of_a_socket_that_gets_whole_packets_are_answered_in_both_families() {
        for loopback in ["127.0.0.1", "::1"] {
            let clock = Clock::start();
            let target: IpAddr = loopback.parse().unwrap();
            let manner = Manner { protocol: TraceProtocol::Icmp, target, port: 0, each_flow: false, class: 0x2a };
            let mut wire = match open(manner, target, Type::RAW) {
                Ok(wire) => wire,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    eprintln!("skipped: echo requests on loopback: they need raw sockets");
                    return;
                }
                Err(error) => panic!("{error}"),
            };
            wire.send(Packet { probe: ProbeNumber(300), ttl: 1, flow: 2, size: 0 }).unwrap();
            let heard = loop {
                wire.ready().await.unwrap();
                if let Some(heard) = wire.hear(&clock).pop() {
                    break heard;
                }
            };
            let Heard::Answer { probe, answer, .. } = heard else { panic!("{heard:?}") };
            assert_eq!((probe, answer.from, &answer.icmp, answer.ttl), (ProbeNumber(300), target, &None, Some(64)));
        }
    }
}
