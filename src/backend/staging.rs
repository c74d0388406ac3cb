//! Unfinished uploads: one file each, which grows by whole, digested parts.
//!
//! The database says how many bytes count. A file may be longer where a kill
//! came between a part's fsync and its commit; the next part overwrites that
//! tail. It is never shorter.

use bytes::Bytes;
use netsonde_disk::Disk;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Clone)]
pub(crate) struct Staging {
    folder: PathBuf,
    disk: Disk,
}

const SUFFIX: &str = ".part";

impl Staging {
    pub(crate) fn in_folder(folder: &Path, disk: Disk) -> Self {
        Self { folder: folder.to_owned(), disk }
    }

    /// An id that this program makes: what stands in a path must be one.
    pub(crate) fn is_id(text: &str) -> bool {
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    }

    fn file(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}{SUFFIX}"))
    }

    /// Writes a part at its place, cuts what lay behind, and returns once it is on the disk.
    pub(crate) async fn append(&self, id: &str, offset: u64, part: Bytes) -> io::Result<()> {
        let file = self.file(id);
        self.apart(move |staging| {
            // The first part makes the name, which must be on the disk too.
            if offset == 0 {
                staging.disk.make_folder(&staging.folder)?;
            }
            let mut opened = staging.disk.files().open(&file)?;
            if opened.length()? < offset {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the staged file is shorter than what was acknowledged"));
            }
            opened.set_length(offset)?;
            opened.write_at(offset, &part)?;
            opened.sync()?;
            if offset == 0 { staging.disk.files().sync_folder(&staging.folder) } else { Ok(()) }
        })
        .await
    }

    /// The first `length` bytes.
    pub(crate) async fn read(&self, id: &str, length: u64) -> io::Result<Vec<u8>> {
        let (file, size) = (self.file(id), usize::try_from(length).map_err(io::Error::other)?);
        self.apart(move |staging| {
            let mut bytes = staging.disk.files().read(&file)?;
            if bytes.len() < size {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the staged file is shorter than what was acknowledged",
                ));
            }
            bytes.truncate(size);
            Ok(bytes)
        })
        .await
    }

    /// Removes an upload's file; it may be gone, or never have been.
    pub(crate) async fn remove(&self, id: &str) {
        let file = self.file(id);
        match self.apart(move |staging| staging.disk.files().remove_file(&file)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "a staged upload could not be removed; the next sweep tries again");
            }
            _ => {}
        }
    }

    /// The ids of all staged files.
    pub(crate) async fn list(&self) -> io::Result<Vec<String>> {
        let names = self.apart(|staging| staging.disk.files().names(&staging.folder)).await?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(SUFFIX)).map(str::to_owned).collect())
    }

    /// Where waiting for the disk holds nobody up.
    async fn apart<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let staging = self.clone();
        tokio::task::spawn_blocking(move || work(&staging)).await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tail_that_was_never_acknowledged_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::in_folder(folder.path(), Disk::system());
        staging.append("a", 0, Bytes::from_static(b"first-and-a-lost-tail")).await.unwrap();
        staging.append("a", 5, Bytes::from_static(b"!")).await.unwrap();
        assert_eq!(staging.read("a", 6).await.unwrap(), b"first!");
        assert!(staging.read("a", 7).await.is_err());
        assert!(staging.append("a", 9, Bytes::from_static(b"gap")).await.is_err());
        assert_eq!(staging.list().await.unwrap(), ["a"]);
        staging.remove("a").await;
        staging.remove("a").await;
        assert!(staging.list().await.unwrap().is_empty());
    }

    #[test]
    fn an_id_cannot_leave_the_folder() {
        assert!(Staging::is_id("Ab-9_"));
        for id in ["", "../x", "a/b", "a.part", &"a".repeat(65)] {
            assert!(!Staging::is_id(id), "{id}");
        }
    }
}
