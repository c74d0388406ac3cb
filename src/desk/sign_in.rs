//! The desk token is kept in `netsonde/desk.token` of the person's configuration folder, readable by that person only.

use crate::stop::Stop;
use netsonde_contract::desk_token::DeskToken;
use std::io::Write;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Stands before the file, for scripts.
pub(crate) const VARIABLE: &str = "NETSONDE_DESK_TOKEN";
const LOGIN: &str = "run `netsonde-desk login` with the token (nsd1_…) that the backend printed on its first run";

/// The token of the environment, if it is set, else of the file.
pub(crate) fn token() -> Result<DeskToken, Stop> {
    if let Some(text) = from_environment() {
        return DeskToken::parse(&text).map_err(|error| Stop::usage(format!("{VARIABLE}: {error}")).next(LOGIN));
    }
    let path = path()?;
    read(&path)
}

pub(crate) fn from_environment() -> Option<Zeroizing<String>> {
    std::env::var(VARIABLE).ok().filter(|text| !text.trim().is_empty()).map(Zeroizing::new)
}

/// Where the token is kept.
pub(crate) fn path() -> Result<PathBuf, Stop> {
    Ok(own_folder()?.join("desk.token"))
}

/// The desk's folder, under `XDG_CONFIG_HOME` or `~/.config`, or `APPDATA` on Windows.
pub(crate) fn own_folder() -> Result<PathBuf, Stop> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) { folder("APPDATA") } else { folder("XDG_CONFIG_HOME") };
    let base = base.or_else(|| folder("HOME").map(|home| home.join(".config"))).ok_or_else(|| {
        Stop::usage("there is no configuration folder: neither XDG_CONFIG_HOME nor HOME is set")
            .next(format!("set {VARIABLE} instead"))
    })?;
    Ok(base.join("netsonde"))
}

fn read(path: &Path) -> Result<DeskToken, Stop> {
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Stop::failed("you are not signed in").next(LOGIN));
        }
        Err(error) => return Err(Stop::failed(format!("reading {shown} failed: {error}")).next(LOGIN)),
    };
    refuse_foreign(path.parent().unwrap_or(Path::new(".")))?;
    refuse_foreign(path)?;
    refuse_shared(path)?;
    DeskToken::parse(&text).map_err(|error| Stop::failed(format!("{shown}: {error}")).next(LOGIN))
}

/// Replaces the file as a whole, so that no moment leaves half a token or one that others can read.
pub(crate) fn store(token: &DeskToken, path: &Path) -> Result<(), Stop> {
    let failed = |error: std::io::Error| {
        let next = format!("make {} writable for you, or set {VARIABLE} instead", path.display());
        Stop::failed(format!("keeping the token in {} failed: {error}", path.display())).next(next)
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    private_folder(folder).map_err(failed)?;
    refuse_foreign(folder)?;
    // A temporary file is made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(token.encode().as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Makes the folder, which only its owner may enter; one that is there is closed to others.
#[cfg(unix)]
pub(crate) fn private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    const OWNER_ONLY: u32 = 0o700;
    std::fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(OWNER_ONLY))
}

#[cfg(not(unix))]
pub(crate) fn private_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)
}

/// Whoever owns the folder or the file can put another token there, and see through it what this person does.
#[cfg(unix)]
fn refuse_foreign(path: &Path) -> Result<(), Stop> {
    use std::os::unix::fs::MetadataExt;
    let own = nix::unistd::Uid::effective().as_raw();
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.uid() != own => {
            let shown = path.display();
            Err(Stop::failed(format!("{shown} belongs to another user (uid {}), not to you", metadata.uid()))
                .next(format!("make {shown} yours, or set {VARIABLE} instead")))
        }
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn refuse_foreign(_: &Path) -> Result<(), Stop> {
    Ok(())
}

#[cfg(unix)]
fn refuse_shared(path: &Path) -> Result<(), Stop> {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS: u32 = 0o077;
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or(0);
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let shown = path.display();
    Err(Stop::failed(format!("others on this machine can read your token in {shown}")).next(format!("run `chmod 600 {shown}`")))
}

/// Elsewhere the profile folder's own access list keeps others out.
#[cfg(not(unix))]
fn refuse_shared(_: &Path) -> Result<(), Stop> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> DeskToken {
        DeskToken { backend: "https://support.example".into(), tls_pin: None, token: Zeroizing::new("secret".into()) }
    }

    #[test]
    fn a_kept_token_is_read_again_and_one_that_others_can_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("netsonde/desk.token");
        store(&token(), &path).unwrap();
        store(&token(), &path).unwrap();
        assert!(read(&path).ok() == Some(token()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let own_folder = std::fs::metadata(path.parent().unwrap()).unwrap();
            assert_eq!(own_folder.permissions().mode() & 0o777, 0o700);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(read(&path).err().unwrap().next.unwrap().starts_with("run `chmod 600"));
        }
    }

    /// Needs root, who may give a file away; for others there is nothing of another user's that could be written to.
    #[cfg(unix)]
    #[test]
    fn a_token_that_another_user_put_there_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("netsonde/desk.token");
        store(&token(), &path).unwrap();
        if std::os::unix::fs::chown(&path, Some(65_534), None).is_ok() {
            assert!(read(&path).err().unwrap().message.contains("belongs to another user"));
        }
        assert!(refuse_foreign(Path::new("/")).is_err() || nix::unistd::Uid::effective().is_root());
    }

    #[test]
    fn without_a_file_the_next_step_is_to_sign_in() {
        let folder = tempfile::tempdir().unwrap();
        let stop = read(&folder.path().join("desk.token")).err().unwrap();
        assert_eq!(stop.message, "you are not signed in");
        assert!(stop.next.unwrap().contains("netsonde-desk login"));
    }
}
