use super::segment::{self, Segment};
use super::socket::{segments, take};
use crate::context::Context;
use crate::counted::Counted;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// An established connection as both kernels number it. Its probes carry bytes from before its beginning: the target answers each with
/// what it expects instead (RFC 9293 section 3.10.7.4), and names the duplicate (RFC 2883); neither program sees anything.
pub(crate) struct Session {
    /// Open for as long as the probes are sent.
    _held: Counted,
    local: SocketAddr,
    /// What the target has acknowledged: the number of the byte that would come next.
    next: u32,
    acknowledgment: u32,
    timestamps: Option<(u32, u32)>,
    mss: Option<u16>,
}

impl Session {
    /// Three SYNs leave within this time, whatever one probe is waited for.
    const LIMIT: Duration = Duration::from_secs(4);

    /// Connects, and reads the numbers from the target's first segment.
    ///
    /// # Errors
    /// Where no connection comes to be in time, or raw sockets are not allowed.
    pub(crate) async fn connect(context: &Context, target: SocketAddr) -> Result<Self, Failure> {
        let open = |error: std::io::Error| Failure::from_io(&error, Step::Open);
        let segments = segments(target.ip()).map_err(open)?;
        context.gate.packet(target, 0).await?;
        let silence = || Failure::new(FailureCode::TimedOut, Step::Connect, "no connection within 4 s");
        let connecting = tokio::time::timeout(Self::LIMIT, context.connect(target));
        let stream = connecting.await.map_err(|_| silence())??;
        let local = stream.local_addr().map_err(open)?;
        let first = tokio::time::timeout(Self::LIMIT, first_segment(&segments, target, local)).await;
        let first = first.ok().flatten().ok_or_else(silence)?;
        Ok(Self {
            _held: stream,
            local,
            next: first.acknowledgment,
            acknowledgment: first.sequence.wrapping_add(1),
            timestamps: first.timestamps.map(|(theirs, ours)| (ours, theirs)),
            mss: first.mss,
        })
    }

    pub(crate) fn source(&self) -> IpAddr {
        self.local.ip()
    }

    pub(crate) fn local_port(&self) -> u16 {
        self.local.port()
    }

    /// The number of the byte that the target expects next.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    pub(crate) fn acknowledgment(&self) -> u32 {
        self.acknowledgment
    }

    /// Our time as the target knows it, and the target's.
    pub(crate) fn timestamps(&self) -> Option<(u32, u32)> {
        self.timestamps
    }

    /// The largest data that the target says it takes in one segment, in bytes.
    pub(crate) fn mss(&self) -> Option<u16> {
        self.mss
    }

    /// The number of the byte that the probe of this number sends, where each sends one: long acknowledged.
    pub(crate) fn sequence_of(&self, number: u16) -> u32 {
        self.next.wrapping_sub(1).wrapping_sub(number.into())
    }

    /// The number of the probe that sent this byte.
    pub(crate) fn number_of(&self, sequence: u32) -> Option<u16> {
        u16::try_from(self.next.wrapping_sub(1).wrapping_sub(sequence)).ok()
    }
}

async fn first_segment(segments: &UdpSocket, target: SocketAddr, local: SocketAddr) -> Option<Segment> {
    let ours = |segment: &Segment| {
        segment.is_syn_ack() && segment.source_port == target.port() && segment.destination_port == local.port()
    };
    let mut buffer = [0; 256];
    loop {
        segments.ready(Interest::READABLE).await.ok()?;
        let mut found = None;
        take(segments, &mut buffer, |bytes, _, _, _| {
            found = found.or(segment::parse(bytes, target.is_ipv4()).filter(ours));
        });
        if found.is_some() {
            return found;
        }
    }
}
