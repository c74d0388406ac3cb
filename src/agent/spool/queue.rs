//! What is sent next, and when. Pure: entries and a time in, a bundle out.

use super::Entry;
use jiff::Timestamp;
use netsonde_contract::agent_config::UploadWhen;
use netsonde_contract::id::BundleId;
use std::collections::BTreeMap;

/// What is known of the network at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Bytes cost money.
    pub(crate) metered: bool,
    /// Hours in which nothing is sent that can wait.
    pub(crate) quiet: bool,
}

impl Link {
    pub(crate) fn allows(self, sending: UploadWhen) -> bool {
        match sending {
            UploadWhen::Now => true,
            UploadWhen::Later => !self.metered && !self.quiet,
            UploadWhen::Never => false,
        }
    }
}

/// The bundles that the agent sends by itself: some hundred bytes each, so that ten thousand may wait.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<BundleId, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    sending: UploadWhen,
    made: Option<Timestamp>,
    tries: super::Tries,
}

impl Queue {
    /// Adds a bundle, or what became of one that was tried. Those that a person made, or that stay here, are not in it.
    pub(crate) fn put(&mut self, entry: &Entry) {
        if entry.sending() != UploadWhen::Never {
            // The reason is on the disk; ten thousand of them are not needed here.
            let tries = super::Tries { reason: None, ..entry.tries.clone() };
            self.waiting.insert(entry.bundle.clone(), Waiting { sending: entry.sending(), made: entry.made, tries });
        }
    }

    pub(crate) fn remove(&mut self, bundle: &BundleId) {
        self.waiting.remove(bundle);
    }

    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The next to send: what is to be sent at once before what can wait, then the oldest.
    pub(crate) fn next(&self, now: Timestamp, link: Link) -> Option<&BundleId> {
        let may = |waiting: &Waiting| link.allows(waiting.sending) && waiting.tries.rest(now).is_none();
        let due = self.waiting.iter().filter(|(_, waiting)| may(waiting));
        due.min_by_key(|(_, waiting)| (waiting.sending != UploadWhen::Now, waiting.made)).map(|(bundle, _)| bundle)
    }

    /// When to look again, where nothing is due now: the earliest time that a bundle waits for. Nothing where only the network, the hours or a
    /// new bundle can change anything.
    pub(crate) fn wake(&self, now: Timestamp, link: Link) -> Option<Timestamp> {
        let allowed = self.waiting.values().filter(|waiting| link.allows(waiting.sending));
        allowed.map(|waiting| waiting.tries.rest(now).unwrap_or(now)).min()
    }
}
