//! Unfinished uploads: one file each, which grows by whole, digested parts.
//!
//! The database says how many bytes count. A file may be longer where a kill
//! came between a part's fsync and its commit; the next part overwrites that
//! tail. It is never shorter.

use std::io;
use std::path::{Path, PathBuf};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};

#[derive(Clone)]
pub(crate) struct Staging {
    folder: PathBuf,
}

const SUFFIX: &str = ".part";

impl Staging {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// An id that this program makes: what stands in a path must be one.
    pub(crate) fn is_id(text: &str) -> bool {
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    }

    fn file(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}{SUFFIX}"))
    }

    /// Writes a part at its place, cuts what lay behind, and returns once it is on the disk.
    pub(crate) async fn append(&self, id: &str, offset: u64, part: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        options.mode(0o600);
        let mut file = options.open(self.file(id)).await?;
        if file.metadata().await?.len() < offset {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the staged file is shorter than what was acknowledged"));
        }
        file.set_len(offset).await?;
        file.seek(SeekFrom::Start(offset)).await?;
        file.write_all(part).await?;
        file.flush().await?;
        file.sync_data().await?;
        // The first part made the name, which must be on the disk too. Only Unix can sync a folder.
        if offset == 0 && cfg!(unix) { File::open(&self.folder).await?.sync_all().await } else { Ok(()) }
    }

    /// The first `length` bytes.
    pub(crate) async fn read(&self, id: &str, length: u64) -> io::Result<Vec<u8>> {
        let size = usize::try_from(length).map_err(io::Error::other)?;
        let mut bytes = vec![0; size];
        File::open(self.file(id)).await?.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    /// Removes an upload's file; it may be gone, or never have been.
    pub(crate) async fn remove(&self, id: &str) {
        match tokio::fs::remove_file(self.file(id)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "a staged upload could not be removed; the next sweep tries again");
            }
            _ => {}
        }
    }

    /// The ids of all staged files.
    pub(crate) async fn list(&self) -> io::Result<Vec<String>> {
        let mut entries = tokio::fs::read_dir(&self.folder).await?;
        let mut ids = Vec::new();
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            ids.extend(name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).map(str::to_owned));
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tail_that_was_never_acknowledged_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::in_folder(folder.path());
        staging.append("a", 0, b"first-and-a-lost-tail").await.unwrap();
        staging.append("a", 5, b"!").await.unwrap();
        assert_eq!(staging.read("a", 6).await.unwrap(), b"first!");
        assert!(staging.read("a", 7).await.is_err());
        assert!(staging.append("a", 9, b"gap").await.is_err());
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
