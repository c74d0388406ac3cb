//! A STAMP Session-Reflector that counts (RFC 8762 section 4.3): answers test packets with packets of the same size, in the sender's own
//! bytes, from the address that was asked. It answers nothing else, and nobody faster than a bound.

/// Who is answered, and under which number.
mod session;

use super::key::ReflectorKey;
use super::packet::{self, Reply, Unread};
use super::time::{ErrorEstimate, Format};
use super::tlv::{self, Seen};
use crate::clock::Clock;
use crate::platform::dont_fragment;
use crate::platform::host::clock_state;
use crate::platform::stamped::{self, Arrived};
use futures_util::future::join_all;
use session::{Refusal, Sessions};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};
use std::sync::{Mutex, PoisonError};
use tokio::net::UdpSocket;

/// The largest datagram that a path of 9,216-byte packets carries; longer ones are cut, and not answered.
const MAX_BYTES: usize = 9_216;
/// Sockets at once: an address of each family, and some.
const MAX_SOCKETS: usize = 16;
/// Replies set out with the largest TTL, so that what is left tells the hops (RFC 5357 section 4.2.1).
pub(super) const TTL: u32 = 255;
/// Without a word from the system on its clock: a machine's clock that nobody sets is off by seconds.
const UNKNOWN_ERROR_NS: u64 = 1_000_000_000;

/// Whom to answer.
#[derive(Clone, Default)]
pub struct ReflectorRules {
    /// Networks by address and prefix length; everybody where there are none.
    pub allowed: Vec<(IpAddr, u8)>,
    /// Answers only packets that are sealed with it.
    pub key: Option<ReflectorKey>,
    /// Answers at most, in all; as many as the rates allow where there is nothing.
    pub answers: Option<u64>,
    /// Bytes of packets that are answered, and of their answers, in all.
    pub bytes: Option<u64>,
}

/// Sockets that listen.
pub struct Reflector {
    sockets: Vec<UdpSocket>,
    key: Option<ReflectorKey>,
    answers: Option<u64>,
    bytes: Option<u64>,
    clock: Clock,
    sessions: Mutex<Sessions>,
}

/// What a reflector did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReflectorSummary {
    pub answered: u64,
    /// A line for each session, by peer.
    pub sessions: Vec<ReflectorSession>,
    /// Packets that were not answered, by reason in words.
    pub refused: Vec<(&'static str, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReflectorSession {
    pub peer: SocketAddr,
    pub received: u32,
    pub sent: u32,
    /// Packets that the sender's numbers say were sent and that did not come.
    pub missing: u32,
}

impl Reflector {
    /// Listens at every address. Needs a running runtime.
    ///
    /// # Errors
    /// The address and the system's own error where one cannot be listened at.
    pub fn open(addresses: &[SocketAddr], rules: ReflectorRules, clock: Clock) -> Result<Self, (SocketAddr, io::Error)> {
        let mut sockets = Vec::new();
        for address in addresses.iter().take(MAX_SOCKETS) {
            sockets.push(listen(*address).map_err(|error| (*address, error))?);
        }
        let ports = sockets.iter().filter_map(|socket| socket.local_addr().ok()).map(|local| local.port()).collect();
        Ok(Self {
            sockets,
            key: rules.key,
            answers: rules.answers,
            bytes: rules.bytes,
            clock,
            sessions: Mutex::new(Sessions::new(rules.allowed, ports)),
        })
    }

    /// Where it listens; a port 0 that was asked for is the system's choice by now.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Answers until it is dropped.
    pub async fn run(&self) {
        join_all(self.sockets.iter().map(|socket| self.serve(socket))).await;
    }

    async fn serve(&self, socket: &UdpSocket) {
        let mut buffer = vec![0; MAX_BYTES + 1];
        loop {
            // Errors are those of earlier replies, such as a port that was closed meanwhile; the socket itself stays good.
            match stamped::receive(socket, &mut buffer).await {
                Ok(arrived) => {
                    let answered = self.answer(socket, &mut buffer, &arrived);
                    if let Err(why) = answered {
                        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).refused(why);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a datagram could not be received");
                    let _ = socket.take_error();
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn answer(&self, socket: &UdpSocket, buffer: &mut [u8], arrived: &Arrived) -> Result<(), Refusal> {
        let (now, wall_ns) = (self.clock.now(), self.wall_ns());
        let peer = arrived.from.ok_or(Refusal::Malformed)?;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.admit(peer, now)?;
        if self.answers.is_some_and(|most| sessions.count() >= most) {
            return Err(Refusal::Spent);
        }
        // The answer is as large as what it answers.
        let carried = 2 * arrived.bytes as u64;
        if self.bytes.is_some_and(|most| sessions.bytes() + carried > most) {
            return Err(Refusal::Spent);
        }
        let many = |to: IpAddr| to.is_multicast() || to == IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
        if arrived.bytes > MAX_BYTES || arrived.to.is_some_and(many) {
            return Err(Refusal::Malformed);
        }
        let bytes = &mut buffer[..arrived.bytes];
        let key = self.key.as_ref();
        let request = packet::read_request(bytes, key).map_err(|why| match why {
            Unread::TooShort => Refusal::Malformed,
            Unread::LikeAReply => Refusal::Looping,
            Unread::NotAuthentic => Refusal::NotAuthentic,
        })?;
        let numbers = sessions.number(peer, request.session, request.sequence, now)?;
        let base = packet::base_bytes(key);
        let (asked, intact) = tlv::check(bytes, base, key);
        let follows = asked.is_none_or(|dscp| dscp == 0 || stamped::SETS_TRAFFIC_CLASS);
        // In the sender's own format of times.
        let format = ErrorEstimate::read(request.error).format;
        let reply = Reply {
            sequence: numbers.sequence,
            received: format.write(arrived.stamp_ns.unwrap_or(wall_ns)),
            error: own_error(format).write(),
            request,
            ttl: arrived.ttl.unwrap_or(0),
            sent: format.write(self.wall_ns()),
        };
        packet::write_reply(bytes, &reply, key);
        let seen = Seen { traffic_class: arrived.traffic_class, received: numbers.received, sent: numbers.sent.wrapping_add(1) };
        tlv::answer(bytes, base, seen, intact, follows, key);
        let class = asked.unwrap_or(0) << 2;
        match stamped::send(socket, bytes, peer, arrived.to, class) {
            Ok(()) => {
                sessions.answered(peer, request.session, carried);
                Ok(())
            }
            Err(error) => {
                tracing::debug!(%error, %peer, "a reply could not be sent");
                Err(Refusal::NotSent)
            }
        }
    }

    fn wall_ns(&self) -> i64 {
        i64::try_from(self.clock.wall().as_nanosecond()).unwrap_or(i64::MAX)
    }

    pub fn summary(&self) -> ReflectorSummary {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let (answered, all, refused) = sessions.totals();
        let line = |(peer, session): (SocketAddr, session::Session)| ReflectorSession {
            peer,
            received: session.received,
            sent: session.sent,
            missing: session.highest.saturating_sub(session.received),
        };
        ReflectorSummary {
            answered,
            sessions: all.into_iter().map(line).collect(),
            refused: refused.iter().map(|(why, count)| (why.words(), *count)).collect(),
        }
    }
}

/// What this machine says of its clock.
pub(super) fn own_error(format: Format) -> ErrorEstimate {
    let state = clock_state();
    ErrorEstimate {
        synchronised: state.as_ref().is_some_and(|state| state.synchronised),
        format,
        error_ns: state.and_then(|state| state.max_error_us).map_or(UNKNOWN_ERROR_NS, |us| us.saturating_mul(1_000)),
    }
}

fn listen(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own, whose packets tell their TTL.
        socket.set_only_v6(true)?;
        socket.set_unicast_hops_v6(TTL)?;
    } else {
        socket.set_ttl_v4(TTL)?;
    }
    stamped::enable(&socket, address.ip())?;
    match dont_fragment(&socket, address.ip()) {
        Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
        _ => {}
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(StdSocket::from(socket))
}
