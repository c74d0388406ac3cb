use crate::identity::Home;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{agent_file, others_hands, service};
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

/// # Errors
/// Where an agent would end at once, since neither `config` nor an enrolment in `state` gives it anything to do, and where one of them is wrong.
pub(super) fn work(config: &Path, state: Option<&StateDirectory>) -> Result<(), Stop> {
    let is_enrolled = state.map(|state| Home::of(state).identity()).transpose()?.flatten().is_some();
    let asks = agent_file::load_if_there(config)?.is_some_and(|config| agent_file::has_work(&config));
    if is_enrolled || asks { Ok(()) } else { Err(service::nothing_to_do(config)) }
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

    #[test]
    fn an_agent_that_would_have_nothing_to_do_is_no_service() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("agent.toml");
        let state = StateDirectory::open(Some(&folder.path().join("state"))).unwrap();
        for state in [None, Some(&state)] {
            let stop = work(&config, state).unwrap_err();
            assert!(stop.next.is_some_and(|next| next.contains("enroll") && next.contains("schedule template")));
        }
        write(&config, "version = 1\n").unwrap();
        assert!(work(&config, None).is_err());
        write(&config, "[[schedule]]\nname = \"own\"\nset = \"port\"\ntargets = [\"127.0.0.1:9\"]\nevery = \"1h\"\n").unwrap();
        assert_eq!(work(&config, None), Ok(()));
        write(&config, "[[schedule]\n").unwrap();
        assert!(work(&config, None).unwrap_err().message.contains("agent.toml"), "what is wrong is said now");
    }
}
