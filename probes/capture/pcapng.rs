//! The file format: PCAP Next Generation (draft-ietf-opsawg-pcapng), little-endian, nanoseconds, packets from their IP header on.

/// Section header, interface description, enhanced packet and interface statistics blocks (sections 4.1 to 4.3 and 4.6).
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const INTERFACE_STATISTICS: u32 = 5;
/// LINKTYPE_RAW: an IPv4 or IPv6 packet without anything before it.
const LINKTYPE_RAW: u16 = 101;

const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const ISB_IFDROP: u16 = 5;
/// 10 to the minus 9.
const NANOSECONDS: u8 = 9;

/// One packet as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    /// Place of its interface among those described.
    pub(super) interface: u32,
    /// Since 1970.
    pub(super) at_ns: u64,
    pub(super) outgoing: bool,
    pub(super) bytes: &'a [u8],
    /// As it was on the wire.
    pub(super) original_bytes: u32,
    pub(super) comment: Option<String>,
}

/// A file under construction.
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new(program: &str, comment: &str) -> Self {
        let mut writer = Self { bytes: Vec::new() };
        let mut body = Vec::new();
        body.extend(0x1a2b_3c4d_u32.to_le_bytes());
        body.extend(1_u16.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        // The section's length is not known beforehand.
        body.extend((-1_i64).to_le_bytes());
        option(&mut body, OPTION_COMMENT, comment.as_bytes());
        option(&mut body, SHB_USERAPPL, program.as_bytes());
        option(&mut body, OPTION_END, &[]);
        writer.block(SECTION_HEADER, &body);
        writer
    }

    pub(super) fn interface(&mut self, name: &str) {
        let mut body = Vec::new();
        body.extend(LINKTYPE_RAW.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        // No limit: what is cut off is cut by its meaning, not by a length.
        body.extend(0_u32.to_le_bytes());
        option(&mut body, IF_NAME, name.as_bytes());
        option(&mut body, IF_TSRESOL, &[NANOSECONDS]);
        option(&mut body, OPTION_END, &[]);
        self.block(INTERFACE, &body);
    }

    pub(super) fn packet(&mut self, packet: &Packet<'_>) {
        let mut body = Vec::new();
        let [high, low] = [(packet.at_ns >> 32) as u32, packet.at_ns as u32];
        let captured = u32::try_from(packet.bytes.len()).unwrap_or(u32::MAX);
        for word in [packet.interface, high, low, captured, packet.original_bytes] {
            body.extend(word.to_le_bytes());
        }
        body.extend_from_slice(packet.bytes);
        pad(&mut body);
        if let Some(comment) = &packet.comment {
            option(&mut body, OPTION_COMMENT, comment.as_bytes());
        }
        // Bits 0 and 1: 1 is inbound, 2 outbound.
        option(&mut body, EPB_FLAGS, &(if packet.outgoing { 2_u32 } else { 1 }).to_le_bytes());
        option(&mut body, OPTION_END, &[]);
        self.block(ENHANCED_PACKET, &body);
    }

    /// How many packets the system could not hand over.
    pub(super) fn dropped(&mut self, interface: u32, at_ns: u64, count: u64) {
        let mut body = Vec::new();
        for word in [interface, (at_ns >> 32) as u32, at_ns as u32] {
            body.extend(word.to_le_bytes());
        }
        option(&mut body, ISB_IFDROP, &count.to_le_bytes());
        option(&mut body, OPTION_END, &[]);
        self.block(INTERFACE_STATISTICS, &body);
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(length);
        self.bytes.extend_from_slice(body);
        self.bytes.extend(length);
    }
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend(code.to_le_bytes());
    body.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    body.extend_from_slice(value);
    pad(body);
}

/// To the next multiple of 4 bytes.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every block's type and length, read back from both ends.
    fn blocks(mut bytes: &[u8]) -> Vec<(u32, usize)> {
        let mut blocks = Vec::new();
        while !bytes.is_empty() {
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let length = word(4) as usize;
            assert_eq!((length % 4, word(length - 4) as usize), (0, length));
            blocks.push((word(0), length));
            bytes = &bytes[length..];
        }
        blocks
    }

    #[test]
    fn blocks_are_whole_whatever_the_lengths_within() {
        for length in 0..9 {
            let mut writer = Writer::new("netsonde", "c".repeat(length).as_str());
            writer.interface(&"i".repeat(length));
            let bytes = vec![7; length];
            let packet = Packet {
                interface: 0,
                at_ns: 5 << 32,
                outgoing: true,
                bytes: &bytes,
                original_bytes: 99,
                comment: Some("x".repeat(length)),
            };
            writer.packet(&packet);
            writer.dropped(0, 1, 2);
            let kinds: Vec<u32> = blocks(&writer.finish()).into_iter().map(|(kind, _)| kind).collect();
            assert_eq!(kinds, [SECTION_HEADER, INTERFACE, ENHANCED_PACKET, INTERFACE_STATISTICS]);
        }
    }
}
