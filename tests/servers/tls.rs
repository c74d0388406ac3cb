use super::{Server, http, serve_connections};
use crate::certificates::Identity;
use anyhow::{Context, Result};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

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
