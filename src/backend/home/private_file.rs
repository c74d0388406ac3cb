use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Makes a folder that only its owner can enter, whatever the umask and whatever it was before.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    #[cfg(unix)]
    match std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700)) {
        // The root of a mounted volume may be somebody else's, whose choice it is; what is made within it is closed all the same.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
        _ => {}
    }
    Ok(())
}

/// Opens a file, making it where the options say so, that only its owner can read.
pub(super) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    private(options);
    let file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

/// Any file in a folder or the folders within; a folder that cannot be read has none.
pub(super) fn first_within(folder: &Path) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    entries.find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { first_within(&path) } else { Some(path) }
    })
}

/// Makes an empty file that only its owner can read. One that is there stays as it is.
pub(super) fn create_empty(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    open(&mut options, path).map(drop)
}

/// Writes a file that only its owner can read, whole or not at all, and returns once it is on the disk.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    // A leftover of a killed process may have other permissions.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    private(&mut options);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    sync_folder(path.parent())
}

fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

/// Makes the names in a folder durable. Only Unix can.
fn sync_folder(folder: Option<&Path>) -> io::Result<()> {
    match folder {
        Some(folder) if cfg!(unix) && !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::Home;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn nobody_else_can_read_it_even_where_a_leftover_was_open_to_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(folder.path().join("key.new"), "old").unwrap();
        write_private(&path, b"secret").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(&path).unwrap(), b"secret");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn everything_is_private_even_where_it_was_open_to_others_before() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(folder.path().join("blobs")).unwrap();
        std::fs::set_permissions(folder.path().join("blobs"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(folder.path().join("lock"), "").unwrap();
        std::fs::set_permissions(folder.path().join("lock"), std::fs::Permissions::from_mode(0o644)).unwrap();
        let home = Home::create(folder.path()).unwrap();
        let _lock = home.lock().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&home.database()), mode(&folder.path().join("lock"))), (0o600, 0o600));
        for closed in [folder.path(), &home.blobs(), &home.uploads(), &home.tls()] {
            assert_eq!(mode(closed), 0o700, "{}", closed.display());
        }
    }
}
