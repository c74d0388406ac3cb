use super::{Server, serve_connections};
use anyhow::Result;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Accepts, reads and never says a word.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_silence(address: SocketAddr) -> Result<Server> {
    serve_connections(address, |mut stream| async move {
        let mut swallowed = [0; 4096];
        while matches!(stream.read(&mut swallowed).await, Ok(1..)) {}
    })
    .await
}

/// Greets with `text`, as SSH and mail servers do, and then only listens.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_banner(address: SocketAddr, text: String) -> Result<Server> {
    serve_connections(address, move |mut stream| {
        let text = text.clone();
        async move {
            if stream.write_all(text.as_bytes()).await.is_ok() {
                let mut swallowed = [0; 4096];
                while matches!(stream.read(&mut swallowed).await, Ok(1..)) {}
            }
        }
    })
    .await
}
