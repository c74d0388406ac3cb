use super::{Server, http, serve_connections};
use crate::certificates::Identity;
use anyhow::{Context, Result};
use rustls::ServerConfig;
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
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("choosing TLS versions")?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .context("loading a certificate")?;
    Ok(Arc::new(config))
}
