use clap::Args;
use std::path::PathBuf;

/// Where the service of a package keeps its data.
const SYSTEM: &str = "/var/lib/netsonde-backend";

/// Which data directory a command works on.
#[derive(Args)]
pub(super) struct DataDir {
    /// Where everything is kept [default: $STATE_DIRECTORY, else /var/lib/netsonde-backend where you may read it, else ~/.local/share/netsonde-backend]
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
        // A package's service keeps its data there, and an administrator's commands should find it.
        let system = || Some(PathBuf::from(SYSTEM)).filter(|folder| std::fs::read_dir(folder).is_ok());
        self.data
            .clone()
            .or_else(|| variable("STATE_DIRECTORY"))
            .or_else(system)
            .or_else(own)
            .ok_or_else(|| anyhow::anyhow!("there is no home directory; name a data directory with --data"))
    }
}
