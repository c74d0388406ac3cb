use crate::engine::SETTLED;
use crate::evidence::Evidence;
use crate::layer::Layer;
use crate::rules::{is_doubtful, unplaced};
use crate::threshold::BAD_SHARE;
use netsonde_contract::finding::{Diagnosis, Finding, Severity};
use netsonde_contract::id::ObservationId;
use netsonde_contract::outcome::Outcome;
use std::net::IpAddr;

/// Of so many pings a share that matters loses two nearly always: a tenth does 19 times in 20.
const ENOUGH_PINGS: u32 = 45;

/// What is open about one target, and the evidence so far.
pub(super) struct Doubt<'e, 'a> {
    pub(super) evidence: &'e Evidence<'a>,
    /// What is felt and not settled.
    findings: Vec<&'e Finding>,
    /// Required checks that failed without a cause.
    unexplained: Vec<&'a Outcome>,
    /// Echo requests can be sent.
    pub(super) can_ping: bool,
}

impl<'e, 'a> Doubt<'e, 'a> {
    /// None where nothing is open. What follows a settled fault further up is not asked about: it would fail in any case.
    pub(super) fn of(evidence: &'e Evidence<'a>, diagnosis: &'e Diagnosis) -> Option<Self> {
        let target = evidence.target.map(ToString::to_string);
        let of_target = |finding: &&Finding| finding.target == target;
        let settled = |finding: &&Finding| finding.severity == Severity::Problem && finding.confidence >= SETTLED;
        let stopped_at =
            diagnosis.findings.iter().filter(of_target).filter(settled).map(|finding| Layer::of(&finding.cause)).min();
        let reached = |layer: Layer| stopped_at.is_none_or(|stopped_at| layer < stopped_at);
        let open = |finding: &&Finding| finding.severity >= Severity::Degraded && finding.confidence < SETTLED;
        let findings: Vec<_> = diagnosis
            .findings
            .iter()
            .filter(of_target)
            .filter(open)
            .filter(|finding| reached(Layer::of(&finding.cause)))
            .collect();
        let is_unexplained = |outcome: &&&Outcome| {
            let check = &outcome.check;
            diagnosis.unexplained.iter().any(|failure| failure.required && failure.check == *check)
        };
        let unexplained: Vec<_> = evidence
            .outcomes
            .iter()
            .filter(is_unexplained)
            .filter(|outcome| reached(Layer::of_kind(outcome.kind)))
            .copied()
            .collect();
        let environment = evidence.environment;
        let can_ping = environment.raw_sockets || environment.ping_sockets;
        let doubt = Self { evidence, findings, unexplained, can_ping };
        let is_open = !doubt.findings.is_empty() || !doubt.unexplained.is_empty() || doubt.hesitates();
        is_open.then_some(doubt)
    }

    /// A single packet was lost, connections stood late or only some stood, or where they end is not known, some questions of a name server
    /// were lost and others answered, a name server is slow or far away, a router said why one cannot be reached, or a time server is silent.
    pub(super) fn hesitates(&self) -> bool {
        let in_names = || self.loses_questions() || !unplaced(self.evidence).is_empty();
        let lost_once = || self.evidence.addresses().into_iter().any(|address| self.lost_once(address));
        self.connects_unevenly() || self.stands_unproven() || in_names() || !self.broken_ways().is_empty() || lost_once()
    }

    /// Name servers and proxies that nothing came back from but a router's word, and time servers that nothing else came back from, the way
    /// to which was not looked at.
    pub(super) fn broken_ways(&self) -> Vec<IpAddr> {
        let seen = |address: &IpAddr| self.evidence.traces.iter().any(|trace| trace.target == *address);
        let mut all: Vec<IpAddr> = self.evidence.broken_off().into_iter().map(|socket| socket.ip()).collect();
        all.extend(self.evidence.unheard_time_servers());
        all.dedup();
        all.retain(|address| !seen(address));
        all
    }

    fn loses_questions(&self) -> bool {
        // Silence for IPv6 addresses alone is a cause of its own.
        let silent = |server: &crate::evidence::ServerView<'_>| server.silent_types().iter().any(|of| *of != "AAAA");
        let names = self.evidence.names();
        names.iter().flat_map(|view| &view.servers).any(|server| server.lost_questions().cases > 0 || silent(server))
    }

    /// A connection stands that may have ended before the target.
    fn stands_unproven(&self) -> bool {
        self.evidence.endpoints().iter().any(|endpoint| is_doubtful(self.evidence, endpoint))
    }

    /// Too few of the packets to the address were lost to say that the way loses any, and too few were sent to say that it does not: a ping
    /// or two got no answer, or the first packets of one connection beside others, or nothing but a segment that was sent again tells.
    pub(super) fn lost_once(&self, address: IpAddr) -> bool {
        let pings = self.evidence.lost_calmly(address);
        let few = pings.cases > 0 && pings.of < ENOUGH_PINGS && !pings.exceeds(BAD_SHARE);
        let endpoints = self.evidence.endpoints();
        let uneven: usize = endpoints
            .iter()
            .filter(|endpoint| endpoint.address.ip() == address && endpoint.connected())
            .map(|endpoint| endpoint.attempts.iter().filter(|attempt| attempt.connected_late() || attempt.silent()).count())
            .sum();
        // Where no ping is answered, nothing but connections tells, and what one of them sent again is all that a run may see.
        let resent = || pings.of == 0 && uneven == 0 && self.evidence.sent_again(address).segments > 0;
        !address.is_loopback() && (few || uneven == 1 || resent())
    }

    /// Connections stood late, or only some stood.
    pub(super) fn connects_unevenly(&self) -> bool {
        let late = |endpoint: &crate::evidence::Endpoint<'_>| {
            let uneven = endpoint.attempts.iter().filter(|attempt| attempt.connected_late() || attempt.silent()).count();
            endpoint.connected() && uneven > 1
        };
        self.evidence.endpoints().iter().any(late)
    }

    /// The open findings with one of these causes.
    pub(super) fn open(&self, causes: &[&str]) -> impl Iterator<Item = &'e Finding> {
        self.findings.iter().copied().filter(move |finding| causes.contains(&finding.cause.as_str()))
    }

    /// Whether an open finding with one of these causes rests on one of these observations.
    pub(super) fn is_open_on<'i>(&self, causes: &[&str], ids: impl IntoIterator<Item = &'i ObservationId>) -> bool {
        let mut ids = ids.into_iter();
        ids.any(|id| self.open(causes).any(|finding| finding.evidence.contains(id)))
    }

    /// Whether the observation is one of a check that failed without a cause.
    pub(super) fn is_unexplained(&self, id: &ObservationId) -> bool {
        let has = |outcome: &&Outcome| outcome.observations.iter().any(|observation| observation.id == *id);
        self.unexplained.iter().any(has)
    }
}
