//! What a backend alone can bring about as often as it likes is written whole only so often, and counted beyond that: a flood of refusals must
//! not push out of the log what went before it.
//!
//! It reads no clock: `now` is any clock that goes forward.

use super::Entry;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What it takes no engineer's signature to bring about.
const FOLDED: [&str; 3] = ["order_received", "order_refused", "trust_refused"];
/// So many of them are written whole within a window: more than engineers bring about by hand in a minute.
const WHOLE: u32 = 40;
/// The same while a flood goes on.
const WHOLE_IN_FLOOD: u32 = 4;
const SHORTEST: Duration = Duration::from_secs(60);
/// As long as a flood goes on, each window is twice as long as the one before, up to this. At most some kilobytes an hour are left then (an entry
/// is shorter than two), so that the log keeps what is older for more than a month.
const LONGEST: Duration = Duration::from_secs(3_600);

/// All of it comes from one source, the backend.
#[derive(Debug, Default)]
pub(super) struct Folding {
    window: Option<Window>,
}

#[derive(Debug)]
struct Window {
    ends: Duration,
    length: Duration,
    /// How many may still be written whole.
    whole: u32,
    /// By what happened and with which code, closed lists both, so that there are few: how many were counted, and the last of them.
    counted: BTreeMap<String, (u64, Entry)>,
}

impl Folding {
    /// What is to be written now that `entry` came: not the entry itself, where it is counted.
    pub(super) fn take(&mut self, entry: Entry, now: Duration) -> Vec<Entry> {
        let mut due = self.due(entry.at, now);
        if !FOLDED.contains(&entry.what.as_str()) {
            due.push(entry);
            return due;
        }
        let window = self.window.get_or_insert_with(|| Window::new(SHORTEST, WHOLE, now));
        if window.whole > 0 {
            window.whole -= 1;
            due.push(entry);
        } else {
            let counted = window.counted.remove(&key(&entry)).map_or(0, |(counted, _)| counted);
            window.counted.insert(key(&entry), (counted + 1, entry));
        }
        due
    }

    /// The counts of a window that is over.
    pub(super) fn due(&mut self, at: Timestamp, now: Duration) -> Vec<Entry> {
        let Some(window) = self.window.take_if(|window| now >= window.ends) else { return Vec::new() };
        if !window.counted.is_empty() {
            self.window = Some(Window::new((window.length * 2).min(LONGEST), WHOLE_IN_FLOOD, now));
        }
        window.summed_up(at)
    }

    /// The counts of the window, over or not.
    pub(super) fn all(&mut self, at: Timestamp) -> Vec<Entry> {
        self.window.take().map(|window| window.summed_up(at)).unwrap_or_default()
    }
}

impl Window {
    fn new(length: Duration, whole: u32, now: Duration) -> Self {
        Self { ends: now + length, length, whole, counted: BTreeMap::new() }
    }

    fn summed_up(self, at: Timestamp) -> Vec<Entry> {
        let seconds = self.length.as_secs();
        let sum = |(counted, last): (u64, Entry)| {
            let words = format!("{counted} more within {seconds} s, of which this is the last");
            let decision = match code(&last) {
                Some(code) => format!("{code}: {words}"),
                None => words,
            };
            Entry { at, decision: Some(decision), count: Some(counted), ..last }
        };
        self.counted.into_values().map(sum).collect()
    }
}

fn key(entry: &Entry) -> String {
    format!("{} {}", entry.what, code(entry).unwrap_or_default())
}

/// The stable code before the words, which the far side may have chosen.
fn code(entry: &Entry) -> Option<&str> {
    entry.decision.as_deref().and_then(|words| words.split_once(':')).map(|(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn refused(words: &str) -> Entry {
        Entry::new(AT, "order_refused").decided(words)
    }

    #[test]
    fn the_first_refusals_of_a_minute_are_whole_and_the_rest_is_counted() {
        let mut folding = Folding::default();
        let written: usize =
            (0..1_000).map(|number| folding.take(refused(&format!("malformed: words {number}")), seconds(1)).len()).sum();
        assert_eq!(written, WHOLE as usize, "whatever the words are");
        assert!(folding.take(refused("replayed: again"), seconds(1)).is_empty(), "whatever the code is");
        assert_eq!(folding.take(Entry::new(AT, "order_accepted"), seconds(1)).len(), 1, "what an engineer signed");
        assert!(folding.due(AT, seconds(60)).is_empty());
        let [counted, other] = &folding.due(AT, seconds(61))[..] else { panic!() };
        assert_eq!((counted.what.as_str(), counted.count, other.count), ("order_refused", Some(960), Some(1)));
        assert_eq!(counted.decision.as_deref(), Some("malformed: 960 more within 60 s, of which this is the last"));
        assert_eq!(folding.take(refused("malformed: later"), seconds(61)).len(), 1, "a new window begins");
    }

    #[test]
    fn a_flood_that_goes_on_for_days_leaves_little() {
        let mut folding = Folding::default();
        let mut written = 0;
        for second in 0..2 * 86_400 {
            for _ in 0..2 {
                written += folding.take(Entry::new(AT, "order_received"), seconds(second)).len();
                written += folding.take(refused("malformed: x"), seconds(second)).len();
            }
        }
        assert!((200..500).contains(&written), "{written} of 691,200");
    }

    /// Words are cut, and no letter of a clean text takes more bytes than these.
    #[test]
    fn a_month_of_a_flood_is_less_than_the_log_keeps() {
        for letter in ["\"", "\u{1d11e}"] {
            let longest = refused(&letter.repeat(10_000)).by_policy(&"x".repeat(64), Some(usize::MAX));
            let mut folding = Folding::default();
            let bytes = |entry: &Entry| serde_json::to_vec(entry).unwrap().len() as u64 + crate::audit::nothing().len() as u64;
            let written: u64 = (0..2 * 86_400)
                .flat_map(|second| folding.take(longest.clone(), seconds(second)))
                .map(|entry| bytes(&entry))
                .sum();
            let a_month = written * 31 / 2;
            assert!(a_month < u64::from(crate::audit::MAX_ASIDE) * crate::audit::MAX_BYTES, "{letter}: {a_month} bytes");
        }
    }

    #[test]
    fn after_a_flood_windows_are_short_again_and_nothing_is_kept_of_it() {
        let mut folding = Folding::default();
        for _ in 0..100 {
            folding.take(refused("malformed: x"), seconds(0));
        }
        assert_eq!(folding.due(AT, seconds(60)).len(), 1);
        assert!(folding.due(AT, seconds(180)).is_empty(), "nothing came within the second window");
        assert!(folding.window.is_none());
        for _ in 0..100 {
            folding.take(refused("malformed: x"), seconds(200));
        }
        assert_eq!(folding.all(AT).len(), 1, "at the agent's end nothing is lost");
        assert!(folding.window.is_none());
    }
}
