use crate::clock::Clock;
use crate::gate::Gate;
use crate::names::Names;
use crate::tls::trust::Trust;
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::id::{CheckId, ObservationId};
use netsonde_contract::observation::{Fact, Observation};
use netsonde_contract::outcome::Note;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

/// What a probe gets. One a check; the parts are shared by the whole run.
#[derive(Clone)]
pub struct Context {
    pub gate: Arc<Gate>,
    pub clock: Clock,
    pub names: Arc<Names>,
    pub trust: Arc<Trust>,
    pub proxy: ProxyChoice,
    pub recorder: Recorder,
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
}

impl Recorder {
    /// A check keeps at most this many observations: far more than any kind's bounds allow, so that only a fault reaches it.
    const MAX_OBSERVATIONS: usize = 20_000;

    pub fn new(check: CheckId) -> Self {
        Self { check, observations: Arc::default(), watcher: None }
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

    /// What was recorded so far.
    pub fn observations(&self) -> Vec<Observation> {
        self.observations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
