//! What the agent's service gives up before it begins: it runs for months, and reads what others send.
//!
//! On Linux its files are closed by Landlock, as far as the kernel has it: it reads, writes below its state directory alone, and executes nothing. Of its
//! capabilities it keeps the one for raw sockets, where it has it. What was reached is told, and stands in every bundle.
//!
//! A process that Landlock binds may look into no other one, so that who owns a socket is hidden from it. The kernel knows no exception from that, and asks at each look, also
//! through a folder of `/proc` that was opened before; a thread that Landlock does not bind would share its memory with those that it does. Whoever wants the owners leaves the
//! files open ([`Wanted::SocketOwners`]); whoever does not is told of it where sockets are listed ([`tell_hidden`]).

use crate::disk::{read_json, write_json};
use crate::state::StateDirectory;
use crate::state_names;
use crate::terminal;
use netsonde_contract::environment::Confinement;
use netsonde_contract::observation::Fact;
use netsonde_contract::outcome::{Note, Outcome};
use std::io;
use std::path::Path;
use std::sync::OnceLock;

const FILE: &str = state_names::CONFINEMENT;

/// What a process needs to see who owns the sockets of other users' programs (ptrace(2), proc_pid_fd(5)).
#[cfg(target_os = "linux")]
const LOOKING: [caps::Capability; 2] = [caps::Capability::CAP_SYS_PTRACE, caps::Capability::CAP_DAC_READ_SEARCH];
/// The name of the first of them, as a [`Confinement`] has it.
const MAY_LOOK: &str = "cap_sys_ptrace";

/// What the service is to be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// As little as possible.
    Least,
    /// To see which program owns a socket.
    SocketOwners,
}

static REACHED: OnceLock<Confinement> = OnceLock::new();

/// What this process gave up, where it did.
pub(crate) fn reached() -> Option<Confinement> {
    REACHED.get().cloned()
}

/// Gives up what the service does not need. To be called before there is a second thread: only threads that come later are bound by it. What cannot be
/// given up is said and costs nothing.
pub(crate) fn confine(state: &Path, wanted: Wanted) -> Confinement {
    let capabilities = drop_capabilities(wanted).unwrap_or_else(|why| {
        terminal::warn(&format!("netsonde: the agent keeps its capabilities: {why}"));
        held()
    });
    let closed = if wanted == Wanted::SocketOwners { Ok(None) } else { close_files(state) };
    let files = closed.unwrap_or_else(|why| {
        terminal::warn(&format!("netsonde: the agent's files stay open to it: {why}"));
        None
    });
    let confinement = Confinement { files, capabilities };
    REACHED.get_or_init(|| confinement).clone()
}

/// Keeps on the disk what was reached, for whoever asks how the agent is.
///
/// # Errors
/// Where the disk refuses.
pub(crate) fn note(state: &StateDirectory, confinement: &Confinement) -> io::Result<()> {
    write_json(&state.path().join(FILE), confinement)
}

/// What the agent that runs, or ran last, gave up; none where there was none.
pub(crate) fn noted(state: &StateDirectory) -> Option<Confinement> {
    read_json(&state.path().join(FILE)).ok().flatten()
}

/// In a few words, for people.
pub(crate) fn words(confinement: &Confinement) -> String {
    let files = confinement.files.as_deref().map_or("files open".to_owned(), |how| format!("files closed by {how}"));
    match confinement.capabilities.as_slice() {
        [] => format!("{files}; no capability"),
        some => format!("{files}; {}", some.join(", ")),
    }
}

/// What is hidden by it, and what shows it; nothing where nothing is.
pub(crate) fn hidden(confinement: &Confinement) -> Option<Note> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let why = match (&confinement.files, confinement.capabilities.iter().any(|name| name == MAY_LOOK)) {
        (Some(how), _) => format!("{how} hides from the agent which program owns a socket"),
        (None, false) => "which of other users' programs owns a socket is hidden from the agent".to_owned(),
        (None, true) => return None,
    };
    let grant = "start it as root with `netsonde agent --socket-owners`, which leaves its files open";
    Some(Note { why, grant: Some(grant.to_owned()) })
}

/// The same in one line, for people.
pub(crate) fn lost(confinement: &Confinement) -> Option<String> {
    hidden(confinement).map(|Note { why, grant }| format!("{why}; to see it, {}", grant.unwrap_or_default()))
}

/// Says where sockets were counted what was hidden of them, in the service; a person's run gave nothing up.
pub(crate) fn tell_hidden(outcomes: &mut [Outcome]) {
    let Some(note) = reached().as_ref().and_then(hidden) else { return };
    for observation in outcomes.iter_mut().flat_map(|outcome| &mut outcome.observations) {
        if let Fact::Sockets(sockets) = &mut observation.fact {
            sockets.unseen = Some(note.clone());
        }
    }
}

#[cfg(target_os = "linux")]
fn close_files(state: &Path) -> Result<Option<String>, String> {
    use crate::stop::with_causes;
    use landlock::{
        ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
        RulesetError, RulesetStatus,
    };
    /// What newer kernels have beyond this is about sockets of processes on the same machine, of which the agent opens none but systemd's.
    const NEWEST: ABI = ABI::V5;
    let reading: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let own: BitFlags<AccessFs> = AccessFs::from_all(NEWEST) & !BitFlags::from(AccessFs::Execute);
    let restrict = || -> Result<RestrictionStatus, RulesetError> {
        let open = |path: &Path| PathFd::new(path);
        let mut rules = Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?.create()?;
        for (path, access) in [(Path::new("/"), reading), (state, own)] {
            // What is not there needs no rule.
            if let Ok(folder) = open(path) {
                rules = rules.add_rule(PathBeneath::new(folder, access))?;
            }
        }
        rules.restrict_self()
    };
    let status = restrict().map_err(|error| with_causes(&error))?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Some("Landlock".to_owned()),
        RulesetStatus::PartiallyEnforced => Some("an older Landlock, in part".to_owned()),
        RulesetStatus::NotEnforced => None,
    })
}

#[cfg(target_os = "linux")]
const KEPT: caps::Capability = caps::Capability::CAP_NET_RAW;

#[cfg(target_os = "linux")]
fn drop_capabilities(wanted: Wanted) -> Result<Vec<String>, String> {
    use caps::{CapSet, CapsHashSet};
    let failed = |error: caps::errors::CapsError| error.to_string();
    let permitted = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let is_kept =
        |capability: &caps::Capability| *capability == KEPT || wanted == Wanted::SocketOwners && LOOKING.contains(capability);
    if permitted.iter().all(is_kept) {
        // Whoever started it has seen to that, as the packaged unit does, and may have closed the way to more.
        return Ok(held());
    }
    let kept: CapsHashSet = permitted.into_iter().filter(is_kept).collect();
    // The bounding set takes a right that is given up right after.
    if caps::has_cap(None, CapSet::Effective, caps::Capability::CAP_SETPCAP).map_err(failed)? {
        for capability in caps::runtime::thread_all_supported() {
            if !is_kept(&capability) {
                caps::drop(None, CapSet::Bounding, capability).map_err(failed)?;
            }
        }
    }
    caps::clear(None, CapSet::Ambient).map_err(failed)?;
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new()).map_err(failed)?;
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)?;
    Ok(held())
}

/// Names of the capabilities in effect, sorted.
#[cfg(target_os = "linux")]
fn held() -> Vec<String> {
    let effective = caps::read(None, caps::CapSet::Effective).unwrap_or_default();
    let mut names: Vec<String> = effective.iter().map(|capability| capability.to_string().to_ascii_lowercase()).collect();
    names.sort();
    names
}

#[cfg(not(target_os = "linux"))]
fn close_files(_: &Path) -> Result<Option<String>, String> {
    Ok(None)
}

#[cfg(not(target_os = "linux"))]
fn drop_capabilities(_: Wanted) -> Result<Vec<String>, String> {
    Ok(Vec::new())
}

#[cfg(not(target_os = "linux"))]
fn held() -> Vec<String> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_is_said_in_words_and_kept() {
        let closed = Confinement { files: Some("Landlock".to_owned()), capabilities: vec!["cap_net_raw".to_owned()] };
        assert_eq!(words(&closed), "files closed by Landlock; cap_net_raw");
        assert_eq!(words(&Confinement { files: None, capabilities: Vec::new() }), "files open; no capability");
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        assert_eq!(noted(&state), None);
        note(&state, &closed).unwrap();
        assert_eq!(noted(&state), Some(closed));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_hidden_is_said_with_the_one_switch_that_shows_it() {
        let of = |files: Option<&str>, capabilities: &[&str]| {
            let capabilities = capabilities.iter().map(|name| (*name).to_owned()).collect();
            lost(&Confinement { files: files.map(str::to_owned), capabilities })
        };
        for (files, capabilities) in
            [(Some("Landlock"), &["cap_sys_ptrace"][..]), (Some("Landlock"), &[]), (None, &["cap_net_raw"])]
        {
            assert!(of(files, capabilities).unwrap().contains("netsonde agent --socket-owners"), "{files:?}");
        }
        assert_eq!(of(None, &["cap_net_raw", "cap_sys_ptrace"]), None);
    }

    /// In a thread, which takes what it gave up with it.
    #[test]
    #[cfg(target_os = "linux")]
    fn landlock_hides_the_files_that_another_process_holds() {
        let folder = tempfile::tempdir().unwrap();
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let held = format!("/proc/{}/fd/0", other.id());
        let before = std::fs::read_link(&held);
        let opened = std::fs::File::open(format!("/proc/{}/fd", other.id())).unwrap();
        let state = folder.path().to_owned();
        let looks = move || {
            let through = format!("/proc/self/fd/{}/0", std::os::fd::AsRawFd::as_raw_fd(&opened));
            close_files(&state).unwrap().map(|_| [std::fs::read_link(&held), std::fs::read_link(through)])
        };
        let after = std::thread::spawn(looks).join().unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        let Some(after) = after else {
            println!("skipped: landlock_hides_the_files_that_another_process_holds: the kernel has no Landlock");
            return;
        };
        assert!(before.is_ok(), "{before:?}");
        for look in after {
            assert_eq!(look.unwrap_err().kind(), io::ErrorKind::PermissionDenied, "not through what was opened before, either");
        }
    }

    /// In a thread, which takes what it gave up with it.
    #[test]
    #[cfg(target_os = "linux")]
    fn nothing_is_written_outside_the_state_directory_or_executed_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let outside = folder.path().join("outside");
        std::thread::spawn(move || {
            let Some(how) = close_files(&state).unwrap() else {
                println!(
                    "skipped: nothing_is_written_outside_the_state_directory_or_executed_any_more: the kernel has no Landlock"
                );
                return;
            };
            assert!(how.contains("Landlock"), "{how}");
            std::fs::write(state.join("inside"), "written").unwrap();
            std::fs::rename(state.join("inside"), state.join("renamed")).unwrap();
            assert_eq!(std::fs::write(&outside, "written").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            assert!(std::fs::read_to_string("/proc/self/status").is_ok(), "reading stays open");
            assert_eq!(std::process::Command::new("/bin/true").spawn().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        })
        .join()
        .unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn no_capability_but_the_one_for_raw_sockets_is_kept() {
        std::thread::spawn(|| {
            let looking = drop_capabilities(Wanted::SocketOwners).unwrap();
            let known = ["cap_dac_read_search", "cap_net_raw", "cap_sys_ptrace"];
            assert!(looking.iter().all(|name| known.contains(&name.as_str())), "{looking:?}");
            let kept = drop_capabilities(Wanted::Least).unwrap();
            assert!(kept.iter().all(|name| name == "cap_net_raw"), "{kept:?}");
            assert_eq!(drop_capabilities(Wanted::Least).unwrap(), kept, "a second time changes nothing");
        })
        .join()
        .unwrap();
    }
}
