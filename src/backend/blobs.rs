//! The bundles' bytes, each under the SHA-256 of its file.
//!
//! A blob is written whole or not at all and is on the disk before `put`
//! returns. A blob that no row names is what a kill left between the two steps
//! of storing a bundle, or what an older or foreign database does not know of.
//! Nothing here can tell the two apart, so a bundle is never deleted: it is set
//! aside among the orphans, and put back once a row names it.

use bytes::Bytes;
use futures_util::TryStreamExt;
use netsonde_contract::bundle::hexadecimal;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;

/// A blob could not be written, read or listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    #[error("cannot {doing} the blob {digest}")]
    Store { doing: &'static str, digest: String, source: object_store::Error },
    #[error("the blob {digest} is missing")]
    Missing { digest: String },
    #[error("the blob {digest} is not what was stored: its digest is {found}")]
    Altered { digest: String, found: String },
    #[error("cannot list the blobs")]
    List(#[source] object_store::Error),
}

#[derive(Clone)]
pub(crate) struct Blobs {
    store: Arc<dyn ObjectStore>,
}

const PREFIX: &str = "sha256";
/// Bundles that no row names.
pub(crate) const ORPHANS: &str = "orphans";

impl Blobs {
    /// The blobs of a folder, which must be there.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self, BlobError> {
        let store = LocalFileSystem::new_with_prefix(folder).map_err(BlobError::List)?.with_fsync(true);
        Ok(Self { store: Arc::new(store) })
    }

    /// The digest of a file, which is also its name here.
    pub(crate) fn digest(bytes: &[u8]) -> String {
        hexadecimal(&Sha256::digest(bytes))
    }

    pub(crate) async fn put(&self, digest: &str, bytes: Bytes) -> Result<(), BlobError> {
        let failed = |source| BlobError::Store { doing: "write", digest: digest.to_owned(), source };
        self.store.put(&place(digest), PutPayload::from_bytes(bytes)).await.map_err(failed).map(drop)
    }

    /// Reads a blob and checks that it is still what was stored.
    pub(crate) async fn get(&self, digest: &str) -> Result<Bytes, BlobError> {
        let failed = |source| match source {
            object_store::Error::NotFound { .. } => BlobError::Missing { digest: digest.to_owned() },
            source => BlobError::Store { doing: "read", digest: digest.to_owned(), source },
        };
        let bytes = self.store.get(&place(digest)).await.map_err(failed)?.bytes().await.map_err(failed)?;
        let found = Self::digest(&bytes);
        if found == digest { Ok(bytes) } else { Err(BlobError::Altered { digest: digest.to_owned(), found }) }
    }

    pub(crate) async fn remove(&self, digest: &str) -> Result<(), BlobError> {
        let failed = |source| BlobError::Store { doing: "remove", digest: digest.to_owned(), source };
        self.store.delete(&place(digest)).await.map_err(failed)
    }

    /// Moves a blob to the orphans.
    pub(crate) async fn set_aside(&self, digest: &str) -> Result<(), BlobError> {
        let failed = |source| BlobError::Store { doing: "set aside", digest: digest.to_owned(), source };
        self.store.rename(&place(digest), &orphan(digest)).await.map_err(failed)
    }

    /// Moves an orphan back to its place.
    pub(crate) async fn put_back(&self, digest: &str) -> Result<(), BlobError> {
        let failed = |source| BlobError::Store { doing: "put back", digest: digest.to_owned(), source };
        self.store.rename(&orphan(digest), &place(digest)).await.map_err(failed)
    }

    /// The digests of all orphans.
    pub(crate) async fn orphans(&self) -> Result<Vec<String>, BlobError> {
        self.digests(ORPHANS).await
    }

    /// The digests of all blobs.
    pub(crate) async fn list(&self) -> Result<Vec<String>, BlobError> {
        self.digests(PREFIX).await
    }

    async fn digests(&self, prefix: &str) -> Result<Vec<String>, BlobError> {
        let prefix = ObjectPath::from(prefix);
        let listed: Vec<_> = self.store.list(Some(&prefix)).try_collect().await.map_err(BlobError::List)?;
        Ok(listed.into_iter().filter_map(|object| Some(object.location.filename()?.to_owned())).collect())
    }
}

/// 256 folders keep each of them small.
fn place(digest: &str) -> ObjectPath {
    ObjectPath::from_iter([PREFIX, digest.get(..2).unwrap_or("00"), digest])
}

fn orphan(digest: &str) -> ObjectPath {
    ObjectPath::from_iter([ORPHANS, digest])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_blob_that_was_changed_on_the_disk_is_told_and_never_returned() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::in_folder(folder.path()).unwrap();
        let digest = Blobs::digest(b"bundle");
        blobs.put(&digest, Bytes::from_static(b"bundle")).await.unwrap();
        assert_eq!(blobs.get(&digest).await.unwrap(), "bundle");
        assert_eq!(blobs.list().await.unwrap(), std::slice::from_ref(&digest));
        std::fs::write(folder.path().join("sha256").join(&digest[..2]).join(&digest), "bungle").unwrap();
        assert!(matches!(blobs.get(&digest).await, Err(BlobError::Altered { .. })));
        blobs.remove(&digest).await.unwrap();
        assert!(matches!(blobs.get(&digest).await, Err(BlobError::Missing { .. })));
        assert!(blobs.list().await.unwrap().is_empty());
    }
}
