//! Files that stay: written whole or not at all, and on the disk before anything relies on them.
//!
//! Whatever must outlive a crash is written through [`Disk`], whose few steps are those of [`Files`]. There are two of these: the operating
//! system's, and, for tests, a simulated one that can be cut at each step and forgets what was not synced.

/// Whose what root makes is.
mod owner;
/// The operating system's files.
mod real;
/// A disk in memory that is cut, refuses, and forgets.
#[cfg(feature = "simulated")]
mod simulated;
/// The steps that a disk takes.
mod steps;

pub use owner::give_to_owner;
pub use real::open_private;
#[cfg(feature = "simulated")]
pub use simulated::{Crash, Fault, Simulated};
pub use steps::{Files, OpenFile};

use real::System;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What temporary names end in; whoever sweeps a folder knows them by it.
pub const UNFINISHED: &str = ".new";

/// A disk, cheap to clone.
#[derive(Clone, Debug)]
pub struct Disk(Arc<dyn Files>);

impl Default for Disk {
    fn default() -> Self {
        Self::system()
    }
}

impl Disk {
    /// The operating system's.
    pub fn system() -> Self {
        Self(Arc::new(System))
    }

    pub fn of(files: Arc<dyn Files>) -> Self {
        Self(files)
    }

    /// The single steps.
    pub fn files(&self) -> &dyn Files {
        &*self.0
    }

    /// Writes a file and waits until the disk has its bytes. Its name is safe once its folder is synced, too.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.0.create(path)?;
        file.write_at(0, bytes)?;
        file.sync()
    }

    /// Writes a file whole or not at all, and makes sure that it stays: file, rename, folder.
    ///
    /// # Errors
    /// What the disk says; then the file is what it was before, or, where only the last step failed, the new one.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = parent(path);
        let unfinished = folder.join(unfinished_name(path));
        let written = self.write_synced(&unfinished, bytes).and_then(|()| self.0.rename(&unfinished, path));
        if let Err(error) = written {
            let _ = self.0.remove_file(&unfinished);
            return Err(error);
        }
        self.0.sync_folder(folder)
    }

    /// Makes a folder, with its parents, that only its owner may look into, and makes sure that its name stays, also where an earlier
    /// process made it and died before it could.
    ///
    /// # Errors
    /// What the disk says.
    pub fn make_folder(&self, path: &Path) -> io::Result<()> {
        let mut missing: Vec<&Path> = path.ancestors().take_while(|folder| self.is_missing(folder)).collect();
        if missing.is_empty() {
            missing.push(path);
        }
        for folder in missing.into_iter().rev() {
            match self.0.make_folder(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !self.0.is_folder(folder) => return Err(error),
                _ => {}
            }
            match self.0.sync_folder(parent(folder)) {
                // A parent that is not this user's own may be closed to reading; whoever made it has seen to it.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                synced => synced?,
            }
        }
        Ok(())
    }

    fn is_missing(&self, folder: &Path) -> bool {
        !folder.as_os_str().is_empty() && !self.0.is_folder(folder)
    }

    /// Moves a file or folder whose contents are on the disk already, and makes sure that it stays at its new place.
    ///
    /// # Errors
    /// What the disk says; where only the last step failed it is at its new place, for now.
    pub fn move_to(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)?;
        self.0.sync_folder(parent(to))
    }

    /// Removes a folder with all that is in it. A crash on the way leaves some of it.
    ///
    /// # Errors
    /// What the disk says. A folder that is not there is no error.
    pub fn remove_all(&self, folder: &Path) -> io::Result<()> {
        let names = match self.0.names(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            names => names?,
        };
        for name in names {
            let path = folder.join(name);
            if self.0.is_folder(&path) { self.remove_all(&path)? } else { self.0.remove_file(&path)? }
        }
        self.0.remove_folder(folder)
    }

    /// Whether the folder takes a new file; none stays.
    ///
    /// # Errors
    /// Why it does not.
    pub fn takes_files(&self, path: &Path) -> io::Result<()> {
        let unfinished = parent(path).join(unfinished_name(path));
        self.0.create(&unfinished).map(drop)?;
        self.0.remove_file(&unfinished)
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Beside the file, and nobody else's: two processes may write the same file at the same time.
fn unfinished_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let random = RandomState::new().build_hasher().finish();
    PathBuf::from(format!(".{name}.{random:016x}{UNFINISHED}"))
}

#[cfg(test)]
mod tests;
