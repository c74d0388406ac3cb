//! A file that a person wrote, in the bytes that their editor or shell made of it: UTF-8, with a byte order mark or without one, or UTF-16 with its mark,
//! as `>` writes it in Windows PowerShell 5.1.

use std::io::{self, Read};

const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF_16_LITTLE_MARK: &[u8] = b"\xff\xfe";
const UTF_16_BIG_MARK: &[u8] = b"\xfe\xff";

/// The text without its mark. Of one that is longer than `most_bytes`, more than these: whoever parses it tells that it is too long.
///
/// # Errors
/// Where it cannot be read, and `InvalidData` where it is no text.
pub(crate) fn read(from: impl Read, most_bytes: usize) -> io::Result<String> {
    // A letter of one byte has two in UTF-16; one letter is for the mark, one is more than may be.
    let limit = most_bytes.saturating_add(2).saturating_mul(2);
    let mut bytes = Vec::new();
    from.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    // What ends in the midst of a letter is too long already.
    decoded(&bytes, bytes.len() == limit)
}

fn decoded(bytes: &[u8], is_cut: bool) -> io::Result<String> {
    if let Some(letters) = bytes.strip_prefix(UTF_16_LITTLE_MARK) {
        return of_utf_16(letters, u16::from_le_bytes, is_cut);
    }
    if let Some(letters) = bytes.strip_prefix(UTF_16_BIG_MARK) {
        return of_utf_16(letters, u16::from_be_bytes, is_cut);
    }
    let bytes = bytes.strip_prefix(UTF_8_MARK).unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) if is_cut => Ok(String::from_utf8_lossy(bytes).into_owned()),
        Err(_) => Err(no_text("UTF-8, nor begins with the mark of UTF-16")),
    }
}

fn of_utf_16(bytes: &[u8], letter: fn([u8; 2]) -> u16, is_cut: bool) -> io::Result<String> {
    let pairs = bytes.chunks_exact(2);
    let is_whole = pairs.remainder().is_empty();
    let letters: Vec<u16> = pairs.map(|pair| letter([pair[0], pair[1]])).collect();
    match String::from_utf16(&letters) {
        Ok(text) if is_whole => Ok(text),
        _ if is_cut => Ok(String::from_utf16_lossy(&letters)),
        _ => Err(no_text("UTF-16, as which it begins")),
    }
}

fn no_text(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it is no text in {what}; save it as UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = \"Zürich 日本 𝄞\"\n";

    fn utf_16(mark: &[u8], text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        mark.iter().copied().chain(text.encode_utf16().flat_map(bytes)).collect()
    }

    #[test]
    fn a_text_is_the_same_however_an_editor_or_powershell_wrote_it() {
        let written = [
            TEXT.as_bytes().to_vec(),
            [UTF_8_MARK, TEXT.as_bytes()].concat(),
            utf_16(UTF_16_LITTLE_MARK, TEXT, u16::to_le_bytes),
            utf_16(UTF_16_BIG_MARK, TEXT, u16::to_be_bytes),
        ];
        for bytes in written {
            assert_eq!(read(bytes.as_slice(), TEXT.len()).unwrap(), TEXT, "{bytes:?}");
        }
        assert_eq!(read(&b""[..], 10).unwrap(), "");
    }

    #[test]
    fn what_is_no_text_is_told_with_the_way_out() {
        let half = utf_16(UTF_16_LITTLE_MARK, "ab", u16::to_le_bytes);
        for bytes in [&b"caf\xe9"[..], &half[..5], &b"\xff\xfe\x00\xd8"[..]] {
            let error = read(bytes, 100).unwrap_err();
            assert!(error.kind() == io::ErrorKind::InvalidData && error.to_string().contains("save it as UTF-8"), "{error}");
        }
    }

    #[test]
    fn of_what_is_too_long_no_more_is_read_than_tells_so() {
        for bytes in ["é".repeat(50).into_bytes(), utf_16(UTF_16_LITTLE_MARK, &"𝄞".repeat(50), u16::to_le_bytes)] {
            for most in 5..9 {
                let text = read(bytes.as_slice(), most).unwrap();
                assert!(text.len() > most && text.len() < 8 * most, "{most}: {text}");
            }
        }
    }
}
