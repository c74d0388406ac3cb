//! One question over TCP, each message behind its length in two bytes (RFC 1035 section 4.2.2, RFC 7766).

use super::Patience;
use super::query::{Query, Verdict};
use super::udp::Exchange;
use crate::context::Context;
use hickory_proto::op::Message;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server that sends this many other messages first will not send the reply.
const MAX_OTHER_MESSAGES: usize = 8;

/// Connects once: TCP itself repeats what is lost. The patience counts for the connection and again for the reply.
pub(super) async fn ask(context: &Context, query: &Query, server: SocketAddr, patience: Patience) -> Exchange {
    let refused = context.gate.packet(server.ip()).await.err();
    let mut exchange =
        Exchange { began: context.clock.now(), attempts: 1, took: None, outcome: Err(silent(Step::Connect, patience)) };
    if let Some(refusal) = refused {
        return Exchange { attempts: 0, outcome: Err(refusal), ..exchange };
    }
    let stream = match timeout(patience.timeout, TcpStream::connect(server)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Exchange { outcome: Err(Failure::from_io(&error, Step::Connect)), ..exchange },
        Err(_) => return exchange,
    };
    exchange.outcome = match timeout(patience.timeout, converse(stream, query)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(silent(Step::Receive, patience)),
    };
    if exchange.outcome.is_ok() {
        exchange.took = Some(context.clock.now().saturating_sub(exchange.began));
    }
    exchange
}

async fn converse(mut stream: TcpStream, query: &Query) -> Result<(Message, usize), Failure> {
    let question = query.bytes();
    let length = u16::try_from(question.len())
        .map_err(|_| Failure::new(FailureCode::TooLarge, Step::Send, format!("the question has {} bytes", question.len())))?;
    // Length and message in one write, which some servers rely on (RFC 7766 section 8).
    let framed = [&length.to_be_bytes(), question].concat();
    stream.write_all(&framed).await.map_err(|error| Failure::from_io(&error, Step::Send))?;
    let mut ignored = String::new();
    for _ in 0..MAX_OTHER_MESSAGES {
        let bytes = message(&mut stream).await.map_err(|error| received(&error, &ignored))?;
        match query.judge(&bytes) {
            Verdict::Reply(message) => return Ok((message, bytes.len())),
            Verdict::Ignored(why) => ignored = why,
        }
    }
    Err(Failure::new(FailureCode::ProtocolError, Step::Receive, format!("{ignored}; no good reply followed")))
}

async fn message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// The end of the stream is a failure of its own, unless something that was no reply came before.
fn received(error: &io::Error, ignored: &str) -> Failure {
    let mut failure = Failure::from_io(error, Step::Receive);
    if !ignored.is_empty() {
        failure.code = FailureCode::ProtocolError;
        failure.text = format!("{ignored}; no good reply followed ({error})");
    } else if error.kind() == io::ErrorKind::UnexpectedEof {
        failure.text = "the server closed the connection before it replied".into();
    }
    failure
}

fn silent(step: Step, patience: Patience) -> Failure {
    let what = if step == Step::Connect { "no connection" } else { "no reply" };
    Failure::new(FailureCode::TimedOut, step, format!("{what} within {} ms", patience.timeout.as_millis()))
}
