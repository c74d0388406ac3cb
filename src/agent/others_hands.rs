//! That nobody but root, and whom netsonde runs as, could have put a file where it is.
//!
//! A path is followed as the system does, through links and `..`: whoever may write a folder on the way decides what is found at its end.

use std::fs::File;
use std::io;
use std::path::Path;

/// The file, as it was opened, and each folder and link on the way to it belong to root or to whom netsonde runs as, and nobody else may write
/// them. In a folder such as `/tmp`, whose sticky bit keeps others from what is not theirs, further folders may lie, but not the file.
///
/// # Errors
/// `PermissionDenied` with words that name what somebody else could write; otherwise what the system says.
#[cfg(unix)]
pub(crate) fn refuse(path: &Path, file: &File) -> io::Result<()> {
    trusted("it", &file.metadata()?, false)?;
    for (folder, holds_file) in unix::folders_to(path)? {
        trusted(&format!("the folder {}", folder.display()), &std::fs::metadata(&folder)?, !holds_file)?;
    }
    Ok(())
}

/// The same by the owners and access lists of Windows, where administrators, the system and the service itself may write.
#[cfg(windows)]
pub(crate) fn refuse(path: &Path, file: &File) -> io::Result<()> {
    use crate::platform::access::{Part, stranger};
    use crate::platform::{private_data, windows_access};
    let mut way = windows_access::way_to(path, Part::Folder)?;
    // The file as it was opened, whatever has its name by now.
    if let Some((_, _, access)) = way.first_mut() {
        *access = windows_access::of(file)?;
    }
    let (me, service) = (windows_access::me()?, private_data::service_identity());
    match stranger(&way, &[&me, &service]) {
        Some(stranger) => Err(io::Error::new(io::ErrorKind::PermissionDenied, stranger)),
        None => Ok(()),
    }
}

#[cfg(unix)]
fn trusted(what: &str, found: &std::fs::Metadata, may_be_sticky: bool) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let is_kept = may_be_sticky && found.mode() & STICKY != 0;
    let words = if found.uid() != 0 && found.uid() != nix::unistd::geteuid().as_raw() {
        format!("{what} belongs to user {}", found.uid())
    } else if found.mode() & OTHERS_WRITE != 0 && !is_kept && !found.is_symlink() {
        format!("{what} can be written by others (mode {:o})", found.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, words))
}

#[cfg(unix)]
mod unix {
    use super::trusted;
    use std::collections::VecDeque;
    use std::ffi::OsString;
    use std::io;
    use std::path::{Component, Path, PathBuf};

    /// As many as Linux follows (path_resolution(7)).
    const MAX_LINKS: usize = 40;

    /// Each folder in which something is looked up on the way to the end of `path`, each once, and whether the end, or a link in its place, is in it.
    pub(super) fn folders_to(path: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
        let mut rest = steps(&std::path::absolute(path)?);
        let mut at = PathBuf::from("/");
        let mut folders: Vec<(PathBuf, bool)> = Vec::new();
        let mut links = 0;
        while let Some(step) = rest.pop_front() {
            let name = match step {
                Step::Into(name) => name,
                Step::Root => {
                    at = PathBuf::from("/");
                    continue;
                }
                Step::Up => {
                    at.pop();
                    continue;
                }
            };
            let is_last = rest.is_empty();
            match folders.iter_mut().find(|(folder, _)| *folder == at) {
                Some((_, holds_file)) => *holds_file |= is_last,
                None => folders.push((at.clone(), is_last)),
            }
            let next = at.join(&name);
            let found = std::fs::symlink_metadata(&next)?;
            if !found.is_symlink() {
                at = next;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(io::Error::other(format!("{} leads through more than {MAX_LINKS} links", path.display())));
            }
            trusted(&format!("the link {}", next.display()), &found, true)?;
            let mut target = steps(&std::fs::read_link(&next)?);
            target.append(&mut rest);
            rest = target;
        }
        Ok(folders)
    }

    enum Step {
        Root,
        Up,
        Into(OsString),
    }

    fn steps(path: &Path) -> VecDeque<Step> {
        let step = |component: Component<'_>| match component {
            Component::RootDir => Some(Step::Root),
            Component::ParentDir => Some(Step::Up),
            Component::Normal(name) => Some(Step::Into(name.to_owned())),
            Component::CurDir | Component::Prefix(_) => None,
        };
        path.components().filter_map(step).collect()
    }
}
