use super::{BLOCK, header};
use crate::bundle::bounds;
use crate::bundle::refusal::{Refusal, RefusalCode as Code};
use crate::bundle::{MAX_BYTES, MAX_ENTRIES, MAX_RATIO, MAX_UNPACKED_BYTES};
use flate2::bufread::GzDecoder;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};

/// Below this, the ratio says nothing: a few short files of zeros are no attack.
const RATIO_FLOOR_BYTES: usize = 1 << 20;
/// Padding after the end of the archive; GNU tar fills up to 10 KiB.
const MAX_PADDING_BYTES: usize = 1 << 20;

/// An archive's files, and how many bytes they and their headers were.
#[derive(Debug)]
pub(in crate::bundle) struct Unpacked {
    pub(in crate::bundle) files: BTreeMap<String, Vec<u8>>,
    pub(in crate::bundle) bytes: u64,
}

/// Reads the archive into memory, within the bounds, or says why not.
pub(in crate::bundle) fn read(bytes: &[u8]) -> Result<Unpacked, Refusal> {
    if bytes.len() > MAX_BYTES {
        return Err(Refusal::new(Code::TooLarge, format!("the file is larger than {MAX_BYTES} bytes")));
    }
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(Refusal::new(Code::NotGzip, "the file is not compressed with gzip"));
    }
    expect_bare_header(bytes)?;
    let mut tar = Tar { decoder: GzDecoder::new(bytes), read: 0, compressed: bytes.len() };
    let mut files = BTreeMap::new();
    let mut names = BTreeSet::new();
    while let Some((name, content)) = tar.next_file()? {
        if files.len() == MAX_ENTRIES {
            return Err(Refusal::new(Code::TooLarge, format!("the bundle has more than {MAX_ENTRIES} files")));
        }
        // Letters that differ in case only would fall together on Windows and macOS.
        if !names.insert(name.to_ascii_lowercase()) {
            return Err(Refusal::new(Code::DuplicateEntry, format!("the bundle has `{name}` twice")));
        }
        files.insert(name, content);
    }
    tar.expect_only_padding()?;
    let unpacked = tar.read as u64;
    match tar.decoder.into_inner() {
        [] => Ok(Unpacked { files, bytes: unpacked }),
        [0x1f, 0x8b, ..] => Err(Refusal::new(Code::SecondMember, "a second compressed part follows the archive")),
        rest => Err(Refusal::new(Code::TrailingBytes, format!("{} bytes follow the archive", rest.len()))),
    }
}

/// Only the one header that a bundle is written with (RFC 1952 section 2.3): no flags, and so no name, comment or extra field, and no
/// time. What is there besides would be signed by nobody and could tell of the machine.
fn expect_bare_header(bytes: &[u8]) -> Result<(), Refusal> {
    const FLAGS_AND_TIME: std::ops::Range<usize> = 3..8;
    match bytes.get(FLAGS_AND_TIME) {
        None => Err(truncated()),
        Some([0, 0, 0, 0, 0]) => Ok(()),
        Some(_) => Err(Refusal::new(
            Code::Malformed,
            "its gzip header carries a name, a time or something else that a bundle has not; compress it with gzip -n",
        )),
    }
}

struct Tar<'a> {
    decoder: GzDecoder<&'a [u8]>,
    /// Bytes unpacked so far.
    read: usize,
    compressed: usize,
}

impl Tar<'_> {
    /// The next file, or nothing at the two blocks of zeros that end the archive.
    fn next_file(&mut self) -> Result<Option<(String, Vec<u8>)>, Refusal> {
        let mut block = self.block()?;
        if block == [0; BLOCK] {
            block = self.block()?;
            if block == [0; BLOCK] {
                return Ok(None);
            }
            return Err(Refusal::new(Code::Malformed, "a block of zeros stands between two files"));
        }
        let entry = header::read(&block).map_err(|fault| match fault {
            header::HeaderFault::NotUstar(why) => Refusal::new(Code::Malformed, format!("a file's header is unusable: {why}")),
            header::HeaderFault::NotRegular(kind) => {
                let kind = kind.escape_default();
                Refusal::new(
                    Code::LinkEntry,
                    format!("an entry of type `{kind}` is a link, a folder or something else that is no plain file"),
                )
            }
        })?;
        check_name(&entry.name)?;
        let size = usize::try_from(entry.size).unwrap_or(usize::MAX);
        if size > MAX_UNPACKED_BYTES {
            return Err(too_large());
        }
        if let Some(most) = bounds::largest(&entry.name).filter(|most| size > *most) {
            return Err(Refusal::new(Code::TooLarge, format!("`{}` is larger than {most} bytes", entry.name)));
        }
        let content = self.take(size)?;
        let padding = self.take(size.next_multiple_of(BLOCK) - size)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(Refusal::new(Code::Malformed, format!("bytes are hidden behind the end of `{}`", entry.name)));
        }
        Ok(Some((entry.name, content)))
    }

    fn block(&mut self) -> Result<[u8; BLOCK], Refusal> {
        let bytes = self.take(BLOCK)?;
        bytes.try_into().map_err(|_| truncated())
    }

    /// Exactly `length` bytes. Room is made as the bytes come, so that a size which the archive does not keep costs nothing.
    fn take(&mut self, length: usize) -> Result<Vec<u8>, Refusal> {
        self.read = self.read.saturating_add(length);
        if self.read > MAX_UNPACKED_BYTES {
            return Err(too_large());
        }
        let ratio_bound = RATIO_FLOOR_BYTES.max(self.compressed.saturating_mul(MAX_RATIO));
        let in_ratio = ratio_bound.saturating_sub(self.read - length).min(length);
        let mut bytes = Vec::new();
        (&mut self.decoder).take(in_ratio as u64).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        match bytes.len() {
            all if all == length => Ok(bytes),
            bounded if bounded == in_ratio => {
                Err(Refusal::new(Code::Bomb, format!("the bundle unpacks to more than {MAX_RATIO} times its size")))
            }
            _ => Err(truncated()),
        }
    }

    fn expect_only_padding(&mut self) -> Result<(), Refusal> {
        let mut rest = Vec::new();
        let bound = MAX_PADDING_BYTES as u64 + 1;
        (&mut self.decoder).take(bound).read_to_end(&mut rest).map_err(|error| unreadable(&error))?;
        if rest.len() > MAX_PADDING_BYTES || rest.iter().any(|byte| *byte != 0) {
            return Err(Refusal::new(Code::TrailingBytes, "something follows the end of the archive within it"));
        }
        self.read += rest.len();
        Ok(())
    }
}

/// Names are relative, stay below the folder that they are unpacked in, and use letters that every file system takes.
fn check_name(name: &str) -> Result<(), Refusal> {
    let shown = name.escape_default();
    let drive = name.as_bytes().get(1) == Some(&b':');
    if name.starts_with(['/', '\\']) || drive || name.split(['/', '\\']).any(|part| part == "..") {
        return Err(Refusal::new(Code::AbsolutePath, format!("`{shown}` would be written outside of the bundle's folder")));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let part_fits = |part: &str| !part.is_empty() && part != ".";
    if name.chars().all(allowed) && name.split('/').all(part_fits) {
        Ok(())
    } else {
        Err(Refusal::new(Code::Malformed, format!("`{shown}` is no name that a bundle's file has")))
    }
}

pub(in crate::bundle) fn is_plain_name(name: &str) -> bool {
    check_name(name).is_ok()
}

fn too_large() -> Refusal {
    Refusal::new(Code::TooLarge, format!("the bundle unpacks to more than {MAX_UNPACKED_BYTES} bytes"))
}

fn truncated() -> Refusal {
    Refusal::new(Code::Truncated, "the file ends before the bundle does: it was not copied or downloaded whole")
}

fn unreadable(error: &std::io::Error) -> Refusal {
    match error.kind() {
        ErrorKind::UnexpectedEof => truncated(),
        _ => Refusal::new(Code::Malformed, format!("the compressed data is damaged: {error}")),
    }
}
