//! One question over UDP, on a socket of its own.
//!
//! The socket is connected, so that the kernel drops what another source sends and hands over the ICMP errors that the question
//! causes. Its port and the question's id are random, which together make a forged reply unlikely (RFC 5452).

use super::Patience;
use super::query::{Query, Verdict};
use crate::context::Context;
use crate::platform::error_queue;
use hickory_proto::op::Message;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use socket2::SockRef;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;

/// What came of one question on one transport.
#[derive(Debug)]
pub(super) struct Exchange {
    /// When the first packet was sent, on the run's clock.
    pub began: Duration,
    /// Packets sent, or connections tried.
    pub attempts: u32,
    /// From the first packet to the reply.
    pub took: Option<Duration>,
    /// The reply and its size in bytes.
    pub outcome: Result<(Message, usize), Failure>,
}

/// The largest UDP payload: a reply beyond the size offered is a fact too.
const MAX_DATAGRAM: usize = 65_535;

pub(super) async fn ask(context: &Context, query: &Query, server: SocketAddr, patience: Patience) -> Exchange {
    let mut exchange = Exchange { began: context.clock.now(), attempts: 0, took: None, outcome: Err(silent(patience)) };
    let socket = match connected(server).await {
        Ok(socket) => socket,
        Err(error) => return Exchange { outcome: Err(Failure::from_io(&error, Step::Open)), ..exchange },
    };
    let mut buffer = vec![0; MAX_DATAGRAM];
    // Why the last message that came was not taken.
    let mut ignored = None;
    while exchange.attempts < patience.attempts {
        if let Err(refusal) = context.gate.packet(server.ip()).await {
            return Exchange { outcome: Err(refusal), ..exchange };
        }
        if exchange.attempts == 0 {
            exchange.began = context.clock.now();
        }
        exchange.attempts += 1;
        if let Err(error) = socket.send(query.bytes()).await {
            return Exchange { outcome: Err(failure(&socket, &error, Step::Send)), ..exchange };
        }
        match tokio::time::timeout(patience.timeout, receive(&socket, query, &mut buffer, &mut ignored)).await {
            Ok(Ok(reply)) => {
                exchange.took = Some(context.clock.now().saturating_sub(exchange.began));
                return Exchange { outcome: Ok(reply), ..exchange };
            }
            Ok(Err(error)) => return Exchange { outcome: Err(failure(&socket, &error, Step::Receive)), ..exchange },
            // Nothing came in time; the next packet goes out from the same socket, so that a late reply to this one still counts.
            Err(_) => {}
        }
    }
    if let Some(why) = ignored {
        exchange.outcome = Err(Failure::new(FailureCode::ProtocolError, Step::Receive, format!("{why}; no good reply followed")));
    }
    exchange
}

async fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let local: SocketAddr = if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(local).await?;
    error_queue::enable(&SockRef::from(&socket), server.ip())?;
    socket.connect(server).await?;
    Ok(socket)
}

/// Waits for the reply, past everything that is not.
async fn receive(
    socket: &UdpSocket,
    query: &Query,
    buffer: &mut [u8],
    ignored: &mut Option<String>,
) -> io::Result<(Message, usize)> {
    loop {
        let size = socket.recv(buffer).await?;
        match query.judge(&buffer[..size]) {
            Verdict::Reply(message) => return Ok((message, size)),
            Verdict::Ignored(why) => *ignored = Some(why),
        }
    }
}

/// The failure with the ICMP error that caused it, where the kernel kept one.
fn failure(socket: &UdpSocket, error: &io::Error, step: Step) -> Failure {
    let failure = Failure::from_io(error, step);
    match error_queue::drain(&SockRef::from(socket)).pop() {
        Some(cause) => failure.with_icmp(cause.icmp),
        None => failure,
    }
}

fn silent(patience: Patience) -> Failure {
    let waited = patience.timeout.as_millis();
    Failure::new(
        FailureCode::TimedOut,
        Step::Receive,
        format!("no reply to {} packets within {waited} ms each", patience.attempts),
    )
}
