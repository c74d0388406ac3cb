use crate::mtu::search::Event;
use crate::mtu::wire::Heard;
use crate::packet::segment::{ACK, FIN, RST, SYN, Segment};
use crate::packet::{Body, TCP, word};
use netsonde_contract::failure::IcmpMeaning;
use std::net::IpAddr;

/// A segment with data that the host has had already, as far as answers to it tell it again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Ours and the host's.
    pub(super) ports: (u16, u16),
    /// What the host expects next.
    pub(super) expected: u32,
    /// The host's first byte.
    pub(super) acknowledgment: u32,
    /// The first byte of its data, and the one behind the last.
    pub(super) sequence: u32,
    pub(super) end: u32,
}

impl Sent {
    /// The host's segment names this one's data as a duplicate.
    pub(super) fn names(&self, segment: &Segment) -> bool {
        self.is_from_host(segment) && segment.sack == Some((self.sequence, self.end))
    }

    /// What a segment of the host says of this one. With `named_only` the host names the duplicates that it answers.
    pub(super) fn answered_by(&self, segment: &Segment, named_only: bool) -> Option<Heard> {
        if !self.is_from_host(segment) {
            return None;
        }
        if segment.flags & (RST | FIN) != 0 {
            return Some(Heard::Ended);
        }
        // The acknowledgment that repeats itself carries no data, unlike a greeting, and is of the next byte, unlike a keep-alive
        // (RFC 9293 section 3.8.4).
        let is_next = segment.sequence.wrapping_sub(self.acknowledgment).cast_signed() >= 0;
        let repeats = segment.flags & (SYN | ACK) == ACK && segment.acknowledgment == self.expected;
        let unnamed = !named_only && segment.sack.is_none() && segment.data_bytes == 0 && is_next && repeats;
        (self.names(segment) || unnamed).then_some(Heard::Event(Event::Passed))
    }

    /// What an ICMP error says of it, where it quotes it.
    pub(super) fn quoted_by(&self, body: Body<'_>, host: IpAddr) -> Option<Heard> {
        let Body::Error { icmp, quote, .. } = body else { return None };
        let sequence = u32::from(word(quote.transport, 4)?) << 16 | u32::from(word(quote.transport, 6)?);
        let ports = (word(quote.transport, 0)?, word(quote.transport, 2)?);
        let is_ours = quote.destination == host && quote.protocol == TCP && ports == self.ports && sequence == self.sequence;
        is_ours.then(|| {
            Heard::Event(match icmp.meaning() {
                IcmpMeaning::PacketTooBig => Event::TooBig(icmp),
                _ => Event::Refused(icmp),
            })
        })
    }

    fn is_from_host(&self, segment: &Segment) -> bool {
        (segment.destination_port, segment.source_port) == self.ports
    }
}

/// For fuzzing: what the bytes say of a segment, as the host's answer and as a router's error.
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::mtu) fn fuzz(bytes: &[u8]) {
    use crate::packet::{self, segment};
    let sent =
        Sent { ports: (50_000, 443), expected: 1_001, acknowledgment: 7_001, sequence: 0_u32.wrapping_sub(460), end: 1_000 };
    for segment in [segment::parse(bytes, true), segment::parse(bytes, false)].into_iter().flatten() {
        let named = sent.names(&segment);
        assert!(!named || sent.answered_by(&segment, true).is_some(), "what names the segment answers it");
        sent.answered_by(&segment, false);
    }
    let host = IpAddr::from([192, 0, 2, 7]);
    for message in [packet::parse_v4(bytes), packet::parse_v6(bytes, std::net::Ipv6Addr::LOCALHOST)].into_iter().flatten() {
        sent.quoted_by(message.body, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Quote;
    use netsonde_contract::failure::IcmpError;

    const SENT: Sent =
        Sent { ports: (50_000, 443), expected: 1_001, acknowledgment: 7_001, sequence: 0_u32.wrapping_sub(460), end: 1_000 };

    fn segment(change: impl FnOnce(&mut Segment)) -> Segment {
        let mut segment = Segment {
            source_port: 443,
            destination_port: 50_000,
            sequence: 7_001,
            acknowledgment: 1_001,
            flags: ACK,
            data_bytes: 0,
            sack: None,
            mss: None,
            timestamps: None,
            ttl: None,
        };
        change(&mut segment);
        segment
    }

    const PASSED: Option<Heard> = Some(Heard::Event(Event::Passed));

    #[test]
    fn the_answer_names_the_duplicate_or_repeats_itself() {
        let naming = segment(|segment| segment.sack = Some((SENT.sequence, SENT.end)));
        assert_eq!(SENT.answered_by(&naming, true), PASSED);
        assert_eq!(SENT.answered_by(&segment(|_| {}), false), PASSED);
        assert_eq!(SENT.answered_by(&segment(|_| {}), true), None, "this host would have named it");
    }

    #[test]
    fn a_late_answer_to_an_earlier_segment_is_not_this_ones() {
        let earlier = segment(|segment| segment.sack = Some((SENT.sequence, SENT.end.wrapping_add(1))));
        assert_eq!(SENT.answered_by(&earlier, false), None);
    }

    #[test]
    fn greetings_keep_alives_and_other_connections_are_no_answers() {
        let changes: [fn(&mut Segment); 5] = [
            |segment| segment.data_bytes = 40,
            |segment| segment.sequence = 7_000,
            |segment| segment.flags = SYN | ACK,
            |segment| segment.acknowledgment = 1_000,
            |segment| segment.destination_port = 50_001,
        ];
        for change in changes {
            assert_eq!(SENT.answered_by(&segment(change), false), None);
        }
    }

    #[test]
    fn a_connection_that_ends_says_nothing_of_sizes() {
        for flags in [RST, FIN | ACK] {
            assert_eq!(SENT.answered_by(&segment(|segment| segment.flags = flags), false), Some(Heard::Ended));
        }
    }

    #[test]
    fn an_error_counts_only_where_it_quotes_this_very_segment() {
        let icmp = IcmpError { offender: "10.0.0.1".parse().unwrap(), kind: 3, code: 4, mtu: Some(1_400) };
        let host: IpAddr = "192.0.2.7".parse().unwrap();
        let quoted = |sequence: u32, port: u16| {
            let mut transport = [50_000_u16.to_be_bytes(), port.to_be_bytes()].concat();
            transport.extend(sequence.to_be_bytes());
            let quote = Quote {
                source: "192.0.2.1".parse().unwrap(),
                destination: host,
                protocol: TCP,
                ttl: 1,
                traffic_class: 0,
                identification: None,
                transport: &transport,
            };
            SENT.quoted_by(Body::Error { icmp: icmp.clone(), quote, labels: Vec::new() }, host)
        };
        assert_eq!(quoted(SENT.sequence, 443), Some(Heard::Event(Event::TooBig(icmp.clone()))));
        // What somebody forges who does not see the connection, and errors about the connection's own segments.
        assert_eq!(quoted(SENT.expected, 443), None);
        assert_eq!(quoted(SENT.sequence, 80), None);
        assert_eq!(SENT.quoted_by(Body::EchoReply { identifier: 1, sequence: 1 }, host), None);
    }
}
