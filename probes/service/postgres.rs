//! PostgreSQL (its documentation, "Message Formats"): the question for TLS, and where there is none a question that names no user and
//! that every server answers with the versions of the protocol which it has.

use super::bytes::{Bytes, text};
use super::protocol::{Asking, Heard, Protocol, Reading, Step};
use netsonde_contract::kind::ServiceProtocol;

pub(super) const PROTOCOL: Protocol = Protocol::new(
    ServiceProtocol::Postgres,
    &[Step::new("SSLRequest", ask_tls, tls), Step::new("versions", ask_versions, error)],
);

/// An error has some hundred bytes.
const MAX_ERROR: usize = 8 * 1024;
/// `feature_not_supported`: the answer to a version that nobody has.
const NOT_SUPPORTED: &str = "0A000";

fn ask_tls(_: &Asking<'_>) -> Option<Vec<u8>> {
    Some(vec![0, 0, 0, 8, 4, 210, 22, 47])
}

/// One letter; an error of a server that cannot serve at all. More bytes after the letter are another protocol's, or somebody put
/// them there.
fn tls(bytes: &[u8]) -> Reading {
    match bytes {
        [] => Reading::More,
        [b'S'] => {
            Reading::done(Heard { greeting: Some("S".into()), tls_offered: Some(true), tls_agreed: true, ..Heard::default() }, 1)
        }
        [b'N'] => Reading::done(Heard { greeting: Some("N".into()), tls_offered: Some(false), ..Heard::default() }, 1),
        [b'E', ..] => error(bytes),
        _ => Reading::NotThis,
    }
}

/// A start in version 255.0, which names neither user nor database.
fn ask_versions(_: &Asking<'_>) -> Option<Vec<u8>> {
    Some(vec![0, 0, 0, 9, 0, 255, 0, 0, 0])
}

fn error(bytes: &[u8]) -> Reading {
    let mut message = Bytes::new(bytes);
    match message.u8() {
        None => return Reading::More,
        Some(b'E') => {}
        Some(_) => return Reading::NotThis,
    }
    let Some(length) = message.u32().and_then(|length| usize::try_from(length).ok()) else { return Reading::More };
    if !(5..=MAX_ERROR).contains(&length) {
        return Reading::NotThis;
    }
    let Some(content) = message.take(length - 4) else { return Reading::More };
    Reading::or_not_this(fields(content).map(|heard| Reading::done(heard, length + 1)))
}

/// Fields of a letter and a text each: `C` is the code (SQLSTATE), `M` the message.
fn fields(content: &[u8]) -> Option<Heard> {
    let mut content = Bytes::new(content);
    let (mut code, mut words) = (None, String::new());
    while let Some(letter) = content.u8().filter(|letter| *letter != 0) {
        let value = text(content.zero_ended()?);
        match letter {
            b'C' => code = Some(value),
            b'M' => words = value,
            _ => {}
        }
    }
    let code = code?;
    Some(match code.as_str() {
        NOT_SUPPORTED => Heard { capabilities: vec![words], ..Heard::default() },
        _ => Heard::refused(code, words),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(code: &str, words: &str) -> Vec<u8> {
        let content = format!("SFATAL\0C{code}\0M{words}\0\0");
        [b"E", &(content.len() as u32 + 4).to_be_bytes()[..], content.as_bytes()].concat()
    }

    #[test]
    fn one_letter_decides_on_tls_and_an_ssh_server_is_not_taken_for_yes() {
        let Reading::Done(heard, 1) = tls(b"S") else { panic!() };
        assert!(heard.tls_agreed);
        assert_eq!(tls(b"SSH-2.0-OpenSSH"), Reading::NotThis);
        assert_eq!(tls(b"HTTP/1.1"), Reading::NotThis);
    }

    #[test]
    fn a_server_that_takes_nobody_refuses_and_an_unknown_version_is_none() {
        let Reading::Done(heard, _) = error(&answer("53300", "sorry, too many clients already")) else { panic!() };
        assert_eq!(heard.refusal.unwrap().code, "53300");
        let Reading::Done(heard, _) = error(&answer("0A000", "server supports 3.0 to 3.0")) else { panic!() };
        assert_eq!((heard.refusal, heard.capabilities), (None, vec!["server supports 3.0 to 3.0".to_owned()]));
        assert_eq!(error(&answer("53300", "x")[..9]), Reading::More);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            tls(&bytes);
            error(&[&[b'E', 0, 0, 0, bytes.len() as u8], &bytes[..]].concat());
        }
    }
}
