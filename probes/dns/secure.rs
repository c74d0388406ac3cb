//! The TLS connection under DNS over TLS and over HTTPS.
//!
//! Every chain is accepted and recorded with the lookup, and what each trust store says of it stands there: whether the server is the
//! one that was meant is for a rule to say, and a resolver behind an inspecting proxy still shows its answers.

use super::exchange::Exchange;
use super::stream::Local;
use crate::context::{Context, Recorder};
use crate::counted::Counted;
use crate::tls::draft::Draft;
use crate::tls::handshake;
use crate::tls::trust::server_name;
use crate::tls::wire::Watched;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::id::CheckId;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

/// A secured connection, with the address it was opened from.
pub(super) struct Secured {
    stream: TlsStream<Watched>,
    local: Option<SocketAddr>,
}

/// Makes the handshake and notes it in the exchange, its failure included.
pub(super) async fn shake(
    context: &Context,
    stream: Counted,
    server: SocketAddr,
    name: Option<&str>,
    alpn: &[&str],
    timeout: Duration,
    exchange: &mut Exchange,
) -> Result<Secured, Failure> {
    let host = name.map_or_else(|| server.ip().to_string(), str::to_owned);
    let wanted = server_name(&host).map_err(|text| Failure::new(FailureCode::ProtocolError, Step::Open, text))?;
    let local = stream.local_addr().ok();
    // The handshake stands in the lookup, not beside it: as an observation of its own it would be taken for one with the target.
    let aside = Context { recorder: Recorder::new(CheckId::new("dns")), ..context.clone() };
    let mut draft = Draft::begin(&aside, Step::Handshake, handshake::blank(&host, server, &wanted));
    draft.connect_us = crate::clock::microseconds(context.clock.now().saturating_sub(exchange.began));
    let alpn: Vec<String> = alpn.iter().map(|name| (*name).to_owned()).collect();
    let secured = handshake::shake(&aside, Box::new(stream), &wanted, &alpn, timeout, &mut draft).await;
    let seen = draft.finish();
    let failure = seen.failure.clone();
    exchange.tls = Some(Box::new(seen));
    match secured {
        Some(secured) => Ok(Secured { stream: secured.stream, local }),
        None => Err(failure.unwrap_or_else(|| Failure::new(FailureCode::ProtocolError, Step::Handshake, "the handshake failed"))),
    }
}

impl Local for Secured {
    fn local(&self) -> Option<SocketAddr> {
        self.local
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
