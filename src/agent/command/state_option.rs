use clap::Args;
use std::ffi::OsString;
use std::path::Path;

/// Where the agent keeps what stays on this machine.
#[derive(Args)]
pub(super) struct StateOption {
    /// Where key, sequence number and bundles are kept [default: /var/lib/netsonde for root, else $XDG_STATE_HOME/netsonde; on Windows %ProgramData%\netsonde\state for administrators, else %LOCALAPPDATA%\netsonde].
    #[arg(long, env = "NETSONDE_STATE_DIR", value_name = "DIR", help_heading = "Bundle", value_parser = clap::value_parser!(OsString))]
    state_dir: Option<OsString>,
}

impl StateOption {
    /// The directory that was named; an empty name counts as none, as an empty variable does everywhere.
    pub(super) fn path(&self) -> Option<&Path> {
        self.state_dir.as_deref().filter(|name| !name.is_empty()).map(Path::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        state: StateOption,
    }

    #[test]
    fn an_empty_name_counts_as_none() {
        let parse = |given: &[&str]| Line::try_parse_from([&["x"], given].concat()).unwrap();
        assert_eq!(parse(&["--state-dir", ""]).state.path(), None);
        assert_eq!(parse(&["--state-dir", "/a"]).state.path(), Some(Path::new("/a")));
    }
}
