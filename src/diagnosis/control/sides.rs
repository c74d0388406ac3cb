//! On which side a cause lies: this machine and the way from it, or the far side. A place that works from elsewhere at the same time is no
//! fault of the far side, and one that fails from both is none of one way alone.

use super::Pair;
use super::weighing::addresses;
use crate::candidate::Candidate;
use crate::engine::Hypothesis;
use crate::spot::Spot;
use netsonde_contract::control::{ControlRejects, ControlRelation};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::id::ObservationId;
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
    if pair.vantage.relation == ControlRelation::SameMachine {
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
/// in the same step in the same way.
pub(super) fn seen(pair: &Pair<'_, '_>, candidate: &Candidate) -> (Vec<ObservationId>, Vec<ObservationId>) {
    let here = failed_here(pair, candidate);
    let Some(furthest) = here.iter().map(|(step, _)| *step).max() else { return (Vec::new(), Vec::new()) };
    let (mut worked, mut failed) = (Vec::new(), Vec::new());
    for (step, failure, id) in at_same_place(pair, candidate) {
        match failure {
            None if step >= furthest => worked.push(id.clone()),
            Some(failure) if here.contains(&(step, &failure.code)) => failed.push(id.clone()),
            _ => {}
        }
    }
    (worked, failed)
}

type Told<'a> = (u8, Option<&'a Failure>, &'a ObservationId);

/// Connections, handshakes and exchanges of the control at the endpoints that the candidate is about.
fn at_same_place<'a>(pair: &'a Pair<'_, '_>, candidate: &Candidate) -> Vec<Told<'a>> {
    let endpoint = |spot: &Spot| if let Spot::Endpoint(at) = spot { Some(*at) } else { None };
    let endpoints: Vec<SocketAddr> = candidate.about.iter().filter_map(endpoint).collect();
    let concerns = |at: SocketAddr| match endpoints.is_empty() {
        true => addresses(candidate).contains(&at.ip()),
        false => endpoints.contains(&at),
    };
    let mut told: Vec<Told<'_>> = Vec::new();
    let attempts = pair.there.attempts().iter().filter(|attempt| concerns(attempt.address));
    told.extend(attempts.map(|attempt| (order(Step::Connect), attempt.failure, attempt.id)));
    let handshakes = pair.there.handshakes.iter().filter(|handshake| concerns(handshake.address));
    told.extend(handshakes.map(|one| (order(Step::Handshake), one.fact.failure.as_ref(), one.id)));
    let exchanges = pair.there.exchanges.iter().filter(|one| one.proxy.is_none() && one.address.is_some_and(concerns));
    told.extend(exchanges.map(|one| (order(Step::Receive), one.fact.failure.as_ref(), one.id)));
    // How far a failure got is said by itself.
    told.into_iter().map(|(step, failure, id)| (failure.map_or(step, |failure| order(failure.during)), failure, id)).collect()
}

/// The steps that failed here, of what the candidate rests on.
fn failed_here<'a>(pair: &'a Pair<'_, '_>, candidate: &Candidate) -> Vec<(u8, &'a FailureCode)> {
    let observations = pair.here.outcomes.iter().flat_map(|outcome| &outcome.observations);
    let concerned = observations.filter(|observation| candidate.evidence.contains(&observation.id));
    concerned.filter_map(|observation| observation.fact.failure()).map(|failure| (order(failure.during), &failure.code)).collect()
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
