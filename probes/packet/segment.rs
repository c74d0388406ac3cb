//! TCP segments as a raw socket receives them (RFC 9293 section 3.1), as far as probes read them.

use super::{TCP, quote_v4, word};

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;
/// A header without options.
const HEADER: usize = 20;
/// Option kinds (RFC 9293 section 3.2, RFC 2018, RFC 7323).
const MSS: u8 = 2;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) flags: u8,
    /// Bytes of data behind the options.
    pub(crate) data_bytes: usize,
    /// The first block that a selective acknowledgment names, and the byte behind it: of a duplicate, the duplicate (RFC 2883).
    pub(crate) sack: Option<(u32, u32)>,
    /// The largest data that the sender takes in one segment, in bytes; SYNs only.
    pub(crate) mss: Option<u16>,
    /// The sender's time and the one it echoes.
    pub(crate) timestamps: Option<(u32, u32)>,
    /// Left of the TTL, where the packet tells it.
    pub(crate) ttl: Option<u8>,
}

impl Segment {
    pub(crate) fn is_syn_ack(&self) -> bool {
        self.flags & (SYN | ACK) == SYN | ACK
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.flags & RST == RST
    }
}

/// A segment with its IPv4 header, or without any where it is of IPv6.
pub(crate) fn parse(received: &[u8], is_v4: bool) -> Option<Segment> {
    let (bytes, ttl) = if is_v4 {
        let packet = quote_v4(received).filter(|packet| packet.protocol == TCP)?;
        (packet.transport, Some(packet.ttl))
    } else {
        (received, None)
    };
    let long = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let header = usize::from(bytes.get(12)? >> 4) * 4;
    let mut segment = Segment {
        source_port: word(bytes, 0)?,
        destination_port: word(bytes, 2)?,
        sequence: long(4)?,
        acknowledgment: long(8)?,
        flags: *bytes.get(13)?,
        data_bytes: bytes.len().saturating_sub(header),
        sack: None,
        mss: None,
        timestamps: None,
        ttl,
    };
    let mut options = bytes.get(HEADER..header).unwrap_or_default();
    while let [kind, rest @ ..] = options {
        match kind {
            0 => break,
            1 => options = rest,
            _ => {
                let Some(content) = rest.first().and_then(|length| options.get(2..usize::from(*length))) else { break };
                let number = |at: usize| Some(u32::from_be_bytes(content.get(at..at + 4)?.try_into().ok()?));
                match *kind {
                    MSS => segment.mss = word(content, 0),
                    SACK => segment.sack = number(0).zip(number(4)),
                    TIMESTAMPS => segment.timestamps = number(0).zip(number(4)),
                    _ => {}
                }
                options = options.get(content.len() + 2..).unwrap_or_default();
            }
        }
    }
    Some(segment)
}
