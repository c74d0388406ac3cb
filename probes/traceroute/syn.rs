//! SYN probes without any right: each is a `connect` of its own with a low TTL. The kernel queues the router's error for it, and ends it
//! with the target's answer. Two connections may not share ports at one time, so each probe of the trace is a flow of its own.

use super::machine::{Answer, ProbeNumber};
use super::wire::{Heard, Packet, Traits, Wire, on_run_clock, set_class, set_ttl};
use crate::capture::flow::Flow;
use crate::clock::Clock;
use crate::packet::extension;
use crate::packet::socket::RECEIVE_BYTES;
use crate::platform::tcp::is_in_progress;
use crate::platform::trace_socket::{What, prepare, receive};
use crate::zone;
use netsonde_contract::observation::{TraceClock, TraceIds, TraceLacks};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as StdStream};
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;

/// So many connections are under way at once: a round of the largest distance, and what the next round sends until it has timed out.
const MAX_UNDER_WAY: usize = 256;
/// For the reset that ends what was answered.
const USUAL_TTL: u8 = 64;

pub(super) struct SynWire {
    target: SocketAddr,
    class: u8,
    under_way: Vec<(Packet, TcpStream)>,
    /// The source port of each flow, from its first probe on.
    ports: HashMap<u16, u16>,
    /// Answered before the call returned, as on this machine itself.
    at_once: Vec<ProbeNumber>,
}

pub(super) fn open(target: IpAddr, port: u16, class: u8) -> SynWire {
    SynWire { target: zone::socket(target, port), class, under_way: Vec::new(), ports: HashMap::new(), at_once: Vec::new() }
}

impl Wire for SynWire {
    fn traits(&self) -> Traits {
        let lacks = vec![TraceLacks::QuotedHeaders, TraceLacks::ConstantFlow, TraceLacks::Duplicates];
        Traits { ids: TraceIds::Classic, clock: TraceClock::KernelRx, lacks, privileged: false }
    }

    async fn ready(&self) -> io::Result<()> {
        if !self.at_once.is_empty() {
            return Ok(());
        }
        std::future::poll_fn(|context| {
            // A connection that has ended in any way counts as writable.
            let mut ready = |stream: &TcpStream| stream.poll_write_ready(context).is_ready();
            let any = self.under_way.iter().fold(false, |any, (_, stream)| ready(stream) || any);
            if any { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    fn flows(&self) -> Vec<Flow> {
        self.ports.values().map(|port| Flow::Tcp { local_port: *port, remote: self.target }).collect()
    }

    fn send(&mut self, packet: Packet) -> io::Result<()> {
        // An earlier probe of the flow has the ports: it is given up.
        self.under_way.retain(|(other, _)| other.flow != packet.flow);
        if self.under_way.len() >= MAX_UNDER_WAY {
            self.under_way.remove(0);
        }
        let socket = Socket::new(Domain::for_address(self.target), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        prepare(&socket, self.target.ip(), true, false)?;
        set_class(&socket, self.target.ip(), self.class)?;
        set_ttl(&socket, self.target.ip(), packet.ttl)?;
        socket.set_linger(Some(Duration::ZERO))?;
        socket.set_reuse_address(true)?;
        let any = if self.target.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        if let Some(port) = self.ports.get(&packet.flow) {
            socket.bind(&SocketAddr::new(any, *port).into())?;
        }
        match socket.connect(&self.target.into()) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.at_once.push(packet.probe);
                return Ok(());
            }
            Err(error) if !is_in_progress(&error) => return Err(error),
            _ => {}
        }
        if let Some(local) = socket.local_addr().ok().and_then(|local| local.as_socket()) {
            self.ports.entry(packet.flow).or_insert(local.port());
        }
        self.under_way.push((packet, TcpStream::from_std(StdStream::from(socket))?));
        Ok(())
    }

    fn hear(&mut self, clock: &Clock) -> Vec<Heard> {
        let target = self.target.ip();
        let arrived = |probe| Heard::Answer { probe, answer: Answer::plain(target, None), at: None };
        let mut heard: Vec<Heard> = std::mem::take(&mut self.at_once).into_iter().map(arrived).collect();
        self.under_way.retain(|(packet, stream)| match outcome(packet.probe, stream, target, clock) {
            Some(found) => {
                // What was answered is reset, and the reset has to arrive.
                let _ = set_ttl(&SockRef::from(stream), target, USUAL_TTL);
                heard.extend(found);
                false
            }
            None => true,
        });
        heard
    }
}

/// How a connection attempt ended, where it has; nothing within where nobody on the network ended it.
fn outcome(probe: ProbeNumber, stream: &TcpStream, target: IpAddr, clock: &Clock) -> Option<Option<Heard>> {
    let socket = SockRef::from(stream);
    let mut buffer = [0_u8; RECEIVE_BYTES];
    while let Some(arrival) = receive(&socket, true, &mut buffer) {
        if let What::Error { icmp, extensions } = arrival.what {
            let quoted = buffer.get(..arrival.length).unwrap_or_default();
            let labels = extensions.and_then(|at| quoted.get(at..)).map(extension::labels).unwrap_or_default();
            let answer = Answer { ttl: arrival.ttl, labels, ..Answer::plain(icmp.offender, Some(icmp)) };
            return Some(Some(Heard::Answer { probe, answer, at: on_run_clock(arrival.stamp_ns, clock) }));
        }
    }
    let arrived = || Heard::Answer { probe, answer: Answer::plain(target, None), at: None };
    match stream.take_error().ok().flatten() {
        Some(error) => Some((error.kind() == io::ErrorKind::ConnectionRefused).then(arrived)),
        None => stream.peer_addr().is_ok().then(|| Some(arrived())),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[tokio::test]
    async fn an_open_and_a_closed_port_both_show_that_the_probe_arrived() {
        for loopback in ["127.0.0.1", "::1"] {
            let clock = Clock::start();
            let loopback: IpAddr = loopback.parse().unwrap();
            let listener = TcpListener::bind((loopback, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut listener = Some(listener);
            for number in 0..4 {
                if number == 2 {
                    listener.take();
                }
                let mut wire = open(loopback, port, 0);
                wire.send(Packet { probe: ProbeNumber(number), ttl: 1, flow: 0, size: 0 }).unwrap();
                wire.ready().await.unwrap();
                let heard = wire.hear(&clock);
                let answer = Answer::plain(loopback, None);
                assert_eq!(heard, [Heard::Answer { probe: ProbeNumber(number), answer, at: None }]);
            }
        }
    }
}
