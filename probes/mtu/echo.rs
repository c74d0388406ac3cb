//! Echo requests by the ICMP interface of Windows, which any user may use: of IPv4 with the flag that forbids to cut them. Of IPv6 no router
//! cuts one, but the system that sends it does; so what it would cut is held back.

use super::echo_meaning::Own;
use super::search::Event;
use super::wire::{Heard, Wire};
use crate::clock::Clock;
use crate::packet::echo_asking::{Asked, Turn, start, turn, turn_now};
use crate::packet::echo_status::{Verdict, verdict};
use crate::packet::{IPV4_HEADER, IPV6_HEADER};
use crate::platform::windows::echo::EchoRequest;
use crate::platform::windows::way_out::{WayOut, way_out};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::oneshot;

/// As Windows' own programs send.
const USUAL_TTL: u8 = 128;
/// Type, code, checksum, identifier and sequence.
const ECHO_HEADER: usize = 8;
/// Every path of IPv6 takes this (RFC 8200 section 5), and no system cuts it.
const LEAST_V6: u32 = 1_280;

/// Requests sent one at a time, each by a thread of its own that waits for its answer, so that a late one is not taken for the next one's.
pub(super) struct EchoWire {
    target: IpAddr,
    timeout: Duration,
    clock: Clock,
    way_out: WayOut,
    own: Own,
    turn: Option<Turn>,
    last: Option<Last>,
}

/// What became of the request that was wanted last.
enum Last {
    HeldBack(Event),
    Asked { size_bytes: u32, told: oneshot::Receiver<Asked> },
}

/// Each answer is waited for as long as the time-out says; what comes later goes unheard.
///
/// # Errors
/// The system's own, where it has no way to the address.
pub(super) fn open(target: IpAddr, timeout: Duration, clock: Clock) -> io::Result<EchoWire> {
    let way_out = way_out(target)?;
    // The size that an adapter is listed with is that of IPv4.
    let own = Own { mtu: way_out.mtu_v4().filter(|_| target.is_ipv4()), addresses: way_out.own_addresses().to_vec() };
    Ok(EchoWire { target, timeout, clock, way_out, own, turn: None, last: None })
}

impl Wire for EchoWire {
    /// Where answers are limited, it is mostly to one a second, by routers and hosts alike.
    const REST: Duration = Duration::from_millis(1_100);

    fn target(&self) -> IpAddr {
        self.target
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        self.turn = Some(turn().await.ok_or_else(|| lost("no thread may send requests any more"))?);
        Ok(())
    }

    fn send(&mut self, size_bytes: u32) -> io::Result<()> {
        let turn = self.turn.take();
        self.last = self.held_back(size_bytes)?.map(Last::HeldBack);
        if self.last.is_some() {
            return Ok(());
        }
        let headers = ECHO_HEADER + if self.target.is_ipv4() { IPV4_HEADER } else { IPV6_HEADER };
        let request = EchoRequest {
            target: self.target,
            ttl: USUAL_TTL,
            dont_fragment: true,
            payload: vec![0; usize::try_from(size_bytes).unwrap_or(0).saturating_sub(headers)],
            timeout: self.timeout,
        };
        let turn = turn.map_or_else(turn_now, Ok)?;
        let (tell, told) = oneshot::channel();
        // Nobody waits any more where the next request was sent meanwhile, or the check has ended.
        start(request, self.clock, turn, move |asked| drop(tell.send(asked)))?;
        self.last = Some(Last::Asked { size_bytes, told });
        Ok(())
    }

    async fn answer(&mut self) -> Result<Heard, Failure> {
        let (size_bytes, told) = match &mut self.last {
            Some(Last::HeldBack(event)) => return Ok(Heard::Event(event.clone())),
            Some(Last::Asked { size_bytes, told }) => (*size_bytes, told),
            None => return Err(lost("no request was sent")),
        };
        let asked = told.await.map_err(|_| lost("the thread that sent the request ended without a word"))?;
        let verdict = match asked.result {
            Ok(found) => verdict(found.status, found.from),
            Err(error) => Verdict::Unsent(Failure::from_io(&error, Step::Send)),
        };
        self.own.event(size_bytes, verdict).map(Heard::Event)
    }
}

impl EchoWire {
    /// What it means that the request would not leave whole; none where it does, or where the system itself refuses to cut it.
    ///
    /// # Errors
    /// Of kind `Unsupported` where the system does not say what it would cut.
    fn held_back(&mut self, size_bytes: u32) -> io::Result<Option<Event>> {
        if self.target.is_ipv4() || size_bytes <= LEAST_V6 {
            return Ok(None);
        }
        let unsaid = |error: io::Error| {
            let text = format!("Windows does not say how large the packets to {} are that it sends whole: {error}", self.target);
            io::Error::new(io::ErrorKind::Unsupported, text)
        };
        let sizes = self.way_out.sizes_v6().map_err(unsaid)?;
        self.own.mtu = Some(sizes.interface);
        Ok(self.own.held_back(size_bytes, sizes.path))
    }
}

fn lost(why: &str) -> Failure {
    Failure::new(FailureCode::Other("echo_thread".into()), Step::Send, why)
}
