//! SMB 2 and 3 (MS-SMB2 sections 2.2.3 and 2.2.4): the negotiation of the dialect, before any session.

use super::bytes::Bytes;
use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use netsonde_contract::kind::ServiceProtocol;

pub(super) const PROTOCOL: Protocol = Protocol::new(ServiceProtocol::Smb, &[Step::new("negotiate", ask, negotiated)]);

const DIALECTS: [u16; 5] = [0x0202, 0x0210, 0x0300, 0x0302, 0x0311];
const HEADER: usize = 64;
/// An answer has some hundred bytes, with a security token some thousand.
const MAX_MESSAGE: usize = 16 * 1024;
/// Abilities of a server (MS-SMB2 section 2.2.4), by their bits.
const ABILITIES: [(u32, &str); 7] = [
    (0x01, "DFS"),
    (0x02, "leasing"),
    (0x04, "large reads and writes"),
    (0x08, "multichannel"),
    (0x10, "persistent handles"),
    (0x20, "directory leasing"),
    (0x40, "encryption"),
];

/// A NEGOTIATE request for every dialect from 2.0.2 on; 3.1.1 wants to hear of hash algorithms (MS-SMB2 section 2.2.3.1.1).
fn ask(asking: &Asking<'_>) -> Option<Vec<u8>> {
    let mut message = vec![0xfe, b'S', b'M', b'B', HEADER as u8, 0];
    message.resize(HEADER, 0);
    // One credit asked for.
    if let Some(credits) = message.get_mut(14) {
        *credits = 1;
    }
    message.extend_from_slice(&36_u16.to_le_bytes());
    message.extend_from_slice(&(DIALECTS.len() as u16).to_le_bytes());
    // Signing possible, nothing reserved, no abilities.
    message.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(asking.random.get(..16)?);
    let contexts_at = (HEADER + 36 + DIALECTS.len() * 2).next_multiple_of(8);
    message.extend_from_slice(&(contexts_at as u32).to_le_bytes());
    message.extend_from_slice(&[1, 0, 0, 0]);
    message.extend(DIALECTS.iter().flat_map(|dialect| dialect.to_le_bytes()));
    message.resize(contexts_at, 0);
    // Integrity before authentication: SHA-512 with a salt of 32 bytes.
    message.extend_from_slice(&[1, 0, 38, 0, 0, 0, 0, 0, 1, 0, 32, 0, 1, 0]);
    message.extend_from_slice(asking.random.get(16..48)?);
    let length = (message.len() as u32).to_be_bytes();
    Some([&length, &message[..]].concat())
}

fn negotiated(bytes: &[u8]) -> Reading {
    let mut frame = Bytes::new(bytes);
    let Some(length) = frame.u32().and_then(|length| usize::try_from(length).ok()) else {
        return if bytes.first().is_none_or(|first| *first == 0) { Reading::More } else { Reading::NotThis };
    };
    if !(HEADER..=MAX_MESSAGE).contains(&length) {
        return Reading::NotThis;
    }
    let Some(message) = frame.take(length) else { return Reading::More };
    Reading::or_not_this(read(message).map(|heard| Reading::done(heard, length + 4)))
}

fn read(message: &[u8]) -> Option<Heard> {
    let mut header = Bytes::new(message);
    if header.take(4)? != b"\xfeSMB" {
        return None;
    }
    header.take(4)?;
    let status = header.u32_le()?;
    let mut body = Bytes::new(message.get(HEADER..)?);
    if status != 0 {
        return Some(Heard::refused(format!("0x{status:08x}"), "the server does not negotiate"));
    }
    // The structure's own size, then how it signs.
    body.u16_le()?;
    let signing = body.u16_le()?;
    let dialect = body.u16_le()?;
    // Number of contexts, and the server's own identifier.
    body.take(2 + 16)?;
    let abilities = body.u32_le()?;
    let version = match dialect {
        0x0202 => "2.0.2".to_owned(),
        0x0210 => "2.1".to_owned(),
        0x0300 => "3.0".to_owned(),
        0x0302 => "3.0.2".to_owned(),
        0x0311 => "3.1.1".to_owned(),
        other => format!("0x{other:04x}"),
    };
    let mut capabilities = vec![if signing & 2 != 0 { "signing required" } else { "signing possible" }.to_owned()];
    capabilities.extend(ABILITIES.iter().filter(|(bit, _)| abilities & bit != 0).map(|(_, name)| (*name).to_owned()));
    Some(Heard { greeting: Some(format!("SMB {version}")), version: Some(version), capabilities, ..Heard::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(status: u32, signing: u8, dialect: u16, abilities: u32) -> Vec<u8> {
        let mut message = b"\xfeSMB\x40\0\0\0".to_vec();
        message.extend_from_slice(&status.to_le_bytes());
        message.resize(HEADER, 0);
        message.extend_from_slice(&[65, 0, signing, 0]);
        message.extend_from_slice(&dialect.to_le_bytes());
        message.extend_from_slice(&[0; 18]);
        message.extend_from_slice(&abilities.to_le_bytes());
        [&(message.len() as u32).to_be_bytes(), &message[..]].concat()
    }

    #[test]
    fn dialect_signing_and_abilities_are_read() {
        let Reading::Done(heard, _) = negotiated(&answer(0, 3, 0x0311, 0x44)) else { panic!() };
        assert_eq!(heard.version.as_deref(), Some("3.1.1"));
        assert_eq!(heard.capabilities, ["signing required", "large reads and writes", "encryption"]);
        let Reading::Done(heard, _) = negotiated(&answer(0xc000_0022, 0, 0, 0)) else { panic!() };
        assert_eq!(heard.refusal.unwrap().code, "0xc0000022");
        assert_eq!(negotiated(b"HTTP/1.1"), Reading::NotThis);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..100) {
            negotiated(&bytes);
            let mut cut_off = answer(0, 1, 0x0311, 1);
            cut_off.truncate(cut);
            negotiated(&cut_off);
            read(&[b"\xfeSMB", &bytes[..]].concat());
        }
    }
}
