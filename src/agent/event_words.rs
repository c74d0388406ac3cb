//! What of a service's words goes into the event log of Windows, where others have to find theirs too: none twice within an hour, a bounded number
//! within one, each of a bounded length.

use netsonde_contract::harmless::clean_lines;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// What is said again and again, as while a backend is away, is told as seldom as this.
const AGAIN_AFTER: Duration = Duration::from_secs(3_600);
/// An agent that is well says some ten things at its start, and a few for each order and change.
const MOST_WITHIN: usize = 120;
/// A system's entry may have 31,839; nobody reads them.
const MAX_CHARS: usize = 2_000;
const FULL: &str = "more was said than the event log is given within an hour; what follows is left out until then";

/// What was written within the hour, by its digest, the oldest first.
pub(crate) struct Recent {
    written: VecDeque<(Duration, u64)>,
}

impl Recent {
    pub(crate) const fn new() -> Self {
        Self { written: VecDeque::new() }
    }

    /// What is to be written of words that are said `now`, by a clock that only goes forward.
    pub(crate) fn admit(&mut self, words: &str, now: Duration) -> Option<String> {
        while self.written.front().is_some_and(|(at, _)| now.saturating_sub(*at) >= AGAIN_AFTER) {
            self.written.pop_front();
        }
        let words = if self.written.len() < MOST_WITHIN { cut(words) } else { FULL.to_owned() };
        let digest = digest(&words);
        if self.written.iter().any(|(_, written)| *written == digest) {
            return None;
        }
        self.written.push_back((now, digest));
        Some(words)
    }
}

fn cut(words: &str) -> String {
    let clean = clean_lines(words);
    match clean.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean.into_owned(),
    }
}

fn digest(words: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    words.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_said_each_minute_is_written_once_an_hour() {
        let mut recent = Recent::new();
        let written: Vec<u32> =
            (0..180).filter(|minute| recent.admit("the backend is away", MINUTE * *minute).is_some()).collect();
        assert_eq!(written, [0, 60, 120]);
        assert!(recent.admit("the backend is back", MINUTE * 180).is_some());
    }

    #[test]
    fn words_that_always_differ_do_not_fill_the_log_and_the_last_of_them_says_so() {
        let mut recent = Recent::new();
        let mut said = |number: u32, now| recent.admit(&format!("attempt {number}"), now);
        let written: Vec<String> = (0..5_000).filter_map(|number| said(number, MINUTE)).collect();
        assert_eq!(written.len(), MOST_WITHIN + 1);
        assert_eq!(written.last().map(String::as_str), Some(FULL));
        assert_eq!(said(5_000, MINUTE * 61).as_deref(), Some("attempt 5000"), "the hour is over");
    }

    #[test]
    fn an_entry_is_cut_and_steers_nothing() {
        let mut recent = Recent::new();
        let written = recent.admit(&"ä".repeat(MAX_CHARS + 1), MINUTE).unwrap();
        assert!(written.chars().count() == MAX_CHARS + 1 && written.ends_with('…'));
        assert!(!recent.admit("red \u{1b}[31m", MINUTE).unwrap().contains('\u{1b}'));
    }
}
