//! A forward proxy as companies run them: CONNECT to port 443 only (RFC 9110 section 9.3.6), absolute-form for plain HTTP (RFC 9112
//! section 3.2.2), a sign-in where one is set. It resolves names itself and answers 502 where it gets no connection.

use super::{Server, serve_connections};
use anyhow::{Context, Result, bail};
use base64::Engine;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request's head is this long at most.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Most proxies allow tunnels to no other port.
const TUNNEL_PORT: &str = "443";

/// `sign_in` is `name:password`; where it is empty, everybody may use the proxy.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_proxy(address: SocketAddr, sign_in: String) -> Result<Server> {
    let wanted =
        (!sign_in.is_empty()).then(|| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(sign_in.as_bytes())));
    serve_connections(address, move |stream| {
        let wanted = wanted.clone();
        async move {
            // A client or server that goes away in the middle is its own affair.
            let _ = converse(stream, wanted.as_deref()).await;
        }
    })
    .await
}

/// One request a connection: what follows it is passed through as it comes.
async fn converse(mut client: TcpStream, wanted: Option<&str>) -> Result<()> {
    let (head, rest) = read_head(&mut client).await?;
    let mut lines = head.split("\r\n");
    let request = lines.next().unwrap_or_default().to_owned();
    let headers: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let value = |name: &str| {
        let pair = headers.iter().filter_map(|line| line.split_once(':')).find(|(known, _)| known.eq_ignore_ascii_case(name));
        pair.map(|(_, value)| value.trim())
    };
    if wanted.is_some() && value("proxy-authorization") != wanted {
        return refuse(&mut client, "407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=\"lab\"\r\n").await;
    }
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method == "CONNECT" {
        if target.rsplit(':').next() != Some(TUNNEL_PORT) {
            return refuse(&mut client, "403 Forbidden", "").await;
        }
        let Ok(mut server) = TcpStream::connect(target).await else { return refuse(&mut client, "502 Bad Gateway", "").await };
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.context("answering")?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await.context("passing through")?;
        return Ok(());
    }
    let Some((authority, path)) = target.strip_prefix("http://").map(|rest| rest.split_at(rest.find('/').unwrap_or(rest.len())))
    else {
        return refuse(&mut client, "400 Bad Request", "").await;
    };
    let has_port = authority.rsplit(']').next().is_some_and(|end| end.contains(':'));
    let server = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let Ok(mut server) = TcpStream::connect(server).await else { return refuse(&mut client, "502 Bad Gateway", "").await };
    let kept = headers.iter().filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !name.starts_with("proxy-") && name != "connection"
    });
    let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
    let path = if path.is_empty() { "/" } else { path };
    let head = format!("{method} {path} HTTP/1.1\r\n{kept}Via: 1.1 lab\r\nConnection: close\r\n\r\n");
    server.write_all(head.as_bytes()).await.context("asking the server")?;
    server.write_all(&rest).await.context("asking the server")?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.context("passing through")?;
    Ok(())
}

/// The head without its final empty line, and what came after it.
async fn read_head(client: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&read).trim_end().to_owned(), rest));
        }
        if read.len() > MAX_HEAD_BYTES || client.read_buf(&mut read).await.context("reading the request")? == 0 {
            bail!("the request's head does not end");
        }
    }
}

async fn refuse(client: &mut TcpStream, status: &str, header: &str) -> Result<()> {
    let answer = format!("HTTP/1.1 {status}\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n");
    client.write_all(answer.as_bytes()).await.context("answering")
}
