use super::{Presence, Together};
use crate::clock::moment_in;
use crate::problem::Refused;
use crate::store::{Note, Noted, Store, StoreError};
use netsonde_contract::id::AgentId;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Notes that failed together are tried one by one for so long: where the database itself is what fails, nobody waits longer for hearing so.
const ONE_BY_ONE: Duration = Duration::from_secs(5);

/// Keeps small writes, all that wait in one transaction. A note that was answered is on the disk, and one that cannot be kept costs no other.
pub(crate) struct Notebook {
    notes: Together<Note, Option<Noted>>,
    changed: watch::Sender<()>,
}

#[derive(Debug, thiserror::Error)]
#[error("the note was not kept; the log says why")]
struct NotKept;

impl Notebook {
    /// Opens it on `store`; whoever has new work because of a note is rung for.
    pub(crate) fn open(store: Arc<dyn Store>, presence: Presence) -> Self {
        let changed = watch::Sender::new(());
        let tell = changed.clone();
        let notes = Together::open(move |notes: Vec<Note>| {
            let (store, presence, tell) = (Arc::clone(&store), presence.clone(), tell.clone());
            async move {
                let (noted, woken) = keep(&*store, &notes).await?;
                presence.ring(&woken);
                tell.send_replace(());
                Ok(noted)
            }
        });
        Self { notes, changed }
    }

    /// Resolves whenever notes were kept.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) async fn keep(&self, note: Note) -> Result<Noted, Refused> {
        self.notes.ask(note).await?.ok_or_else(|| Refused::internal(NotKept))
    }
}

/// What became of each note, at the same place; nothing of those that cannot be kept.
async fn keep(store: &dyn Store, notes: &[Note]) -> Result<(Vec<Option<Noted>>, Vec<AgentId>), StoreError> {
    let error = match store.note(notes).await {
        Ok((noted, woken)) => return Ok((noted.into_iter().map(Some).collect(), woken)),
        Err(error) if notes.len() == 1 => return Err(error),
        Err(error) => error,
    };
    tracing::warn!(%error, source = ?error.source(), notes = notes.len(), "notes failed together and are kept one by one");
    let (until, mut all, mut woken) = (moment_in(ONE_BY_ONE), Vec::with_capacity(notes.len()), Vec::new());
    for note in notes {
        if moment_in(Duration::ZERO) >= until {
            break;
        }
        match store.note(std::slice::from_ref(note)).await {
            Ok((noted, rung)) => {
                all.extend(noted.into_iter().map(Some));
                woken.extend(rung);
            }
            Err(error) => {
                tracing::error!(%error, source = ?error.source(), "a note cannot be kept");
                all.push(None);
            }
        }
    }
    all.resize(notes.len(), None);
    Ok((all, woken))
}
