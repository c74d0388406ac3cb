use super::working::Working;
use crate::clock::moment_in;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A stream that fails with `TimedOut` once no byte has passed in either direction for a while, but for the time that this program itself
/// takes for an answer.
pub(super) struct IdleLimit<S> {
    stream: S,
    limit: Duration,
    deadline: Pin<Box<Sleep>>,
    working: Working,
}

impl<S> IdleLimit<S> {
    pub(super) fn new(stream: S, limit: Duration, working: Working) -> Self {
        Self { stream, limit, deadline: Box::pin(tokio::time::sleep(limit)), working }
    }

    /// Passes on what the stream said; where it has to wait, the deadline runs.
    fn watched<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.deadline.as_mut().reset(moment_in(self.limit));
            return polled;
        }
        while self.deadline.as_mut().poll(context).is_ready() {
            if !self.working.is_ours() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the connection was idle for too long")));
            }
            self.deadline.as_mut().reset(moment_in(self.limit));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for IdleLimit<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watched(polled, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for IdleLimit<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        // A flush with nothing to send is always ready and says nothing about the peer.
        if polled.is_ready() { polled } else { self.watched(polled, context) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watched(polled, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_peer_that_falls_silent_is_cut_and_one_that_speaks_is_not() {
        let (mut peer, stream) = tokio::io::duplex(64);
        let working = Working::default();
        let limit = Duration::from_millis(40);
        let mut limited = IdleLimit::new(stream, limit, working.clone());
        peer.write_all(b"hello").await.unwrap();
        let mut buffer = [0; 5];
        limited.read_exact(&mut buffer).await.unwrap();
        let answering = working.begin();
        let waited = tokio::time::timeout(limit * 4, limited.read_exact(&mut buffer)).await;
        assert!(waited.is_err(), "it is not the peer that is slow");
        drop(answering);
        let error = limited.read_exact(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
