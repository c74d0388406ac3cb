//! DHCP (RFC 2131): a DISCOVER and the offers that answer it. Nothing is requested, so that no address is taken; a server keeps what it
//! offered free for some seconds. The question names a hardware address that nobody has.

use super::bytes::{Bytes, text};
use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use netsonde_contract::kind::ServiceProtocol;
use std::net::Ipv4Addr;

pub(super) const PROTOCOL: Protocol =
    Protocol { local_port: Some(68), ..Protocol::new(ServiceProtocol::Dhcp, &[Step::new("DISCOVER", ask, offer)]) };

const MAGIC: [u8; 4] = [99, 130, 83, 99];
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
/// Where the options begin: after the fields that BOOTP had (RFC 951).
const FIXED: usize = 236;

fn ask(asking: &Asking<'_>) -> Option<Vec<u8>> {
    let [x0, x1, x2, x3, a, b, c, d, e, ..] = *asking.random;
    // A request over Ethernet with addresses of six bytes; flag: the answer goes to everybody, as nobody has the address yet.
    let mut message = vec![1, 1, 6, 0, x0, x1, x2, x3, 0, 0, 0x80, 0];
    message.resize(28, 0);
    // Administered locally (the second bit): no vendor's address.
    message.extend_from_slice(&[0x02, a, b, c, d, e]);
    message.resize(FIXED, 0);
    message.extend_from_slice(&MAGIC);
    // What kind of message, and what the offer should hold: mask, router, name servers, domain, lease, server.
    message.extend_from_slice(&[53, 1, DISCOVER, 55, 6, 1, 3, 6, 15, 51, 54, 255]);
    // Some servers ignore messages shorter than BOOTP's 300 bytes.
    message.resize(300, 0);
    Some(message)
}

fn offer(bytes: &[u8]) -> Reading {
    Reading::or_not_this(read(bytes).map(|heard| Reading::done(heard, bytes.len())))
}

fn read(bytes: &[u8]) -> Option<Heard> {
    let offered: [u8; 4] = bytes.get(16..20)?.try_into().ok()?;
    let mut options = Bytes::new(bytes.get(FIXED..)?);
    if bytes.first() != Some(&2) || options.take(4)? != MAGIC {
        return None;
    }
    let mut capabilities = vec![format!("offers {}", Ipv4Addr::from(offered))];
    let mut is_offer = false;
    while let Some(option) = options.u8().filter(|option| *option != 255) {
        if option == 0 {
            continue;
        }
        let length = usize::from(options.u8()?);
        let value = options.take(length)?;
        match (option, value) {
            (53, [kind]) => is_offer = *kind == OFFER,
            (1, _) => capabilities.extend(addresses("mask", value)),
            (3, _) => capabilities.extend(addresses("router", value)),
            (6, _) => capabilities.extend(addresses("name server", value)),
            (54, _) => capabilities.extend(addresses("server", value)),
            (15, _) => capabilities.push(format!("domain {}", text(value))),
            (51, [a, b, c, d]) => capabilities.push(format!("lease {} s", u32::from_be_bytes([*a, *b, *c, *d]))),
            _ => {}
        }
    }
    is_offer.then(|| Heard { greeting: Some("OFFER".into()), capabilities, ..Heard::default() })
}

fn addresses<'a>(what: &'a str, value: &'a [u8]) -> impl Iterator<Item = String> + 'a {
    let (quads, _) = value.as_chunks::<4>();
    quads.iter().map(move |quad| format!("{what} {}", Ipv4Addr::from(*quad)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(op: u8, options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![op];
        bytes.resize(FIXED, 0);
        bytes[16..20].copy_from_slice(&[10, 0, 0, 9]);
        [&bytes[..], &MAGIC, options].concat()
    }

    #[test]
    fn an_offer_tells_what_a_client_would_get() {
        let Reading::Done(heard, _) =
            offer(&message(2, &[53, 1, 2, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 14, 16, 0, 6, 8, 10, 0, 0, 2, 10, 0, 0, 3, 255]))
        else {
            panic!()
        };
        let expected = ["offers 10.0.0.9", "server 10.0.0.1", "lease 3600 s", "name server 10.0.0.2", "name server 10.0.0.3"];
        assert_eq!(heard.capabilities, expected);
    }

    #[test]
    fn the_own_question_and_another_message_are_no_offer() {
        let question = ask(&Asking { heard: &Heard::default(), random: &[7; 64], port: 67, tls: true }).unwrap();
        assert_eq!(offer(&question), Reading::NotThis);
        assert_eq!(offer(&message(2, &[53, 1, 5, 255])), Reading::NotThis);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            offer(&bytes);
            offer(&message(2, &bytes));
        }
    }
}
