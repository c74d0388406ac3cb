//! The data directory: everything this program keeps, in one place.
//!
//! `netsonde.db` rows · `blobs/` bundles by their digest · `uploads/` unfinished
//! uploads · `receipt.key` the key that signs receipts, beside the database and
//! never in it · `tls/` the generated certificate and its key · `lock` held by
//! the one server that may write here. Everything is readable by its owner only.

mod private_file;
mod tls_files;

pub(crate) use private_file::write_private;
pub(crate) use tls_files::TlsFiles;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// The data directory cannot be used: the file that failed, and why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HomeError {
    #[error("cannot use {path}", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path} is in use by another netsonde-backend; stop it, or choose another directory with --data", path = path.display())]
    InUse { path: PathBuf },
    #[error("there is no data directory {path}; name it with --data", path = path.display())]
    Missing { path: PathBuf },
    #[error("{path} does not hold what netsonde-backend wrote there: {reason}; restore it from the backup", path = path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error(transparent)]
    Random(#[from] crate::random::NoRandomness),
}

pub(crate) struct Home {
    root: PathBuf,
}

impl Home {
    /// Makes the directory and its folders where they are not there.
    pub(crate) fn create(root: &Path) -> Result<Self, HomeError> {
        let home = Self { root: root.to_owned() };
        for folder in [home.root.clone(), home.blobs(), home.uploads(), home.tls()] {
            private_file::create_folder(&folder).map_err(|source| HomeError::File { path: folder, source })?;
        }
        // SQLite gives its own files the permissions of the database, which is readable by all where SQLite itself makes it.
        let database = home.database();
        private_file::create_empty(&database).map_err(|source| HomeError::File { path: database, source })?;
        Ok(home)
    }

    /// The directory of a server that ran before.
    pub(crate) fn existing(root: &Path) -> Result<Self, HomeError> {
        let home = Self { root: root.to_owned() };
        if home.database().is_file() { Ok(home) } else { Err(HomeError::Missing { path: root.to_owned() }) }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("netsonde.db")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(crate) fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    fn receipt_key_file(&self) -> PathBuf {
        self.root.join("receipt.key")
    }

    /// Keeps a second server out for as long as the file is held open; the kernel lets go when the process ends, however it ends.
    pub(crate) fn lock(&self) -> Result<File, HomeError> {
        let path = self.root.join("lock");
        let failed = |source| HomeError::File { path: path.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(HomeError::InUse { path: self.root.clone() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The key that signs receipts; a new one on the first run.
    pub(crate) fn receipt_key(&self) -> Result<SigningKey, HomeError> {
        let path = self.receipt_key_file();
        if path.exists() {
            return self.existing_receipt_key();
        }
        let key = SigningKey::from_bytes(&crate::random::bytes()?);
        let damaged = |error: ed25519_dalek::pkcs8::Error| HomeError::Damaged { path: path.clone(), reason: error.to_string() };
        let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(damaged)?;
        write_private(&path, pem.as_bytes()).map_err(|source| HomeError::File { path: path.clone(), source })?;
        Ok(key)
    }

    pub(crate) fn existing_receipt_key(&self) -> Result<SigningKey, HomeError> {
        let path = self.receipt_key_file();
        let pem = std::fs::read_to_string(&path).map_err(|source| HomeError::File { path: path.clone(), source })?;
        SigningKey::from_pkcs8_pem(&pem).map_err(|error| HomeError::Damaged { path, reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_kept_out_until_the_first_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::create(folder.path()).unwrap();
        let first = home.lock().unwrap();
        assert!(matches!(home.lock(), Err(HomeError::InUse { .. })));
        drop(first);
        assert!(home.lock().is_ok());
    }

    #[test]
    fn the_receipt_key_stays_the_same_and_a_damaged_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::create(folder.path()).unwrap();
        let key = home.receipt_key().unwrap();
        assert_eq!(home.receipt_key().unwrap().to_bytes(), key.to_bytes());
        std::fs::write(home.receipt_key_file(), "-----BEGIN").unwrap();
        assert!(matches!(home.receipt_key(), Err(HomeError::Damaged { .. })));
    }
}
