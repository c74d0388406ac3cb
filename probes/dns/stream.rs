//! One question over a stream, each message behind its length in two bytes: over TCP (RFC 1035 section 4.2.2, RFC 7766) and over TLS
//! (RFC 7858), which sends the same over a connection that is secured first.

use super::asking::{Asking, Received};
use super::exchange::{Exchange, Patience, broken};
use super::secure;
use crate::context::Context;
use crate::counted::Counted;
use crate::gate::Destination;
use crate::tls::entropy;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::policy::Question;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// A server that sends this many other messages first will not send the reply.
const MAX_OTHER_MESSAGES: usize = 8;

/// What the connection is secured with; none leaves it plain.
pub(super) type Name<'a> = Option<&'a str>;

/// Over TCP. Connects once: TCP itself repeats what is lost. The patience counts for the connection and again for each reply.
pub(super) async fn ask(context: &Context, asking: Asking, server: SocketAddr, patience: Patience) -> Exchange {
    let (exchange, stream) = connect(context, Destination::question(server, Question::Plain), server, patience).await;
    match stream {
        Some(stream) => converse(stream, exchange, asking, patience).await,
        None => exchange,
    }
}

/// Over TLS. The certificate's name is `name`, or the server's address.
pub(super) async fn ask_secured(
    context: &Context,
    asking: Asking,
    server: SocketAddr,
    name: Name<'_>,
    patience: Patience,
) -> Exchange {
    entropy::ready(context).await;
    let (mut exchange, stream) = connect(context, Destination::question(server, Question::OverTls), server, patience).await;
    let Some(stream) = stream else { return exchange };
    match secure::shake(context, stream, server, name, &["dot"], patience.timeout, &mut exchange).await {
        Ok(stream) => converse(stream, exchange, asking, patience).await,
        Err(failure) => exchange.failed(failure),
    }
}

/// A connection to `server` that passed the gate as what it is for, or the exchange with its failure.
pub(super) async fn connect(
    context: &Context,
    purpose: Destination,
    server: SocketAddr,
    patience: Patience,
) -> (Exchange, Option<Counted>) {
    let refused = context.gate.packet(purpose, 0).await.err();
    let mut exchange = Exchange::begin(context.clock, server, silent(Step::Connect, patience.timeout));
    if let Some(refusal) = refused {
        return (exchange.failed(refusal), None);
    }
    exchange.attempts = 1;
    match timeout(patience.timeout, context.connect(server)).await {
        Ok(Ok(stream)) => (exchange, Some(stream)),
        Ok(Err(failure)) => (exchange.failed(failure), None),
        Err(_) => (exchange, None),
    }
}

async fn converse<S: Local>(mut stream: S, mut exchange: Exchange, mut asking: Asking, patience: Patience) -> Exchange {
    loop {
        let (query, which, why) = asking.current();
        exchange.sends(query, which, why, stream.local());
        match timeout(patience.timeout, question_and_reply(&mut stream, &asking, &mut exchange)).await {
            Ok(Ok(received)) => {
                exchange.replied(&received);
                if let Some(reply) = asking.replied(received) {
                    exchange.outcome = Ok(reply);
                    return exchange;
                }
            }
            // A server that refused EDNS and then says no more has refused.
            Ok(Err(failure)) => return exchange.ends_with(failure, &mut asking),
            Err(_) => return exchange.ends_in_silence(silent(Step::Receive, patience.timeout), &mut asking),
        }
    }
}

async fn question_and_reply<S: Local>(stream: &mut S, asking: &Asking, exchange: &mut Exchange) -> Result<Received, Failure> {
    let question = asking.current().0.bytes();
    let length = u16::try_from(question.len())
        .map_err(|_| Failure::new(FailureCode::TooLarge, Step::Send, format!("the question has {} bytes", question.len())))?;
    // Length and message in one write, which some servers rely on (RFC 7766 section 8).
    let framed = [&length.to_be_bytes(), question].concat();
    stream.write_all(&framed).await.map_err(|error| Failure::from_io(&error, Step::Send))?;
    stream.flush().await.map_err(|error| Failure::from_io(&error, Step::Send))?;
    let mut ignored = String::new();
    for _ in 0..MAX_OTHER_MESSAGES {
        let bytes = message(stream).await.map_err(|error| received(&error, &ignored))?;
        match asking.take(&bytes, None) {
            Ok(received) => return Ok(received),
            Err(why) => {
                exchange.other(asking, &bytes, None);
                ignored = why;
            }
        }
    }
    Err(broken(&ignored))
}

async fn message<S: Local>(stream: &mut S) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// The end of the stream is a failure of its own, unless something that was no reply came before.
fn received(error: &io::Error, ignored: &str) -> Failure {
    let mut failure = crate::tls::failure::from_io(error, Step::Receive);
    if !ignored.is_empty() {
        failure.code = FailureCode::ProtocolError;
        failure.text = format!("{ignored}; no good reply followed ({error})");
    } else if error.kind() == io::ErrorKind::UnexpectedEof {
        failure = Failure::new(FailureCode::Closed, Step::Receive, "the server closed the connection before it replied");
    }
    failure
}

fn silent(step: Step, waited: Duration) -> Failure {
    let what = if step == Step::Connect { "no connection" } else { "no reply" };
    Failure::new(FailureCode::TimedOut, step, format!("{what} within {} ms", waited.as_millis()))
}

/// A stream that knows the address it was opened from.
pub(super) trait Local: AsyncRead + AsyncWrite + Unpin {
    fn local(&self) -> Option<SocketAddr>;
}

impl Local for Counted {
    fn local(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }
}
