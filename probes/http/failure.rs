use crate::tls::failure::printable;
use crate::tls::wire::Notes;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::error::Error;

/// How much of a reply that is not HTTP is kept: enough for a banner's name.
const PLAIN_BYTES: usize = 64;

/// How the library words a head beyond its bound. Its own question for that is there for servers only.
const HEAD_TOO_LARGE: &str = "too large";

/// The failure of an exchange. What the wire saw, such as a banner, a reset or an alert, says more than what the library made of it.
pub(super) fn from_hyper(error: &hyper::Error, notes: &Notes) -> Failure {
    let during = step(notes);
    let first = notes.first_bytes();
    if error.is_parse() && error.to_string().contains(HEAD_TOO_LARGE) {
        Failure::new(FailureCode::TooLarge, during, "the response's head is larger than the bound")
    } else if is_tls(&first) {
        Failure::new(FailureCode::ProtocolError, during, "the reply is not HTTP: it is TLS")
    } else if is_foreign(&first) {
        Failure::new(FailureCode::ProtocolError, during, "the reply is not HTTP")
    } else if let Some(ended) = notes.ended().filter(|_| !error.is_parse()) {
        Failure { during, ..ended }
    } else {
        Failure::new(FailureCode::ProtocolError, during, words(error))
    }
}

/// The failure of a body after `received` bytes. That it ends early is told with how much was `announced`, where the head said so.
pub(super) fn of_body(error: &hyper::Error, notes: &Notes, received: u64, announced: Option<u64>) -> Failure {
    let failure = from_hyper(error, notes);
    if failure.code != FailureCode::Closed {
        return failure;
    }
    let text = match announced {
        Some(announced) => format!("the body ended after {received} of {announced} bytes"),
        None => format!("the body ended after {received} bytes, before its end"),
    };
    Failure { code: FailureCode::Incomplete, text, ..failure }
}

/// The first bytes of a reply that is neither HTTP nor TLS. They stand in a field of their own, never in a failure's text, because
/// a banner may name its machine.
pub(super) fn plain_reply(notes: &Notes) -> Option<String> {
    let first = notes.first_bytes();
    (is_foreign(&first) && !is_tls(&first)).then(|| printable(&first[..first.len().min(PLAIN_BYTES)]))
}

/// It begins neither like a status line (RFC 9112 section 4) nor with a SETTINGS frame (RFC 9113 section 3.4).
pub(super) fn is_foreign(first: &[u8]) -> bool {
    let status_line = first.iter().zip(b"HTTP/1.").all(|(got, wanted)| got == wanted);
    !status_line && !matches!(first, [0, _, _, 4, ..])
}

fn is_tls(first: &[u8]) -> bool {
    matches!(first, [20..=24, 3, ..])
}

/// Nothing came within the time.
pub(super) fn silence(notes: &Notes, milliseconds: u64) -> Failure {
    let during = step(notes);
    let what = if during == Step::Send { "the request could not be written" } else { "no response came" };
    Failure::new(FailureCode::TimedOut, during, format!("{what} within {milliseconds} ms"))
}

/// The body stopped coming before its end.
pub(super) fn stalled(milliseconds: u64) -> Failure {
    Failure::new(FailureCode::TimedOut, Step::Receive, format!("the body stopped for {milliseconds} ms before its end"))
}

fn step(notes: &Notes) -> Step {
    if notes.sent_at().is_some() { Step::Receive } else { Step::Send }
}

/// The error's own words and those of its causes.
fn words(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
