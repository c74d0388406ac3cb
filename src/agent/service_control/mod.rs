//! The agent as a service of the system that this program runs on: `netsonde service`, and what `netsonde self remove` takes away.

/// Which program a service of Windows starts.
#[cfg(any(windows, test))]
mod command_line;
/// What has to be so before the system starts this program by itself.
#[cfg(unix)]
mod conditions;
/// The service's log under launchd, and its bound.
#[cfg(any(target_os = "macos", all(test, unix)))]
pub(crate) mod log_file;
/// The one child process of the agent: the system's own program for services.
#[cfg(unix)]
mod manager;
/// What launchd reads.
#[cfg(any(target_os = "macos", all(test, unix)))]
mod property_list;
/// Takes away what is netsonde's in a folder, and leaves the rest.
pub(crate) mod removal;
/// What netsonde leaves on a machine.
pub(crate) mod traces;
/// That there is something for a service to do.
mod work;

#[cfg(target_os = "macos")]
#[path = "launchd.rs"]
mod system;
#[cfg(windows)]
#[path = "scm.rs"]
mod system;
#[cfg(all(unix, not(target_os = "macos")))]
#[path = "systemd.rs"]
mod system;

#[cfg(windows)]
pub(crate) use system::keep_machine_folder;
pub(crate) use system::{install, state, uninstall};

use std::path::PathBuf;

/// The service's name on every system but macOS, which wants a domain's.
pub(crate) const NAME: &str = "netsonde-agent";

/// How the service is that is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// It is at work now, whether or not it starts with the system.
    pub(crate) runs: bool,
    /// In the system's own words.
    pub(crate) words: String,
}

/// Whether what is the machine's is theirs to remove who runs this program.
pub(crate) fn is_administrator() -> bool {
    #[cfg(unix)]
    return nix::unistd::geteuid().is_root();
    #[cfg(windows)]
    crate::platform::windows_access::is_administrator()
}

/// Where the machine's configuration and policy are, and on Windows its state as well.
pub(crate) fn machine_folder() -> PathBuf {
    #[cfg(unix)]
    return PathBuf::from("/etc/netsonde");
    #[cfg(windows)]
    crate::platform::windows_folders::program_data().join("netsonde")
}
