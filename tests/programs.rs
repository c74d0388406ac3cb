use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// The path of a built program of this workspace.
///
/// `NETSONDE_BIN_DIR` names the folder; without it, it is the folder that this program or test was built into.
///
/// # Errors
/// Where the program has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let folder = match std::env::var_os("NETSONDE_BIN_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let own = std::env::current_exe().context("finding this program's own path")?;
            let folder = own.parent().context("this program lies in no folder")?;
            // Test binaries lie one level deeper, in `deps`.
            if folder.ends_with("deps") { folder.parent().unwrap_or(folder).to_owned() } else { folder.to_owned() }
        }
    };
    let path = folder.join(name);
    if !path.is_file() {
        bail!("{} is not built: run `cargo build --workspace --bins` first", path.display());
    }
    Ok(path)
}
