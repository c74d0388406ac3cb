//! Which bundles go where there is no room. Pure: entries and a time in, an order out.

use super::{Entry, Maker, Stage};
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::agent_config::UploadWhen;

/// How much the spool holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// A run makes some ten kilobytes, so that a day of one-minute checks fits eleven times; each takes a folder and three blocks.
    pub(crate) count: usize,
    /// Little enough for the disk of a small machine, and four of the largest bundles there can be.
    pub(crate) bytes: u64,
    /// Of that, delivered bundles take a quarter at most.
    pub(crate) delivered_bytes: u64,
    /// A backend that was restored from an old backup asks again within days, if it asks.
    pub(crate) delivered_age: SignedDuration,
    /// What a schedule measured a month ago and nobody took explains nothing any more.
    pub(crate) scheduled_age: SignedDuration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            count: 16_384,
            bytes: 256 << 20,
            delivered_bytes: 64 << 20,
            delivered_age: SignedDuration::from_hours(7 * 24),
            scheduled_age: SignedDuration::from_hours(30 * 24),
        }
    }
}

/// A bundle in its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) stage: Stage,
    pub(super) entry: Entry,
}

impl Stored {
    /// The least goes first: what was delivered, then what schedules made and nobody sends, then what they made; each the oldest first.
    /// None for what never goes.
    fn worth(&self) -> Option<(u8, Option<Timestamp>)> {
        match (self.stage, self.entry.maker()) {
            (Stage::Sent, _) => Some((0, self.entry.delivered)),
            (Stage::Ready, Maker::Schedule(_)) if self.entry.upload == UploadWhen::Never => Some((1, self.entry.made)),
            (Stage::Ready, Maker::Schedule(_)) => Some((2, self.entry.made)),
            (Stage::Ready, Maker::Order(_) | Maker::Person) => None,
        }
    }
}

/// What the spool holds, and what of it may go.
pub(super) struct Room {
    bounds: Bounds,
    /// What goes first is last.
    may_go: Vec<Stored>,
    count: usize,
    bytes: u64,
}

impl Room {
    pub(super) fn of(stored: Vec<Stored>, bounds: Bounds) -> Self {
        let (count, bytes) = (stored.len(), stored.iter().map(|stored| stored.entry.size_bytes).sum());
        let mut may_go: Vec<Stored> = stored.into_iter().filter(|stored| stored.worth().is_some()).collect();
        may_go.sort_by_key(|stored| std::cmp::Reverse(stored.worth()));
        Self { bounds, may_go, count, bytes }
    }

    /// Takes out what is over its time, and delivered ones where there are too many of them.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<Stored> {
        let sent = |stored: &&Stored| stored.stage == Stage::Sent;
        let mut delivered: u64 = self.may_go.iter().filter(sent).map(|stored| stored.entry.size_bytes).sum();
        let older = |time: Option<Timestamp>, age| time.is_none_or(|time| now.duration_since(time) > age);
        let bounds = self.bounds;
        let mut is_due = |stored: &Stored| match stored.stage {
            Stage::Sent => {
                let due = delivered > bounds.delivered_bytes || older(stored.entry.delivered, bounds.delivered_age);
                delivered -= if due { stored.entry.size_bytes } else { 0 };
                due
            }
            Stage::Ready => older(stored.entry.made, bounds.scheduled_age),
        };
        let (due, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut self.may_go).into_iter().rev().partition(|stored| is_due(stored));
        self.may_go = stay.into_iter().rev().collect();
        self.count -= due.len();
        self.bytes -= due.iter().map(|stored| stored.entry.size_bytes).sum::<u64>();
        due
    }

    pub(super) fn takes(&self, bytes: u64) -> bool {
        self.count < self.bounds.count && self.bytes.saturating_add(bytes) <= self.bounds.bytes
    }

    /// Takes out what goes first; nothing where all that is left must stay.
    pub(super) fn remove_first(&mut self) -> Option<Stored> {
        let gone = self.may_go.pop()?;
        self.count -= 1;
        self.bytes -= gone.entry.size_bytes;
        Some(gone)
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
