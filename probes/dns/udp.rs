//! One question over UDP, on a socket of its own.
//!
//! The socket is connected, so that the kernel drops what another source sends and hands over the ICMP errors that the question
//! causes. Its port and the question's id are random, which together make a forged reply unlikely (RFC 5452).

use super::asking::{Asking, Received};
use super::exchange::{Exchange, Patience};
use crate::capture::flow::Flow;
use crate::context::Context;
use crate::gate::Destination;
use crate::platform::{datagram, error_queue};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::policy::Question;
use socket2::SockRef;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;

/// The largest UDP payload: a reply beyond the size offered is a fact too.
const MAX_DATAGRAM: usize = 65_535;

pub(super) async fn ask(context: &Context, mut asking: Asking, server: SocketAddr, patience: Patience) -> Exchange {
    let mut exchange = Exchange::begin(context.clock, server, silent(patience));
    let socket = match connected(server).await {
        Ok(socket) => socket,
        Err((during, error)) => return exchange.failed(Failure::from_io(&error, during)),
    };
    let local = socket.local_addr().ok();
    if let Some(local) = local {
        context.flow(Flow::Udp { local_port: local.port(), remote: server });
    }
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        if let Err(refusal) =
            context.gate.packet(Destination::question(server, Question::Plain), asking.current().0.bytes().len()).await
        {
            return exchange.failed(refusal);
        }
        if exchange.attempts == 0 {
            exchange.began = context.clock.now();
        }
        exchange.attempts += 1;
        let (query, which, why) = asking.current();
        exchange.sends(query, which, why, local);
        if let Err(error) = socket.send(query.bytes()).await {
            return exchange.failed(failure(&socket, &error, Step::Send));
        }
        match tokio::time::timeout(patience.timeout, receive(context, &socket, &asking, &mut buffer, &mut exchange)).await {
            Ok(Ok(received)) => {
                exchange.replied(&received);
                if let Some(reply) = asking.replied(received) {
                    exchange.outcome = Ok(reply);
                    listen(context, &socket, &asking, &mut buffer, &mut exchange, patience.listen).await;
                    return exchange;
                }
            }
            Ok(Err(error)) => return exchange.ends_with(failure(&socket, &error, Step::Receive), &mut asking),
            // Nothing came in time; the next packet goes out from the same socket, so that a late reply to this one still counts.
            Err(_) if asking.silent() => {}
            Err(_) => return exchange.ends_in_silence(silent(patience), &mut asking),
        }
    }
}

/// A socket for one server; where there is none, the step that failed: the routing table speaks up at the second.
async fn connected(server: SocketAddr) -> Result<UdpSocket, (Step, io::Error)> {
    let local: SocketAddr = if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let opening = |error| (Step::Open, error);
    let socket = UdpSocket::bind(local).await.map_err(opening)?;
    error_queue::enable(&SockRef::from(&socket), server.ip()).map_err(opening)?;
    datagram::enable(&socket, server.ip()).map_err(opening)?;
    socket.connect(server).await.map_err(|error| (Step::Connect, error))?;
    Ok(socket)
}

/// Waits for the reply, and notes everything that is not.
async fn receive(
    context: &Context,
    socket: &UdpSocket,
    asking: &Asking,
    buffer: &mut [u8],
    exchange: &mut Exchange,
) -> io::Result<Received> {
    loop {
        let (size, ip_ttl) = datagram::receive(socket, buffer).await?;
        context.gate.received(size);
        match asking.take(&buffer[..size], ip_ttl) {
            Ok(received) => return Ok(received),
            Err(_) => exchange.other(asking, &buffer[..size], ip_ttl),
        }
    }
}

/// Notes what comes after the reply. Errors of the socket end it: they take nothing from what was answered.
async fn listen(
    context: &Context,
    socket: &UdpSocket,
    asking: &Asking,
    buffer: &mut [u8],
    exchange: &mut Exchange,
    time: Duration,
) {
    if time.is_zero() {
        return;
    }
    let note = async {
        while let Ok((size, ip_ttl)) = datagram::receive(socket, buffer).await {
            context.gate.received(size);
            exchange.other(asking, &buffer[..size], ip_ttl);
        }
    };
    // That the time is over is how it ends.
    let _ = tokio::time::timeout(time, note).await;
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
    let plain = if patience.fallback { ", nor to one without EDNS" } else { "" };
    Failure::new(
        FailureCode::TimedOut,
        Step::Receive,
        format!("no reply to {} packets within {waited} ms each{plain}", patience.attempts),
    )
}
