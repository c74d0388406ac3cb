use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The longest head of a request to a proxy.
const MAX_HEAD: usize = 8 * 1024;
/// A slow path carries so many bytes at a time …
const SLOW_BYTES: usize = 512;
/// … and each of them this much later: 2.5 kB/s one way, as over a bad satellite link.
const SLOW: Duration = Duration::from_millis(200);

/// Ways to the backend that are not straight: proxies on loopback, each its own URL.
pub(crate) struct Path {
    pub(crate) proxy: String,
    /// A proxy with little bandwidth and long delays.
    pub(crate) slow: String,
}

impl Path {
    pub(crate) async fn open(backend: &str) -> Result<Self> {
        let backend: SocketAddr = backend.parse().context("the backend's address is no address")?;
        Ok(Self { proxy: proxy(backend, None).await?, slow: proxy(backend, Some(SLOW)).await? })
    }
}

/// Whatever is asked of it, it leads to the backend.
async fn proxy(backend: SocketAddr, delay: Option<Duration>) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("opening a proxy")?;
    let url = format!("http://{}", listener.local_addr().context("the proxy has no address")?);
    tokio::spawn(async move {
        loop {
            let Ok((client, _)) = listener.accept().await else {
                tokio::time::sleep(SLOW).await;
                continue;
            };
            tokio::spawn(async move {
                // Who hangs up is seen by the other side, which is all that matters here.
                let _ = pass(client, backend, delay).await;
            });
        }
    });
    Ok(url)
}

async fn pass(mut client: TcpStream, backend: SocketAddr, delay: Option<Duration>) -> std::io::Result<()> {
    let _ = client.set_nodelay(true);
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let mut server = TcpStream::connect(backend).await?;
    let _ = server.set_nodelay(true);
    if head.starts_with(b"CONNECT ") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    } else {
        // HTTP without TLS: the request names its whole URL, which a server takes as well (RFC 9112 section 3.2.2).
        server.write_all(&head).await?;
    }
    let Some(delay) = delay else {
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        ended = drip(from_client, to_server, delay) => ended,
        ended = drip(from_server, to_client, delay) => ended,
    }
}

async fn drip(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) -> std::io::Result<()> {
    let mut bytes = [0; SLOW_BYTES];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        tokio::time::sleep(delay).await;
        to.write_all(&bytes[..count]).await?;
    }
}
