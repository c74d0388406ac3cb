use super::{Server, http, serve_connections};
use crate::certificates::Identity;
use anyhow::{Context, Result};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Acceptor, NoClientAuth, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

/// Hellos with classic groups have some 250 bytes, those with a post-quantum group more than 1,400.
const LARGEST_HELLO_BYTES: u16 = 1_000;

/// HTTP within TLS.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_https(address: SocketAddr, config: Arc<ServerConfig>) -> Result<Server> {
    let acceptor = TlsAcceptor::from(config);
    serve_connections(address, move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                http::converse(stream).await;
            }
        }
    })
    .await
}

/// The same behind a filter that breaks off connections whose hello names `blocked`.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_name_filter(address: SocketAddr, config: Arc<ServerConfig>, blocked: String) -> Result<Server> {
    serve_connections(address, move |stream| {
        let (config, blocked) = (Arc::clone(&config), blocked.clone());
        async move {
            let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), stream).await else { return };
            if start.client_hello().server_name().is_some_and(|name| name.starts_with(&blocked)) {
                return;
            }
            if let Ok(stream) = start.into_stream(config).await {
                http::converse(stream).await;
            }
        }
    })
    .await
}

/// The same by a server that waits forever for a hello that does not fit one packet, as old ones do.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_small_hellos(address: SocketAddr, config: Arc<ServerConfig>) -> Result<Server> {
    let acceptor = TlsAcceptor::from(config);
    serve_connections(address, move |stream| {
        let acceptor = acceptor.clone();
        async move {
            // The head of the first record: its type, its version and its length (RFC 8446 section 5.1).
            let mut head = [0; 5];
            while !matches!(stream.peek(&mut head).await, Ok(5) | Err(_)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if u16::from_be_bytes([head[3], head[4]]) > LARGEST_HELLO_BYTES {
                std::future::pending::<()>().await;
            }
            if let Ok(stream) = acceptor.accept(stream).await {
                http::converse(stream).await;
            }
        }
    })
    .await
}

/// A server configuration with one certificate.
///
/// # Errors
/// Where chain and key do not fit.
pub fn server_config(identity: Identity) -> Result<Arc<ServerConfig>> {
    configure(identity, None)
}

/// The same for a server that speaks only with clients whose certificate is signed by the end of its own chain.
///
/// # Errors
/// Where chain and key do not fit.
pub fn mutual_server_config(identity: Identity) -> Result<Arc<ServerConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.chain.last().cloned().context("a chain has a certificate")?).context("trusting clients")?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider())).build();
    configure(identity, Some(clients.context("demanding client certificates")?))
}

fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

fn configure(identity: Identity, clients: Option<Arc<dyn ClientCertVerifier>>) -> Result<Arc<ServerConfig>> {
    let config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .context("choosing TLS versions")?
        .with_client_cert_verifier(clients.unwrap_or_else(|| Arc::new(NoClientAuth)))
        .with_single_cert(identity.chain, identity.key)
        .context("loading a certificate")?;
    Ok(Arc::new(config))
}
