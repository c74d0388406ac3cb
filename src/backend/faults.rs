//! The backend's own blobs and staged parts on a disk of the caller's, for `cargo faults`: what is staged and stored here goes the way that it goes in
//! the backend. And what its database says, beside it or after its death.

use crate::blobs::{BlobError, Blobs};
use crate::staging::Staging;
use crate::store::{Sqlite, Store};
use bytes::Bytes;
use netsonde_disk::Disk;
use std::io;
use std::path::Path;

/// What holds bundles' bytes, in one process.
pub struct Vault {
    blobs: Blobs,
    staging: Staging,
}

impl Vault {
    /// As a start of the server does it.
    ///
    /// # Errors
    /// Where what an earlier process left unfinished cannot be swept.
    pub async fn begin(disk: Disk) -> io::Result<Self> {
        disk.make_folder(Path::new("data"))?;
        let blobs = Blobs::in_folder(Path::new("data/blobs"), disk.clone());
        blobs.sweep_unfinished().await.map_err(io::Error::other)?;
        Ok(Self { blobs, staging: Staging::in_folder(Path::new("data/uploads"), disk) })
    }

    /// # Errors
    /// Where the part is not on the disk.
    pub async fn stage(&self, upload: &str, offset: u64, part: &'static [u8]) -> io::Result<()> {
        self.staging.append(upload, offset, Bytes::from_static(part)).await
    }

    /// # Errors
    /// Where fewer bytes are there.
    pub async fn staged(&self, upload: &str, length: u64) -> io::Result<Vec<u8>> {
        self.staging.read(upload, length).await
    }

    /// # Errors
    /// Where the blob is not on the disk.
    pub async fn store(&self, blob: &'static [u8]) -> io::Result<()> {
        self.blobs.put(&Blobs::digest(blob), Bytes::from_static(blob)).await.map_err(io::Error::other)
    }

    /// # Errors
    /// Where it may be anywhere.
    pub async fn set_aside(&self, blob: &[u8]) -> io::Result<()> {
        self.blobs.set_aside(&Blobs::digest(blob)).await.map_err(io::Error::other)
    }

    /// Whether the blob is in its place, byte for byte, and whether it is among the orphans.
    ///
    /// # Errors
    /// Where it is there and is another.
    pub async fn has(&self, blob: &[u8]) -> Result<(bool, bool), String> {
        let digest = Blobs::digest(blob);
        let is_orphan = self.blobs.orphans().await.map_err(|error| error.to_string())?.contains(&digest);
        match self.blobs.get(&digest).await {
            Ok(_) => Ok((true, is_orphan)),
            Err(BlobError::Missing { .. }) => Ok((false, is_orphan)),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Whether a row of the database names the blob of this digest. It is only read, also where a backend is at work on it, or died in the midst of that.
///
/// # Errors
/// Where it cannot be read.
pub async fn names_blob(database: &Path, digest: &str) -> io::Result<bool> {
    let store = Sqlite::open_to_read(database).await.map_err(io::Error::other)?;
    let named = store.names_blob(digest).await.map_err(io::Error::other);
    store.close().await;
    named
}
