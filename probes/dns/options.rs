//! What a reply's OPT record says beside its size: who replied, whose question it answers, and for whom (RFC 6891 section 6.1.2).

use hickory_proto::op::Edns as Parsed;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::observation::{Cookie, Edns, SubnetScope};

/// The client's part of a cookie has this length, always (RFC 7873 section 4).
pub(super) const CLIENT_COOKIE_BYTES: usize = 8;

/// The server's part has at least so many bytes, and at most [`MAX_SERVER_COOKIE`] (RFC 7873 section 4).
const MIN_SERVER_COOKIE: usize = 8;
const MAX_SERVER_COOKIE: usize = 32;

/// An identifier is a host's name or some bytes of it; this keeps a crafted one from filling the bundle.
const MAX_NSID_BYTES: usize = 256;

/// RFC 5001 section 2.1: bytes of any kind, in practice most often a host's name.
fn nsid(edns: &Parsed) -> Option<String> {
    let Some(EdnsOption::NSID(payload)) = edns.option(EdnsCode::NSID) else { return None };
    let bytes = payload.as_ref();
    let bytes = &bytes[..bytes.len().min(MAX_NSID_BYTES)];
    let printable = !bytes.is_empty() && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
    match std::str::from_utf8(bytes) {
        Ok(text) if printable => Some(text.to_owned()),
        _ => Some(format!("0x{}", hexadecimal(bytes))),
    }
}

/// The cookie of a reply: the client's part and the server's, which may be empty. None without one, or where it has no legal length.
pub(super) fn cookie(edns: &Parsed) -> Option<(&[u8; CLIENT_COOKIE_BYTES], &[u8])> {
    let Some(EdnsOption::Unknown(_, bytes)) = edns.option(EdnsCode::Cookie) else { return None };
    let (client, server) = bytes.split_first_chunk()?;
    (server.is_empty() || (MIN_SERVER_COOKIE..=MAX_SERVER_COOKIE).contains(&server.len())).then_some((client, server))
}

/// The record as a fact. `sent` is the client's part of the cookie that the question had.
pub(super) fn edns(parsed: &Parsed, sent: Option<&[u8; CLIENT_COOKIE_BYTES]>) -> Edns {
    let subnet = match parsed.option(EdnsCode::Subnet) {
        Some(EdnsOption::Subnet(subnet)) => Some(SubnetScope {
            address: subnet.addr(),
            source_prefix: subnet.source_prefix(),
            scope_prefix: subnet.scope_prefix(),
        }),
        _ => None,
    };
    Edns {
        version: parsed.version(),
        udp_size_bytes: parsed.max_payload(),
        dnssec_ok: parsed.flags().dnssec_ok,
        nsid: nsid(parsed),
        cookie: cookie(parsed).map(|(client, server)| Cookie {
            client_matches: sent == Some(client),
            server_bytes: u8::try_from(server.len()).unwrap_or(u8::MAX),
        }),
        client_subnet: subnet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::opt::{ClientSubnet, NSIDPayload};
    use proptest::prelude::*;

    fn with(option: EdnsOption) -> Parsed {
        let mut edns = Parsed::new();
        edns.options_mut().insert(option);
        edns
    }

    #[test]
    fn an_instance_is_named_in_text_or_in_hexadecimal() {
        for (bytes, expected) in [(&b"ns1.fra"[..], "ns1.fra"), (b"\x1b[2J", "0x1b5b324a"), (b"", "0x"), (b"\xff", "0xff")] {
            assert_eq!(nsid(&with(EdnsOption::NSID(NSIDPayload::new(bytes).unwrap()))).unwrap(), expected);
        }
        let endless = nsid(&with(EdnsOption::NSID(NSIDPayload::new(vec![b'a'; 60_000]).unwrap()))).unwrap();
        assert_eq!(endless.len(), MAX_NSID_BYTES);
    }

    #[test]
    fn a_cookie_keeps_whether_it_is_ours_and_none_of_its_bytes() {
        let of = |bytes: &[u8]| edns(&with(EdnsOption::Unknown(10, bytes.to_vec())), Some(b"12345678")).cookie;
        assert_eq!(of(b"12345678abcdefgh"), Some(Cookie { client_matches: true, server_bytes: 8 }));
        assert_eq!(of(b"12345679"), Some(Cookie { client_matches: false, server_bytes: 0 }));
        for illegal in [&b"1234567"[..], b"12345678a", &[0; 41]] {
            assert_eq!(of(illegal), None, "{} bytes", illegal.len());
        }
    }

    #[test]
    fn the_scope_of_an_answer_is_kept() {
        let subnet = ClientSubnet::new("192.0.2.0".parse().unwrap(), 24, 16);
        let scope = edns(&with(EdnsOption::Subnet(subnet)), None).client_subnet.unwrap();
        assert_eq!((scope.source_prefix, scope.scope_prefix), (24, 16));
    }

    proptest! {
        #[test]
        fn no_options_make_the_reader_panic(code in 0_u16..20, bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(option) = EdnsOption::try_from((EdnsCode::from(code), bytes.as_slice())) {
                let read = edns(&with(option), Some(&[0; 8]));
                prop_assert!(read.nsid.is_none_or(|nsid| nsid.chars().all(|c| !c.is_control())));
            }
        }
    }
}
