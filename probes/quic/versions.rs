//! Which versions a server speaks: a packet of a version that nobody speaks makes it say so (RFC 9000 sections 6 and 17.2.1).

use super::socket;
use crate::context::Context;
use netsonde_contract::failure::Failure;
use std::net::SocketAddr;
use std::time::Duration;

/// RFC 9000 section 15: versions of the form 0x?a?a?a?a are reserved to be unknown.
const RESERVED_MASK: u32 = 0x0f0f_0f0f;
const RESERVED: u32 = 0x0a0a_0a0a;

/// A server answers a packet of an unknown version only where it is as large as a first packet has to be (RFC 9000 section 14.1).
const FIRST_PACKET_BYTES: usize = 1_200;

/// Connection identifiers of our own have this many bytes; the one for the server at least 8 (RFC 9000 section 7.2).
const IDENTIFIER_BYTES: usize = 8;

/// Versions kept of one answer; real servers list a handful.
pub(super) const MAX_VERSIONS: usize = 64;

/// How often the question is put.
const ATTEMPTS: u32 = 2;

/// A packet of a version that nobody speaks.
struct Question {
    bytes: Vec<u8>,
    to: [u8; IDENTIFIER_BYTES],
    from: [u8; IDENTIFIER_BYTES],
}

/// The server's versions and the packets that asking took.
pub(super) struct Versions {
    pub(super) listed: Option<Vec<u32>>,
    pub(super) sent: u32,
}

/// Asks, and waits for the answer for at most `patience` each time.
///
/// # Errors
/// Where the gate lets nothing out, or the system has no socket.
pub(super) async fn ask(context: &Context, server: SocketAddr, patience: Duration) -> Result<Versions, Failure> {
    let (socket, _) = socket::open(server)?;
    context.datagrams(socket.local_addr(), server);
    let question = Question::new(rand::random(), rand::random(), rand::random());
    let mut sent = 0;
    for _ in 0..ATTEMPTS {
        context.gate.packet(server, question.bytes.len()).await?;
        sent += 1;
        if socket.send(&question.bytes).await.is_err() {
            break;
        }
        let mut buffer = [0_u8; 1_500];
        let answer = async {
            loop {
                let Ok(size) = socket.recv(&mut buffer).await else { return None };
                context.gate.received(size);
                if let Some(listed) = question.answer(&buffer[..size]) {
                    return Some(listed);
                }
            }
        };
        match tokio::time::timeout(patience, answer).await {
            Ok(Some(listed)) => return Ok(Versions { listed: Some(listed), sent }),
            // An error that came back: the next packet would fare no better.
            Ok(None) => break,
            Err(_) => {}
        }
    }
    Ok(Versions { listed: None, sent })
}

impl Question {
    fn new(to: [u8; IDENTIFIER_BYTES], from: [u8; IDENTIFIER_BYTES], random: u32) -> Self {
        let version = random & !RESERVED_MASK | RESERVED;
        // A long header with the fixed bit; what follows the identifiers belongs to the version, and nobody reads it.
        let mut bytes = vec![0xc0];
        bytes.extend_from_slice(&version.to_be_bytes());
        for identifier in [&to, &from] {
            bytes.push(IDENTIFIER_BYTES as u8);
            bytes.extend_from_slice(identifier);
        }
        bytes.resize(FIRST_PACKET_BYTES, 0);
        Self { bytes, to, from }
    }

    /// The versions in a packet that answers this question: both identifiers come back, the other way round.
    fn answer(&self, packet: &[u8]) -> Option<Vec<u32>> {
        let rest = packet.strip_prefix(&[packet.first().copied().filter(|first| first & 0x80 != 0)?, 0, 0, 0, 0])?;
        let rest = rest.strip_prefix(&[IDENTIFIER_BYTES as u8])?.strip_prefix(&self.from)?;
        let list = rest.strip_prefix(&[IDENTIFIER_BYTES as u8])?.strip_prefix(&self.to)?;
        listed(list)
    }
}

/// The versions of a Version Negotiation packet that came within a connection; none where the packet is another.
pub(super) fn negotiation(packet: &[u8]) -> Option<Vec<u32>> {
    let rest = packet.strip_prefix(&[packet.first().copied().filter(|first| first & 0x80 != 0)?, 0, 0, 0, 0])?;
    let rest = rest.get(1 + usize::from(*rest.first()?)..)?;
    listed(rest.get(1 + usize::from(*rest.first()?)..)?)
}

/// A Retry packet of version 1: a long header of type 3 (RFC 9000 section 17.2.5).
pub(super) fn is_retry(packet: &[u8]) -> bool {
    matches!(packet, [first, 0, 0, 0, 1, ..] if first & 0xf0 == 0xf0)
}

fn listed(list: &[u8]) -> Option<Vec<u32>> {
    let whole = !list.is_empty() && list.len().is_multiple_of(4);
    let read = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).unwrap_or_default();
    whole.then(|| list.chunks_exact(4).take(MAX_VERSIONS).map(read).collect())
}

/// The versions as facts keep them, without those that servers list to keep clients honest.
pub(super) fn names(versions: &[u32]) -> Vec<String> {
    versions.iter().filter(|version| *version & RESERVED_MASK != RESERVED).map(|version| name(*version)).collect()
}

/// `1`, or the number in hexadecimal.
fn name(version: u32) -> String {
    if version == 1 { "1".to_owned() } else { format!("0x{version:08x}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(to: &[u8], from: &[u8], versions: &[u32]) -> Vec<u8> {
        let list: Vec<u8> = versions.iter().flat_map(|version| version.to_be_bytes()).collect();
        [&[0x80, 0, 0, 0, 0, to.len() as u8], to, &[from.len() as u8], from, &list].concat()
    }

    #[test]
    fn only_an_answer_to_this_question_counts() {
        let question = Question::new([1; 8], [2; 8], 0);
        assert_eq!(question.bytes.len(), FIRST_PACKET_BYTES);
        assert_eq!(question.bytes[1..5], [0x0a, 0x0a, 0x0a, 0x0a]);
        assert_eq!(question.answer(&answer(&[2; 8], &[1; 8], &[1, 0x6b33_43cf])), Some(vec![1, 0x6b33_43cf]));
        assert_eq!(question.answer(&answer(&[1; 8], &[2; 8], &[1])), None, "the identifiers were not turned round");
        assert_eq!(question.answer(&answer(&[2; 8], &[1; 8], &[])), None);
        assert_eq!(question.answer(&question.bytes), None);
    }

    #[test]
    fn reserved_versions_are_not_told_as_spoken() {
        assert_eq!(names(&[0x1a2a_3a4a, 1, 0xff00_001d]), ["1", "0xff00001d"]);
    }

    proptest! {
        #[test]
        fn no_packet_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            Question::new([1; 8], [2; 8], 7).answer(&bytes);
            negotiation(&bytes);
            is_retry(&bytes);
            let negotiating = [&[0x80, 0, 0, 0, 0], &bytes[..]].concat();
            negotiation(&negotiating);
        }
    }
}
