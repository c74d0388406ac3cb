use crate::spot::Spot;
use netsonde_contract::finding::{NextStep, Place, Rejected, Severity, Who};
use netsonde_contract::id::ObservationId;
use std::net::IpAddr;

/// What one rule proposes for one place. The engine turns those that stand into findings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) severity: Severity,
    /// How likely it is the right cause, 0 to 1; the engine applies the rule's cap for unprivileged runs.
    pub(crate) confidence: f64,
    pub(crate) place: Place,
    pub(crate) sentence: String,
    pub(crate) evidence: Vec<ObservationId>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) next_step: NextStep,
    /// What would settle it here, where that is something other than what the rule states.
    pub(crate) settled_by: Option<String>,
    /// What it is about; a failed check with a symptom within it is explained by it.
    pub(crate) about: Vec<Spot>,
    /// Addresses that it finds out of reach, whatever is between: a fault of the way to all of them is what it follows from, though it
    /// is met earlier.
    pub(crate) towards: Vec<IpAddr>,
    /// The cause of which it is a mere sign, where that is found as a problem as well.
    pub(crate) follows: Option<&'static str>,
    /// Nothing gets through there, so that every later layer at the same spot is a consequence.
    pub(crate) stops: bool,
}

impl Candidate {
    pub(crate) fn new(severity: Severity, confidence: f64, sentence: impl Into<String>) -> Self {
        Self {
            severity,
            confidence,
            place: Place::default(),
            sentence: sentence.into(),
            evidence: Vec::new(),
            rejected: Vec::new(),
            next_step: NextStep { who: Who::Support, action: String::new() },
            settled_by: None,
            about: Vec::new(),
            towards: Vec::new(),
            follows: None,
            stops: false,
        }
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    pub(crate) fn about(mut self, spot: Spot) -> Self {
        if !self.about.contains(&spot) {
            self.about.push(spot);
        }
        self
    }

    /// It follows from whatever keeps packets from these addresses.
    pub(crate) fn towards(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.towards = addresses.into_iter().collect();
        self
    }

    /// It is a mere sign of this cause, where that is found as well.
    pub(crate) fn following(mut self, cause: &'static str) -> Self {
        self.follows = Some(cause);
        self
    }

    /// Nothing gets through at the spots that it is about.
    pub(crate) fn stopping(mut self) -> Self {
        self.stops = true;
        self
    }

    pub(crate) fn resting_on<'a>(mut self, ids: impl IntoIterator<Item = &'a ObservationId>) -> Self {
        for id in ids {
            if !self.evidence.contains(id) {
                self.evidence.push(id.clone());
            }
        }
        self
    }

    /// A neighbour that an observation rules out. Without an observation nothing is ruled out, and nothing is added.
    pub(crate) fn rejecting<'a>(
        mut self,
        cause: &str,
        reason: impl Into<String>,
        ids: impl IntoIterator<Item = &'a ObservationId>,
    ) -> Self {
        let evidence: Vec<ObservationId> = ids.into_iter().cloned().collect();
        if !evidence.is_empty() {
            self.rejected.push(Rejected { cause: cause.to_owned(), reason: reason.into(), evidence });
        }
        self
    }

    pub(crate) fn next(mut self, who: Who, action: impl Into<String>) -> Self {
        self.next_step = NextStep { who, action: action.into() };
        self
    }

    pub(crate) fn settled_by(mut self, measurement: impl Into<String>) -> Self {
        self.settled_by = Some(measurement.into());
        self
    }
}
