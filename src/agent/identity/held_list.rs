use super::{HELD_LIST_FILE, Home};
use crate::disk::{read_json, write_json};
use crate::schedule::{Elapsed, Reading};
use netsonde_contract::trust::Anchor;
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;

/// Within one boot the clock that nobody sets tells how long it was; for the next one it is written down so often.
const NOTED_EVERY: Duration = Duration::from_secs(3_600);

/// How long the list of these versions is held. The wall clock alone would let whoever sets it back revive an expired list, and with it the keys
/// that the next one revokes.
#[derive(Serialize, Deserialize)]
struct HeldList {
    /// Of the root and the list.
    versions: (u64, u64),
    passed: Elapsed,
}

impl Home<'_> {
    /// The anchor with a list that is as old as was seen; the file stays as it is.
    pub(super) fn aged(&self, mut anchor: Anchor, now: &Reading) -> Anchor {
        if let Some(mut held) = self.held_list(&anchor) {
            held.passed.advance(now);
            anchor.held_for(held.passed.total());
        }
        anchor
    }

    /// Lets the anchor's list grow older by the time that passed since it was taken, which goes on over restarts and boots.
    ///
    /// # Errors
    /// Where the disk refuses; the list is as old as is known all the same.
    pub(crate) fn count_list(&self, anchor: &mut Anchor, now: &Reading) -> io::Result<()> {
        let known = self.held_list(anchor);
        let mut passed = known.as_ref().map_or_else(|| Elapsed::begin(now), |known| known.passed.clone());
        passed.advance(now);
        anchor.held_for(passed.total());
        if known.is_some_and(|known| known.passed.is_soon_before(&passed, NOTED_EVERY)) {
            return Ok(());
        }
        write_json(&self.file(HELD_LIST_FILE), &HeldList { versions: anchor.versions(), passed })
    }

    /// A damaged file is as good as none: the wall clock ends the list as well.
    fn held_list(&self, anchor: &Anchor) -> Option<HeldList> {
        let held: Option<HeldList> = read_json(&self.file(HELD_LIST_FILE)).unwrap_or_default();
        held.filter(|held| held.versions == anchor.versions())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateDirectory;
    use ed25519_dalek::SigningKey;
    use jiff::{SignedDuration, Timestamp};
    use netsonde_contract::dsse::Envelope;
    use netsonde_contract::trust::{KEY_LIST_MEDIA_TYPE, KeyList, PublicKey, ROOT_MEDIA_TYPE, RoleKeys, RootStatement};

    const DAYS: i64 = 24;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3_600).unwrap()
    }

    /// With a list that lives for ten days from hour 0.
    fn anchor() -> Anchor {
        let key = SigningKey::from_bytes(&[1; 32]);
        let keys = vec![PublicKey::new(key.verifying_key(), "")];
        let root = RootStatement { name: "Contoso".into(), organisation: None, version: 1, issued: at(-1), keys, threshold: 1 };
        let payload = root.envelope().unverified().to_vec();
        let envelope = Envelope::sign(ROOT_MEDIA_TYPE, payload.clone(), &key);
        let mut anchor = Anchor::pinned(&envelope.to_json(), &RootStatement::fingerprint(&payload)).unwrap();
        let nobody = || RoleKeys { threshold: 1, keys: Vec::new() };
        let list = KeyList {
            organisation: anchor.organisation().clone(),
            root: 1,
            version: 1,
            issued: at(0),
            expires: at(0) + SignedDuration::from_hours(10 * DAYS),
            order: nobody(),
            receipt: nobody(),
            revoked: Vec::new(),
        };
        let envelope = Envelope::sign(KEY_LIST_MEDIA_TYPE, list.envelope().unverified().to_vec(), &key);
        anchor.accept_list(&envelope.to_json()).unwrap();
        anchor
    }

    #[test]
    fn a_clock_that_is_set_back_revives_no_list() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let (home, mut held) = (Home::of(&state), anchor());
        let reading = |wall: i64, boot: &str, up: i64| Reading {
            wall: at(wall),
            boot: Some(boot.to_owned()),
            up: Duration::from_secs(up.unsigned_abs() * 3_600),
        };
        let lives = |anchor: &Anchor| anchor.live_list(at(1)).is_ok();
        home.count_list(&mut held, &reading(0, "a", 5)).unwrap();
        home.count_list(&mut held, &reading(9 * DAYS, "a", 5 + 9 * DAYS)).unwrap();
        assert!(lives(&held));
        // The clock shows the first hour again and again: days pass all the same, and another boot forgets none of those before.
        assert!(!lives(&home.aged(anchor(), &reading(1, "a", 5 + 10 * DAYS))));
        let booted = home.aged(anchor(), &reading(1, "b", 0));
        assert!(lives(&booted), "how long the machine was off nobody knows");
        home.count_list(&mut held, &reading(1, "b", 0)).unwrap();
        home.count_list(&mut held, &reading(1, "b", DAYS)).unwrap();
        assert!(!lives(&held) && !lives(&home.aged(anchor(), &reading(1, "c", 0))));
        // A list of another version is held from now on.
        std::fs::write(folder.path().join(HELD_LIST_FILE), "{\"versions\":[1,2]}").unwrap();
        home.count_list(&mut held, &reading(1, "c", 0)).unwrap();
        assert!(lives(&held));
    }

    #[test]
    fn an_agent_that_runs_writes_it_down_once_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let (home, mut held, file) = (Home::of(&state), anchor(), folder.path().join(HELD_LIST_FILE));
        let mut written = 0;
        let mut before = Vec::new();
        for minute in 0..180 {
            let wall = at(0) + SignedDuration::from_mins(minute);
            let up = Duration::from_secs(minute.unsigned_abs() * 60);
            home.count_list(&mut held, &Reading { wall, boot: Some("a".into()), up }).unwrap();
            let now = std::fs::read(&file).unwrap();
            written += usize::from(now != before);
            before = now;
        }
        assert_eq!(written, 3);
    }
}
