use super::{Answer, ProbeNumber};
use std::time::Duration;

/// What a phase has sent and what came back, numbered on from the phases before it.
#[derive(Debug)]
pub(in crate::traceroute) struct Ledger {
    first: u16,
    timeout: Duration,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub(in crate::traceroute) struct Entry {
    pub(in crate::traceroute) ttl: u8,
    pub(in crate::traceroute) flow: u16,
    /// When it was given out, and later when it left.
    sent: Duration,
    pub(in crate::traceroute) answer: Option<(Answer, Duration)>,
}

impl Ledger {
    pub(in crate::traceroute) fn new(first: u16, timeout: Duration) -> Self {
        Self { first, timeout, entries: Vec::new() }
    }

    pub(in crate::traceroute) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(in crate::traceroute) fn len(&self) -> u16 {
        u16::try_from(self.entries.len()).unwrap_or(u16::MAX)
    }

    pub(in crate::traceroute) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(in crate::traceroute) fn entry(&self, probe: ProbeNumber) -> Option<&Entry> {
        self.entries.get(self.index(probe)?)
    }

    /// The number of the next probe.
    pub(in crate::traceroute) fn give(&mut self, ttl: u8, flow: u16, now: Duration) -> ProbeNumber {
        let probe = ProbeNumber(self.first.saturating_add(self.len()));
        self.entries.push(Entry { ttl, flow, sent: now, answer: None });
        probe
    }

    pub(in crate::traceroute) fn handle_sent(&mut self, probe: ProbeNumber, at: Duration) {
        let Some(index) = self.index(probe) else { return };
        if let Some(entry) = self.entries.get_mut(index).filter(|entry| entry.answer.is_none()) {
            entry.sent = at;
        }
    }

    /// The first answer within the time-out counts.
    pub(in crate::traceroute) fn handle_answer(&mut self, probe: ProbeNumber, answer: Answer, at: Duration) {
        let Some(index) = self.index(probe) else { return };
        let timeout = self.timeout;
        if let Some(entry) = self.entries.get_mut(index) {
            let rtt = at.saturating_sub(entry.sent);
            if entry.answer.is_none() && rtt <= timeout {
                entry.answer = Some((answer, rtt));
            }
        }
    }

    /// The probe was answered, or is no longer waited for.
    pub(in crate::traceroute) fn is_settled(&self, probe: ProbeNumber, now: Duration) -> bool {
        self.entry(probe).is_none_or(|entry| entry.answer.is_some() || now >= entry.sent + self.timeout)
    }

    pub(in crate::traceroute) fn expiry(&self, probe: ProbeNumber) -> Option<Duration> {
        self.entry(probe).map(|entry| entry.sent + self.timeout)
    }

    /// When the last probe that is unanswered times out.
    pub(in crate::traceroute) fn last_expiry(&self) -> Option<Duration> {
        let open = self.entries.iter().filter(|entry| entry.answer.is_none());
        open.map(|entry| entry.sent + self.timeout).max()
    }

    /// When the next probe that is unanswered and still waited for times out.
    pub(in crate::traceroute) fn next_expiry(&self, now: Duration) -> Option<Duration> {
        let open = self.entries.iter().filter(|entry| entry.answer.is_none());
        open.map(|entry| entry.sent + self.timeout).filter(|until| now < *until).min()
    }

    /// Answered, or timed out: what may be counted at this time.
    pub(in crate::traceroute) fn counted(&self, entry: &Entry, now: Duration) -> bool {
        entry.answer.is_some() || now >= entry.sent + self.timeout
    }

    fn index(&self, probe: ProbeNumber) -> Option<usize> {
        probe.0.checked_sub(self.first).map(usize::from)
    }
}
