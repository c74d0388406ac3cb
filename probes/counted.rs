//! A TCP connection whose bytes count against the run's budget, in both directions.
//!
//! Every connection that a probe makes is one of these, so that a download ends where the budget does: what is read or written next is cut to
//! what is left, and then fails as [`std::io::ErrorKind::QuotaExceeded`], which is `budget_exhausted` among the failures.

use crate::gate::Gate;
use netsonde_contract::failure::{Failure, Step};
use std::error::Error;
use std::io::{self, IoSlice};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection that counts.
#[derive(Debug)]
pub(crate) struct Counted {
    stream: TcpStream,
    gate: Arc<Gate>,
}

impl Counted {
    pub(crate) fn new(stream: TcpStream, gate: &Arc<Gate>) -> Self {
        Self { stream, gate: Arc::clone(gate) }
    }
}

/// For what the kernel knows of the connection. Who reads through it counts what came.
impl Deref for Counted {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        if room == 0 {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let granted = self.gate.take_bytes(room)?;
        let before = buffer.filled().len();
        let result = if granted == room {
            Pin::new(&mut self.stream).poll_read(context, buffer)
        } else {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(granted));
            let result = Pin::new(&mut self.stream).poll_read(context, &mut part);
            let count = part.filled().len();
            buffer.advance(count);
            result
        };
        self.gate.give_back(granted - (buffer.filled().len() - before));
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        let granted = self.gate.take_bytes(bytes.len())?;
        let result = Pin::new(&mut self.stream).poll_write(context, &bytes[..granted]);
        self.settle(granted, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        let granted = if wanted == 0 { 0 } else { self.gate.take_bytes(wanted)? };
        let result = if granted == wanted {
            Pin::new(&mut self.stream).poll_write_vectored(context, slices)
        } else {
            // The budget's last bytes: of the first slice that has any.
            let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            Pin::new(&mut self.stream).poll_write(context, &first[..granted.min(first.len())])
        };
        self.settle(granted, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Counted {
    /// Gives back what was granted and not written.
    fn settle(&self, granted: usize, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let written = if let Poll::Ready(Ok(written)) = &result { *written } else { 0 };
        self.gate.give_back(granted.saturating_sub(written));
        result
    }
}

/// The end of the byte budget, where that is what lies behind a library's error.
pub(crate) fn used_up(error: &(dyn Error + 'static), during: Step) -> Option<Failure> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if let Some(end) = io.filter(|io| io.kind() == io::ErrorKind::QuotaExceeded) {
            return Some(Failure::from_io(end, during));
        }
        // An I/O error hides the one that it was made of from `source`.
        cause = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::gate::Limits;
    use netsonde_contract::failure::FailureCode;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A connection with a budget of its own, and the other end.
    async fn pair(bytes: u64) -> (Counted, TcpStream, Arc<Gate>) {
        let gate = Arc::new(Gate::new(Limits { bytes, ..Limits::PERSON }, Clock::start()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Counted::new(near, &gate), listener.accept().await.unwrap().0, gate)
    }

    #[tokio::test]
    async fn a_download_ends_at_the_budget_to_the_byte() {
        let (mut near, mut far, gate) = pair(1_000).await;
        far.write_all(&[7; 5_000]).await.unwrap();
        let mut all = Vec::new();
        let error = near.read_to_end(&mut all).await.unwrap_err();
        assert_eq!((all.len(), error.kind()), (1_000, io::ErrorKind::QuotaExceeded));
        let failure = Failure::from_io(&error, Step::Receive);
        assert_eq!(
            (failure.code, failure.text.as_str()),
            (FailureCode::BudgetExhausted, "the run's budget of 1000 bytes is used up")
        );
        assert_eq!(gate.limits_hit(), ["the run's budget of 1000 bytes is used up"]);
    }

    #[tokio::test]
    async fn what_is_sent_and_what_comes_share_one_budget() {
        let (mut near, mut far, gate) = pair(1_000).await;
        near.write_all(&[1; 600]).await.unwrap();
        far.write_all(&[2; 600]).await.unwrap();
        let mut all = Vec::new();
        near.read_to_end(&mut all).await.unwrap_err();
        assert_eq!((all.len(), gate.bytes()), (400, 1_000));
        assert_eq!(near.write(&[3]).await.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        let slices = [IoSlice::new(&[4; 10]), IoSlice::new(&[5; 10])];
        assert_eq!(near.write_vectored(&slices).await.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
    }

    #[tokio::test]
    async fn the_last_bytes_of_several_slices_are_written_and_no_more() {
        let (mut near, mut far, gate) = pair(12).await;
        let slices = [IoSlice::new(&[]), IoSlice::new(&[4; 10]), IoSlice::new(&[5; 10])];
        let written = near.write_vectored(&slices).await.unwrap();
        assert_eq!((written, gate.bytes()), (10, 10));
        let mut got = [0; 10];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(got, [4; 10]);
    }

    #[tokio::test]
    async fn a_read_that_waits_takes_nothing_from_others() {
        let (mut near, _far, gate) = pair(1_000).await;
        let mut buffer = [0; 1_000];
        assert!(futures_util::poll!(std::pin::pin!(near.read(&mut buffer))).is_pending());
        assert_eq!(gate.bytes(), 0);
    }

    #[test]
    fn the_budgets_end_is_found_behind_a_librarys_error() {
        let end = io::Error::new(io::ErrorKind::QuotaExceeded, "the run's budget of 1 bytes is used up");
        let wrapped = io::Error::other(io::Error::other(end));
        assert_eq!(used_up(&wrapped, Step::Receive).unwrap().code, FailureCode::BudgetExhausted);
        assert_eq!(used_up(&io::Error::other("another"), Step::Receive), None);
    }
}
