use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedMutexGuard, watch};

/// Who may write to which upload: the newest request. An older one that still waits for its body learns of it at once, and one
/// that is already writing finishes first.
#[derive(Default)]
pub(crate) struct Turns {
    uploads: Mutex<HashMap<String, Arc<Fence>>>,
}

struct Fence {
    newest: watch::Sender<u64>,
    writing: Arc<tokio::sync::Mutex<()>>,
}

/// One request's claim on an upload.
pub(crate) struct Turn {
    fence: Arc<Fence>,
    number: u64,
}

impl Turns {
    /// Takes the upload over from every earlier request.
    pub(crate) fn take(&self, upload: &str) -> Turn {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Fence { newest: watch::Sender::new(0), writing: Arc::default() });
        let fence = Arc::clone(uploads.entry(upload.to_owned()).or_insert_with(new));
        let mut number = 0;
        fence.newest.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        Turn { fence, number }
    }

    /// Forgets an upload that is over; requests that still run for it are overtaken.
    pub(crate) fn end(&self, upload: &str) {
        let ended = self.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(upload);
        if let Some(fence) = ended {
            fence.newest.send_modify(|newest| *newest += 1);
        }
    }
}

impl Turn {
    /// Resolves once a newer request has taken over.
    pub(crate) async fn overtaken(&self) {
        let mut newest = self.fence.newest.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = newest.wait_for(|newest| *newest != self.number).await;
    }

    /// Waits until nobody writes; nothing where a newer request has taken over meanwhile.
    pub(crate) async fn begin_writing(&self) -> Option<OwnedMutexGuard<()>> {
        let guard = Arc::clone(&self.fence.writing).lock_owned().await;
        (*self.fence.newest.borrow() == self.number).then_some(guard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_newer_request_overtakes_the_one_that_waits() {
        let turns = Turns::default();
        let older = turns.take("a");
        assert!(older.overtaken().now_or_never().is_none());
        let newer = turns.take("a");
        older.overtaken().await;
        assert!(older.begin_writing().await.is_none());
        assert!(newer.begin_writing().await.is_some());
        turns.end("a");
        newer.overtaken().await;
    }

    #[tokio::test]
    async fn the_newer_request_waits_for_the_one_that_writes() {
        let turns = Turns::default();
        let older = turns.take("a");
        let writing = older.begin_writing().await.unwrap();
        let newer = turns.take("a");
        assert!(newer.begin_writing().now_or_never().is_none());
        drop(writing);
        assert!(newer.begin_writing().await.is_some());
    }
}
