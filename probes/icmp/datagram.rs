//! Series by the datagram sockets of macOS, which any user may open and which get replies and ICMP errors with their IPv4 header (icmp(4) there).
//!
//! The portable engine's library goes by the length in that header, which macOS gives in its own byte order: of some payload sizes it would take every
//! reply for cut off, and show all of them as lost.

use super::series::{self, Answer, Asking, Request, Series};
use super::targets::Aim;
use super::{Answered, denied};
use crate::clock::Clock;
use crate::context::{Context, NotMeasurable};
use crate::packet::socket::{RECEIVE_BYTES, messages, set_class, take};
use crate::packet::{Body, craft, parse};
use crate::zone;
use futures_util::future::join_all;
use netsonde_contract::failure::{Failure, IcmpError, Step};
use netsonde_contract::kind::IcmpParams;
use netsonde_contract::observation::EchoReply;
use socket2::{SockRef, Type};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

/// Each address has a socket of its own.
const MAX_TARGETS: usize = 64;

/// Says which addresses answered. The kind of socket is that of datagrams; a raw one of Linux behaves alike.
///
/// # Errors
/// Where the parameters ask for what these sockets do not offer, and where the process may not open them.
pub(super) async fn run(context: &Context, params: &IcmpParams, aims: &[Aim], kind: Type) -> Result<Answered, NotMeasurable> {
    if aims.len() > MAX_TARGETS || params.dont_fragment {
        let why = format!("more than {MAX_TARGETS} targets, and dont_fragment, cannot be measured by the ICMP sockets of macOS");
        return Err(NotMeasurable::new(why));
    }
    let mut measured = Vec::new();
    let mut is_denied = false;
    for aim in aims {
        match Client::open(aim.address, params.dscp, kind) {
            Ok(client) => measured.push(series::run(Series::begin(context, params, aim), client)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => is_denied = true,
            // The right is there, the family is not: that is a fact about this address, and the others go on.
            Err(error) => Series::begin(context, params, aim).fail(Failure::from_io(&error, Step::Open)),
        }
    }
    if is_denied && measured.is_empty() {
        return Err(denied());
    }
    Ok(join_all(measured).await.into_iter().flatten().collect())
}

struct Client {
    /// Not connected: it would not get the errors of routers.
    socket: UdpSocket,
    target: IpAddr,
    /// Random: the socket gets the answers to other programs' requests as well.
    identifier: u16,
    /// Who waits for an answer, by the request's sequence number.
    waiting: Mutex<HashMap<u16, oneshot::Sender<Heard>>>,
}

/// What came back for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    at_us: u64,
    ttl: Option<u8>,
    /// None for a reply.
    error: Option<IcmpError>,
}

impl Client {
    fn open(target: IpAddr, dscp: u8, kind: Type) -> io::Result<Self> {
        let socket = messages(target, kind)?;
        set_class(&SockRef::from(&socket), target, dscp << 2)?;
        Ok(Self { socket, target, identifier: rand::random(), waiting: Mutex::default() })
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u16, oneshot::Sender<Heard>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, request: Request<'_>) -> io::Result<()> {
        let bytes = craft::echo(self.target, self.identifier, request.sequence, request.payload);
        // Not tokio's own send, which would fail where the writability was never awaited.
        SockRef::from(&self.socket).send_to(&bytes, &zone::socket(self.target, 0).into()).map(|_| ())
    }

    /// Takes all that is there, and hands each answer to whoever waits for it.
    fn collect(&self, clock: Clock) {
        let mut buffer = [0; RECEIVE_BYTES];
        take(&self.socket, &mut buffer, |bytes, from, ttl, _| {
            let found = heard(bytes, from.ip(), (self.target, self.identifier), ttl, clock.now_us());
            if let Some((sequence, heard)) = found
                && let Some(waits) = self.waiting().remove(&sequence)
            {
                // Nobody waits any more where the time-out came meanwhile.
                let _ = waits.send(heard);
            }
        });
    }

    /// Whoever waits takes what came for all.
    async fn answer(&self, mut told: oneshot::Receiver<Heard>, clock: Clock) -> Option<Heard> {
        loop {
            tokio::select! {
                biased;
                heard = &mut told => return heard.ok(),
                ready = self.socket.readable() => {
                    ready.ok()?;
                    self.collect(clock);
                }
            }
        }
    }
}

impl Asking for Client {
    fn name(&self) -> &'static str {
        "ping"
    }

    async fn ask(&self, address: IpAddr, request: Request<'_>) -> Answer {
        let Request { sequence, timeout, clock, .. } = request;
        let (tell, told) = oneshot::channel();
        self.waiting().insert(sequence, tell);
        let began_us = clock.now_us();
        let answer = match self.send(request) {
            Err(error) => Answer::Unsent(Failure::from_io(&error, Step::Send)),
            Ok(()) => match tokio::time::timeout(timeout, self.answer(told, clock)).await {
                Ok(Some(Heard { error: Some(error), .. })) => Answer::Error(error),
                Ok(Some(Heard { at_us, ttl, .. })) => {
                    let rtt_us = at_us.saturating_sub(began_us);
                    Answer::Reply(EchoReply { sequence, rtt_us, ttl, ..EchoReply::default() })
                }
                Ok(None) | Err(_) => Answer::Silence,
            },
        };
        self.waiting().remove(&sequence);
        debug_assert_eq!(address, self.target, "a socket is for one address");
        answer
    }
}

/// The number of the request to this target with this identifier that a packet answers, and what it says.
fn heard(bytes: &[u8], from: IpAddr, asked: (IpAddr, u16), ttl: Option<u8>, at_us: u64) -> Option<(u16, Heard)> {
    let message = parse(bytes, from)?;
    let sequence = message.request(asked.0, asked.1)?;
    let ttl = message.ttl.or(ttl);
    let error = match message.body {
        Body::EchoReply { .. } => None,
        Body::Error { icmp, .. } => Some(icmp),
    };
    Some((sequence, Heard { at_us, ttl, error }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
    const TARGET: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
    const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

    /// A packet as macOS gives it: the total length lacks the header's and is in the machine's own byte order.
    fn told_by_macos(from: Ipv4Addr, to: Ipv4Addr, message: &[u8]) -> Vec<u8> {
        let length = u16::try_from(message.len()).unwrap().to_le_bytes();
        let mut packet = vec![0x45, 0, length[0], length[1], 0, 9, 0, 0, 61, 1, 0, 0];
        packet.extend(from.octets());
        packet.extend(to.octets());
        packet.extend(message);
        packet
    }

    /// With the header's eight bytes the messages are 256, 512 and 768 long: their lengths, read in the network's order, are 1, 2 and 3.
    #[test]
    fn replies_whose_length_macos_writes_in_its_own_byte_order_are_not_taken_for_cut_off() {
        for payload in [16, 56, 248, 504, 760, 1_016, 1_472] {
            let mut reply = craft::echo(TARGET.into(), 0x1234, 3, &vec![0; payload]);
            reply[0] = 0;
            let packet = told_by_macos(TARGET, OWN, &reply);
            let found = heard(&packet, TARGET.into(), (TARGET.into(), 0x1234), None, 70);
            assert_eq!(found, Some((3, Heard { at_us: 70, ttl: Some(61), error: None })), "{payload} bytes");
            // A buffer that is shorter than the packet holds its beginning.
            assert_eq!(heard(&packet[..28], TARGET.into(), (TARGET.into(), 0x1234), None, 70), found, "28 of {payload} bytes");
            assert_eq!(heard(&packet, TARGET.into(), (TARGET.into(), 0x1235), None, 70), None, "another program's");
        }
    }

    #[test]
    fn a_router_that_rejects_a_request_is_named_in_both_families() {
        let request = craft::echo(TARGET.into(), 0x1234, 3, &[0; 248]);
        let quoted = told_by_macos(OWN, TARGET, &request);
        let packet = told_by_macos(ROUTER, OWN, &[&[3, 13, 0, 0, 0, 0, 0, 0], &quoted[..28]].concat());
        let (sequence, found) = heard(&packet, ROUTER.into(), (TARGET.into(), 0x1234), None, 70).unwrap();
        let error = IcmpError { offender: ROUTER.into(), kind: 3, code: 13, mtu: None };
        assert_eq!((sequence, found.error), (3, Some(error)));

        let (own, target, router): (Ipv6Addr, Ipv6Addr, Ipv6Addr) =
            ("2001:db8::77".parse().unwrap(), "2001:db8:1::9".parse().unwrap(), "2001:db8:2::1".parse().unwrap());
        let mut packet = vec![1, 1, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0, 0, 40, 58, 63];
        packet.extend(own.octets());
        packet.extend(target.octets());
        packet.extend(craft::echo(target.into(), 0x1234, 4, &[0; 32]));
        let (sequence, found) = heard(&packet, router.into(), (target.into(), 0x1234), Some(57), 70).unwrap();
        let error = IcmpError { offender: router.into(), kind: 1, code: 1, mtu: None };
        assert_eq!((sequence, found.ttl, found.error), (4, Some(57), Some(error)));
    }
}
