//! What is sent next, and when. Pure: entries and a time in, a bundle out.

use super::Entry;
use jiff::Timestamp;
use netsonde_contract::agent_config::UploadWhen;
use netsonde_contract::id::BundleId;
use std::collections::{BTreeMap, BTreeSet};

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
    /// The same in the order in which they go, so that ten thousand are not walked through for each that goes.
    order: BTreeSet<(Rank, BundleId)>,
}

/// What is to be sent at once before what can wait, then the oldest.
type Rank = (bool, Option<Timestamp>);

#[derive(Debug)]
struct Waiting {
    sending: UploadWhen,
    made: Option<Timestamp>,
    tries: super::Tries,
}

impl Waiting {
    fn rank(&self) -> Rank {
        (self.sending != UploadWhen::Now, self.made)
    }
}

impl Queue {
    /// Adds a bundle, or what became of one that was tried. Those that a person made, or that stay here, are not in it.
    pub(crate) fn put(&mut self, entry: &Entry) {
        if entry.sending() != UploadWhen::Never {
            self.remove(&entry.bundle);
            // The reason is on the disk; ten thousand of them are not needed here.
            let tries = super::Tries { reason: None, ..entry.tries.clone() };
            let waiting = Waiting { sending: entry.sending(), made: entry.made, tries };
            self.order.insert((waiting.rank(), entry.bundle.clone()));
            self.waiting.insert(entry.bundle.clone(), waiting);
        }
    }

    pub(crate) fn remove(&mut self, bundle: &BundleId) {
        if let Some((bundle, waiting)) = self.waiting.remove_entry(bundle) {
            self.order.remove(&(waiting.rank(), bundle));
        }
    }

    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The next to send, the first in their order that is due and may go.
    pub(crate) fn next(&self, now: Timestamp, link: Link) -> Option<&BundleId> {
        let may = |waiting: &Waiting| link.allows(waiting.sending) && waiting.tries.rest(now).is_none();
        self.order.iter().map(|(_, bundle)| bundle).find(|bundle| self.waiting.get(bundle).is_some_and(may))
    }

    /// When to look again, where nothing is due now: the earliest time that a bundle waits for. Nothing where only the network, the hours or a
    /// new bundle can change anything.
    pub(crate) fn wake(&self, now: Timestamp, link: Link) -> Option<Timestamp> {
        if self.next(now, link).is_some() {
            return Some(now);
        }
        let allowed = self.waiting.values().filter(|waiting| link.allows(waiting.sending));
        allowed.filter_map(|waiting| waiting.tries.rest(now)).min()
    }
}
