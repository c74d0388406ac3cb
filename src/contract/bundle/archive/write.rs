use super::{BLOCK, header};
use flate2::{Compression, GzBuilder};
use std::collections::BTreeMap;
use std::io::Write;

/// The compression level: fixed, since it shows in the bytes.
const LEVEL: u32 = 6;
/// "Unknown" (RFC 1952 section 2.3.1), so that the bytes are the same from every system.
const UNKNOWN_SYSTEM: u8 = 255;

/// The files in the order of their names, as bytes that depend on nothing else; the name of the first that does not fit, otherwise.
pub(in crate::bundle) fn write(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, String> {
    tar(files.iter().map(|(name, content)| (name.as_str(), content.as_slice()))).map(|tar| compress(&tar))
}

/// The archive before it is compressed.
pub(in crate::bundle) fn tar<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<u8>, String> {
    let mut tar = Vec::new();
    for (name, content) in files {
        let header = header::write(name, content.len()).ok_or_else(|| name.to_owned())?;
        tar.extend_from_slice(&header);
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    // Two blocks of zeros end the archive.
    tar.resize(tar.len() + 2 * BLOCK, 0);
    Ok(tar)
}

#[expect(clippy::expect_used, reason = "writing to memory does not fail")]
pub(in crate::bundle) fn compress(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM).write(Vec::new(), Compression::new(LEVEL));
    encoder.write_all(tar).and_then(|()| encoder.finish()).expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// The tar is the golden part: a newer compressor may make other bytes of it.
    #[test]
    fn the_same_files_give_the_same_tar() {
        let long = b"a".repeat(600);
        let tar = tar([("a.txt", long.as_slice()), ("b/run.json", b"{}")]).unwrap();
        assert_eq!(tar.len(), BLOCK * (1 + 2 + 1 + 1 + 2));
        assert_eq!(
            crate::bundle::hexadecimal(&Sha256::digest(&tar)),
            "149e2439daf69b7d41365582aad243fbbf9d47d5390c0c02aeeab45c5d3195fa"
        );
    }

    #[test]
    fn the_compressed_file_tells_no_time_and_no_system() {
        let bytes = write(&BTreeMap::new()).unwrap();
        assert_eq!(bytes[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[9], UNKNOWN_SYSTEM);
    }
}
