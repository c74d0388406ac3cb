//! SSH (RFC 4253): the identification line, and the algorithms that the server lists behind it.

use super::bytes::{Bytes, text};
use super::foreign;
use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use netsonde_contract::kind::ServiceProtocol;

pub(super) const PROTOCOL: Protocol = Protocol::new(
    ServiceProtocol::Ssh,
    &[Step::new("identification", ask, identification), Step::new("algorithms", listen, algorithms).optional()],
);

/// Lines before the identification together (RFC 4253 section 4.2 allows any); more is no SSH.
const MAX_BEFORE: usize = 4_096;
/// RFC 4253 section 6.1: implementations take packets of up to 35,000 bytes.
const MAX_PACKET: usize = 35_000;
const KEXINIT: u8 = 20;
/// The lists of a KEXINIT that are kept, in their order (RFC 4253 section 7.1); those of the client's direction say the same.
const LISTS: [Option<&str>; 6] = [Some("key exchange"), Some("host key"), None, Some("cipher"), None, Some("mac")];

/// Both sides say who they are at once (RFC 4253 section 4.2).
fn ask(_: &Asking<'_>) -> Option<Vec<u8>> {
    Some(b"SSH-2.0-netsonde\r\n".to_vec())
}

fn listen(_: &Asking<'_>) -> Option<Vec<u8>> {
    Some(Vec::new())
}

fn identification(bytes: &[u8]) -> Reading {
    if !bytes.starts_with(b"SSH-") && foreign::name(bytes).is_some() {
        return Reading::NotThis;
    }
    let mut used = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(content) = line.strip_suffix(b"\n") else { break };
        used += line.len();
        if content.starts_with(b"SSH-") {
            return Reading::done(identified(&text(content)), used);
        }
        // OpenSSH says so in a line of its own and closes.
        if content.starts_with(b"Exceeded MaxStartups") || content.starts_with(b"Not allowed at this time") {
            return Reading::done(Heard::refused("closed", text(content)), used);
        }
    }
    if bytes.len() > MAX_BEFORE { Reading::NotThis } else { Reading::More }
}

/// `SSH-2.0-OpenSSH_9.2p1 Debian-2`: protocol version, software, comment.
fn identified(line: &str) -> Heard {
    let mut parts = line.splitn(3, '-').skip(1);
    let (protocol, software) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let software = software.split(' ').next().unwrap_or_default();
    let (product, version) = match software.split_once('_') {
        Some((product, version)) => (product, Some(version.to_owned())),
        None => (software, None),
    };
    Heard {
        greeting: Some(line.to_owned()),
        product: Some(product.to_owned()).filter(|product| !product.is_empty()),
        version,
        capabilities: vec![format!("protocol {protocol}")],
        ..Heard::default()
    }
}

fn algorithms(bytes: &[u8]) -> Reading {
    let mut packet = Bytes::new(bytes);
    let Some(length) = packet.u32().and_then(|length| usize::try_from(length).ok()) else { return Reading::More };
    if !(2..=MAX_PACKET).contains(&length) {
        return Reading::NotThis;
    }
    let Some(content) = packet.take(length) else { return Reading::More };
    Reading::or_not_this(kexinit(content).map(|heard| Reading::done(heard, length + 4)))
}

fn kexinit(content: &[u8]) -> Option<Heard> {
    let mut payload = Bytes::new(content);
    payload.u8()?;
    if payload.u8()? != KEXINIT {
        return None;
    }
    payload.take(16)?;
    let mut capabilities = Vec::new();
    for list in LISTS {
        let length = usize::try_from(payload.u32()?).ok()?;
        let names = payload.take(length)?;
        if let Some(list) = list {
            capabilities.extend(names.split(|byte| *byte == b',').map(|name| format!("{list} {}", text(name))));
        }
    }
    Some(Heard { capabilities, ..Heard::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn program_and_version_are_read_from_the_identification() {
        let Reading::Done(heard, used) = identification(b"warning\r\nSSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\nrest") else {
            panic!()
        };
        assert_eq!((heard.product.as_deref(), heard.version.as_deref(), used), (Some("OpenSSH"), Some("9.2p1"), 49));
        let Reading::Done(heard, _) = identification(b"SSH-2.0-dropbear\n") else { panic!() };
        assert_eq!((heard.product.as_deref(), heard.version), (Some("dropbear"), None));
    }

    #[test]
    fn too_many_connections_are_a_refusal_and_a_mail_server_is_none() {
        let Reading::Done(heard, _) = identification(b"Exceeded MaxStartups\r\n") else { panic!() };
        assert_eq!(heard.refusal.unwrap().text, "Exceeded MaxStartups");
        assert_eq!(identification(b"220 mail ESMTP\r\n"), Reading::NotThis);
        assert_eq!(identification(b"SSH-2.0"), Reading::More);
    }

    #[test]
    fn the_algorithms_are_listed_by_their_use() {
        let list = |names: &str| [&u32::try_from(names.len()).unwrap().to_be_bytes(), names.as_bytes()].concat();
        let lists: Vec<u8> = ["a,b", "k", "x", "c", "x", "m"].iter().flat_map(|names| list(names)).collect();
        let content = [&[4, KEXINIT][..], &[0; 16], &lists].concat();
        let packet = [&u32::try_from(content.len()).unwrap().to_be_bytes(), &content[..]].concat();
        let Reading::Done(heard, used) = algorithms(&packet) else { panic!() };
        assert_eq!(heard.capabilities, ["key exchange a", "key exchange b", "host key k", "cipher c", "mac m"]);
        assert_eq!(used, packet.len());
        assert_eq!(algorithms(&packet[..20]), Reading::More);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), length in 0_u8..200) {
            identification(&bytes);
            algorithms(&bytes);
            algorithms(&[&[0, 0, 0, length, 4, KEXINIT], &bytes[..]].concat());
        }
    }
}
