//! Which probe an answer is to, and what its quote says was changed on the way: by the bytes alone, from whatever socket they came.

use super::machine::{Answer, ProbeNumber};
use super::wire::{Heard, Packet};
use crate::packet::craft::{self, Ends};
use crate::packet::segment::{self, Segment};
use crate::packet::session::Session;
use crate::packet::{Body, Quote, TCP, UDP, parse, word};
use netsonde_contract::observation::{Changed, Quoted, TraceProtocol};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) protocol: TraceProtocol,
    pub(super) target: IpAddr,
    /// The port of TCP, or the first of UDP.
    pub(super) port: u16,
    pub(super) each_flow: bool,
    /// DSCP and ECN.
    pub(super) class: u8,
}

/// A trace's probes as they were sent.
pub(super) struct Probes {
    pub(super) manner: Manner,
    pub(super) ends: Ends,
    /// Random: other traces on this machine have others.
    pub(super) identifier: u16,
    pub(super) first_sequence: u32,
    pub(super) session: Option<Session>,
    /// The IPv4 identification is the probe's mark, and not the kernel's own.
    pub(super) is_marked: bool,
    /// By probe number.
    pub(super) sent: HashMap<u16, Sent>,
}

/// What a probe's headers were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    /// As sent; None where the kernel fills it in.
    pub(super) checksum: Option<u16>,
}

pub(super) fn protocol_number(manner: Manner) -> u8 {
    match manner.protocol {
        TraceProtocol::Icmp => craft::echo_protocol(manner.target),
        TraceProtocol::Udp => UDP,
        TraceProtocol::Tcp | TraceProtocol::TcpSession => TCP,
    }
}

/// What tells a probe where zero would mean that there is nothing.
pub(super) fn mark(probe: ProbeNumber) -> u16 {
    probe.0.wrapping_add(1).max(1)
}

/// What was heard, before its time is known.
pub(super) enum Found {
    Answer(ProbeNumber, Answer),
    Unmatched,
}

impl Found {
    pub(super) fn heard(self, at: Option<Duration>) -> Heard {
        match self {
            Self::Answer(probe, answer) => Heard::Answer { probe, answer, at },
            Self::Unmatched => Heard::Unmatched,
        }
    }
}

impl Probes {
    pub(super) fn new(manner: Manner, source: IpAddr, session: Option<Session>, is_marked: bool) -> Self {
        Self {
            manner,
            ends: Ends { source, target: manner.target },
            identifier: rand::random(),
            first_sequence: rand::random(),
            session,
            is_marked,
            sent: HashMap::new(),
        }
    }

    /// The payload of a probe that is to be so large, without its headers; 0 for a small one.
    pub(super) fn payload_of(&self, packet: Packet) -> usize {
        let headers = if self.manner.target.is_ipv4() { 28 } else { 48 };
        usize::from(packet.size).saturating_sub(headers)
    }

    pub(super) fn echo_request(&self, packet: Packet) -> (Sent, Vec<u8>) {
        let target = self.manner.target;
        let bytes = craft::echo_request(target, self.identifier, packet.probe.0, packet.flow, self.payload_of(packet));
        let checksum = target.is_ipv4().then(|| word(&bytes, 2)).flatten();
        (Sent { source_port: 0, destination_port: 0, checksum }, bytes)
    }

    /// What an ICMP message says of a probe, where it is about one.
    pub(super) fn icmp(&self, bytes: &[u8], from: SocketAddr, ttl: Option<u8>) -> Option<Found> {
        let message = parse(bytes, from.ip())?;
        let ttl = message.ttl.or(ttl);
        let asked = message.request(self.manner.target, self.identifier);
        match message.body {
            Body::EchoReply { sequence, .. } => {
                let ours = self.manner.protocol == TraceProtocol::Icmp && asked.is_some() && self.sent.contains_key(&sequence);
                ours.then(|| Found::Answer(ProbeNumber(sequence), Answer { ttl, ..Answer::plain(message.from, None) }))
            }
            Body::Error { icmp, quote, labels } => {
                let about_us = quote.destination == self.manner.target && quote.protocol == protocol_number(self.manner);
                let (probe, sent) = match self.quoted_probe(&quote).filter(|_| about_us)? {
                    Some(probe) => (probe, self.sent.get(&probe.0)?),
                    None => return Some(Found::Unmatched),
                };
                let quoted = Some(self.compared(&quote, probe, *sent));
                Some(Found::Answer(probe, Answer { ttl, labels, quoted, ..Answer::plain(message.from, Some(icmp)) }))
            }
        }
    }

    /// The probe that an error quotes. None where it quotes nothing of this trace, nothing within where it does not tell which.
    fn quoted_probe(&self, quote: &Quote<'_>) -> Option<Option<ProbeNumber>> {
        let transport = quote.transport;
        let known = |number: u16| self.sent.contains_key(&number).then_some(ProbeNumber(number));
        let by_identification = || known(quote.identification.filter(|_| self.is_marked)?.checked_sub(1)?);
        let port = word(transport, 2)?;
        match self.manner.protocol {
            TraceProtocol::Icmp => {
                // A translator that does not translate its errors back quotes another identifier.
                let is_request = matches!(transport.first(), Some(8 | 128));
                let ours = word(transport, 4) == Some(self.identifier) || by_identification().is_some();
                (is_request && ours).then(|| known(word(transport, 6)?).filter(|_| ours))
            }
            TraceProtocol::Udp => {
                let fits = |probe: &ProbeNumber| self.sent.get(&probe.0).is_some_and(|sent| sent.destination_port == port);
                let by_payload = || known(word(transport, 10)?.checked_sub(1)?).filter(fits);
                let by_checksum = || known(word(transport, 6)?.checked_sub(1)?).filter(fits);
                let is_ours = self.sent.values().any(|sent| sent.destination_port == port);
                let found = by_payload().or_else(|| by_identification().filter(fits)).or_else(by_checksum);
                (is_ours && quote.source == self.ends.source || found.is_some()).then_some(found)
            }
            TraceProtocol::Tcp | TraceProtocol::TcpSession => {
                let high = u32::from(word(transport, 4)?) << 16;
                let sequence = high | u32::from(word(transport, 6)?);
                let number = match &self.session {
                    Some(session) => session.number_of(sequence),
                    None => u16::try_from(sequence.wrapping_sub(self.first_sequence)).ok(),
                };
                let found = number.and_then(known).filter(|_| port == self.manner.port)?;
                Some(Some(found))
            }
        }
    }

    /// The quote beside what was sent.
    fn compared(&self, quote: &Quote<'_>, probe: ProbeNumber, sent: Sent) -> Quoted {
        let transport = quote.transport;
        let changed = |sent: Option<u16>, quoted: Option<u16>| match (sent, quoted) {
            (Some(sent), Some(quoted)) if sent != quoted => Some(Changed { sent, quoted }),
            _ => None,
        };
        let is_echo = self.manner.protocol == TraceProtocol::Icmp;
        let ports = |at: usize, sent: u16| changed((!is_echo).then_some(sent), word(transport, at));
        let checksum_at = match self.manner.protocol {
            TraceProtocol::Icmp => 2,
            TraceProtocol::Udp => 6,
            TraceProtocol::Tcp | TraceProtocol::TcpSession => 16,
        };
        let (dscp, ecn) = (self.manner.class >> 2, self.manner.class & 3);
        let (dscp_quoted, ecn_quoted) = (quote.traffic_class >> 2, quote.traffic_class & 3);
        let identification = changed(quote.identification.filter(|_| self.is_marked).map(|_| mark(probe)), quote.identification);
        let identifier = changed(is_echo.then_some(self.identifier), word(transport, 4));
        Quoted {
            ttl: quote.ttl,
            dscp: dscp_quoted,
            ecn: ecn_quoted,
            dscp_sent: (dscp != dscp_quoted).then_some(dscp),
            ecn_sent: (ecn != ecn_quoted).then_some(ecn),
            source: (quote.source != self.ends.source).then_some(quote.source),
            source_port: ports(0, sent.source_port),
            destination_port: ports(2, sent.destination_port),
            identification: identification.or(identifier),
            checksum: changed(sent.checksum, word(transport, checksum_at)),
        }
    }

    /// What the target itself sent to a port of ours.
    pub(super) fn answer(&self, bytes: &[u8], from: SocketAddr, ttl: Option<u8>) -> Option<Found> {
        let target = self.manner.target;
        if from.ip() != target {
            return None;
        }
        if self.manner.protocol == TraceProtocol::Udp {
            let answer = Answer { ttl, ..Answer::plain(target, None) };
            let number = word(bytes, 2).and_then(|mark| mark.checked_sub(1)).filter(|number| self.sent.contains_key(number));
            return Some(number.map_or(Found::Unmatched, |number| Found::Answer(ProbeNumber(number), answer)));
        }
        let segment = segment::parse(bytes, target.is_ipv4()).filter(|segment| segment.source_port == self.manner.port)?;
        let number = self.answered_by(&segment)?;
        let known = self.sent.get(&number).filter(|sent| sent.source_port == segment.destination_port);
        let answer = Answer { ttl: segment.ttl.or(ttl), ..Answer::plain(target, None) };
        known.map(|_| Found::Answer(ProbeNumber(number), answer))
    }

    fn answered_by(&self, segment: &Segment) -> Option<u16> {
        match &self.session {
            Some(session) => session.number_of(segment.sack?.0),
            None if segment.is_syn_ack() || segment.is_reset() => {
                u16::try_from(segment.acknowledgment.wrapping_sub(self.first_sequence).wrapping_sub(1)).ok()
            }
            None => None,
        }
    }
}

#[cfg(test)]
mod tests;
