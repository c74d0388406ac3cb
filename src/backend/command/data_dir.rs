use clap::Args;
use std::path::PathBuf;

/// Which data directory a command works on.
#[derive(Args)]
pub(super) struct DataDir {
    /// Where everything is kept [default: $STATE_DIRECTORY, else /var/lib/netsonde-backend for root, else ~/.local/share/netsonde-backend]
    #[arg(long, value_name = "DIR", env = "NETSONDE_BACKEND_DATA")]
    data: Option<PathBuf>,
}

impl DataDir {
    /// # Errors
    /// Where none is named and there is no home directory to fall back on.
    pub(super) fn path(&self) -> anyhow::Result<PathBuf> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let own = || {
            let share = variable("XDG_DATA_HOME").or_else(|| Some(variable("HOME")?.join(".local/share")));
            share.map(|share| share.join("netsonde-backend"))
        };
        let system = PathBuf::from("/var/lib/netsonde-backend");
        let root = variable("HOME").is_some_and(|home| home == *"/root").then_some(system);
        self.data
            .clone()
            .or_else(|| variable("STATE_DIRECTORY"))
            .or(root)
            .or_else(own)
            .ok_or_else(|| anyhow::anyhow!("there is no home directory; name a data directory with --data"))
    }
}
