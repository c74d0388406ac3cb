use crate::others_hands;
use crate::stop::Stop;
use std::fs::File;
use std::path::Path;

/// # Errors
/// Without root's rights.
pub(super) fn root() -> Result<(), Stop> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Stop::usage("services are root's to install and to remove").next("run the same command with sudo"))
}

/// What the system starts by itself is what is at the program's path then.
///
/// # Errors
/// Where somebody but root can write the program or a folder on the way to it.
pub(super) fn nobody_elses(program: &Path) -> Result<(), Stop> {
    File::open(program).and_then(|file| others_hands::refuse(program, &file)).map_err(|error| {
        Stop::usage(format!("{} is no program for a service: {error}", program.display())).next(elsewhere(program))
    })
}

/// Where to put a program that cannot be a service's at its path.
pub(super) fn elsewhere(program: &Path) -> String {
    const ROOTS: &str = "/usr/local/bin";
    if program.starts_with(ROOTS) {
        return format!("let root alone write it and the folders on the way: chown root, chmod go-w; {}", program.display());
    }
    format!("sudo install netsonde {ROOTS}/ && sudo {ROOTS}/netsonde service install")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_program_that_others_may_write_or_put_there_is_no_service() {
        let folder = tempfile::tempdir().unwrap();
        let (bin, program) = (folder.path().join("bin"), folder.path().join("bin/netsonde"));
        std::fs::create_dir(&bin).unwrap();
        write(&program, "").unwrap();
        let modes = |folder: u32, file: u32| {
            set_permissions(&bin, Permissions::from_mode(folder)).unwrap();
            set_permissions(&program, Permissions::from_mode(file)).unwrap();
            nobody_elses(&program)
        };
        assert_eq!(modes(0o755, 0o755), Ok(()));
        for (folder, file) in [(0o755, 0o775), (0o755, 0o757), (0o775, 0o755), (0o1777, 0o755)] {
            let stop = modes(folder, file).unwrap_err();
            assert!(stop.message.contains("written by others") && stop.next.is_some(), "{stop:?}");
        }
    }
}
