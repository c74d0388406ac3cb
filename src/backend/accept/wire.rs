use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The stream under an HTTP connection, made so that HTTP can let go of it and take it again: it gives back first what was read of it ahead of
/// time, and knows whether all that was written has left.
pub(super) struct Wire<S> {
    stream: S,
    ahead: Bytes,
    unsent: Unsent,
}

/// Whether something that was written to a [`Wire`] may not have left yet. It can be asked while HTTP has the wire.
#[derive(Clone, Default)]
pub(super) struct Unsent(Arc<AtomicBool>);

impl Unsent {
    pub(super) fn is_some(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, unsent: bool) {
        self.0.store(unsent, Ordering::Relaxed);
    }
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: Bytes::new(), unsent: Unsent::default() }
    }

    pub(super) fn unsent(&self) -> Unsent {
        self.unsent.clone()
    }

    /// Puts back what was read of the stream and nobody has used.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        // An empty piece may still hold the buffer that it was cut from.
        self.ahead = if bytes.is_empty() { Bytes::new() } else { bytes };
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Resolves with `Ready` only when the peer has hung up. What it sends meanwhile is kept for later, and then not more of it is read.
    pub(super) fn poll_hung_up(&mut self, context: &mut Context<'_>) -> Poll<()> {
        /// The start of a request that comes too early; the rest of it waits in the kernel.
        const EARLY: usize = 64;
        if !self.ahead.is_empty() {
            return Poll::Pending;
        }
        let mut bytes = [0; EARLY];
        let mut buffer = ReadBuf::new(&mut bytes);
        match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => {
                self.ahead = Bytes::copy_from_slice(buffer.filled());
                Poll::Pending
            }
            Ok(()) | Err(_) => Poll::Ready(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..count]);
        self.ahead.advance(count);
        if self.ahead.is_empty() {
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.unsent.set(true);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.unsent.set(false);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_came_too_early_is_read_again_in_its_order() {
        let (mut peer, stream) = tokio::io::duplex(256);
        let mut wire = Wire::new(stream);
        wire.put_back(Bytes::from_static(b"GET "));
        peer.write_all(b"/ HTTP/1.1").await.unwrap();
        let mut text = [0; 14];
        wire.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"GET / HTTP/1.1");
        peer.write_all(b"early").await.unwrap();
        let looked = poll_fn(|context| Poll::Ready(wire.poll_hung_up(context))).await;
        assert!(looked.is_pending(), "who speaks has not hung up");
        let mut early = [0; 5];
        wire.read_exact(&mut early).await.unwrap();
        assert_eq!(&early, b"early");
        drop(peer);
        poll_fn(|context| wire.poll_hung_up(context)).await;
    }

    #[tokio::test]
    async fn what_the_peer_has_no_room_for_is_unsent() {
        let (mut peer, stream) = tokio::io::duplex(4);
        let mut wire = Wire::new(stream);
        assert!(!wire.unsent().is_some());
        wire.write_all(b"four").await.unwrap();
        assert!(wire.unsent().is_some());
        wire.flush().await.unwrap();
        assert!(!wire.unsent().is_some());
        let blocked = poll_fn(|context| Poll::Ready(Pin::new(&mut wire).poll_write(context, b"more"))).await;
        assert!(blocked.is_pending() && wire.unsent().is_some());
        let mut text = [0; 4];
        peer.read_exact(&mut text).await.unwrap();
    }
}
