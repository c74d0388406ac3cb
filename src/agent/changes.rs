//! Changes of health that the backend has not heard of: numbered once, and on the disk until it has.

use crate::disk::{read_json, write_json};
use crate::state::{StateDirectory, put_aside};
use crate::state_names;
use netsonde_contract::api::health::NumberedChange;
use netsonde_contract::history::Change;
use netsonde_contract::id::{AgentId, BundleId};
use serde::{Deserialize, Serialize};
use std::io;

const FILE: &str = state_names::CHANGES;
/// A backend that was away for a weekend is told all of it; of more than this the oldest go, and the numbers tell that they are gone.
const MOST_WAITING: usize = 2_000;

/// A backend may be ahead by so much: it knows what a machine told that was put back to an older state. What is more than this is no number of a
/// machine's, and believing it would use the numbers up.
const FURTHEST_AHEAD: u64 = 1 << 20;
/// More changes than a machine sees, and fewer than any database counts.
const LAST_NUMBER: u64 = 1 << 53;

/// Whoever changes it holds the state directory's lock from reading to writing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Untold {
    agent: AgentId,
    /// The last number that was given out.
    last: u64,
    /// The oldest first.
    waiting: Vec<NumberedChange>,
    /// The backend was told of checks, and is to be told when there are none any more.
    #[serde(default)]
    pub(crate) told_checks: bool,
}

impl Untold {
    /// What waits for this agent. What waited for another one, whose key this machine had before, is numbered anew; a damaged file is put aside.
    ///
    /// # Errors
    /// Where there is a file and it cannot be read.
    pub(crate) fn load(state: &StateDirectory, agent: &AgentId) -> io::Result<Self> {
        let path = state.path().join(FILE);
        let found: Option<Self> = match read_json(&path) {
            Err(error) if error.kind() == io::ErrorKind::Other => {
                put_aside(&path, "what the backend had not heard yet it hears no more, but for how the checks are")?;
                None
            }
            found => found?,
        };
        let mut untold = Self { agent: agent.clone(), last: 0, waiting: Vec::new(), told_checks: false };
        match found {
            // Numbers that are used up were put there by a backend that lied; where another one is, it says itself.
            Some(found) if found.agent == *agent && found.last < LAST_NUMBER => return Ok(found),
            Some(found) => drop(untold.add(found.waiting.into_iter().map(|numbered| numbered.change))),
            None => {}
        }
        Ok(untold)
    }

    /// # Errors
    /// Where the disk refuses.
    pub(crate) fn save(&self, state: &StateDirectory) -> io::Result<()> {
        write_json(&state.path().join(FILE), self)
    }

    /// Numbers changes, in their order.
    pub(crate) fn add(&mut self, changes: impl IntoIterator<Item = Change>) -> Vec<NumberedChange> {
        let mut numbered = Vec::new();
        for change in changes {
            // It is below [`LAST_NUMBER`] as it is loaded, and no machine counts so far.
            self.last = self.last.saturating_add(1);
            numbered.push(NumberedChange { number: self.last, change, bundle: None });
        }
        self.waiting.extend(numbered.iter().cloned());
        let excess = self.waiting.len().saturating_sub(MOST_WAITING);
        self.waiting.drain(..excess);
        numbered
    }

    /// What to tell next, the oldest first.
    pub(crate) fn next(&self, most: usize) -> &[NumberedChange] {
        self.waiting.get(..most.min(self.waiting.len())).unwrap_or_default()
    }

    /// The backend has these, as far as their numbers go up to `heard`. What was added to one since it was told is told again. Whether anything is
    /// told less than before.
    pub(crate) fn heard(&mut self, told: &[NumberedChange], heard: u64) -> bool {
        let highest = told.last().map_or(0, |change| change.number).max(self.last);
        // A machine that was put back to an older state goes on where the backend is: what is numbered below is never heard.
        let heard = if heard > highest.saturating_add(FURTHEST_AHEAD) { highest } else { heard };
        self.last = self.last.max(heard);
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.number > heard || !told.contains(waiting));
        self.waiting.len() < before
    }

    /// Names the bundle that was made because of these. A change that was told without it is told again.
    pub(crate) fn attach(&mut self, changes: &[NumberedChange], bundle: &BundleId) {
        for change in changes {
            let with = NumberedChange { bundle: Some(bundle.clone()), ..change.clone() };
            match self.waiting.binary_search_by_key(&change.number, |waiting| waiting.number) {
                Ok(place) => self.waiting[place] = with,
                Err(place) => self.waiting.insert(place, with),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use netsonde_contract::history::{Changed, Series};
    use netsonde_contract::kind::Kind;

    fn change(check: &str) -> Change {
        let series = Series { schedule: "shop".into(), check: check.into(), kind: Kind::Tcp, target: None, required: true };
        let at = Timestamp::UNIX_EPOCH;
        Change { at, began: at, series, what: Changed::NewPath, sentence: String::new(), silenced: false }
    }

    fn agent(letter: &str) -> AgentId {
        AgentId::new(letter.repeat(64))
    }

    fn numbers(untold: &Untold) -> Vec<u64> {
        untold.next(100).iter().map(|change| change.number).collect()
    }

    #[test]
    fn what_was_not_heard_is_told_again_after_a_restart_with_the_same_number() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let mut untold = Untold::load(&state, &agent("a")).unwrap();
        untold.add([change("one"), change("two"), change("three")]);
        untold.save(&state).unwrap();
        let mut untold = Untold::load(&state, &agent("a")).unwrap();
        let told = untold.next(2).to_vec();
        assert!(untold.heard(&told, 1));
        assert_eq!(numbers(&untold), [2, 3]);
        assert!(!untold.heard(&told, 1), "an answer that says nothing new ends nothing");
        untold.save(&state).unwrap();
        let mut untold = Untold::load(&state, &agent("a")).unwrap();
        assert_eq!(untold.add([change("four")])[0].number, 4);
    }

    #[test]
    fn a_bundle_that_comes_later_is_told_with_its_change_once_more() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let mut untold = Untold::load(&state, &agent("a")).unwrap();
        let added = untold.add([change("one"), change("two")]);
        let told = untold.next(2).to_vec();
        // The bundle is there before the answer to what was told without it.
        untold.attach(&added[1..], &BundleId::new("b"));
        assert!(untold.heard(&told, 2));
        assert_eq!(numbers(&untold), [2]);
        let told = untold.next(2).to_vec();
        assert!(untold.heard(&told, 2) && numbers(&untold).is_empty());
        untold.attach(&added[..1], &BundleId::new("c"));
        assert_eq!(numbers(&untold), [1]);
    }

    #[test]
    fn a_backend_that_names_an_impossible_number_uses_none_up() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let mut untold = Untold::load(&state, &agent("a")).unwrap();
        let told = untold.add([change("one"), change("two")]);
        assert!(untold.heard(&told, u64::MAX) && numbers(&untold).is_empty(), "what was told was heard");
        assert_eq!(untold.add([change("three")])[0].number, 3);
        // A backend that knows the machine as it was later is believed.
        let told = untold.next(1).to_vec();
        untold.heard(&told, 5_000);
        assert_eq!(untold.add([change("four")])[0].number, 5_001);
        // As an older version wrote it down.
        for last in [u64::MAX, u64::MAX - 1] {
            untold.last = last;
            untold.save(&state).unwrap();
            let mut untold = Untold::load(&state, &agent("a")).unwrap();
            assert_eq!(untold.add([change("five"), change("six")])[1].number, 3, "{last}: one waited");
        }
    }

    #[test]
    fn another_agent_counts_from_one() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let mut untold = Untold::load(&state, &agent("a")).unwrap();
        let told = untold.add([change("one"), change("two")]);
        untold.heard(&told[..1], 1);
        untold.save(&state).unwrap();
        assert_eq!(numbers(&Untold::load(&state, &agent("b")).unwrap()), [1]);
        std::fs::write(folder.path().join(FILE), "{\"agent\":").unwrap();
        assert!(numbers(&Untold::load(&state, &agent("b")).unwrap()).is_empty());
    }
}
