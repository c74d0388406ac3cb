//! TCP segments as a raw socket receives them (RFC 9293 section 3.1), as far as a traceroute reads them.

use super::{TCP, quote_v4, word};

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// A header without options.
const HEADER: usize = 20;
/// Option kinds (RFC 2018, RFC 7323).
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::traceroute) struct Segment {
    pub(in crate::traceroute) source_port: u16,
    pub(in crate::traceroute) destination_port: u16,
    pub(in crate::traceroute) sequence: u32,
    pub(in crate::traceroute) acknowledgment: u32,
    pub(in crate::traceroute) flags: u8,
    /// The first block that a selective acknowledgment names: of a duplicate, the duplicate (RFC 2883).
    pub(in crate::traceroute) sack_from: Option<u32>,
    /// The sender's time and the one it echoes.
    pub(in crate::traceroute) timestamps: Option<(u32, u32)>,
    /// Left of the TTL, where the packet tells it.
    pub(in crate::traceroute) ttl: Option<u8>,
}

impl Segment {
    pub(in crate::traceroute) fn is_syn_ack(&self) -> bool {
        self.flags & (SYN | ACK) == SYN | ACK
    }

    pub(in crate::traceroute) fn is_reset(&self) -> bool {
        self.flags & RST == RST
    }
}

/// A segment with its IPv4 header, or without any where it is of IPv6.
pub(in crate::traceroute) fn parse(received: &[u8], is_v4: bool) -> Option<Segment> {
    let (bytes, ttl) = if is_v4 {
        let packet = quote_v4(received).filter(|packet| packet.protocol == TCP)?;
        (packet.transport, Some(packet.ttl))
    } else {
        (received, None)
    };
    let long = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let mut segment = Segment {
        source_port: word(bytes, 0)?,
        destination_port: word(bytes, 2)?,
        sequence: long(4)?,
        acknowledgment: long(8)?,
        flags: *bytes.get(13)?,
        sack_from: None,
        timestamps: None,
        ttl,
    };
    let mut options = bytes.get(HEADER..usize::from(bytes.get(12)? >> 4) * 4).unwrap_or_default();
    while let [kind, rest @ ..] = options {
        match kind {
            0 => break,
            1 => options = rest,
            _ => {
                let Some(content) = rest.first().and_then(|length| options.get(2..usize::from(*length))) else { break };
                let number = |at: usize| Some(u32::from_be_bytes(content.get(at..at + 4)?.try_into().ok()?));
                match *kind {
                    SACK => segment.sack_from = number(0),
                    TIMESTAMPS => segment.timestamps = number(0).zip(number(4)),
                    _ => {}
                }
                options = options.get(content.len() + 2..).unwrap_or_default();
            }
        }
    }
    Some(segment)
}
