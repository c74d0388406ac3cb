//! Replies of a number and lines, as FTP (RFC 959 section 4.2) and SMTP (RFC 5321 section 4.2) have them.

use super::bytes::text;
use super::protocol::{Heard, Reading};

/// A whole reply.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// The lines without numbers where they have them.
    pub(super) lines: Vec<String>,
    pub(super) used: usize,
}

#[derive(Debug, PartialEq)]
pub(super) enum Read {
    More,
    Whole(Reply),
    NotThis,
}

/// Lines of one reply that are kept; file servers list some twenty features.
const MAX_LINES: usize = 64;

/// Reads one reply: it ends with a line that begins with the first line's number and a space, or the number alone.
pub(super) fn read(bytes: &[u8]) -> Read {
    let code = |line: &[u8]| -> Option<u16> {
        let digits = line.get(..3)?;
        let valid = digits.iter().all(u8::is_ascii_digit) && matches!(line.get(3), None | Some(b' ' | b'-' | b'\r'));
        valid.then(|| digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
    };
    if !bytes.iter().zip(0..3).all(|(byte, _)| byte.is_ascii_digit()) {
        return Read::NotThis;
    }
    let (mut used, mut first, mut lines) = (0, None, Vec::new());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(content) = line.strip_suffix(b"\n") else { break };
        used += line.len();
        let own = code(content);
        let Some(number) = first.or(own) else { return Read::NotThis };
        first = Some(number);
        let ends = own == Some(number) && content.get(3) != Some(&b'-');
        let words = if own == Some(number) { content.get(4..).unwrap_or_default() } else { content };
        if lines.len() < MAX_LINES {
            lines.push(text(words));
        }
        if ends {
            return Read::Whole(Reply { code: number, lines, used });
        }
    }
    Read::More
}

impl Reply {
    pub(super) fn first_line(&self) -> String {
        self.lines.first().cloned().unwrap_or_default()
    }

    /// The service was asked for TLS and says no.
    pub(super) fn without_tls(&self) -> Heard {
        Heard { tls_refused: Some(format!("{} {}", self.code, self.lines.join(" "))), ..Heard::default() }
    }

    /// The service says no: in its own code and words.
    pub(super) fn refusal(&self) -> Heard {
        Heard::refused(self.code.to_string(), self.lines.join(" "))
    }
}

/// Hands a whole reply to `use_it`.
pub(super) fn reading(bytes: &[u8], use_it: impl Fn(&Reply) -> Option<Heard>) -> Reading {
    match read(bytes) {
        Read::More => Reading::More,
        Read::NotThis => Reading::NotThis,
        Read::Whole(reply) => use_it(&reply).map_or(Reading::NotThis, |heard| Reading::done(heard, reply.used)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reply_ends_where_its_number_stands_with_a_space() {
        let Read::Whole(reply) = read(b"211-Features:\r\n UTF8\r\n211 End\r\n220 next\r\n") else { panic!() };
        assert_eq!((reply.code, reply.used), (211, 31));
        assert_eq!(reply.lines, ["Features:", "UTF8", "End"]);
        assert_eq!(read(b"220-mail\r\n"), Read::More);
        assert_eq!(read(b"22"), Read::More);
        assert_eq!(read(b"SSH-2.0"), Read::NotThis);
        assert_eq!(read(b"2200 x\r\n"), Read::NotThis);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), lines in "(220|250|[ -]|x|\r\n){0,20}") {
            read(&bytes);
            read(lines.as_bytes());
        }
    }
}
