//! RDP (MS-RDPBCGR sections 2.2.1.1 and 2.2.1.2): the negotiation of the security protocol, and TLS where it was chosen.

use super::bytes::Bytes;
use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use netsonde_contract::kind::ServiceProtocol;

pub(super) const PROTOCOL: Protocol = Protocol::new(ServiceProtocol::Rdp, &[Step::new("negotiation", ask, confirmed)]);

/// TLS, CredSSP, and CredSSP with an early verdict.
const OFFERED: u8 = 1 | 2 | 8;
/// A confirmation has 11 or 19 bytes.
const MAX_PACKET: usize = 512;

/// An X.224 connection request without a cookie, which would name a user.
fn ask(asking: &Asking<'_>) -> Option<Vec<u8>> {
    let offered = if asking.tls { OFFERED } else { 0 };
    Some(vec![3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, offered, 0, 0, 0])
}

fn confirmed(bytes: &[u8]) -> Reading {
    let mut packet = Bytes::new(bytes);
    match (packet.u8(), packet.u8()) {
        (None, _) | (Some(3), None) => return Reading::More,
        (Some(3), Some(0)) => {}
        _ => return Reading::NotThis,
    }
    let Some(length) = packet.u16().map(usize::from) else { return Reading::More };
    if !(11..=MAX_PACKET).contains(&length) {
        return Reading::NotThis;
    }
    let Some(content) = packet.take(length - 4) else { return Reading::More };
    Reading::or_not_this(read(content).map(|heard| Reading::done(heard, length)))
}

fn read(content: &[u8]) -> Option<Heard> {
    let mut content = Bytes::new(content);
    content.u8()?;
    if content.u8()? & 0xf0 != 0xd0 {
        return None;
    }
    content.take(5)?;
    let Some(kind) = content.u8() else {
        // Without a negotiation: the security of RDP itself, as servers before 2008 have it.
        return Some(Heard { greeting: Some("security of RDP alone".into()), tls_offered: Some(false), ..Heard::default() });
    };
    let flags = content.u8()?;
    content.u16_le()?;
    let value = content.u32_le()?;
    match kind {
        2 => Some(chosen(value, flags)),
        3 => Some(Heard { tls_required: value == 1, ..Heard::refused(value.to_string(), failure(value)) }),
        _ => None,
    }
}

fn chosen(protocol: u32, flags: u8) -> Heard {
    let (name, tls) = match protocol {
        0 => ("security of RDP alone", false),
        1 => ("TLS", true),
        2 => ("CredSSP (network level authentication)", true),
        8 => ("CredSSP with an early verdict", true),
        _ => ("an unknown security protocol", false),
    };
    let abilities =
        [(1, "extended client data"), (2, "graphics pipeline"), (8, "restricted administration"), (16, "remote guard")];
    let capabilities = abilities.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| (*name).to_owned()).collect();
    Heard {
        greeting: Some(format!("chooses {name}")),
        capabilities,
        tls_offered: Some(tls),
        tls_required: protocol & 0b1010 != 0,
        tls_agreed: tls,
        ..Heard::default()
    }
}

/// The names of MS-RDPBCGR section 2.2.1.2.2.
fn failure(code: u32) -> &'static str {
    match code {
        1 => "SSL_REQUIRED_BY_SERVER",
        2 => "SSL_NOT_ALLOWED_BY_SERVER",
        3 => "SSL_CERT_NOT_ON_SERVER",
        4 => "INCONSISTENT_FLAGS",
        5 => "HYBRID_REQUIRED_BY_SERVER",
        6 => "SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER",
        _ => "a failure that the standard does not name",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(kind: u8, value: u8) -> Vec<u8> {
        vec![3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, kind, 1, 8, 0, value, 0, 0, 0]
    }

    #[test]
    fn what_the_server_chooses_decides_on_tls_and_a_failure_is_its_refusal() {
        let Reading::Done(heard, 19) = confirmed(&answer(2, 2)) else { panic!() };
        assert!(heard.tls_agreed && heard.tls_required);
        let Reading::Done(heard, _) = confirmed(&answer(2, 0)) else { panic!() };
        assert_eq!((heard.tls_agreed, heard.tls_offered), (false, Some(false)));
        let Reading::Done(heard, _) = confirmed(&answer(3, 5)) else { panic!() };
        assert_eq!(heard.refusal.unwrap().text, "HYBRID_REQUIRED_BY_SERVER");
        assert_eq!(confirmed(b"HTTP/1.1"), Reading::NotThis);
        assert_eq!(confirmed(&answer(2, 1)[..12]), Reading::More);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            confirmed(&bytes);
            confirmed(&[&[3, 0, 0, bytes.len() as u8 + 4], &bytes[..]].concat());
        }
    }
}
