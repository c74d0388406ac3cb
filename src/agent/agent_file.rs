//! The customer's `agent.toml` on this machine: where it is, and what the sets that it names come to.

use crate::service_control;
use crate::state_names;
use crate::stop::Stop;
use netsonde_contract::agent_config::{AgentConfig, MAX_BYTES};
use netsonde_contract::set::find_built_in;
use std::fs::File;
use std::io::{self, Read};
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
        Stop::usage(format!("reading the schedules in {} failed: {error}", path.display()))
            .next(format!("netsonde schedule template > {} makes a start; --config FILE names another one", path.display()))
    };
    let mut text = String::new();
    // One byte more than may be: the parser tells that it is too long.
    File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text)).map_err(failed)?;
    AgentConfig::parse(&path.display().to_string(), &text)
        .map_err(|error| Stop::usage(error.to_string()).next("netsonde schedule check tells when it is right"))
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
        assert!(stop.message.contains("/nowhere/agent.toml") && stop.next.unwrap().contains("schedule template"));
    }
}
