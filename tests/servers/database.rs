use super::{Server, serve_connections};
use anyhow::Result;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// SSLRequest (PostgreSQL's documentation, "Message Formats").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A PostgreSQL server that agrees to TLS, makes it, and takes no user.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_database(address: SocketAddr, config: Arc<ServerConfig>) -> Result<Server> {
    let acceptor = TlsAcceptor::from(config);
    serve_connections(address, move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut question = [0; SSL_REQUEST.len()];
            if stream.read_exact(&mut question).await.is_ok()
                && question == SSL_REQUEST
                && stream.write_all(b"S").await.is_ok()
                && let Ok(mut stream) = acceptor.accept(stream).await
            {
                let mut swallowed = [0; 4096];
                while matches!(stream.read(&mut swallowed).await, Ok(1..)) {}
            }
        }
    })
    .await
}
