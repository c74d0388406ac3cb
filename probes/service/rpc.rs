//! Calls of ONC RPC over TCP (RFC 5531): one record, no identity.

use super::bytes::Bytes;
use super::protocol::Asking;

/// A reply has some thousand bytes where many programs are registered.
const MAX_RECORD: usize = 32 * 1024;

/// A call of a procedure that takes nothing, as one record (RFC 5531 section 11), with neither credentials nor verifier.
pub(super) fn call(asking: &Asking<'_>, program: u32, version: u32, procedure: u32) -> Vec<u8> {
    let [a, b, c, d, ..] = *asking.random;
    let words = [u32::from_be_bytes([a, b, c, d]), 0, 2, program, version, procedure, 0, 0, 0, 0];
    let head = 0x8000_0000 | (words.len() * 4) as u32;
    std::iter::once(head).chain(words).flat_map(u32::to_be_bytes).collect()
}

/// What a server answers.
#[derive(Debug, PartialEq)]
pub(super) enum Answer<'a> {
    /// The result's bytes.
    Success(&'a [u8]),
    /// The program has these versions, the lowest and the highest.
    Versions(u32, u32),
    /// There is no such program, or no such procedure.
    Unavailable,
    /// The server takes no call without an identity: its code.
    Denied(u32),
}

#[derive(Debug, PartialEq)]
pub(super) enum Read<'a> {
    More,
    Whole(Answer<'a>, usize),
    NotThis,
}

/// Reads one record that is a reply. Replies in several fragments are larger than any that is asked for here.
pub(super) fn read(bytes: &[u8]) -> Read<'_> {
    let mut record = Bytes::new(bytes);
    let Some(head) = record.u32() else {
        return if bytes.first().is_none_or(|first| *first == 0x80) { Read::More } else { Read::NotThis };
    };
    let length = usize::try_from(head & 0x7fff_ffff).unwrap_or(usize::MAX);
    if head & 0x8000_0000 == 0 || !(12..=MAX_RECORD).contains(&length) {
        return Read::NotThis;
    }
    let Some(content) = record.take(length) else { return Read::More };
    answer(content).map_or(Read::NotThis, |answer| Read::Whole(answer, length + 4))
}

fn answer(content: &[u8]) -> Option<Answer<'_>> {
    let mut reply = Bytes::new(content);
    reply.u32()?;
    if reply.u32()? != 1 {
        return None;
    }
    if reply.u32()? != 0 {
        // Denied: for the version of RPC, or (1) for the missing identity, with the reason.
        let why = reply.u32()?;
        return Some(Answer::Denied(if why == 1 { reply.u32()? } else { why }));
    }
    reply.u32()?;
    let verifier = usize::try_from(reply.u32()?).ok()?;
    reply.take(verifier.checked_next_multiple_of(4)?)?;
    match reply.u32()? {
        0 => Some(Answer::Success(reply.rest())),
        2 => Some(Answer::Versions(reply.u32()?, reply.u32()?)),
        1 | 3..=5 => Some(Answer::Unavailable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in super::super) fn record(words: &[u32]) -> Vec<u8> {
        let head = 0x8000_0000 | (words.len() * 4) as u32;
        std::iter::once(head).chain(words.iter().copied()).flat_map(u32::to_be_bytes).collect()
    }

    #[test]
    fn every_form_of_a_reply_is_told_apart() {
        let cases = [
            (vec![7, 1, 0, 0, 0, 0], Answer::Success(&[])),
            (vec![7, 1, 0, 0, 0, 2, 3, 4], Answer::Versions(3, 4)),
            (vec![7, 1, 0, 0, 0, 1], Answer::Unavailable),
            (vec![7, 1, 1, 1, 5], Answer::Denied(5)),
        ];
        for (words, expected) in cases {
            let bytes = record(&words);
            assert_eq!(read(&bytes), Read::Whole(expected, bytes.len()));
            assert_eq!(read(&bytes[..bytes.len() - 1]), Read::More);
        }
        assert_eq!(read(b"HTTP/1.1 400"), Read::NotThis);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), words in proptest::collection::vec(0_u32..6, 0..12)) {
            read(&bytes);
            read(&record(&words));
        }
    }
}
