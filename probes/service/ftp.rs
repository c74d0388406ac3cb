//! FTP (RFC 959): greeting, features (RFC 2389), and TLS (RFC 4217).

use super::bytes::product;
use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use super::reply::{Reply, reading};
use netsonde_contract::kind::ServiceProtocol;

pub(super) const PROTOCOL: Protocol = Protocol {
    farewell: b"QUIT\r\n",
    ..Protocol::new(
        ServiceProtocol::Ftp,
        &[
            Step::new("greeting", |_| Some(Vec::new()), greeting),
            Step::new("FEAT", |_| Some(b"FEAT\r\n".to_vec()), features),
            Step::new("AUTH TLS", ask_tls, tls),
        ],
    )
};

fn greeting(bytes: &[u8]) -> Reading {
    reading(bytes, |reply| {
        let line = reply.lines.join(" ");
        let says = |word: &str| line.to_ascii_uppercase().contains(word);
        match reply.code {
            // Mail servers greet with the same number.
            _ if says("SMTP") && !says("FTP") => None,
            120 | 220 => {
                let (product, version) = product(&line);
                Some(Heard {
                    greeting: Some(format!("{} {}", reply.code, reply.first_line())),
                    product,
                    version,
                    ..Heard::default()
                })
            }
            _ => Some(reply.refusal()),
        }
    })
}

/// A server without the command, or which wants a sign-in first, has said enough: it is alive.
fn features(bytes: &[u8]) -> Reading {
    reading(bytes, |reply| {
        if reply.code == 421 {
            return Some(reply.refusal());
        }
        let listed = reply.lines.get(1..reply.lines.len().saturating_sub(1)).unwrap_or_default();
        let capabilities: Vec<String> = if reply.code == 211 { listed.to_vec() } else { Vec::new() };
        let tls =
            capabilities.iter().any(|feature| feature.to_ascii_uppercase().starts_with("AUTH TLS") || feature.contains("TLS;"));
        let known = reply.code == 211;
        Some(Heard { capabilities, tls_offered: known.then_some(tls), ..Heard::default() })
    })
}

fn ask_tls(asking: &Asking<'_>) -> Option<Vec<u8>> {
    // A server that did not say what it can do may still have it.
    (asking.tls && asking.heard.tls_offered != Some(false)).then(|| b"AUTH TLS\r\n".to_vec())
}

fn tls(bytes: &[u8]) -> Reading {
    reading(bytes, |reply: &Reply| match reply.code {
        234 => Some(Heard { tls_offered: Some(true), tls_agreed: true, ..Heard::default() }),
        421 => Some(reply.refusal()),
        _ => Some(reply.without_tls()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn features_say_whether_there_is_tls() {
        let Reading::Done(heard, _) = features(b"211-Features:\r\n AUTH TLS\r\n UTF8\r\n211 End\r\n") else { panic!() };
        assert_eq!((heard.capabilities, heard.tls_offered), (vec!["AUTH TLS".to_owned(), "UTF8".to_owned()], Some(true)));
        let Reading::Done(heard, _) = features(b"530 Please login\r\n") else { panic!() };
        assert_eq!((heard.tls_offered, heard.refusal), (None, None));
    }

    #[test]
    fn a_full_server_refuses_and_a_mail_server_is_another_protocol() {
        let Reading::Done(heard, _) = greeting(b"421 There are too many connected users\r\n") else { panic!() };
        assert_eq!(heard.refusal.unwrap().code, "421");
        assert_eq!(greeting(b"220 mx.example ESMTP Postfix\r\n"), Reading::NotThis);
        let Reading::Done(heard, _) = greeting(b"220 (vsFTPd 3.0.3)\r\n") else { panic!() };
        assert_eq!((heard.product.as_deref(), heard.version.as_deref()), (Some("vsFTPd"), Some("3.0.3")));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), lines in "(211|234|421|[ -]|x|\r\n){0,20}") {
            for bytes in [&bytes[..], lines.as_bytes()] {
                greeting(bytes);
                features(bytes);
                tls(bytes);
            }
        }
    }
}
