//! One ustar header: 512 bytes that name a file and its size.

use super::BLOCK;
use std::ops::Range;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const USER: Range<usize> = 108..116;
const GROUP: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const TIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
/// Names of user and group, numbers of a device: text that a bundle leaves empty.
const OWNER_AND_DEVICE: Range<usize> = 265..345;
const PREFIX: Range<usize> = 345..500;
/// No field of POSIX.
const REST: Range<usize> = 500..BLOCK;
/// The magic and version of POSIX; GNU's own has blanks there.
const USTAR: &[u8] = b"ustar\x0000";
const REGULAR: u8 = b'0';
const MODE_0644: &[u8] = b"0000644\0";
const NOBODY: &[u8] = b"0000000\0";
const NO_TIME: &[u8] = b"00000000000\0";

/// A regular file's header with mode 0644 and every other field zero, or nothing where the name or the size does not fit.
pub(super) fn write(name: &str, size: usize) -> Option<[u8; BLOCK]> {
    let mut header = [0_u8; BLOCK];
    let (prefix, last) = split(name)?;
    put(&mut header, NAME, last.as_bytes());
    put(&mut header, PREFIX, prefix.as_bytes());
    put(&mut header, MODE, MODE_0644);
    put(&mut header, USER, NOBODY);
    put(&mut header, GROUP, NOBODY);
    let size = format!("{size:011o}\0");
    if size.len() != SIZE.len() {
        return None;
    }
    put(&mut header, SIZE, size.as_bytes());
    put(&mut header, TIME, NO_TIME);
    header[TYPE] = REGULAR;
    put(&mut header, MAGIC, USTAR);
    let checksum = format!("{:06o}\0 ", checksum(&header));
    put(&mut header, CHECKSUM, checksum.as_bytes());
    Some(header)
}

/// What a header says.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) size: u64,
}

/// Why a header is none of ours.
pub(super) enum HeaderFault {
    NotUstar(&'static str),
    /// The type's character.
    NotRegular(char),
}

pub(super) fn read(header: &[u8; BLOCK]) -> Result<Entry, HeaderFault> {
    use HeaderFault::NotUstar;
    if octal(&header[CHECKSUM]) != Some(u64::from(checksum(header))) {
        return Err(NotUstar("its checksum is wrong"));
    }
    if header[TYPE] != REGULAR {
        return Err(HeaderFault::NotRegular(char::from(header[TYPE])));
    }
    if &header[MAGIC] != USTAR {
        return Err(NotUstar("it is not in the ustar form of POSIX"));
    }
    if header[LINK].iter().any(|byte| *byte != 0) {
        return Err(HeaderFault::NotRegular('1'));
    }
    // Signed by nobody, so there is one way to write them.
    let fixed = [(MODE, MODE_0644), (USER, NOBODY), (GROUP, NOBODY), (TIME, NO_TIME)];
    let empty = [OWNER_AND_DEVICE, REST];
    if fixed.into_iter().any(|(field, value)| &header[field] != value)
        || empty.into_iter().any(|field| header[field].iter().any(|byte| *byte != 0))
    {
        return Err(NotUstar("it tells of an owner, a mode or a time, which a bundle's files have not"));
    }
    let (prefix, last) = (text(&header[PREFIX]), text(&header[NAME]));
    let (prefix, last) = (prefix.ok_or(NotUstar("its name is not text"))?, last.ok_or(NotUstar("its name is not text"))?);
    let name = if prefix.is_empty() { last.to_owned() } else { format!("{prefix}/{last}") };
    Ok(Entry { name, size: octal(&header[SIZE]).ok_or(NotUstar("its size is not an octal number"))? })
}

/// A name of more than 100 bytes is cut at a slash, its first part going to the prefix.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= NAME.len() {
        return Some(("", name));
    }
    let fits = |(prefix, last): &(&str, &str)| prefix.len() <= PREFIX.len() && last.len() <= NAME.len() && !last.is_empty();
    name.match_indices('/').map(|(at, _)| (&name[..at], &name[at + 1..])).find(fits)
}

fn put(header: &mut [u8; BLOCK], field: Range<usize>, bytes: &[u8]) {
    header[field][..bytes.len()].copy_from_slice(bytes);
}

/// The sum of all bytes, with the checksum's own field taken as blanks.
fn checksum(header: &[u8; BLOCK]) -> u32 {
    let byte = |(at, byte): (usize, &u8)| u32::from(if CHECKSUM.contains(&at) { b' ' } else { *byte });
    header.iter().enumerate().map(byte).sum()
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(field).ok()?.trim_end_matches(['\0', ' ']).trim_start_matches(' ');
    let only_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| u64::from_str_radix(digits, 8).ok()).flatten()
}

/// The field up to its first zero byte; anything after that byte must be zero, too.
fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let (text, rest) = field.split_at(end);
    rest.iter().all(|byte| *byte == 0).then(|| std::str::from_utf8(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_more_than_100_bytes_uses_the_prefix() {
        let name = format!("{}/{}", "a".repeat(90), "b".repeat(90));
        let header = write(&name, 5).unwrap();
        let entry = read(&header).ok().unwrap();
        assert_eq!((entry.name, entry.size), (name, 5));
        assert!(write(&"c".repeat(101), 5).is_none());
    }

    #[test]
    fn a_flipped_bit_in_a_header_is_seen() {
        let mut header = write("run.json", 5).unwrap();
        header[2] ^= 1;
        assert!(matches!(read(&header), Err(HeaderFault::NotUstar("its checksum is wrong"))));
    }
}
