use super::{EPOCHS_FILE, Home};
use crate::clock::UpTime;
use crate::disk::{read_json, write_json};
use crate::state::random;
use crate::stop::Stop;
use netsonde_contract::order::{Epoch, Epochs};

/// The epochs that the agent at work counts with; whoever only looks does not renew them. The first ones are drawn where there are none.
///
/// # Errors
/// As for [`current_epochs`].
pub(crate) fn held_epochs(home: &Home<'_>) -> Result<Epochs, Stop> {
    match read_json(&home.file(EPOCHS_FILE)).unwrap_or_default() {
        Some(epochs) => Ok(epochs),
        None => current_epochs(home, &UpTime::read()),
    }
}

/// The epochs that count now. A new one that is due is on the disk before anybody hears of it.
///
/// # Errors
/// Where the disk or the system's randomness refuses.
pub(crate) fn current_epochs(home: &Home<'_>, up: &UpTime) -> Result<Epochs, Stop> {
    let path = home.file(EPOCHS_FILE);
    let failed = |error: std::io::Error| Stop::usage(format!("{} cannot be used: {error}", path.display()));
    // A damaged file is as good as none: what is forgotten makes orders stale and nothing else.
    let stored: Option<Epochs> = read_json(&path).unwrap_or_default();
    if let Some(stored) = stored.as_ref().filter(|stored| !stored.is_due(up.boot.as_deref(), up.now)) {
        return Ok(stored.clone());
    }
    let fresh = Epoch::from_bytes(random::<16>()?);
    let epochs = match stored {
        Some(mut epochs) => {
            epochs.renew(fresh, up.boot.clone(), up.now);
            epochs
        }
        None => Epochs::begin(fresh, up.boot.clone(), up.now),
    };
    write_json(&path, &epochs).map_err(failed)?;
    Ok(epochs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateDirectory;
    use std::time::Duration;

    #[test]
    fn an_epoch_survives_a_restart_and_not_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let home = Home::of(&state);
        let up = |hours: u64| UpTime { boot: Some("boot".into()), now: Duration::from_secs(hours * 3600) };
        let first = current_epochs(&home, &up(1)).unwrap();
        assert_eq!(current_epochs(&home, &up(12)).unwrap(), first);
        let second = current_epochs(&home, &up(13)).unwrap();
        assert!(second.accepts(&first.current) && second.current != first.current);
        let third = current_epochs(&home, &UpTime { boot: Some("another".into()), now: Duration::ZERO }).unwrap();
        assert!(!third.accepts(&first.current), "a boot took an unknown time");
        std::fs::write(folder.path().join(EPOCHS_FILE), "damaged").unwrap();
        assert!(!current_epochs(&home, &up(1)).unwrap().accepts(&third.current));
    }
}
