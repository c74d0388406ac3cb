//! Files of the state directory, and those that a person asks for: written whole or not at all, and on the disk before anything relies on them.

use netsonde_contract::id::OrderId;
use netsonde_disk::Disk;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a file whole or not at all, and makes sure that it stays: file, rename, folder.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Disk::system().replace(path, bytes)
}

/// What a file of the state directory holds, where there is one.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file of the state directory, which only its owner may read, whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    replace_file(path, &serde_json::to_vec(value).map_err(io::Error::other)?)
}

/// The file of an order in a folder of them.
///
/// # Errors
/// Where the id is none, which would lead elsewhere.
pub(crate) fn file_of(folder: &Path, id: &OrderId) -> io::Result<PathBuf> {
    let id = OrderId::parse(id.as_str())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "what should be an order's id is none"))?;
    Ok(folder.join(format!("{id}.json")))
}

/// Whether the path's folder takes a new file; none stays.
pub(crate) fn takes_files(path: &Path) -> io::Result<()> {
    Disk::system().takes_files(path)
}

/// Makes sure that the names in a folder stay.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    Disk::system().files().sync_folder(folder)
}

/// Makes a folder, with its parents, that only its owner may look into, and makes sure that its name stays.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    Disk::system().make_folder(path)
}

/// Writes a secret where there is none yet. It appears whole, so that nobody reads half a key.
pub(crate) fn write_private_once(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The library below gives Windows its paths as they are, and Windows takes more than 260 letters of those alone that it resolved itself.
    let resolved = if cfg!(windows) { folder.canonicalize().ok() } else { None };
    let folder = resolved.as_deref().unwrap_or(folder);
    let path = &folder.join(path.file_name().unwrap_or_default());
    // Temporary files are made with mode 0600, and what is left of one is known by its name.
    let beside = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let mut file = tempfile::Builder::new().prefix(&beside).suffix(netsonde_disk::UNFINISHED).tempfile_in(folder)?;
    netsonde_disk::give_to_owner(file.as_file(), folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => sync_folder(folder),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}
