use super::segments_of;
use crate::context::Context;
use crate::platform::trace_socket::receive;
use crate::traceroute::machine::ProbeNumber;
use crate::traceroute::packet::segment::{self, Segment};
use crate::traceroute::wire::asynchronous;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use socket2::SockRef;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{TcpStream, UdpSocket};

/// An established connection as both kernels number it. Its probes are single bytes before its beginning: the target answers each with
/// what it expects instead, and names the duplicate (RFC 2883); neither program sees anything.
pub(in crate::traceroute) struct Session {
    /// Open for as long as the probes are sent.
    _held: TcpStream,
    local: SocketAddr,
    /// What the target has acknowledged: the number of the byte that would come next.
    next: u32,
    acknowledgment: u32,
    timestamps: Option<(u32, u32)>,
}

impl Session {
    /// Three SYNs leave within this time, whatever one probe is waited for.
    const LIMIT: Duration = Duration::from_secs(4);

    /// Connects, and reads the numbers from the target's first segment.
    ///
    /// # Errors
    /// Where no connection comes to be in time, or raw sockets are not allowed.
    pub(in crate::traceroute) async fn connect(context: &Context, target: SocketAddr) -> Result<Self, Failure> {
        let open = |error: std::io::Error| Failure::from_io(&error, Step::Open);
        let segments = asynchronous(segments_of(target.ip()).map_err(open)?).map_err(open)?;
        context.gate.packet(target).await?;
        let silence = || Failure::new(FailureCode::TimedOut, Step::Connect, "no connection within 4 s");
        let connecting = tokio::time::timeout(Self::LIMIT, context.connect(target));
        let stream = connecting.await.map_err(|_| silence())?.map_err(|error| Failure::from_io(&error, Step::Connect))?;
        let local = stream.local_addr().map_err(open)?;
        let first = tokio::time::timeout(Self::LIMIT, first_segment(&segments, target, local)).await;
        let first = first.ok().flatten().ok_or_else(silence)?;
        Ok(Self {
            _held: stream,
            local,
            next: first.acknowledgment,
            acknowledgment: first.sequence.wrapping_add(1),
            timestamps: first.timestamps.map(|(theirs, ours)| (ours, theirs)),
        })
    }

    pub(in crate::traceroute) fn source(&self) -> IpAddr {
        self.local.ip()
    }

    pub(super) fn local_port(&self) -> u16 {
        self.local.port()
    }

    pub(super) fn acknowledgment(&self) -> u32 {
        self.acknowledgment
    }

    /// Our time as the target knows it, and the target's.
    pub(super) fn timestamps(&self) -> Option<(u32, u32)> {
        self.timestamps
    }

    /// The byte that a probe sends: one long acknowledged for the first, and earlier ones for the others.
    pub(super) fn sequence_of(&self, probe: ProbeNumber) -> u32 {
        self.next.wrapping_sub(1).wrapping_sub(probe.0.into())
    }

    pub(super) fn probe_of(&self, sequence: u32) -> Option<u16> {
        u16::try_from(self.next.wrapping_sub(1).wrapping_sub(sequence)).ok()
    }
}

async fn first_segment(segments: &UdpSocket, target: SocketAddr, local: SocketAddr) -> Option<Segment> {
    let mut buffer = [0; 256];
    loop {
        segments.ready(Interest::READABLE).await.ok()?;
        let mut found = None;
        let _: std::io::Result<()> = segments.try_io(Interest::READABLE, || {
            while let Some(arrival) = receive(&SockRef::from(segments), false, &mut buffer) {
                let bytes = buffer.get(..arrival.length).unwrap_or_default();
                let ours = |segment: &Segment| {
                    segment.is_syn_ack() && segment.source_port == target.port() && segment.destination_port == local.port()
                };
                found = found.or(segment::parse(bytes, target.is_ipv4()).filter(ours));
            }
            Err(std::io::ErrorKind::WouldBlock.into())
        });
        if found.is_some() {
            return found;
        }
    }
}
