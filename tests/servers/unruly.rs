//! Servers that end or hold back what they should not.

use super::{Server, serve_connections};
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// Long enough for the sender's kernel to count what it waited, and short enough for a trial.
const HELD: Duration = Duration::from_secs(6);

/// An HTTP server that behaves as its path says: `/reset` ends with a reset instead of an answer, `/close` with an orderly close,
/// `/short` in the midst of the body, `/drip` sends its body piece by piece over three seconds, `/held` reads no more of a request than its beginning, `/blocked` answers as a filter does, `/echo` with the request's headers and
/// `/echo-changed` with one of them changed, anything else answers.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_unruly(address: SocketAddr) -> Result<Server> {
    serve_connections(address, |stream| async move {
        // A client that goes away in the middle is its own affair.
        let _ = converse(stream).await;
    })
    .await
}

async fn converse(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = vec![0; 4_096];
    let length = stream.read(&mut request).await?;
    let text = String::from_utf8_lossy(&request[..length]).into_owned();
    match text.split_whitespace().nth(1).unwrap_or_default() {
        "/reset" => stream.set_zero_linger(),
        "/close" => Ok(()),
        "/held" => {
            tokio::time::sleep(HELD).await;
            Ok(())
        }
        "/short" => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nnot all").await,
        "/drip" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3000\r\n\r\n").await?;
            for _ in 0..30 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                stream.write_all(&[b'x'; 100]).await?;
            }
            Ok(())
        }
        "/blocked" => {
            let page = "<title>Access Blocked</title><p>FortiGuard Intrusion Prevention: this category is blocked</p>";
            let head = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", page.len());
            stream.write_all(format!("{head}{page}").as_bytes()).await
        }
        "/echo" | "/echo-changed" => {
            let changed = text.starts_with("GET /echo-changed");
            let own = |line: &str| {
                if changed && line.starts_with("user-agent:") { "user-agent: gateway".to_owned() } else { line.to_owned() }
            };
            let lines: String = text.lines().skip(1).filter(|line| !line.is_empty()).map(|line| own(line) + "\n").collect();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", lines.len());
            stream.write_all(format!("{head}{lines}").as_bytes()).await
        }
        _ => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nhello\n").await,
    }
}

/// Accepts one connection in so many milliseconds, while at most two wait for it.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_busy(address: SocketAddr, pause_ms: u64) -> Result<Server> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.context("opening a socket")?;
    socket.bind(address).with_context(|| format!("taking {address}"))?;
    // Linux lets one more wait than the backlog says.
    let listener = socket.listen(1).with_context(|| format!("listening on {address}"))?;
    let task = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    });
    Ok(Server { address, tasks: vec![task] })
}

/// Listens and never accepts, and its queue is full from the beginning: the system drops every connection that begins.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_hung(address: SocketAddr) -> Result<Server> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.context("opening a socket")?;
    socket.bind(address).with_context(|| format!("taking {address}"))?;
    // Linux lets one wait even so, and this is it.
    let listener = socket.listen(0).with_context(|| format!("listening on {address}"))?;
    let waiting = TcpStream::connect(address).await.with_context(|| format!("filling the queue of {address}"))?;
    let task = tokio::spawn(async move {
        std::future::pending::<()>().await;
        drop((listener, waiting));
    });
    Ok(Server { address, tasks: vec![task] })
}

/// An NTP server (RFC 5905) whose clock is so many seconds wrong.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_time(address: SocketAddr, wrong_s: i64) -> Result<Server> {
    /// From the era of NTP, 1900, to that of Unix.
    const ERA_S: i64 = 2_208_988_800;
    let socket = UdpSocket::bind(address).await.with_context(|| format!("taking {address}"))?;
    let task = tokio::spawn(async move {
        let mut question = [0; 128];
        while let Ok((length, from)) = socket.recv_from(&mut question).await {
            if length < 48 {
                continue;
            }
            let now = wall_clock();
            let seconds = (now.as_second() + ERA_S + wrong_s) as u32;
            let fraction = ((u64::from(now.subsec_nanosecond().unsigned_abs()) << 32) / 1_000_000_000) as u32;
            let stamp = [seconds.to_be_bytes(), fraction.to_be_bytes()].concat();
            let mut answer = [0; 48];
            // No leap second, version 4, mode server; stratum 1, poll 2^6 s, precision 2^-20 s.
            answer[..4].copy_from_slice(&[0x24, 1, 6, 0xec]);
            answer[12..16].copy_from_slice(b"LOCL");
            answer[16..24].copy_from_slice(&stamp);
            answer[24..32].copy_from_slice(&question[40..48]);
            answer[32..40].copy_from_slice(&stamp);
            answer[40..48].copy_from_slice(&stamp);
            // A client that is gone needs no answer.
            let _ = socket.send_to(&answer, from).await;
        }
    });
    Ok(Server { address, tasks: vec![task] })
}

#[expect(clippy::disallowed_methods, reason = "a time server tells the real time")]
fn wall_clock() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
