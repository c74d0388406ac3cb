//! Whose files are: what root makes in a folder of somebody else is that owner's, who could not read it otherwise.
//!
//! A person types `sudo netsonde …`, and the state folder is that of a service with a user of its own. Only what was just made is given away: a file
//! that was there may be a link which the folder's owner put there to get another one.

use std::fs::File;
#[cfg(unix)]
use std::fs::Metadata;
use std::io;
#[cfg(unix)]
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

/// Gives a file that was just made, or a folder, to the owner of the folder that it is in, where root made it.
///
/// # Errors
/// What the disk says.
#[cfg(unix)]
pub fn give_to_owner(made: &File, folder: &Path) -> io::Result<()> {
    if !is_roots_elsewhere(&made.metadata()?, folder)? {
        return Ok(());
    }
    let owner = std::fs::metadata(folder)?;
    fchown(made, Some(owner.uid()), Some(owner.gid()))
}

#[cfg(unix)]
fn is_roots_elsewhere(made: &Metadata, folder: &Path) -> io::Result<bool> {
    Ok(made.uid() == 0 && std::fs::metadata(folder)?.uid() != 0)
}

/// Windows lets whatever is made in a folder be read by those who may read the folder.
#[cfg(not(unix))]
pub fn give_to_owner(_made: &File, _folder: &Path) -> io::Result<()> {
    Ok(())
}

/// The same for a folder that was just made. Where something else is at its place by now, it is left alone.
#[cfg(unix)]
pub(crate) fn give_folder_to_owner(made: &Path) -> io::Result<()> {
    use nix::libc::{O_DIRECTORY, O_NOFOLLOW};
    use std::os::unix::fs::OpenOptionsExt;
    if !is_roots_elsewhere(&made.symlink_metadata()?, crate::parent(made))? {
        return Ok(());
    }
    let opened = File::options().read(true).custom_flags(O_DIRECTORY | O_NOFOLLOW).open(made)?;
    give_to_owner(&opened, crate::parent(made))
}

#[cfg(not(unix))]
pub(crate) fn give_folder_to_owner(_made: &Path) -> io::Result<()> {
    Ok(())
}
