use super::{Server, serve_connections};
use anyhow::Result;
use std::net::SocketAddr;
use std::time::Duration;
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

/// Accepts, says nothing, and closes in order so many milliseconds later.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_hasty(address: SocketAddr, after_ms: u64) -> Result<Server> {
    serve_connections(address, move |stream| async move {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        drop(stream);
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

/// Answers every request with this file and nothing else, as a web server of an authority does.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_file(address: SocketAddr, file: Vec<u8>) -> Result<Server> {
    serve_connections(address, move |mut stream| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/pkix-cert\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            file.len()
        );
        let answer = [head.as_bytes(), &file].concat();
        async move {
            let mut request = [0; 4096];
            if matches!(stream.read(&mut request).await, Ok(1..)) {
                // A client that goes away is its own affair.
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await
}
