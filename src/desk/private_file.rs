//! Files that only their owner may read.

use crate::sign_in::private_folder;
use crate::stop::Stop;
use std::io::Write;
use std::path::Path;

/// Makes the folder, which only its owner may enter.
pub(crate) fn folder(path: &Path) -> Result<(), Stop> {
    private_folder(path).map_err(|error| failed("making", path, &error))
}

/// Replaces the file as a whole, so that no moment leaves half of one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Stop> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A temporary file is made with mode 0600.
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(parent)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error).map(|_| ())
    };
    write().map_err(|error| failed("writing", path, &error))
}

/// Writes a new file; one that is there already is never replaced.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), Stop> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| failed("writing", path, &error))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| failed("writing", path, &error))
}

/// The whole file, of at most `bound` bytes.
pub(crate) fn read(path: &Path, bound: u64) -> Result<Vec<u8>, Stop> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| failed("reading", path, &error))?;
    file.take(bound + 1).read_to_end(&mut bytes).map_err(|error| failed("reading", path, &error))?;
    if bytes.len() as u64 > bound {
        return Err(Stop::failed(format!("{} is larger than {bound} bytes", path.display())).next("give another file"));
    }
    Ok(bytes)
}

fn failed(doing: &str, path: &Path, error: &std::io::Error) -> Stop {
    let next = match error.kind() {
        std::io::ErrorKind::AlreadyExists => "choose another place, or move that file away",
        std::io::ErrorKind::NotFound => "check the path",
        _ => "check that you may read and write there",
    };
    Stop::failed(format!("{doing} {} failed: {error}", path.display())).next(next)
}
