//! The data directory: everything this program keeps, in one place.
//!
//! `netsonde.db` rows · `blobs/` bundles by their digest, and in `orphans` those
//! that no row names · `installation` what tells this directory from another's,
//! as the database also does · `uploads/` unfinished uploads · `receipt.key` the key that signs receipts, beside the database and
//! never in it · `tls/` the generated certificate and its key · `lock` held by
//! the one server that may write here. Everything is readable by its owner only.

mod private_file;
mod tls_files;

pub(crate) use private_file::write_private;
pub(crate) use tls_files::TlsFiles;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use netsonde_disk::Disk;
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
    #[error(
        "{database} is missing or empty although {found} is there, so bundles would be lost sight of; nothing was changed. Restore the database from the backup, or name an empty directory with --data to begin anew",
        database = database.display(), found = found.display()
    )]
    DatabaseMissing { database: PathBuf, found: PathBuf },
    #[error(transparent)]
    Random(#[from] crate::random::NoRandomness),
}

pub(crate) struct Home {
    root: PathBuf,
}

impl Home {
    /// Makes the directory and its folders where they are not there.
    ///
    /// # Errors
    /// Where something cannot be made, or the database is gone that what is there belongs to.
    pub(crate) fn create(root: &Path) -> Result<Self, HomeError> {
        let home = Self { root: root.to_owned() };
        home.refuse_lost_database()?;
        for folder in [home.root.clone(), home.blobs(), home.uploads(), home.tls()] {
            let made = private_file::create_folder(&folder).and_then(|()| Disk::system().make_folder(&folder));
            made.map_err(|source| HomeError::File { path: folder, source })?;
        }
        // SQLite gives its own files the permissions of the database, which is readable by all where SQLite itself makes it.
        let database = home.database();
        private_file::create_empty(&database).map_err(|source| HomeError::File { path: database, source })?;
        Ok(home)
    }

    /// An empty database would know of none of the bundles that are here, and a first run would hand out its secrets anew.
    fn refuse_lost_database(&self) -> Result<(), HomeError> {
        let database = self.database();
        if std::fs::metadata(&database).is_ok_and(|metadata| metadata.len() > 0) {
            return Ok(());
        }
        let files = [self.receipt_key_file(), self.installation_file()];
        match files.into_iter().find(|file| file.exists()).or_else(|| private_file::first_within(&self.blobs())) {
            Some(found) => Err(HomeError::DatabaseMissing { database, found }),
            None => Ok(()),
        }
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

    fn installation_file(&self) -> PathBuf {
        self.root.join("installation")
    }

    fn receipt_key_file(&self) -> PathBuf {
        self.root.join("receipt.key")
    }

    /// Keeps a second server out for as long as the file is held open; the kernel lets go when the process ends, however it ends.
    pub(crate) fn lock(&self) -> Result<File, HomeError> {
        let path = self.root.join("lock");
        let failed = |source| HomeError::File { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = private_file::open(&mut options, &path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(HomeError::InUse { path: self.root.clone() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Which installation the directory belongs to, where it was said.
    pub(crate) fn installation(&self) -> Result<Option<String>, HomeError> {
        let path = self.installation_file();
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HomeError::File { path, source }),
        }
    }

    pub(crate) fn set_installation(&self, installation: &str) -> Result<(), HomeError> {
        let path = self.installation_file();
        write_private(&path, format!("{installation}\n").as_bytes()).map_err(|source| HomeError::File { path, source })
    }

    pub(crate) fn has_receipt_key(&self) -> bool {
        self.receipt_key_file().exists()
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
    fn what_belongs_to_a_lost_database_is_not_begun_anew() {
        type Leave = fn(&Home);
        let left: [Leave; 3] = [
            |home| drop(home.receipt_key().unwrap()),
            |home| home.set_installation("a").unwrap(),
            |home| {
                std::fs::create_dir_all(home.blobs().join("sha256/ab")).unwrap();
                std::fs::write(home.blobs().join("sha256/ab/abc"), "bundle").unwrap();
            },
        ];
        for leave in left {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::create(folder.path()).unwrap();
            assert!(Home::create(folder.path()).is_ok(), "a first run that went no further may be repeated");
            leave(&home);
            let refused = Home::create(folder.path()).err().unwrap();
            assert!(matches!(refused, HomeError::DatabaseMissing { .. }) && refused.to_string().contains("backup"));
            std::fs::remove_file(home.database()).unwrap();
            assert!(matches!(Home::create(folder.path()), Err(HomeError::DatabaseMissing { .. })));
            assert!(!home.database().exists(), "nothing is made");
            std::fs::write(home.database(), "a database").unwrap();
            assert!(Home::create(folder.path()).is_ok());
        }
    }

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
