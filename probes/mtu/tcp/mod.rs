//! Segments of an established connection, as large as wanted, with data that the host has had already: it drops the data and
//! acknowledges once more (RFC 9293 section 3.10.7.4), so that the size is known to pass. The host's program sees nothing of it.
//!
//! The data ends close before what the host expects next, as firewalls that follow connections drop what lies further back than one
//! window. Each segment ends at another byte, which the host names with its answer where it can (RFC 2883).

/// What the host's segments and ICMP errors mean.
mod heard;

#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::mtu) use heard::fuzz;

use super::wire::{Heard, Wire};
use crate::context::Context;
use crate::packet::craft::{self, Ends, SegmentFields, TCP_HEADER, TCP_HEADER_TIMED, Travel};
use crate::packet::segment::{self, ACK};
use crate::packet::session::Session;
use crate::packet::socket::{self, MAX_PACKETS_HEARD, RECEIVE_BYTES, take};
use crate::packet::{self, IPV4_HEADER, IPV6_HEADER, TCP};
use crate::platform::trace_socket::receive;
use crate::zone;
use heard::Sent;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::MtuParams;
use socket2::Socket;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// As systems send.
const TTL: u8 = 64;

pub(super) struct TcpWire<'c> {
    context: &'c Context,
    target: SocketAddr,
    sending: Socket,
    errors: UdpSocket,
    segments: UdpSocket,
    session: Option<Session>,
    connections: u32,
    mss: Option<u16>,
    /// The number of the segment that was sent last.
    number: u16,
    last: Option<Sent>,
    /// The host names duplicates, so that an acknowledgment which names none is not the answer.
    names_duplicates: bool,
}

/// # Errors
/// `PermissionDenied` where the process may open no raw sockets, else the system's own.
pub(super) fn open(context: &Context, target: SocketAddr) -> io::Result<TcpWire<'_>> {
    Ok(TcpWire {
        context,
        target,
        sending: socket::sending(target.ip(), TCP, false)?,
        errors: socket::errors(target.ip())?,
        segments: socket::segments(target.ip())?,
        session: None,
        connections: 0,
        mss: None,
        number: 0,
        last: None,
        names_duplicates: false,
    })
}

impl Wire for TcpWire<'_> {
    /// Linux sends one acknowledgment of a kind in half a second where it limits them (`tcp_invalid_ratelimit`).
    const REST: Duration = Duration::from_millis(550);

    fn target(&self) -> IpAddr {
        self.target.ip()
    }

    fn mss(&self) -> Option<u16> {
        self.mss
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        if self.session.is_some() {
            return Ok(());
        }
        if self.connections >= MtuParams::MAX_CONNECTIONS {
            let text = format!("the host ended {} connections while their packets were measured", self.connections);
            return Err(Failure::new(FailureCode::Closed, Step::Receive, text));
        }
        self.connections += 1;
        let session = Session::connect(self.context, self.target).await?;
        self.mss = session.mss().or(self.mss);
        self.names_duplicates = false;
        self.session = Some(session);
        Ok(())
    }

    fn send(&mut self, size_bytes: u32) -> io::Result<()> {
        let session = self.session.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let timestamps = session.timestamps();
        let headers = if self.target.is_ipv4() { IPV4_HEADER } else { IPV6_HEADER }
            + if timestamps.is_some() { TCP_HEADER_TIMED } else { TCP_HEADER };
        let data_bytes = usize::try_from(size_bytes).unwrap_or(0).saturating_sub(headers).max(1);
        self.number += 1;
        // Strictly before what is expected next.
        let end = session.next().wrapping_sub(1).wrapping_sub(self.number.into());
        let sequence = end.wrapping_sub(u32::try_from(data_bytes).unwrap_or(0));
        let (expected, acknowledgment) = (session.next(), session.acknowledgment());
        let ports = (session.local_port(), self.target.port());
        let ends = Ends { source: session.source(), target: self.target.ip() };
        let fields = SegmentFields { sequence, acknowledgment, flags: ACK, timestamps, data_bytes };
        let bytes = craft::segment(ends, ports, fields);
        let travel = Travel { ttl: TTL, traffic_class: 0, identification: self.number };
        self.last = Some(Sent { ports, expected, acknowledgment, sequence, end });
        let whole = craft::ipv4(ends, TCP, travel, &bytes).unwrap_or(bytes);
        self.sending.send_to(&whole, &zone::socket(self.target.ip(), 0).into()).map(|_| ())
    }

    async fn answer(&mut self) -> Result<Heard, Failure> {
        loop {
            if let Some(heard) = self.hear() {
                if heard == Heard::Ended {
                    self.session = None;
                }
                return Ok(heard);
            }
            let ready = tokio::select! {
                ready = self.errors.ready(Interest::READABLE) => ready,
                ready = self.segments.ready(Interest::READABLE) => ready,
            };
            ready.map_err(|error| Failure::from_io(&error, Step::Send))?;
        }
    }
}

impl TcpWire<'_> {
    /// What the sockets have of the last segment. All is read, so that nothing is left for the next one.
    fn hear(&mut self) -> Option<Heard> {
        let last = self.last?;
        let (target, is_v4) = (self.target.ip(), self.target.is_ipv4());
        let mut buffer = [0_u8; RECEIVE_BYTES];
        // What the sending socket of IPv6 receives is of no use.
        for _ in 0..if is_v4 { 0 } else { MAX_PACKETS_HEARD } {
            if receive(&self.sending, false, &mut buffer).is_none() {
                break;
            }
        }
        let mut heard = None;
        take(&self.segments, &mut buffer, |bytes, from, _, _| {
            if let Some(segment) = segment::parse(bytes, is_v4).filter(|_| from.ip() == target) {
                self.names_duplicates |= last.names(&segment);
                heard = heard.take().or(last.answered_by(&segment, self.names_duplicates));
            }
        });
        take(&self.errors, &mut buffer, |bytes, from, _, _| {
            let message = match from.ip() {
                IpAddr::V4(_) => packet::parse_v4(bytes),
                IpAddr::V6(from) => packet::parse_v6(bytes, from),
            };
            heard = heard.take().or(message.and_then(|message| last.quoted_by(message.body, target)));
        });
        heard
    }
}
