//! SMTP (RFC 5321): greeting, extensions, and TLS (RFC 3207). Nobody is named as sender, and no mail begins.

use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use super::reply::reading;
use netsonde_contract::kind::ServiceProtocol;

pub(super) const PROTOCOL: Protocol = Protocol {
    farewell: b"QUIT\r\n",
    ..Protocol::new(
        ServiceProtocol::Smtp,
        &[
            Step::new("greeting", |_| Some(Vec::new()), greeting),
            // A name that is nobody's (RFC 2606), as the machine's own is nobody's business.
            Step::new("EHLO", |_| Some(b"EHLO netsonde.invalid\r\n".to_vec()), extensions),
            Step::new("STARTTLS", ask_tls, tls),
        ],
    )
};

/// Words of a greeting that name a program which gives no version behind it.
const PROGRAMS: [&str; 7] = ["Postfix", "OpenSMTPD", "Sendmail", "Haraka", "Exchange", "MailEnable", "qmail"];

fn greeting(bytes: &[u8]) -> Reading {
    reading(bytes, |reply| {
        let line = reply.lines.join(" ");
        let says = |word: &str| line.to_ascii_uppercase().contains(word);
        match reply.code {
            // File servers greet with the same number.
            _ if says("FTP") && !says("SMTP") => None,
            220 => {
                let (mut product, version) = super::bytes::product(&line);
                if says("MICROSOFT ESMTP") {
                    product = Some("Microsoft ESMTP".to_owned());
                }
                let named = || PROGRAMS.iter().find(|program| line.contains(**program)).map(|program| (*program).to_owned());
                Some(Heard {
                    greeting: Some(format!("220 {}", reply.first_line())),
                    product: product.or_else(named),
                    version,
                    ..Heard::default()
                })
            }
            _ => Some(reply.refusal()),
        }
    })
}

fn extensions(bytes: &[u8]) -> Reading {
    reading(bytes, |reply| match reply.code {
        250 => {
            let capabilities: Vec<String> = reply.lines.iter().skip(1).cloned().collect();
            let tls = capabilities.iter().any(|word| word.trim().eq_ignore_ascii_case("STARTTLS"));
            Some(Heard { capabilities, tls_offered: Some(tls), ..Heard::default() })
        }
        // An old server without extensions (RFC 5321 section 3.2) is alive.
        500..=504 => Some(Heard { tls_offered: Some(false), ..Heard::default() }),
        // What file servers say to a command before the sign-in.
        530 => None,
        _ => Some(reply.refusal()),
    })
}

fn ask_tls(asking: &Asking<'_>) -> Option<Vec<u8>> {
    (asking.tls && asking.heard.tls_offered == Some(true)).then(|| b"STARTTLS\r\n".to_vec())
}

fn tls(bytes: &[u8]) -> Reading {
    reading(bytes, |reply| match reply.code {
        220 => Some(Heard { tls_agreed: true, ..Heard::default() }),
        421 => Some(reply.refusal()),
        _ => Some(reply.without_tls()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mail_server_says_who_it_is_and_what_it_can() {
        let Reading::Done(heard, _) = greeting(b"220 mx.example ESMTP Postfix (Debian/GNU)\r\n") else { panic!() };
        assert_eq!((heard.product.as_deref(), heard.version), (Some("Postfix"), None));
        let Reading::Done(heard, _) = extensions(b"250-mx\r\n250-STARTTLS\r\n250 SIZE 9\r\n") else { panic!() };
        assert_eq!((heard.capabilities, heard.tls_offered), (vec!["STARTTLS".to_owned(), "SIZE 9".to_owned()], Some(true)));
    }

    #[test]
    fn a_server_that_takes_no_mail_from_here_says_so() {
        for (line, code) in [("421 4.3.2 too many connections\r\n", "421"), ("554 5.7.1 no service for you\r\n", "554")] {
            let Reading::Done(heard, _) = greeting(line.as_bytes()) else { panic!() };
            assert_eq!(heard.refusal.unwrap().code, code);
        }
        assert_eq!(greeting(b"220 (vsFTPd 3.0.3)\r\n"), Reading::NotThis);
        assert_eq!(extensions(b"530 Please login with USER and PASS.\r\n"), Reading::NotThis);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), lines in "(220|250|421|[ -]|x|\r\n){0,20}") {
            for bytes in [&bytes[..], lines.as_bytes()] {
                greeting(bytes);
                extensions(bytes);
                tls(bytes);
            }
        }
    }
}
