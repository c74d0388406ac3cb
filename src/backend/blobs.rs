//! The bundles' bytes, each under the SHA-256 of its file.
//!
//! A blob is written whole or not at all and is on the disk before `put`
//! returns. A blob that no row names is what a kill left between the two steps
//! of storing a bundle, or what an older or foreign database does not know of.
//! Nothing here can tell the two apart, so a bundle is never deleted: it is set
//! aside among the orphans, and put back once a row names it.

use bytes::Bytes;
use netsonde_contract::bundle::hexadecimal;
use netsonde_disk::{Disk, UNFINISHED};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A blob could not be written, read or listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    #[error("cannot {doing} the blob {digest}")]
    Store { doing: &'static str, digest: String, source: io::Error },
    #[error("the blob {digest} is missing")]
    Missing { digest: String },
    #[error("the blob {digest} is not what was stored: its digest is {found}")]
    Altered { digest: String, found: String },
    #[error("cannot list the blobs")]
    List(#[source] io::Error),
}

/// The blobs of a folder. Clones are the same.
#[derive(Clone)]
pub(crate) struct Blobs {
    root: PathBuf,
    disk: Disk,
    /// Folders whose names this process has seen to.
    safe: Arc<Mutex<HashSet<PathBuf>>>,
}

const PREFIX: &str = "sha256";
/// Bundles that no row names.
pub(crate) const ORPHANS: &str = "orphans";

impl Blobs {
    /// Nothing is made before the first `put`.
    pub(crate) fn in_folder(folder: &Path, disk: Disk) -> Self {
        Self { root: folder.to_owned(), disk, safe: Arc::default() }
    }

    /// The digest of a file, which is also its name here.
    pub(crate) fn digest(bytes: &[u8]) -> String {
        hexadecimal(&Sha256::digest(bytes))
    }

    pub(crate) async fn put(&self, digest: &str, bytes: Bytes) -> Result<(), BlobError> {
        let place = self.place(digest);
        let put = move |blobs: &Self| {
            blobs.make_safe(&place)?;
            blobs.disk.replace(&place, &bytes)
        };
        self.work("write", digest, put).await
    }

    /// Reads a blob and checks that it is still what was stored.
    pub(crate) async fn get(&self, digest: &str) -> Result<Bytes, BlobError> {
        let place = self.place(digest);
        let read = move |blobs: &Self| {
            let bytes = blobs.disk.files().read(&place)?;
            let found = Self::digest(&bytes);
            Ok((bytes, found))
        };
        let (bytes, found) = self.work("read", digest, read).await?;
        if found == digest { Ok(bytes.into()) } else { Err(BlobError::Altered { digest: digest.to_owned(), found }) }
    }

    pub(crate) async fn remove(&self, digest: &str) -> Result<(), BlobError> {
        let place = self.place(digest);
        self.work("remove", digest, move |blobs| blobs.disk.files().remove_file(&place)).await
    }

    /// Moves a blob to the orphans.
    pub(crate) async fn set_aside(&self, digest: &str) -> Result<(), BlobError> {
        let (from, to) = (self.place(digest), self.orphan(digest));
        self.work("set aside", digest, move |blobs| blobs.move_to(&from, &to)).await
    }

    /// Moves an orphan back to its place.
    pub(crate) async fn put_back(&self, digest: &str) -> Result<(), BlobError> {
        let (from, to) = (self.orphan(digest), self.place(digest));
        self.work("put back", digest, move |blobs| blobs.move_to(&from, &to)).await
    }

    /// The digests of all orphans.
    pub(crate) async fn orphans(&self) -> Result<Vec<String>, BlobError> {
        self.apart(|blobs| digests(blobs.names(&blobs.root.join(ORPHANS))?)).await.map_err(BlobError::List)
    }

    /// The digests of all blobs.
    pub(crate) async fn list(&self) -> Result<Vec<String>, BlobError> {
        let list = |blobs: &Self| {
            let mut all = Vec::new();
            for folder in blobs.folders()? {
                all.extend(digests(blobs.names(&folder)?)?);
            }
            Ok(all)
        };
        self.apart(list).await.map_err(BlobError::List)
    }

    /// Removes what a process that died was writing. Nothing may be written meanwhile.
    pub(crate) async fn sweep_unfinished(&self) -> Result<(), BlobError> {
        let sweep = |blobs: &Self| {
            for folder in blobs.folders()? {
                for name in blobs.names(&folder)?.iter().filter(|name| name.ends_with(UNFINISHED)) {
                    blobs.disk.files().remove_file(&folder.join(name))?;
                }
            }
            Ok(())
        };
        self.apart(sweep).await.map_err(BlobError::List)
    }

    fn folders(&self) -> io::Result<Vec<PathBuf>> {
        let parent = self.root.join(PREFIX);
        Ok(self.names(&parent)?.into_iter().map(|name| parent.join(name)).collect())
    }

    /// A folder that is not there holds nothing.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        match self.disk.files().names(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names,
        }
    }

    fn move_to(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.make_safe(to)?;
        self.disk.move_to(from, to)
    }

    /// Makes the folder of a file, once in a process's life: its name outlives a crash.
    fn make_safe(&self, file: &Path) -> io::Result<()> {
        let folder = file.parent().unwrap_or(&self.root);
        let is_safe = |folder: &Path| self.safe.lock().unwrap_or_else(PoisonError::into_inner).contains(folder);
        for folder in [&self.root, &self.root.join(PREFIX), folder] {
            if !is_safe(folder) {
                self.disk.make_folder(folder)?;
                self.safe.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
            }
        }
        Ok(())
    }

    async fn work<T: Send + 'static>(
        &self,
        doing: &'static str,
        digest: &str,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        self.apart(work).await.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => BlobError::Missing { digest: digest.to_owned() },
            _ => BlobError::Store { doing, digest: digest.to_owned(), source },
        })
    }

    /// Where waiting for the disk holds nobody up.
    async fn apart<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let blobs = self.clone();
        tokio::task::spawn_blocking(move || work(&blobs)).await.map_err(io::Error::other)?
    }

    /// 256 folders keep each of them small.
    fn place(&self, digest: &str) -> PathBuf {
        self.root.join(PREFIX).join(digest.get(..2).unwrap_or("00")).join(digest)
    }

    fn orphan(&self, digest: &str) -> PathBuf {
        self.root.join(ORPHANS).join(digest)
    }
}

/// Names that are digests; whatever else lies there is nobody's blob.
fn digests(names: Vec<String>) -> io::Result<Vec<String>> {
    let is_digest = |name: &String| name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    Ok(names.into_iter().filter(is_digest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_blob_that_was_changed_on_the_disk_is_told_and_never_returned() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::in_folder(folder.path(), Disk::system());
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

    #[tokio::test]
    async fn what_a_kill_left_half_written_is_no_blob_and_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::in_folder(folder.path(), Disk::system());
        let digest = Blobs::digest(b"bundle");
        blobs.put(&digest, Bytes::from_static(b"bundle")).await.unwrap();
        let half = folder.path().join("sha256").join(&digest[..2]).join(format!(".{digest}.0123456789abcdef{UNFINISHED}"));
        std::fs::write(&half, "bun").unwrap();
        assert_eq!(blobs.list().await.unwrap(), std::slice::from_ref(&digest));
        blobs.sweep_unfinished().await.unwrap();
        assert!(!half.exists() && blobs.get(&digest).await.is_ok());
        blobs.set_aside(&digest).await.unwrap();
        assert_eq!(blobs.orphans().await.unwrap(), std::slice::from_ref(&digest));
        blobs.put_back(&digest).await.unwrap();
        assert!(blobs.orphans().await.unwrap().is_empty() && blobs.get(&digest).await.is_ok());
    }
}
