use crate::app::App;
use crate::problem::Refused;
use netsonde_contract::api::fleet::{MAX_ROOTS, TrustDocuments};
use netsonde_contract::api::{Problem, ProblemCode};
use netsonde_contract::dsse::Envelope;
use netsonde_contract::trust::{Anchor, RootStatement, TrustError};
use std::sync::{Arc, Mutex, PoisonError};

/// A root or a list of a thousand keys fits.
const MAX_DOCUMENT_BYTES: usize = 512 * 1024;

/// The organisation's documents that are handed out, held so that no request has to read and verify them.
#[derive(Default)]
pub(crate) struct Trust {
    published: Mutex<Option<Arc<Published>>>,
    /// Held while new documents are compared with those before.
    publishing: tokio::sync::Mutex<()>,
}

pub(crate) struct Published {
    pub(crate) documents: TrustDocuments,
    pub(crate) anchor: Anchor,
}

impl Trust {
    pub(crate) fn current(&self) -> Option<Arc<Published>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what the store has. Documents that no longer verify are handed to nobody.
    pub(crate) async fn load(app: &App) -> Result<(), Refused> {
        let Some(documents) = app.store.trust().await? else { return Ok(()) };
        match follow(&documents) {
            Ok(anchor) => app.trust.set(documents, anchor),
            Err(error) => {
                tracing::error!(%error, "the organisation's documents in the database do not verify and are not handed out")
            }
        }
        Ok(())
    }

    fn set(&self, documents: TrustDocuments, anchor: Anchor) {
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(Published { documents, anchor }));
    }
}

/// Publishes documents that follow from those before. Which organisation it is, the desk says with the first; only agents and desks pin it.
pub(crate) async fn publish(app: &App, documents: TrustDocuments) -> Result<(), Refused> {
    let _publishing = app.trust.publishing.lock().await;
    let anchor = follow(&documents).map_err(|error| refused(&error))?;
    if let Some(held) = app.trust.current() {
        compare(&held, &documents, &anchor).map_err(|error| refused(&error))?;
        if held.documents == documents {
            return Ok(());
        }
    }
    let (root, list) = anchor.versions();
    let what = format!("root {root}, list {list}, organisation {}", anchor.organisation());
    app.store.set_trust(&documents, &what, app.clock.now()).await?;
    app.trust.set(documents, anchor);
    app.presence.ring_all();
    tracing::info!(root, list, "the organisation's documents were published");
    Ok(())
}

/// Follows the roots from the first on, and takes the list under whichever of them signed it.
fn follow(documents: &TrustDocuments) -> Result<Anchor, TrustError> {
    let malformed = |words: &str| TrustError::Malformed(words.to_owned());
    let (first, later) = documents.roots.split_first().ok_or_else(|| malformed("there is no root"))?;
    let texts = documents.roots.iter().chain(&documents.list);
    if documents.roots.len() > MAX_ROOTS || texts.into_iter().any(|text| text.len() > MAX_DOCUMENT_BYTES) {
        return Err(malformed("there are too many documents, or one is too long"));
    }
    let envelope = Envelope::from_json(first.as_bytes())?;
    let mut anchor = Anchor::pinned(first.as_bytes(), &RootStatement::fingerprint(envelope.unverified()))?;
    if anchor.root().version != 1 {
        return Err(malformed("the first document is not the organisation's first root"));
    }
    let mut list = documents.list.as_ref().map(|list| (list, TrustError::NoList));
    for root in std::iter::once(None).chain(later.iter().map(Some)) {
        if let Some(root) = root {
            anchor.accept_root(root.as_bytes())?;
        }
        if let Some((json, _)) = list {
            list = anchor.accept_list(json.as_bytes()).err().map(|error| (json, error));
        }
    }
    match list {
        Some((_, error)) => Err(error),
        None => Ok(anchor),
    }
}

/// Neither a root nor a list that was published is taken back or replaced by another of its number.
fn compare(held: &Published, documents: &TrustDocuments, anchor: &Anchor) -> Result<(), TrustError> {
    if anchor.organisation() != held.anchor.organisation() {
        return Err(TrustError::OtherOrganisation);
    }
    let ((held_root, held_list), (root, list)) = (held.anchor.versions(), anchor.versions());
    if root < held_root || list < held_list {
        let (held, given) = if root < held_root { (held_root, root) } else { (held_list, list) };
        return Err(TrustError::Rollback { held, given });
    }
    let statement = |json: &String| Envelope::from_json(json.as_bytes()).map(|envelope| envelope.unverified().to_vec());
    let pairs = held.documents.roots.iter().zip(&documents.roots);
    for (version, (before, now)) in (1..).zip(pairs) {
        if statement(before)? != statement(now)? {
            return Err(TrustError::Mixed(version));
        }
    }
    match (&held.documents.list, &documents.list) {
        (Some(before), Some(now)) if list == held_list && statement(before)? != statement(now)? => Err(TrustError::Mixed(list)),
        _ => Ok(()),
    }
}

fn refused(error: &TrustError) -> Refused {
    let problem = Problem::new(ProblemCode::TrustRefused, format!("The organisation's documents are not taken: {error}."))
        .with_next_step("Publish every root from the first on, and the newest list of keys that the last of them signed.");
    Problem { reason: Some(error.code().to_owned()), ..problem }.into()
}
