mod answers;
mod beside;
mod expectations;
mod faults;
mod proxies;
mod redirects;

use super::run;
use crate::context::{Context, Ending};
use crate::tls::servers::{context, listen};
use netsonde_contract::kind::HttpParams;
use netsonde_contract::observation::{Exchange, Fact, Handshake};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

fn params(url: String) -> HttpParams {
    serde_json::from_value(serde_json::json!({"url": url, "timeout_ms": 2_000})).unwrap()
}

fn exchanges(context: &Context) -> Vec<Exchange> {
    let fact = |fact| if let Fact::Exchange(exchange) = fact { Some(*exchange) } else { None };
    context.recorder.observations().into_iter().filter_map(|observation| fact(observation.fact)).collect()
}

fn handshakes(context: &Context) -> Vec<Handshake> {
    let fact = |fact| if let Fact::Handshake(handshake) = fact { Some(*handshake) } else { None };
    context.recorder.observations().into_iter().filter_map(|observation| fact(observation.fact)).collect()
}

/// The ending and the exchanges of a check of this URL.
async fn probe(url: String) -> (Ending, Vec<Exchange>) {
    let context = context(&[]);
    let ending = run(&context, &params(url)).await.unwrap();
    (ending, exchanges(&context))
}

/// Reads a request's head, as text.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(text).unwrap()
}

/// A server that answers every request with these bytes and closes.
async fn answering(address: &str, answer: &'static [u8]) -> SocketAddr {
    listen(address, move |mut stream| async move {
        head(&mut stream).await;
        reply(&mut stream, answer).await;
    })
    .await
}

async fn reply(stream: &mut (impl AsyncWrite + Unpin), answer: &[u8]) {
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
}
