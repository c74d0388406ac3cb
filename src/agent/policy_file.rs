//! The customer's `policy.toml` on this machine: where it is, and that nobody else could have written it.

use crate::others_hands;
use crate::service_control;
use crate::state_names;
use crate::stop::Stop;
use crate::written_text;
use netsonde_contract::nearest::nearest;
use netsonde_contract::policy::{LocalTime, MAX_BYTES, Policy};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The file that was named, or the machine's own.
pub(crate) fn path(given: Option<&Path>) -> PathBuf {
    given.map_or_else(|| service_control::machine_folder().join(state_names::POLICY_FILE), Path::to_owned)
}

/// The policy in force: [`Policy::absent`] where there is no file.
///
/// # Errors
/// Where the file cannot be read, says what is no policy, or could have been written by somebody else. No order runs then.
pub(crate) fn load(path: &Path) -> Result<Policy, Stop> {
    match read(path) {
        Ok(text) => Policy::parse(&path.display().to_string(), &text)
            .map_err(|error| Stop::usage(error.to_string()).next("netsonde policy check tells when it is right")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Policy::absent()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && error.get_ref().is_some() => {
            Err(Stop::usage(format!("the policy {} counts for nothing: {error}", path.display())).next(take_back(path)))
        }
        Err(error) => {
            let stop = Stop::usage(format!("the policy {} cannot be read: {error}", path.display()));
            Err(match error.kind() {
                io::ErrorKind::InvalidData => stop.next("save it anew as UTF-8, then netsonde policy check"),
                _ => stop.next("make it readable for the user that netsonde runs as"),
            })
        }
    }
}

/// What makes the file the administrator's own again.
fn take_back(path: &Path) -> String {
    let path = path.display();
    match cfg!(windows) {
        true => format!(
            "as administrator: icacls \"{path}\" /setowner *S-1-5-32-544 && icacls \"{path}\" /reset; and keep it in a folder that only administrators may change"
        ),
        false => format!("chown root {path} && chmod 644 {path}; and chown root && chmod 755 for each folder on the way to it"),
    }
}

/// Why a run may not go on that goes by `policy`, in words: the customer has other limits now. Nobody can tell whether it would have been let go on
/// under the new ones: addresses are found out by measuring.
pub(crate) fn changed_since(policy: &Policy, path: &Path) -> Option<&'static str> {
    match load(path) {
        Ok(now) if policy.rules_as(&now) => None,
        Ok(_) => Some("the policy was changed while it ran"),
        Err(_) => Some("the policy counts for nothing since it was changed, while it ran"),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    others_hands::refuse(path, &file)?;
    written_text::read(file, MAX_BYTES)
}

/// # Errors
/// Where this machine does not know the policy's time zone, so that nothing runs within its hours.
pub(crate) fn check_zone(policy: &Policy, path: &Path) -> Result<(), Stop> {
    let Some(name) = policy.zone.as_deref().filter(|name| jiff::tz::TimeZone::get(name).is_err()) else { return Ok(()) };
    let line = policy.line("orders.zone").map_or_else(String::new, |line| format!(", line {line}"));
    let known: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
    let next = match nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "write an IANA name, such as Europe/Berlin, or leave the line out for this machine's own zone".to_owned(),
    };
    Err(Stop::usage(format!(
        "{}{line}: the time zone `{name}` is not known here, so that no order runs in its hours",
        path.display()
    ))
    .next(next))
}

/// The time on the clock of the policy's zone; nothing where that zone is unknown here.
pub(crate) fn local_time(policy: &Policy, now: jiff::Timestamp) -> Option<LocalTime> {
    let zone = match &policy.zone {
        Some(name) => jiff::tz::TimeZone::get(name).ok()?,
        None => jiff::tz::TimeZone::try_system().ok()?,
    };
    let local = now.to_zoned(zone);
    let day = u8::try_from(local.weekday().to_monday_zero_offset()).ok()?;
    let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).ok()?;
    Some(LocalTime { day, minute })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_policy_that_others_may_write_counts_for_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        assert_eq!(load(&path).unwrap(), Policy::absent());
        std::fs::write(&path, "[orders]\nremote = \"allow\"\n").unwrap();
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(&path, 0o644);
        assert_eq!(load(&path).unwrap().remote.name(), "allow");
        let wide: Vec<u8> = "\u{feff}[orders]\nremote = \"ask\"\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(&path, wide).unwrap();
        assert_eq!(load(&path).unwrap().remote.name(), "ask", "as Windows PowerShell writes it");
        for open in [0o666, 0o664, 0o646] {
            mode(&path, open);
            let stop = load(&path).unwrap_err();
            assert!(stop.message.contains("written by others") && stop.next.is_some(), "{stop:?}");
        }
        mode(&path, 0o644);
        mode(folder.path(), 0o777);
        assert!(load(&path).unwrap_err().message.contains("can be written by others (mode 777)"));
    }

    /// Whoever may write a folder on the way has a policy of their own in its place.
    #[cfg(unix)]
    #[test]
    fn a_link_into_a_folder_of_others_counts_for_nothing() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        let root = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            mode(&path, 0o755);
            path
        };
        let write = |path: &Path| {
            std::fs::write(path, "[orders]\nremote = \"allow\"\n").unwrap();
            mode(path, 0o644);
        };
        let (own, loose, within) = (folder("own"), folder("loose"), folder("loose/within"));
        write(&own.join("real.toml"));
        write(&loose.join("policy.toml"));
        write(&within.join("policy.toml"));
        symlink("real.toml", own.join("near.toml")).unwrap();
        symlink(loose.join("policy.toml"), own.join("file.toml")).unwrap();
        symlink("../loose/within", own.join("folder")).unwrap();
        symlink(own.join("real.toml"), loose.join("back.toml")).unwrap();
        symlink(loose.join("back.toml"), own.join("twice.toml")).unwrap();
        symlink(own.join("round.toml"), own.join("round.toml")).unwrap();
        let links = ["near.toml", "file.toml", "folder/policy.toml", "twice.toml"].map(|name| own.join(name));
        for link in &links {
            assert_eq!(load(link).unwrap().remote.name(), "allow", "{}", link.display());
        }
        for open in [0o777, 0o775] {
            mode(&loose, open);
            assert!(load(&links[0]).is_ok(), "nothing on its way is loose");
            for link in &links[1..] {
                let stop = load(link).unwrap_err();
                assert!(stop.message.contains("loose") && stop.message.contains("written by others"), "{stop:?}");
            }
        }
        assert!(load(&own.join("round.toml")).is_err());
    }

    #[test]
    fn the_hours_are_those_of_the_zone() {
        // 2027-01-15 is a Friday.
        let now: jiff::Timestamp = "2027-01-15T23:30:00Z".parse().unwrap();
        let zone = |name: &str| Policy::parse("policy.toml", &format!("[orders]\nzone = \"{name}\"\n")).unwrap();
        assert_eq!(local_time(&zone("UTC"), now), Some(LocalTime { day: 4, minute: 23 * 60 + 30 }));
        assert_eq!(local_time(&zone("Nowhere/Land"), now), None);
        let path = Path::new("policy.toml");
        assert!(check_zone(&zone("UTC"), path).is_ok() && check_zone(&Policy::absent(), path).is_ok());
        let stop = check_zone(&zone("Europe/Berlim"), path).unwrap_err();
        assert!(stop.message.starts_with("policy.toml, line 2: the time zone `Europe/Berlim`"), "{stop:?}");
        assert_eq!(stop.next.as_deref(), Some("did you mean Europe/Berlin?"));
    }
}
