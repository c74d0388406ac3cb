//! Reading bytes that somebody else chose: every length is checked, and every text is bounded and harmless.

use netsonde_contract::harmless::clean;

/// Characters of one text that are kept: greetings have some hundred.
const MAX_TEXT: usize = 200;

/// Reads from the front. Total: what is not there is `None`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u16_le(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32_le(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Up to a zero byte, which is taken too.
    pub(super) fn zero_ended(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }
}

/// A text for people: one line, bounded, harmless to a terminal.
pub(super) fn text(bytes: &[u8]) -> String {
    let whole =
        String::from_utf8_lossy(bytes.get(..MAX_TEXT * 4).unwrap_or(bytes)).trim().chars().take(MAX_TEXT).collect::<String>();
    clean(&whole).chars().take(MAX_TEXT).collect()
}

/// A program and its version in a line such as `220 (vsFTPd 3.0.3)` or `Exim 4.96 …`: a word and the number behind it, or both in one
/// word, `Pure-FTPd/1.0`.
pub(super) fn product(line: &str) -> (Option<String>, Option<String>) {
    let parts_words = |c: char| c.is_whitespace() || "()[]{},;<>\"".contains(c);
    let words: Vec<&str> = line.split(parts_words).filter(|word| !word.is_empty()).collect();
    let is_version = |word: &str| {
        let digits = word.strip_prefix(['v', 'V']).unwrap_or(word);
        digits.starts_with(|c: char| c.is_ascii_digit()) && digits.contains('.') && digits.parse::<std::net::IpAddr>().is_err()
    };
    let is_name = |word: &str| word.starts_with(|c: char| c.is_ascii_alphabetic());
    for (at, word) in words.iter().enumerate() {
        if let Some((name, version)) = word.split_once(['/', '_']).filter(|(name, version)| is_name(name) && is_version(version))
        {
            return (Some(name.to_owned()), Some(version.to_owned()));
        }
        let before = at.checked_sub(1).and_then(|before| words.get(before));
        if let Some(name) = before.filter(|name| is_version(word) && is_name(name)) {
            return (Some((*name).to_owned()), Some((*word).to_owned()));
        }
    }
    (None, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_with_their_versions_and_addresses_are_none() {
        let found = |line| product(line);
        let is = |name: &str, version: &str| (Some(name.to_owned()), Some(version.to_owned()));
        assert_eq!(found("(vsFTPd 3.0.3)"), is("vsFTPd", "3.0.3"));
        assert_eq!(found("mx.example ESMTP Exim 4.96 Sat, 21 Nov 2026"), is("Exim", "4.96"));
        assert_eq!(found("Pure-FTPd/1.0.51 ready"), is("Pure-FTPd", "1.0.51"));
        assert_eq!(found("hello from 192.0.2.1"), (None, None));
    }

    #[test]
    fn a_text_is_one_harmless_line_of_bounded_length() {
        assert_eq!(text(b"a\x1b[31m\r\nb"), "a\\x1b[31m\\r\\nb");
        assert_eq!(text(&[0x1b; 5_000]).chars().count(), MAX_TEXT);
    }

    #[test]
    fn what_is_not_there_is_none() {
        let mut bytes = Bytes::new(&[1, 2, 3]);
        assert_eq!((bytes.u16(), bytes.u16(), bytes.u8(), bytes.u8()), (Some(0x102), None, Some(3), None));
    }
}
