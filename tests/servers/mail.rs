use super::{Server, serve_connections};
use anyhow::Result;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;

/// Mail is handed in here within TLS from the first byte on (RFC 8314 section 3.3).
const TLS_FIRST: u16 = 465;

const GREETING: &[u8] = b"220 mx.lab ESMTP\r\n";

/// A mail server that greets, names its extensions and goes on in TLS; at port 465 TLS comes first. It takes no mail.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_mail(address: SocketAddr, config: Arc<ServerConfig>) -> Result<Server> {
    let acceptor = TlsAcceptor::from(config);
    serve_connections(address, move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            if address.port() == TLS_FIRST {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                if stream.write_all(GREETING).await.is_ok() {
                    converse(stream, false).await;
                }
            } else if stream.write_all(GREETING).await.is_ok()
                && let Some(stream) = converse(stream, true).await
                && let Ok(stream) = acceptor.accept(stream).await
            {
                // Nobody greets twice (RFC 3207 section 4.2).
                converse(stream, false).await;
            }
        }
    })
    .await
}

/// Answers line by line until the client leaves, or until it asks for TLS where that is offered.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: S, offers_tls: bool) -> Option<S> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while matches!(stream.read_line(&mut line).await, Ok(1..)) {
        let command = line.trim().to_ascii_uppercase();
        line.clear();
        let answer: &[u8] = match command.split(' ').next().unwrap_or_default() {
            "EHLO" if offers_tls => b"250-mx.lab\r\n250 STARTTLS\r\n",
            "EHLO" => b"250-mx.lab\r\n250 SIZE 1000000\r\n",
            "STARTTLS" if offers_tls => b"220 go ahead\r\n",
            "QUIT" => b"221 bye\r\n",
            _ => b"502 not here\r\n",
        };
        stream.write_all(answer).await.ok()?;
        match command.as_str() {
            "STARTTLS" if offers_tls => return Some(stream.into_inner()),
            "QUIT" => return None,
            _ => {}
        }
    }
    None
}
