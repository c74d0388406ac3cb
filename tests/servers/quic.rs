use super::Server;
use crate::certificates::Identity;
use anyhow::{Context, Result};
use quinn::crypto::rustls::QuicServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;

/// Makes QUIC handshakes as a server of HTTP/3 does, or of the application protocols named instead (ALPN), and keeps each connection until
/// the client ends it.
///
/// # Errors
/// Where the address cannot be listened on, or chain and key do not fit.
pub async fn serve_quic(address: SocketAddr, identity: Identity, protocols: &str) -> Result<Server> {
    let mut tls = rustls::ServerConfig::clone(super::server_config(identity)?.as_ref());
    let protocols = if protocols.is_empty() { "h3" } else { protocols };
    tls.alpn_protocols = protocols.split_whitespace().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let crypto = QuicServerConfig::try_from(tls).context("using the certificate for QUIC")?;
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = quinn::Endpoint::server(config, address).with_context(|| format!("listening on {address} over UDP"))?;
    let address = endpoint.local_addr().context("reading the own address")?;
    let task = tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    connection.closed().await;
                }
            });
        }
    });
    Ok(Server { address, tasks: vec![task] })
}
