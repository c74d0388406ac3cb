//! Builds what a run observed, for tests: a scene is a list of checks with their facts, each with the status that a probe
//! would have ended with.

mod facts;
mod machine;

pub(crate) use facts::*;
pub(crate) use machine::*;

use crate::{Layer, diagnose};
use jiff::Timestamp;
use netsonde_contract::capability::Grantor;
use netsonde_contract::environment::Environment;
use netsonde_contract::finding::{Diagnosis, Finding, Severity, State};
use netsonde_contract::id::{CheckId, ObservationId};
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{Fact, LookupSource, MtuLimit, Observation};
use netsonde_contract::outcome::{Note, Outcome, Status};
use netsonde_contract::target::{Target, TargetForm};

#[derive(Clone, Debug)]
pub(crate) struct Scene {
    outcomes: Vec<Outcome>,
    environment: Environment,
    target: Option<Target>,
}

impl Scene {
    /// A run against one target, without any privilege.
    pub(crate) fn new(target: &str) -> Self {
        let environment = Environment {
            version: "0.1.0".into(),
            os: "linux".into(),
            os_release: "test".into(),
            kernel: "6".into(),
            architecture: "x86_64".into(),
            hostname: "client".into(),
            raw_sockets: false,
            ping_sockets: false,
            elevated: false,
            packet_filter: None,
            other_processes: None,
            low_ports: None,
            grantor: Default::default(),
            began: timestamp("2026-05-15T12:00:00Z"),
            confinement: None,
        };
        Self { outcomes: Vec::new(), environment, target: Some(parse(target)) }
    }

    /// The checks that follow are for another target of the same run.
    pub(crate) fn target(mut self, target: &str) -> Self {
        self.target = Some(parse(target));
        self
    }

    /// Adds a check with the status that its facts amount to.
    pub(crate) fn check(self, kind: Kind, facts: impl IntoIterator<Item = Fact>) -> Self {
        let facts: Vec<Fact> = facts.into_iter().collect();
        let status = status_of(kind, &facts);
        self.ended(kind, status, facts)
    }

    /// Adds a check that ended with this status.
    pub(crate) fn ended(mut self, kind: Kind, status: Status, facts: impl IntoIterator<Item = Fact>) -> Self {
        let check = CheckId::new(format!("{}{}", kind.name(), self.outcomes.len()));
        // Attempts at connections are made one after the other.
        let mut now_us = 0;
        let observation = |(at, fact)| {
            let at_us = now_us;
            if let Fact::Connect(connect) = &fact {
                now_us += connect.took_us;
            }
            Observation { id: ObservationId::of(&check, at + 1), check: check.clone(), at_us, fact }
        };
        let observations = facts.into_iter().enumerate().map(observation).collect();
        let gap = matches!(status, Status::NotMeasured | Status::Skipped);
        self.outcomes.push(Outcome {
            check,
            kind,
            required: Layer::of_kind(kind) != Layer::Path && kind != Kind::Host,
            target: self.target.clone(),
            parameters: serde_json::Value::Null,
            status,
            note: gap.then(|| Note { why: "as the test says".into(), grant: None }),
            began_us: 0,
            took_us: 0,
            separates: Vec::new(),
            observations,
        });
        self
    }

    /// The check added last is required, as the set `path` requires its trace.
    pub(crate) fn required(mut self) -> Self {
        self.outcomes.last_mut().unwrap().required = true;
        self
    }

    pub(crate) fn environment(&self) -> Environment {
        self.environment.clone()
    }

    /// The run has raw sockets.
    pub(crate) fn be_privileged(&mut self) {
        self.environment.raw_sockets = true;
        self.environment.elevated = true;
    }

    /// With what a container's root has by default.
    pub(crate) fn be_root_of_a_container(&mut self) {
        self.environment.raw_sockets = true;
        self.environment.grantor = Grantor::Container;
    }

    pub(crate) fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    pub(crate) fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// For what no shorthand says.
    pub(crate) fn outcomes_mut(&mut self) -> &mut [Outcome] {
        &mut self.outcomes
    }

    pub(crate) fn diagnose(&self) -> Diagnosis {
        let diagnosis = diagnose(&self.outcomes, &self.environment);
        let known =
            |id: &ObservationId| self.outcomes.iter().flat_map(|outcome| &outcome.observations).any(|seen| seen.id == *id);
        for finding in &diagnosis.findings {
            assert!(!finding.evidence.is_empty() && finding.evidence.iter().all(known), "{finding:?} rests on what was observed");
            assert!(!finding.next_step.action.is_empty(), "{} names a next step", finding.cause);
            assert!((0.0..=1.0).contains(&finding.confidence));
            assert!(finding.confidence >= 0.5 || finding.severity == Severity::Notice, "below 0.5 nothing is called a problem");
            assert!(finding.sentence.ends_with('.'), "{}", finding.sentence);
            assert!(finding.confidence >= 0.9 || finding.settled_by.is_some(), "{} says what would settle it", finding.cause);
            let rule = crate::RULES.iter().find(|rule| rule.code == finding.cause).unwrap();
            for rejected in &finding.rejected {
                assert!(
                    rule.neighbours.contains(&rejected.cause.as_str()),
                    "{} lists {} as a neighbour",
                    rule.code,
                    rejected.cause
                );
            }
        }
        diagnosis
    }

    /// The one finding of the scene, notices apart, which also explains every required check.
    pub(crate) fn finds(&self, cause: &str) -> Finding {
        let diagnosis = self.diagnose();
        let felt: Vec<_> = diagnosis.findings.iter().filter(|finding| finding.severity >= Severity::Degraded).collect();
        assert_eq!(felt.iter().map(|finding| finding.cause.as_str()).collect::<Vec<_>>(), [cause], "{diagnosis:#?}");
        assert_eq!(diagnosis.state, State::Explained, "{diagnosis:#?}");
        felt[0].clone()
    }

    /// Nothing that anybody would feel: at most notices, which are returned by their codes.
    pub(crate) fn is_healthy(&self) -> Vec<String> {
        let diagnosis = self.diagnose();
        assert_eq!(diagnosis.state, State::AsExpected, "{diagnosis:#?}");
        diagnosis.findings.into_iter().map(|finding| finding.cause).collect()
    }

    /// A required check stays unexplained, and nothing is called a fault.
    pub(crate) fn is_unexplained(&self) -> Diagnosis {
        let diagnosis = self.diagnose();
        assert_eq!(diagnosis.state, State::Unexplained, "{diagnosis:#?}");
        assert!(diagnosis.findings.iter().all(|finding| finding.severity == Severity::Notice), "{diagnosis:#?}");
        diagnosis
    }

    /// Whether any finding carries the code.
    pub(crate) fn names(&self, cause: &str) -> bool {
        self.diagnose().findings.iter().any(|finding| finding.cause == cause)
    }
}

/// The check added last sent its requests so many milliseconds apart.
pub(crate) fn paced(mut scene: Scene, interval_ms: u64) -> Scene {
    scene.outcomes_mut().last_mut().unwrap().parameters = serde_json::json!({"interval_ms": interval_ms});
    scene
}

pub(crate) fn timestamp(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn parse(target: &str) -> Target {
    let form = if target.contains("://") { TargetForm::Url } else { TargetForm::Host };
    Target::parse(target, form).unwrap()
}

/// What the probes end with on such facts.
fn status_of(kind: Kind, facts: &[Fact]) -> Status {
    let asked_system = facts.iter().any(|fact| matches!(fact, Fact::Lookup(lookup) if lookup.source == LookupSource::System));
    let good = |fact: &Fact| match fact {
        Fact::Lookup(lookup) if asked_system => lookup.source == LookupSource::System && !lookup.addresses.is_empty(),
        Fact::Lookup(lookup) => lookup.reply.as_ref().is_some_and(|reply| reply.rcode_number == 0 && !reply.answers.is_empty()),
        Fact::Connect(connect) => connect.failure.is_none() && connect.hold.as_ref().is_none_or(|hold| hold.failure.is_none()),
        Fact::Echo(echo) => !echo.replies.is_empty(),
        Fact::Trace(trace) => trace.arrived,
        Fact::Handshake(handshake) => {
            handshake.failure.is_none()
                && handshake.pin.as_ref().is_none_or(|pin| pin.fits)
                && handshake.deciding_verdict().is_some_and(|verdict| verdict.trusted)
                && handshake.name.as_ref().is_some_and(|name| name.fits)
        }
        Fact::Load(load) => load.failure.is_none(),
        Fact::Proxy(proxy) => proxy.lets_out(),
        Fact::Quic(quic) => quic.failure.is_none(),
        Fact::Service(service) => service.failure.is_none(),
        Fact::Route(route) => route.failure.is_none(),
        Fact::CloudMetadata(metadata) => metadata.recognised,
        Fact::Mtu(mtu) => !matches!(mtu.limit, MtuLimit::Untold | MtuLimit::Unknown),
        Fact::TimeOffset(offset) => offset.offset_us.is_some_and(|offset_us| offset_us.abs() < 1_000_000),
        _ => false,
    };
    let last_exchange = facts.iter().rev().find_map(|fact| match fact {
        Fact::Exchange(exchange) => Some(exchange.expected && exchange.failure.is_none() && exchange.redirect_stopped.is_none()),
        _ => None,
    });
    let succeeded = match kind {
        Kind::Http => last_exchange.unwrap_or(false),
        Kind::Cloud => facts.iter().all(|fact| fact.failure().is_none()) && facts.iter().any(good),
        Kind::Host => !facts.iter().any(|fact| matches!(fact, Fact::Route(_))) || facts.iter().any(good),
        _ => facts.iter().any(good),
    };
    if succeeded { Status::Succeeded } else { Status::Failed }
}
