use crate::tls::failure::printable;
use crate::tls::wire::Notes;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::error::Error;

/// How much of a reply that is not HTTP is quoted: enough for a banner's name.
const QUOTED_BYTES: usize = 64;

/// How the library words a head beyond its bound. Its own question for that is there for servers only.
const HEAD_TOO_LARGE: &str = "too large";

/// The failure of an exchange. What the wire saw, such as a banner, a reset or an alert, says more than what the library made of it.
pub(super) fn from_hyper(error: &hyper::Error, notes: &Notes) -> Failure {
    let during = step(notes);
    let first = notes.first_bytes();
    if error.is_parse() && error.to_string().contains(HEAD_TOO_LARGE) {
        Failure::new(FailureCode::TooLarge, during, "the response's head is larger than the bound")
    } else if let Some(what) = foreign(&first) {
        Failure::new(FailureCode::ProtocolError, during, format!("the reply is not HTTP: {what}"))
    } else if let Some(ended) = notes.ended().filter(|_| !error.is_parse()) {
        Failure { during, ..ended }
    } else {
        Failure::new(FailureCode::ProtocolError, during, words(error))
    }
}

/// What a reply is that begins neither like a status line (RFC 9112 section 4) nor with a SETTINGS frame (RFC 9113 section 3.4).
fn foreign(first: &[u8]) -> Option<String> {
    let status_line = first.iter().zip(b"HTTP/1.").all(|(got, wanted)| got == wanted);
    match first {
        _ if status_line => None,
        [0, _, _, 4, ..] => None,
        [20..=24, 3, ..] => Some("it is TLS".into()),
        _ => Some(format!("it begins `{}`", printable(&first[..first.len().min(QUOTED_BYTES)]))),
    }
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
