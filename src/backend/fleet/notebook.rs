use super::{Presence, Together};
use crate::problem::Refused;
use crate::store::{Note, Noted, Store};
use std::sync::Arc;

/// Keeps small writes, all that wait in one transaction. A note that was answered is on the disk.
pub(crate) struct Notebook(Together<Note, Noted>);

impl Notebook {
    /// Opens it on `store`; whoever has new work because of a note is rung for.
    pub(crate) fn open(store: Arc<dyn Store>, presence: Presence) -> Self {
        Self(Together::open(move |notes: Vec<Note>| {
            let (store, presence) = (Arc::clone(&store), presence.clone());
            async move {
                let (noted, woken) = store.note(&notes).await?;
                presence.ring(&woken);
                Ok(noted)
            }
        }))
    }

    pub(crate) async fn keep(&self, note: Note) -> Result<Noted, Refused> {
        self.0.ask(note).await
    }
}
