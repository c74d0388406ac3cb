use jiff::Timestamp;
use netsonde_contract::api::alert::Alert;
use netsonde_contract::api::fleet::Labels;
use netsonde_contract::api::health::HealthReport;
use netsonde_contract::bundle::Scheduled;
use netsonde_contract::history::{Change, Health, Series};
use netsonde_contract::id::{AgentId, BundleId, CaseId};

/// A report as it came, from whom.
#[derive(Clone, Debug)]
pub(crate) struct ReportRow {
    pub(crate) agent: AgentId,
    pub(crate) host_name: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) report: HealthReport,
    pub(crate) received: Timestamp,
    /// Of this server, for the addresses of pages in alerts.
    pub(crate) url: String,
}

/// Somebody who is told, of these events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) events: Vec<String>,
}

/// When an agent was last heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeardRow {
    pub(crate) agent: AgentId,
    pub(crate) reported: Timestamp,
    /// From here on nothing is known of its checks, whether that was noticed yet or not.
    pub(crate) silent_after: Timestamp,
}

/// A check as its agent told it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckRow {
    pub(crate) agent: AgentId,
    pub(crate) series: Series,
    pub(crate) health: Health,
    pub(crate) since: Timestamp,
    /// When it was measured last, by the agent's clock; none where the agent does not say.
    pub(crate) measured: Option<Timestamp>,
    pub(crate) silenced: bool,
}

/// A change of a check, or of an agent as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    Check(Box<Change>),
    /// It was not heard for too long.
    Silent,
    Heard,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TimedChange {
    pub(crate) at: Timestamp,
    /// When this program learnt of it.
    pub(crate) kept: Timestamp,
    pub(crate) what: What,
    pub(crate) bundle: Option<BundleId>,
}

/// How a case that was opened by itself is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchedState {
    /// A scheduled bundle opened it, and nothing failed so far.
    Collecting,
    Failing,
    Recovered,
    /// What failed is measured no more: how it is, nobody knows.
    Removed,
    Closed,
}

impl WatchedState {
    pub(crate) const ALL: [Self; 5] = [Self::Collecting, Self::Failing, Self::Recovered, Self::Removed, Self::Closed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Collecting => "collecting",
            Self::Failing => "failing",
            Self::Recovered => "recovered",
            Self::Removed => "removed",
            Self::Closed => "closed",
        }
    }
}

/// A case that was opened by itself, and what it watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchedRow {
    pub(crate) case: CaseId,
    pub(crate) agent: AgentId,
    pub(crate) schedule: String,
    pub(crate) target: Option<String>,
    pub(crate) opened: Timestamp,
    pub(crate) state: WatchedState,
    pub(crate) since: Timestamp,
    /// How often it began to fail.
    pub(crate) failures: u32,
}

/// A scheduled bundle that wants a case.
#[derive(Clone, Debug)]
pub(crate) struct PlaceOf {
    pub(crate) agent: AgentId,
    pub(crate) bundle: BundleId,
    pub(crate) scheduled: Scheduled,
    /// When its run ended, by the machine's clock.
    pub(crate) measured: Timestamp,
    pub(crate) now: Timestamp,
}

/// How many bundles, and of how many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) bundles: u64,
    pub(crate) bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlertState {
    Waiting,
    Sent,
    /// It was tried for as long as it is worth.
    GivenUp,
}

impl AlertState {
    pub(crate) const ALL: [Self; 3] = [Self::Waiting, Self::Sent, Self::GivenUp];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::GivenUp => "given_up",
        }
    }
}

/// One alert on its way to one channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlertRow {
    pub(crate) id: String,
    pub(crate) channel: String,
    pub(crate) alert: Alert,
    pub(crate) made: Timestamp,
    pub(crate) next: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) state: AlertState,
    /// What the last attempt met.
    pub(crate) trouble: Option<String>,
}

/// What became of one attempt to send an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Sent { at: Timestamp },
    Failed { trouble: String, next: Timestamp },
    GivenUp { trouble: String, at: Timestamp },
}
