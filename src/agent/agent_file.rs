//! The customer's `agent.toml` on this machine: where it is, and what the sets that it names come to.

use crate::service_control;
use crate::state_names;
use crate::stop::Stop;
use crate::written_text;
use netsonde_contract::agent_config::{AgentConfig, MAX_BYTES};
use netsonde_contract::set::find_built_in;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The file that was named, or the machine's own.
pub(crate) fn path(given: Option<&Path>) -> PathBuf {
    given.map_or_else(|| service_control::machine_folder().join(state_names::AGENT_FILE), Path::to_owned)
}

/// # Errors
/// Where there is a file and it cannot be read, or something in it is wrong.
pub(crate) fn load_if_there(path: &Path) -> Result<Option<AgentConfig>, Stop> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => load(path).map(Some),
    }
}

/// # Errors
/// Where there is no file, it cannot be read, or something in it is wrong.
pub(crate) fn load(path: &Path) -> Result<AgentConfig, Stop> {
    let failed = |error: io::Error| {
        let stop = Stop::usage(format!("reading the schedules in {} failed: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::NotFound => stop.next(format!("{} makes a start; --config FILE names another one", beginning(path))),
            io::ErrorKind::InvalidData => stop.next("save it anew as UTF-8, then netsonde schedule check"),
            _ => stop.next("make it readable for the user that netsonde runs as; --config FILE names another one"),
        }
    };
    let text = File::open(path).and_then(|file| written_text::read(file, MAX_BYTES)).map_err(failed)?;
    AgentConfig::parse(&path.display().to_string(), &text)
        .map_err(|error| Stop::usage(error.to_string()).next("netsonde schedule check tells when it is right"))
}

/// The command that makes a file to fill in. What a shell's `>` writes depends on the shell, and on who may write there.
pub(crate) fn beginning(path: &Path) -> String {
    format!("netsonde schedule template --out {}", path.display())
}

/// Whether the file gives an agent anything to do by itself.
pub(crate) fn has_work(config: &AgentConfig) -> bool {
    !config.schedules.is_empty() || config.metrics.is_some() || config.otlp.is_some()
}

/// A set as the command line would name it: a file's path counts from the folder of `agent.toml`.
pub(crate) fn set_name(config: &Path, set: &str) -> String {
    let is_file = find_built_in(set).is_none() && (set.ends_with(".toml") || set.contains(['/', '\\']));
    let folder = config.parent().filter(|_| is_file);
    folder.map_or_else(|| set.to_owned(), |folder| folder.join(set).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sets_file_is_looked_for_beside_the_configuration() {
        let config = Path::new("/etc/netsonde/agent.toml");
        assert_eq!(set_name(config, "web"), "web");
        assert_eq!(set_name(config, "mine.toml"), "/etc/netsonde/mine.toml");
        assert_eq!(set_name(config, "/srv/mine.toml"), "/srv/mine.toml");
    }

    #[test]
    fn a_missing_file_is_told_with_the_way_to_one() {
        let stop = load(Path::new("/nowhere/agent.toml")).unwrap_err();
        assert!(stop.message.contains("/nowhere/agent.toml"));
        assert!(stop.next.unwrap().contains("schedule template --out /nowhere/agent.toml"));
    }

    #[test]
    fn a_file_that_powershell_redirected_is_read_and_one_that_is_no_text_is_not_to_be_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        let text = "[[schedule]]\nname = \"own\"\nset = \"port\"\ntargets = [\"127.0.0.1:9\"]\nevery = \"1h\"\n";
        let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        std::fs::write(&path, wide).unwrap();
        assert!(has_work(&load(&path).unwrap()));
        std::fs::write(&path, b"# caf\xe9\n").unwrap();
        let next = load(&path).unwrap_err().next.unwrap();
        assert!(next.contains("UTF-8") && !next.contains("template"), "{next}");
    }
}
