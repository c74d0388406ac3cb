use crate::capture::flow::Flow;
use crate::clock::Clock;
use crate::gate::Gate;
use crate::names::Names;
use crate::tls::trust::Trust;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::id::{CheckId, ObservationId};
use netsonde_contract::observation::{Fact, Observation};
use netsonde_contract::outcome::Note;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

/// What a probe gets. One a check; the parts are shared by the whole run.
#[derive(Clone)]
pub struct Context {
    pub gate: Arc<Gate>,
    pub clock: Clock,
    pub names: Arc<Names>,
    pub trust: Arc<Trust>,
    pub proxy: ProxyChoice,
    pub recorder: Recorder,
    /// Bytes of data in one segment of this check's connections at most; none leaves it to the system.
    pub max_segment_bytes: Option<u32>,
}

impl Context {
    /// Notes that the flow is this check's, so that a capture keeps its packets.
    pub(crate) fn flow(&self, flow: Flow) {
        self.gate.flows().note(flow, &self.recorder.check);
    }

    /// The same, with connections whose segments are no larger than this.
    pub(crate) fn with_segments(&self, max_segment_bytes: Option<u32>) -> Self {
        Self { max_segment_bytes, ..self.clone() }
    }

    /// The same, but what is recorded stands apart.
    pub(crate) fn aside(&self) -> Self {
        Self { recorder: self.recorder.aside(), ..self.clone() }
    }
}

/// Which proxy http checks use. Only a person at the command line chooses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProxyChoice {
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    #[default]
    Environment,
    None,
    Url(String),
}

/// How a measurement ended. Not a judgement of the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// What was measured is as the check expects.
    AsExpected,
    /// What was measured is not as the check expects.
    Failed,
}

/// Nothing could be measured: why, and what would grant it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.why)]
pub struct NotMeasurable(pub Note);

impl NotMeasurable {
    pub fn new(why: impl Into<String>) -> Self {
        Self(Note { why: why.into(), grant: None })
    }

    pub fn with_grant(why: impl Into<String>, grant: impl Into<String>) -> Self {
        Self(Note { why: why.into(), grant: Some(grant.into()) })
    }

    /// The host gives no address to measure: its name does not resolve, or no address of it may be probed.
    pub(crate) fn unresolved(host: &str, failure: &Failure) -> Self {
        match failure.code {
            FailureCode::NotAllowed => Self::new(failure.text.clone()),
            // An address, whose link is not there.
            FailureCode::AddressNotAvailable => Self::new(failure.text.clone()),
            _ => Self::new(format!("{host} did not resolve: {}", failure.text)),
        }
    }
}

/// Where a check's observations go. Clones record into the same place, so the runner still holds them when a probe is cut off.
#[derive(Clone, Debug)]
pub struct Recorder {
    check: CheckId,
    observations: Arc<Mutex<Vec<Observation>>>,
    watcher: Option<UnboundedSender<Observation>>,
    /// The watcher also wants what is not complete.
    in_parts: bool,
    /// Word of routers is waited for beyond the time-outs where nothing answers.
    lingers: bool,
    /// Raised once the check's time is over.
    time_over: CancellationToken,
    /// Raised once there is enough for the checks that need this one.
    enough: CancellationToken,
}

impl Recorder {
    /// A check keeps at most this many observations: far more than any kind's bounds allow, so that only a fault reaches it.
    const MAX_OBSERVATIONS: usize = 20_000;

    pub fn new(check: CheckId) -> Self {
        Self {
            check,
            observations: Arc::default(),
            watcher: None,
            in_parts: false,
            lingers: true,
            time_over: CancellationToken::new(),
            enough: CancellationToken::new(),
        }
    }

    /// A recorder of the same check whose observations stand apart: for what becomes part of another fact.
    pub(crate) fn aside(&self) -> Self {
        Self { observations: Arc::default(), watcher: None, enough: CancellationToken::new(), ..self.clone() }
    }

    /// Also hands every observation to `watcher` as it is recorded.
    pub fn watched_by(mut self, watcher: UnboundedSender<Observation>) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Keeps a fact whose measuring began at `at_us`, in microseconds since the run began, and returns its id.
    pub fn record(&self, at_us: u64, fact: Fact) -> ObservationId {
        let mut observations = self.observations.lock().unwrap_or_else(PoisonError::into_inner);
        let id = ObservationId::of(&self.check, observations.len() + 1);
        if observations.len() < Self::MAX_OBSERVATIONS {
            let observation = Observation { id: id.clone(), check: self.check.clone(), at_us, fact };
            if let Some(watcher) = &self.watcher {
                // A watcher that went away misses nothing that is not also kept here.
                let _ = watcher.send(observation.clone());
            }
            observations.push(observation);
        }
        id
    }

    /// The watcher also gets facts that are not complete; each is recorded, and handed over again, once it is.
    pub fn in_parts(mut self) -> Self {
        self.in_parts = true;
        self
    }

    /// Nothing is waited for beyond the time-outs, as where the next round of many is due.
    pub fn without_lingering(mut self) -> Self {
        self.lingers = false;
        self
    }

    /// Where nothing answers, a router may still say why once it has given up its search.
    pub(crate) fn lingers(&self) -> bool {
        self.lingers
    }

    /// Somebody watches, and wants what is not complete.
    pub(crate) fn shows_parts(&self) -> bool {
        self.in_parts && self.watcher.is_some()
    }

    /// Shows the watcher what is known so far of something that is recorded once it is complete.
    pub(crate) fn show(&self, at_us: u64, fact: Fact) {
        if let Some(watcher) = self.watcher.as_ref().filter(|_| self.in_parts) {
            let _ = watcher.send(Observation { id: ObservationId::of(&self.check, 0), check: self.check.clone(), at_us, fact });
        }
    }

    /// The recorder of one of several samples of the check: into the same place, with a time of its own.
    pub fn for_a_sample(&self) -> Self {
        Self { time_over: CancellationToken::new(), ..self.clone() }
    }

    /// What was recorded so far.
    pub fn observations(&self) -> Vec<Observation> {
        self.observations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that what other checks need of this one is known, so that they may begin before it ends.
    pub fn has_enough(&self) {
        self.enough.cancel();
    }

    /// Returns once there is enough for the checks that need this one; most kinds only know at their end, and never say so.
    pub async fn enough(&self) {
        self.enough.cancelled().await;
    }

    /// Tells that the check's time is over. The runner says so before it drops a probe whose deadline has come; one that it drops
    /// without, as at Ctrl-C, was interrupted.
    pub fn time_is_over(&self) {
        self.time_over.cancel();
    }

    /// Why a measurement that is dropped in its midst has no end. Only where its time was over was there no answer.
    pub fn cut_off(&self, during: Step) -> Failure {
        if self.time_over.is_cancelled() {
            Failure::new(FailureCode::TimedOut, during, "no answer when the check's time was over")
        } else {
            Failure::new(FailureCode::Interrupted, during, "cut off before it ended")
        }
    }

    /// The failure of [`Recorder::cut_off`] where there was an interruption; a series whose time is over is complete as it is.
    pub(crate) fn interrupted(&self, during: Step) -> Option<Failure> {
        Some(self.cut_off(during)).filter(|failure| failure.code == FailureCode::Interrupted)
    }
}
