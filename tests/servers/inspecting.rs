//! A forward proxy that looks into TLS, as companies run them: it asks for a sign-in, answers CONNECT for any host, speaks TLS in that host's name
//! with a certificate of its own, over HTTP/2 where the client can, and passes each request on in plain HTTP/1.1.

use super::{Server, serve_connections};
use anyhow::{Context, Result, bail};
use base64::Engine;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

const HTTP2: &[u8] = b"h2";
/// A request's head is this long at most.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// What the proxy saw: the version of HTTP and the path of each request.
pub type Seen = Arc<Mutex<Vec<(Version, String)>>>;

/// Serves on `address` for who signs in with `name:password`; whatever the client asks for, `server` answers.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_inspecting_proxy(
    address: SocketAddr,
    sign_in: &str,
    identity: Arc<ServerConfig>,
    server: SocketAddr,
) -> Result<(Server, Seen)> {
    let wanted = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(sign_in));
    let mut tls = (*identity).clone();
    tls.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    let (tls, seen) = (TlsAcceptor::from(Arc::new(tls)), Seen::default());
    let seeing = Arc::clone(&seen);
    let serving = serve_connections(address, move |stream| {
        let (wanted, tls, seen) = (wanted.clone(), tls.clone(), Arc::clone(&seeing));
        async move {
            // A client that goes away in the middle is its own affair.
            let _ = converse(stream, &wanted, tls, server, seen).await;
        }
    });
    Ok((serving.await?, seen))
}

async fn converse(mut client: TcpStream, wanted: &str, tls: TlsAcceptor, server: SocketAddr, seen: Seen) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD_BYTES || client.read_buf(&mut head).await.context("reading the request")? == 0 {
            bail!("the request's head does not end");
        }
    }
    let head = String::from_utf8_lossy(&head);
    let has_signed_in = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .any(|(name, value)| name.eq_ignore_ascii_case("proxy-authorization") && value == wanted);
    if !has_signed_in || !head.starts_with("CONNECT ") {
        let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"office\"\r\nContent-Length: 0\r\n\r\n";
        return client.write_all(refusal.as_bytes()).await.context("answering");
    }
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.context("answering")?;
    let client = tls.accept(client).await.context("the client does not trust this proxy")?;
    let is_http2 = client.get_ref().1.alpn_protocol() == Some(HTTP2);
    let pass = service_fn(move |request| pass(request, server, Arc::clone(&seen)));
    let client = TokioIo::new(client);
    if is_http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(client, pass).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(client, pass).await
    }
    .context("serving the client")
}

async fn pass(mut request: Request<Incoming>, server: SocketAddr, seen: Seen) -> Result<Response<Incoming>> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    seen.lock().unwrap_or_else(PoisonError::into_inner).push((request.version(), path.clone()));
    if let Some(authority) = request.uri().authority() {
        let host = authority.as_str().parse().context("the authority is no header")?;
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = path.parse::<Uri>().context("the path is none")?;
    *request.version_mut() = Version::HTTP_11;
    let stream = TokioIo::new(TcpStream::connect(server).await.context("connecting to the server")?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.context("speaking to the server")?;
    tokio::spawn(connection);
    let mut answer = sender.send_request(request).await.context("asking the server")?;
    // HTTP/2 knows no such headers (RFC 9113 section 8.2.2).
    answer.headers_mut().remove("transfer-encoding");
    answer.headers_mut().remove("connection");
    Ok(answer)
}
