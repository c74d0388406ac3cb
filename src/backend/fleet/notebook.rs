use super::Presence;
use crate::problem::Refused;
use crate::store::{Note, Noted, Store};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Notes that wait for the disk; whoever brings more waits before it.
const MAX_WAITING: usize = 4096;
/// Notes of one transaction: enough for thousands a second, few enough that nobody waits long.
const MAX_TOGETHER: usize = 512;

/// Keeps small writes, all that wait in one transaction. A note that was answered is on the disk.
pub(crate) struct Notebook {
    waiting: mpsc::Sender<Entry>,
}

struct Entry {
    note: Note,
    answer: oneshot::Sender<Option<Noted>>,
}

#[derive(Debug, thiserror::Error)]
#[error("a note could not be kept; the log says why")]
struct NotKept;

impl Notebook {
    /// Opens it on `store`; whoever has new work because of a note is rung for.
    pub(crate) fn open(store: Arc<dyn Store>, presence: Presence) -> Self {
        let (waiting, entries) = mpsc::channel(MAX_WAITING);
        tokio::spawn(write(store, presence, entries));
        Self { waiting }
    }

    pub(crate) async fn keep(&self, note: Note) -> Result<Noted, Refused> {
        let (answer, answered) = oneshot::channel();
        let sent = self.waiting.send(Entry { note, answer }).await;
        sent.map_err(|_| Refused::internal(NotKept))?;
        answered.await.ok().flatten().ok_or_else(|| Refused::internal(NotKept))
    }
}

async fn write(store: Arc<dyn Store>, presence: Presence, mut entries: mpsc::Receiver<Entry>) {
    let mut together = Vec::with_capacity(MAX_TOGETHER);
    while entries.recv_many(&mut together, MAX_TOGETHER).await > 0 {
        let (notes, answers): (Vec<Note>, Vec<_>) = together.drain(..).map(|entry| (entry.note, entry.answer)).unzip();
        match store.note(&notes).await {
            Ok((noted, woken)) => {
                // Nobody who hung up meanwhile is missed.
                answers.into_iter().zip(noted).for_each(|(answer, noted)| drop(answer.send(Some(noted))));
                presence.ring(&woken);
            }
            Err(error) => {
                tracing::error!(%error, source = ?std::error::Error::source(&error), notes = notes.len(), "notes could not be kept");
                answers.into_iter().for_each(|answer| drop(answer.send(None)));
            }
        }
    }
}
