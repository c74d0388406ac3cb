//! On which side a cause lies: this machine and the way from it, or the far side. A place that works from elsewhere at the same time is no
//! fault of the far side, and one that fails from both is none of one way alone.

use super::Pair;
use super::weighing::addresses;
use crate::candidate::Candidate;
use crate::engine::Hypothesis;
use crate::evidence::Evidence;
use crate::spot::Spot;
use netsonde_contract::control::{ControlRejects, ControlRelation};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::id::ObservationId;
use netsonde_contract::kind::ServiceTransport;
use std::net::SocketAddr;

/// Causes that lie with this machine or on its way: whoever comes from elsewhere need not meet them.
const NEAR: &[&str] = &[
    "host.firewall_local",
    "host.reverse_path_filter",
    "host.conntrack_full",
    "host.ephemeral_ports_exhausted",
    "host.overloaded",
    "path.admin_prohibited",
    "path.blackhole",
    "path.no_route",
    "path.mtu_blackhole",
    "path.policed",
    "path.udp_blocked",
    "path.ecn_blackhole",
    "path.ipv6_broken",
    "tcp.filtered",
    "tcp.rejected_by_middlebox",
    "tcp.data_dropped",
    "tcp.transparent_proxy",
    "tls.intercepted",
    "tls.sni_blocked",
    "tls.large_hello_blocked",
    "http.proxy_unreachable",
    "http.captive_portal",
    "http.slow_network",
];

/// Causes that lie with the server: whoever asks it meets them.
const FAR: &[&str] = &[
    "path.target_silent",
    "path.target_down",
    "tcp.refused",
    "tcp.accept_queue_full",
    "tcp.backend_unhealthy",
    "tcp.closed_early",
    "tcp.zero_window",
    "tls.handshake_timeout",
    "tls.handshake_rejected",
    "tls.version_unsupported",
    "tls.cipher_unsupported",
    "tls.not_tls",
    "tls.expired",
    "tls.name_mismatch",
    "tls.chain_incomplete",
    "http.timeout",
    "http.slow_server",
    "http.server_error",
    "http.protocol_error",
    "service.wrong_protocol",
    "service.no_greeting",
    "udp.refused",
];

/// What two places see within this time holds for both; later the network may be another one, in seconds.
const SAME_WINDOW_S: i64 = 3_600;

pub(super) fn is_near(code: &str) -> bool {
    NEAR.contains(&code)
}

pub(super) fn is_far(code: &str) -> bool {
    FAR.contains(&code)
}

/// How far the two runs lie apart, in words; none where they are of the same window.
pub(super) fn apart(pair: &Pair<'_, '_>) -> Option<String> {
    let seconds = pair.here.environment.began.duration_since(pair.vantage.environment.began).as_secs().abs();
    match seconds {
        0..=SAME_WINDOW_S => None,
        seconds if seconds < 2 * 86_400 => Some(format!("{} hours", (seconds + 1_800) / 3_600)),
        seconds => Some(format!("{} days", (seconds + 43_200) / 86_400)),
    }
}

/// The neighbours that the control rules out: those of the far side where the same place works for it, those of this side where it fails
/// in the same way. An older run of this machine shows what it could do, and so rules out nothing of the far side.
pub(super) fn rejects(pair: &Pair<'_, '_>, hypothesis: &Hypothesis) -> Vec<ControlRejects> {
    if pair.vantage.relation != ControlRelation::OtherMachine {
        return Vec::new();
    }
    let (worked, failed) = seen(pair, &hypothesis.candidate);
    let from = pair.vantage.name();
    let (list, reason) = match (worked.is_empty(), failed.is_empty()) {
        (false, _) => (FAR, format!("The same place works for {from} in the same window.")),
        (true, false) => (NEAR, format!("{from} comes by another way and fails there alike.")),
        (true, true) => return Vec::new(),
    };
    // A cause that the control itself is weighed against is no neighbour of its own.
    let neighbours = hypothesis.rule.neighbours.iter().filter(|cause| list.contains(cause) && **cause != hypothesis.rule.code);
    let open = neighbours.filter(|cause| !hypothesis.candidate.rejected.iter().any(|rejected| rejected.cause == ***cause));
    open.map(|cause| ControlRejects { cause: (*cause).to_owned(), reason: reason.clone() }).collect()
}

/// What the control saw of the same endpoints: that they worked for it at least as far as the step that failed here, and that they failed
/// in the same step in the same way. A port over TCP and the one of that number over UDP are two things.
pub(super) fn seen(pair: &Pair<'_, '_>, candidate: &Candidate) -> (Vec<ObservationId>, Vec<ObservationId>) {
    let here = failed_here(pair, candidate);
    let (mut worked, mut failed) = (Vec::new(), Vec::new());
    for told in at_same_place(pair, candidate, &here) {
        let of_transport = || here.iter().filter(|failure| failure.datagrams == told.datagrams);
        let Some(furthest) = of_transport().map(|failure| failure.step).max() else { continue };
        match told.failure {
            None if told.step >= furthest => worked.push(told.id.clone()),
            Some(code) if of_transport().any(|failure| failure.step == told.step && failure.failure == Some(code)) => {
                failed.push(told.id.clone());
            }
            _ => {}
        }
    }
    (worked, failed)
}

/// How far it came, and why no further.
struct Told<'a> {
    /// Over UDP.
    datagrams: bool,
    /// Where, as far as it was one port.
    at: Option<SocketAddr>,
    step: u8,
    failure: Option<&'a FailureCode>,
    id: &'a ObservationId,
}

impl<'a> Told<'a> {
    /// How far a failure got is said by itself; what did not fail came to `step`.
    fn new(at: SocketAddr, step: Step, failure: Option<&'a Failure>, id: &'a ObservationId) -> Self {
        let step = order(failure.map_or(step, |failure| failure.during));
        Self { datagrams: false, at: Some(at), step, failure: failure.map(|failure| &failure.code), id }
    }

    fn over_udp(self) -> Self {
        Self { datagrams: true, ..self }
    }
}

/// What ports were asked over UDP, of which most failures come in the very first step and some in the last.
fn of_datagrams<'a>(evidence: &Evidence<'a>) -> Vec<Told<'a>> {
    let quics = evidence.quics.iter().map(|one| (one.fact.address, one.fact.failure.as_ref(), one.id));
    let times = evidence.time_offsets.iter().map(|one| (one.fact.address, one.fact.failure.as_ref(), one.id));
    let services = evidence.services.iter().filter(|one| one.protocol.transport() == ServiceTransport::Udp);
    let services = services.map(|one| (one.fact.address, one.fact.failure.as_ref(), one.id));
    quics.chain(times).chain(services).map(|(at, failure, id)| Told::new(at, Step::Receive, failure, id).over_udp()).collect()
}

/// Connections, handshakes, exchanges and services of the control at the endpoints that the candidate is about, and over UDP at the ports
/// that failed here.
fn at_same_place<'a>(pair: &'a Pair<'_, '_>, candidate: &Candidate, here: &[Told<'_>]) -> Vec<Told<'a>> {
    let endpoint = |spot: &Spot| if let Spot::Endpoint(at) = spot { Some(*at) } else { None };
    let endpoints: Vec<SocketAddr> = candidate.about.iter().filter_map(endpoint).collect();
    let concerns = |at: SocketAddr| match endpoints.is_empty() {
        true => addresses(candidate).contains(&at.ip()),
        false => endpoints.contains(&at),
    };
    let there = pair.there;
    let attempts = there.attempts().iter().map(|one| Told::new(one.address, Step::Connect, one.failure, one.id));
    // Those of QUIC are none over TCP.
    let handshakes = there.handshakes.iter().filter(|one| !there.quics.iter().any(|quic| quic.id == one.id));
    let handshakes = handshakes.map(|one| Told::new(one.address, Step::Handshake, one.fact.failure.as_ref(), one.id));
    let exchanges = there
        .exchanges
        .iter()
        .filter(|one| one.proxy.is_none())
        .filter_map(|one| Some(Told::new(one.address?, Step::Receive, one.fact.failure.as_ref(), one.id)));
    let services = there.services.iter().filter(|one| one.protocol.transport() == ServiceTransport::Tcp);
    let services = services.map(|one| Told::new(one.address, Step::Receive, one.fact.failure.as_ref(), one.id));
    let over_tcp = attempts.chain(handshakes).chain(exchanges).chain(services);
    let mut told: Vec<Told<'a>> = over_tcp.filter(|told| told.at.is_some_and(concerns)).collect();
    let failed = |at: Option<SocketAddr>| here.iter().any(|failure| failure.datagrams && failure.at == at);
    told.extend(of_datagrams(there).into_iter().filter(|told| failed(told.at)));
    told
}

/// The steps that failed here, of what the candidate rests on. What is neither a port over UDP nor one over TCP counts with the latter.
fn failed_here<'a>(pair: &'a Pair<'_, '_>, candidate: &Candidate) -> Vec<Told<'a>> {
    let rests_on = |id: &ObservationId| candidate.evidence.contains(id);
    let (mut failed, mut over_udp) = (Vec::new(), Vec::new());
    for told in of_datagrams(pair.here).into_iter().filter(|told| rests_on(told.id)) {
        over_udp.push(told.id);
        failed.extend(Some(told).filter(|told| told.failure.is_some()));
    }
    let observations = pair.here.outcomes.iter().flat_map(|outcome| &outcome.observations);
    for one in observations.filter(|one| rests_on(&one.id) && !over_udp.contains(&&one.id)) {
        failed.extend(one.fact.failure().map(|failure| Told {
            datagrams: false,
            at: None,
            step: order(failure.during),
            failure: Some(&failure.code),
            id: &one.id,
        }));
    }
    failed
}

/// Which step comes after which.
fn order(step: Step) -> u8 {
    match step {
        Step::Open => 0,
        Step::Resolve => 1,
        Step::Connect => 2,
        Step::Handshake => 3,
        Step::Send | Step::Receive | Step::Other => 4,
    }
}
