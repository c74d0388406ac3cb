use super::machine::{Answer, ProbeNumber};
use crate::capture::flow::Flow;
use crate::clock::Clock;
pub(super) use crate::packet::socket::set_class;
use netsonde_contract::failure::Failure;
use netsonde_contract::observation::{TraceClock, TraceIds, TraceLacks};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// A probe as a wire is to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) probe: ProbeNumber,
    pub(super) ttl: u8,
    pub(super) flow: u16,
    /// Bytes with the IP header; 0 for a small packet.
    pub(super) size: u16,
}

/// What a wire heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The kernel stamped a probe on its way out.
    Left { probe: ProbeNumber, at: Duration },
    /// When it came is the time of hearing where the kernel did not stamp it.
    Answer { probe: ProbeNumber, answer: Answer, at: Option<Duration> },
    /// About this trace, and nobody can say which probe.
    Unmatched,
    /// The system says afterwards that the probe did not leave this machine.
    #[cfg_attr(not(windows), expect(dead_code, reason = "other systems say so at once"))]
    Unsent { probe: ProbeNumber, failure: Failure },
}

/// What a wire can do, for the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Traits {
    pub(super) ids: TraceIds,
    pub(super) clock: TraceClock,
    pub(super) lacks: Vec<TraceLacks>,
    pub(super) privileged: bool,
}

/// One way to send probes and to hear what comes back for them.
pub(super) trait Wire {
    fn traits(&self) -> Traits;

    /// Waits until there may be something to hear.
    fn ready(&self) -> impl Future<Output = io::Result<()>>;

    /// # Errors
    /// Where the packet did not leave this machine.
    fn send(&mut self, packet: Packet) -> io::Result<()>;

    /// The flows that its probes are of, as far as they are known.
    fn flows(&self) -> Vec<Flow>;

    /// Takes all that is there without waiting, and leaves the sockets such that [`Wire::ready`] waits for more.
    fn hear(&mut self, clock: &Clock) -> Vec<Heard>;
}

/// Waits until a socket may have something. Writability is left out: a queued error would make it true for ever.
pub(super) async fn heard_something(socket: &UdpSocket) -> io::Result<()> {
    socket.ready(Interest::READABLE | Interest::ERROR).await.map(|_| ())
}

/// Sets TTL or hop limit of what is sent next.
pub(super) fn set_ttl(socket: &socket2::Socket, target: IpAddr, ttl: u8) -> io::Result<()> {
    match target {
        IpAddr::V4(_) => socket.set_ttl_v4(u32::from(ttl)),
        IpAddr::V6(_) => socket.set_unicast_hops_v6(u32::from(ttl)),
    }
}

/// A kernel's stamp on the run's clock. None where somebody set the wall clock in between, which makes it nonsense.
pub(super) fn on_run_clock(stamp_ns: Option<i64>, clock: &Clock) -> Option<Duration> {
    /// A stamp is read within this time.
    const OLDEST: Duration = Duration::from_secs(10);
    let at = Duration::from_nanos(u64::try_from(stamp_ns?.checked_sub(clock.wall_offset_ns())?).ok()?);
    let now = clock.now();
    (at <= now && now - at < OLDEST).then_some(at)
}
