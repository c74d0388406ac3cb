//! What is spoken in the clear before TLS begins (STARTTLS).
//!
//! Each protocol is a small machine that takes what was received and says what to do next; it opens nothing. [`speak`] drives it over
//! a connection. Nobody signs in, and nothing is written but the question for TLS and what must precede it.

mod imap;
mod ldap;
mod mysql;
mod postgres;
mod smtp;

use super::failure::printable;
use crate::counted::Counted;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::StartTlsProtocol;
use netsonde_contract::observation::StartTls;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Each protocol with its name and its machine.
pub(super) const PROTOCOLS: [(StartTlsProtocol, &str, Begin); 5] = [
    (StartTlsProtocol::Smtp, "smtp", || Box::new(smtp::Smtp::default())),
    (StartTlsProtocol::Imap, "imap", || Box::new(imap::Imap::default())),
    (StartTlsProtocol::Postgres, "postgres", || Box::new(postgres::Postgres::default())),
    (StartTlsProtocol::Mysql, "mysql", || Box::new(mysql::Mysql)),
    (StartTlsProtocol::Ldap, "ldap", || Box::new(ldap::Ldap::default())),
];

/// A server that says more than this before it agrees does not speak the protocol: greetings have some hundred bytes.
const MAX_TALK_BYTES: usize = 16 * 1024;

/// Bytes of the greeting that are kept, as of any reply that is shown.
const MAX_GREETING_BYTES: usize = 128;

/// One protocol's way to TLS.
pub(super) trait Talk: Send {
    /// What to do, given everything received since the last [`Next::Send`]. Called once with nothing before the first byte.
    fn next(&mut self, received: &[u8]) -> Next;
}

pub(super) type Begin = fn() -> Box<dyn Talk>;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// More has to come first.
    Wait,
    Send(Vec<u8>),
    /// The server agreed: TLS begins with the next byte.
    Agreed,
    /// TLS begins with the next byte, which the client sends together with this: nothing answers it.
    SendAndBegin(Vec<u8>),
    /// The server refused, or does not offer TLS: in its own words where it has some.
    Refused(String),
    /// The bytes are not of this protocol.
    NotThis,
}

/// Speaks the protocol up to the server's agreement. Without a protocol there is nothing to say.
///
/// # Errors
/// Where the server refuses, breaks off, says nothing or speaks something else; what was seen stands in the first part.
pub(super) async fn speak(
    clock: crate::clock::Clock,
    stream: &mut Counted,
    protocol: StartTlsProtocol,
    timeout: Duration,
) -> (Option<StartTls>, Result<(), Failure>) {
    let Some((_, name, begin)) = PROTOCOLS.iter().find(|(known, ..)| *known == protocol) else { return (None, Ok(())) };
    let began = clock.now();
    let mut heard = Heard::default();
    let result = match tokio::time::timeout(timeout, converse(stream, name, begin(), &mut heard)).await {
        Ok(result) => result,
        Err(_) => {
            let what = if heard.bytes == 0 { "said nothing" } else { "did not agree to TLS" };
            let text = format!("the server {what} within {} ms, in {name}", timeout.as_millis());
            Err(Failure::new(FailureCode::TimedOut, Step::Receive, text))
        }
    };
    let greeting = heard.first;
    let line = greeting.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let seen = StartTls {
        protocol: (*name).to_owned(),
        greeting: if is_text(protocol) { printable(&line[..line.len().min(MAX_GREETING_BYTES)]) } else { String::new() },
        received_bytes: Some(u32::try_from(heard.bytes).unwrap_or(u32::MAX)),
        agreed: result.is_ok(),
        took_us: crate::clock::microseconds(clock.now().saturating_sub(began)),
    };
    (Some(seen), result)
}

/// Whether the protocol begins with a line that people can read.
fn is_text(protocol: StartTlsProtocol) -> bool {
    matches!(protocol, StartTlsProtocol::Smtp | StartTlsProtocol::Imap)
}

/// What the server said before TLS.
#[derive(Default)]
struct Heard {
    /// The beginning of it.
    first: Vec<u8>,
    bytes: usize,
}

async fn converse(stream: &mut Counted, name: &str, mut talk: Box<dyn Talk>, heard: &mut Heard) -> Result<(), Failure> {
    let broken = |text: String| Failure::new(FailureCode::ProtocolError, Step::Handshake, text);
    let send_failed = |error: std::io::Error| Failure::from_io(&error, Step::Send);
    let mut received = Vec::new();
    loop {
        match talk.next(&received) {
            Next::Send(bytes) => {
                stream.write_all(&bytes).await.map_err(send_failed)?;
                received.clear();
                continue;
            }
            Next::SendAndBegin(bytes) => return stream.write_all(&bytes).await.map_err(send_failed),
            Next::Agreed => return Ok(()),
            Next::Refused(words) => {
                let text = format!("the server does not go on in TLS: {words}");
                return Err(Failure::new(FailureCode::Other("starttls_refused".into()), Step::Handshake, text));
            }
            Next::NotThis => return Err(broken(format!("the reply is not {name}: \"{}\"", shown(&received)))),
            Next::Wait => {}
        }
        let mut buffer = [0_u8; 1024];
        let count = stream.read(&mut buffer).await.map_err(|error| Failure::from_io(&error, Step::Receive))?;
        if count == 0 {
            let text = format!("the server closed the connection before it agreed to TLS ({name})");
            return Err(Failure::new(FailureCode::Closed, Step::Receive, text));
        }
        heard.bytes += count;
        if heard.bytes > MAX_TALK_BYTES {
            return Err(Failure::new(FailureCode::TooLarge, Step::Handshake, format!("the server says more than {name} does")));
        }
        let room = MAX_GREETING_BYTES.saturating_sub(heard.first.len()).min(count);
        heard.first.extend_from_slice(&buffer[..room]);
        received.extend_from_slice(&buffer[..count]);
    }
}

/// The beginning of what was received, for a message.
fn shown(bytes: &[u8]) -> String {
    printable(&bytes[..bytes.len().min(MAX_GREETING_BYTES)])
}

/// The complete lines of a text protocol, without their ends.
fn lines(received: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = received.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let lines = received[..end].split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the machine says, step by step, to what a server says.
    fn conversation(protocol: StartTlsProtocol, server: &[&[u8]]) -> Vec<Next> {
        let (_, _, begin) = PROTOCOLS.iter().find(|(known, ..)| *known == protocol).unwrap();
        let mut talk = begin();
        let mut said = vec![talk.next(b"")];
        said.extend(server.iter().map(|received| talk.next(received)));
        said
    }

    #[test]
    fn every_protocol_of_the_parameter_is_spoken() {
        let fields = netsonde_contract::kind::Kind::Tls.fields();
        let field = fields.iter().find(|field| field.name == "starttls").unwrap();
        let netsonde_contract::kind::FieldType::Choice(words) = &field.kind else { panic!("{field:?}") };
        let mut names: Vec<&str> = PROTOCOLS.iter().map(|(_, name, _)| *name).collect();
        names.insert(0, "none");
        assert_eq!(*words, names);
    }

    #[test]
    fn mail_servers_are_asked_after_their_greeting() {
        use StartTlsProtocol::Smtp;
        let agreed =
            conversation(Smtp, &[b"220-mail\r\n220 ESMTP\r\n", b"250-mail\r\n250-STARTTLS\r\n250 SIZE\r\n", b"220 go\r\n"]);
        let ehlo = Next::Send(b"EHLO netsonde.invalid\r\n".to_vec());
        assert_eq!(agreed, [Next::Wait, ehlo, Next::Send(b"STARTTLS\r\n".to_vec()), Next::Agreed]);
        let without = conversation(Smtp, &[b"220 mail\r\n", b"250-mail\r\n250 SIZE\r\n"]);
        assert!(matches!(&without[2], Next::Refused(words) if words.contains("does not offer")), "{without:?}");
        let refused = conversation(Smtp, &[b"220 mail\r\n", b"250-mail\r\n250 STARTTLS\r\n", b"454 not now\r\n"]);
        assert_eq!(refused[3], Next::Refused("454 not now".into()));
        assert_eq!(conversation(Smtp, &[b"SSH-2.0-x\r\n"])[1], Next::NotThis);
        assert_eq!(conversation(Smtp, &[b"220-mail\r\n"])[1], Next::Wait);
    }

    #[test]
    fn imap_agrees_to_the_tag_only() {
        use StartTlsProtocol::Imap;
        let ask = Next::Send(b"a1 STARTTLS\r\n".to_vec());
        assert_eq!(conversation(Imap, &[b"* OK ready\r\n", b"* NOTE\r\na1 OK begin\r\n"]), [Next::Wait, ask, Next::Agreed]);
        assert_eq!(conversation(Imap, &[b"* OK\r\n", b"a1 NO\r\n"])[2], Next::Refused("a1 NO".into()));
        assert_eq!(conversation(Imap, &[b"* BYE busy\r\n"])[1], Next::Refused("* BYE busy".into()));
        assert_eq!(conversation(Imap, &[b"220 mail\r\n"])[1], Next::NotThis);
    }

    #[test]
    fn one_letter_of_postgres_decides() {
        use StartTlsProtocol::Postgres;
        let ask = Next::Send(vec![0, 0, 0, 8, 4, 210, 22, 47]);
        let said = conversation(Postgres, &[b"S"]);
        assert_eq!(said, [ask, Next::Agreed]);
        assert!(matches!(conversation(Postgres, &[b"N"])[1], Next::Refused(_)));
        assert!(matches!(conversation(Postgres, &[b"EFATAL"])[1], Next::Refused(_)));
        assert_eq!(conversation(Postgres, &[b"H"])[1], Next::NotThis);
        // Bytes after the letter would be taken for the server's hello: somebody put them there.
        assert_eq!(conversation(Postgres, &[b"SX"])[1], Next::NotThis);
    }

    #[test]
    fn mysql_says_in_its_greeting_whether_it_has_tls() {
        use StartTlsProtocol::Mysql;
        let greeting = |capabilities: u16| {
            let body = [b"\x0a8.0.1\0", &[1, 0, 0, 0][..], &[7; 8], &[0], &capabilities.to_le_bytes(), &[45]].concat();
            [&[u8::try_from(body.len()).unwrap(), 0, 0, 0], &body[..]].concat()
        };
        let said = conversation(Mysql, &[&greeting(0x0a00)]);
        let Next::SendAndBegin(request) = &said[1] else { panic!("{said:?}") };
        assert_eq!((request.len(), &request[..4]), (36, &[32, 0, 0, 1][..]));
        assert!(u32::from_le_bytes(request[4..8].try_into().unwrap()) & 0x800 != 0);
        assert!(matches!(conversation(Mysql, &[&greeting(0x0200)])[1], Next::Refused(_)));
        let denied = [&[9, 0, 0, 0, 0xff, 0x6a, 4][..], b"denied"].concat();
        assert_eq!(conversation(Mysql, &[&denied])[1], Next::Refused("denied".into()));
        assert_eq!(conversation(Mysql, &[b"HTTP/1.1 400"])[1], Next::NotThis);
        assert_eq!(conversation(Mysql, &[&greeting(0x0a00)[..9]])[1], Next::Wait);
    }

    #[test]
    fn ldap_answers_with_a_result_code() {
        use StartTlsProtocol::Ldap;
        let response = |code: u8| vec![0x30, 0x0c, 2, 1, 1, 0x78, 7, 0x0a, 1, code, 4, 0, 4, 0];
        let said = conversation(Ldap, &[&response(0)]);
        let Next::Send(request) = &said[0] else { panic!("{said:?}") };
        assert!(request.ends_with(b"1.3.6.1.4.1.1466.20037"));
        assert_eq!(said[1], Next::Agreed);
        assert!(matches!(&conversation(Ldap, &[&response(2)])[1], Next::Refused(words) if words.contains('2')));
        assert_eq!(conversation(Ldap, &[&response(0)[..5]])[1], Next::Wait);
        assert_eq!(conversation(Ldap, &[b"HTTP"])[1], Next::NotThis);
    }

    proptest! {
        #[test]
        fn no_bytes_make_any_machine_panic(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4)) {
            for (protocol, ..) in PROTOCOLS {
                let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                conversation(protocol, &parts);
            }
        }

        #[test]
        fn no_lines_make_a_text_machine_panic(parts in proptest::collection::vec("(220|250|\\* OK|a1 OK|STARTTLS|[ -]|\r\n){0,12}", 0..5)) {
            for protocol in [StartTlsProtocol::Smtp, StartTlsProtocol::Imap] {
                let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
                conversation(protocol, &parts);
            }
        }
    }
}
