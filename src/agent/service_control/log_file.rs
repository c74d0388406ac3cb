//! The bound of what the service says under launchd: newsyslog, which macOS starts every half hour, turns the log over by its size. It gives the file another
//! name and puts an empty one in its place, while launchd opened the agent's streams once, so that the agent sees to it itself that it goes on in
//! the new one. newsyslog is macOS's alone; this is looked at everywhere.

use super::property_list::LOG;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What newsyslog reads beside its own file.
pub(super) const RULES: &str = "/etc/newsyslog.d/netsonde.conf";
/// As far as newsyslog counts; it keeps one more.
const ARCHIVES: u32 = 1;
/// A line has some hundred bytes, so that this is weeks of a healthy agent.
const MAX_KIB: u32 = 1024;

/// In the words of newsyslog.conf(5). `B` has it write nothing of its own between the agent's lines, `N` says that nobody needs a signal.
pub(super) fn rules() -> String {
    format!(
        "# Written by netsonde service install; the service's removal takes it away.\n\
         # logfilename owner:group mode count size when flags\n\
         {LOG} root:wheel 640 {ARCHIVES} {MAX_KIB} * BN\n"
    )
}

/// Has what is said go to the file that has the log's name now, where it went to the log before.
#[cfg(target_os = "macos")]
pub(crate) fn keep_to_its_name() {
    use std::os::fd::AsFd;
    use std::sync::OnceLock;
    static IS_LOGGED: OnceLock<bool> = OnceLock::new();
    let log = Path::new(LOG);
    let Ok(held) = std::io::stderr().as_fd().try_clone_to_owned().map(File::from) else { return };
    if *IS_LOGGED.get_or_init(|| is_at(&held, log))
        && let Some(newer) = newer(&held, log)
    {
        // Where it cannot be, the next line tries again.
        let _ = nix::unistd::dup2_stdout(&newer);
        let _ = nix::unistd::dup2_stderr(&newer);
    }
}

/// The file at this path, where it is another than the one that is held. Where there is none, as for a moment while it is turned over, the held one stays.
fn newer(held: &File, path: &Path) -> Option<File> {
    let file = File::options().append(true).open(path).ok()?;
    (!is_at(held, path)).then_some(file)
}

fn is_at(held: &File, path: &Path) -> bool {
    let (Ok(held), Ok(there)) = (held.metadata(), path.metadata()) else { return false };
    (held.dev(), held.ino()) == (there.dev(), there.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    #[test]
    fn the_log_under_launchd_is_bounded_by_its_size_and_is_nobody_elses_to_read() {
        let rules = rules();
        let lines: Vec<&str> = rules.lines().filter(|line| !line.starts_with('#')).collect();
        let [line] = lines.as_slice() else { panic!("{rules}") };
        let fields: Vec<&str> = line.split(' ').collect();
        let [log, owner, mode, count, size, when, flags] = fields.as_slice() else { panic!("{line}") };
        assert_eq!((*log, *owner, *mode, *when, *flags), (LOG, "root:wheel", "640", "*", "BN"));
        let (count, size): (u32, u32) = (count.parse().unwrap(), size.parse().unwrap());
        assert!((1..=10).contains(&count) && (100..=10_240).contains(&size) && rules.ends_with('\n'), "{rules}");
    }

    #[test]
    fn what_is_said_goes_on_in_the_new_file_where_the_log_was_turned_over() {
        let folder = tempfile::tempdir().unwrap();
        let (log, archive) = (folder.path().join("log"), folder.path().join("log.0"));
        fs::write(&log, "before\n").unwrap();
        let held = File::options().append(true).open(&log).unwrap();
        assert!(is_at(&held, &log) && newer(&held, &log).is_none());
        fs::rename(&log, &archive).unwrap();
        assert!(newer(&held, &log).is_none() && !log.exists(), "nobody but newsyslog makes the new one");
        fs::write(&log, "").unwrap();
        let mut newer = newer(&held, &log).unwrap();
        newer.write_all(b"after\n").unwrap();
        assert_eq!(
            (fs::read_to_string(&log).unwrap().as_str(), fs::read_to_string(&archive).unwrap().as_str()),
            ("after\n", "before\n")
        );
        assert!(is_at(&newer, &log));
    }
}
