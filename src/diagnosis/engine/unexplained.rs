use super::{Hypothesis, advice};
use crate::evidence::{Evidence, Symptom, host_of};
use crate::layer::Layer;
use crate::spot::Spot;
use netsonde_contract::finding::{NotMeasured, Rejected, Severity, Unexplained};
use netsonde_contract::id::ObservationId;
use netsonde_contract::outcome::{Outcome, Status};
use std::net::{IpAddr, SocketAddr};

/// The failed checks that no hypothesis covers, and those that failed only because of what netsonde itself does not do or send.
pub(super) fn of(evidence: &Evidence<'_>, hypotheses: &[Hypothesis]) -> (Vec<Unexplained>, Vec<NotMeasured>) {
    let (mut unexplained, mut not_measured) = (Vec::new(), Vec::new());
    for outcome in evidence.outcomes.iter().filter(|outcome| is_failure(outcome)) {
        let symptoms = Evidence::symptoms(outcome);
        if !symptoms.is_empty() && symptoms.iter().all(|symptom| symptom.not_measured) {
            not_measured.push(held_back(outcome, &symptoms));
        } else if ended_at_once(outcome) {
            not_measured.push(NotMeasured {
                check: outcome.check.clone(),
                required: outcome.required,
                why: "its time was over before anything could answer".to_owned(),
                grant: Some("give it more time with --budget".to_owned()),
            });
        } else if was_only_cut_short(outcome, &symptoms) {
            not_measured.push(NotMeasured {
                check: outcome.check.clone(),
                required: outcome.required,
                why: "its time was over before it was done; nothing that it saw until then failed".to_owned(),
                grant: Some("give it more time with --budget, or ask for less".to_owned()),
            });
        } else if !is_covered(outcome, &symptoms, hypotheses) {
            unexplained.push(Unexplained {
                check: outcome.check.clone(),
                required: outcome.required,
                what: what(outcome, &symptoms),
                ruled_out: ruled_out(evidence, outcome, &symptoms),
                next_step: Some(advice::of(evidence, outcome, &symptoms)),
            });
        }
    }
    (unexplained, not_measured)
}

/// That a follow-up met silence or an error is its answer, and no failure of its own.
fn is_failure(outcome: &Outcome) -> bool {
    matches!(outcome.status, Status::Failed | Status::TimedOut) && outcome.separates.is_empty()
}

/// No deadline of a check is so short, and no network is expected to be so fast: it is the run's own budget that leaves no time.
const TOO_SHORT_US: u64 = 50_000;

fn ended_at_once(outcome: &Outcome) -> bool {
    outcome.status == Status::TimedOut && (1..TOO_SHORT_US).contains(&outcome.took_us)
}

/// It saw something, none of it failed, and its time was over: that is a matter of its time, not of the network.
fn was_only_cut_short(outcome: &Outcome, symptoms: &[Symptom<'_>]) -> bool {
    outcome.status == Status::TimedOut && symptoms.is_empty() && !outcome.observations.is_empty()
}

fn held_back(outcome: &Outcome, symptoms: &[Symptom<'_>]) -> NotMeasured {
    let why = symptoms.first().map(|symptom| sentence(symptom.what.clone())).unwrap_or_default();
    let grant = symptoms.iter().find_map(|symptom| symptom.grant).map(str::to_owned);
    NotMeasured { check: outcome.check.clone(), required: outcome.required, why, grant }
}

/// A check is covered when a hypothesis rests on one of its symptoms, or stops the traffic that one is made of. A check that ran
/// out of time before it recorded anything is covered by a problem that stops traffic further up. What is only worth knowing is no reason
/// why a check failed that matters, but for one that looks at the way alone: what does not answer to it may well carry all that is asked.
fn is_covered(outcome: &Outcome, symptoms: &[Symptom<'_>], hypotheses: &[Hypothesis]) -> bool {
    if symptoms.is_empty() {
        let further_up = |hypothesis: &Hypothesis| {
            hypothesis.candidate.stops
                && hypothesis.candidate.severity == Severity::Problem
                && hypothesis.from <= Layer::of_kind(outcome.kind)
        };
        return outcome.status == Status::TimedOut && hypotheses.iter().any(further_up);
    }
    let may = |hypothesis: &Hypothesis, symptom: &Symptom<'_>| {
        let is_felt = hypothesis.candidate.severity > Severity::Notice;
        is_felt || !outcome.required || symptom.layer == Layer::Path
    };
    let by_some = |symptom| hypotheses.iter().any(|hypothesis| may(hypothesis, symptom) && covers(hypothesis, symptom));
    symptoms.iter().any(by_some)
}

fn covers(hypothesis: &Hypothesis, symptom: &Symptom<'_>) -> bool {
    let candidate = &hypothesis.candidate;
    let layer = hypothesis.from;
    let within = candidate.about.iter().any(|spot| spot.contains(&symptom.spot));
    let follows = within && ((candidate.stops && layer <= symptom.layer) || layer == symptom.layer);
    candidate.evidence.contains(symptom.id) || follows
}

fn what(outcome: &Outcome, symptoms: &[Symptom<'_>]) -> String {
    let seen = match symptoms.split_first() {
        None if outcome.status == Status::TimedOut => "it ran out of time before it saw anything that failed".to_owned(),
        None => "what it measured is not as expected, and no single observation says why".to_owned(),
        Some((first, [])) => first.what.clone(),
        Some((first, rest)) => format!("{}; and {} more", first.what, rest.len()),
    };
    sentence(seen)
}

fn sentence(mut text: String) -> String {
    if let Some(first) = text.get(..1).map(str::to_uppercase) {
        text.replace_range(..1, &first);
    }
    text.push('.');
    text
}

/// What a failed check was about, as far as its symptoms tell: hosts, addresses and ports. What was seen elsewhere excludes nothing here.
#[derive(Default)]
struct Failing {
    hosts: Vec<String>,
    addresses: Vec<IpAddr>,
    endpoints: Vec<SocketAddr>,
}

impl Failing {
    fn of(evidence: &Evidence<'_>, symptoms: &[Symptom<'_>]) -> Self {
        let mut failing = Self::default();
        for symptom in symptoms {
            match &symptom.spot {
                Spot::Everything => {}
                Spot::Name(name) => failing.hosts.push(name.clone()),
                Spot::Address(address) => failing.add_address(evidence, *address),
                Spot::Endpoint(endpoint) => failing.add_endpoint(evidence, *endpoint),
                Spot::Url(url) => {
                    failing.hosts.push(host_of(url).to_owned());
                    let direct = evidence.exchanges.iter().filter(|exchange| exchange.url == *url && exchange.proxy.is_none());
                    for address in direct.filter_map(|exchange| exchange.address) {
                        failing.add_endpoint(evidence, address);
                    }
                }
            }
        }
        // A check that recorded nothing was about its target.
        if symptoms.is_empty() {
            for attempt in evidence.attempts().iter().filter(|attempt| !attempt.redirected) {
                failing.add_endpoint(evidence, attempt.address);
            }
        }
        failing
    }

    fn add_address(&mut self, evidence: &Evidence<'_>, address: IpAddr) {
        self.hosts.push(evidence.host_at(address));
        self.addresses.push(address);
    }

    fn add_endpoint(&mut self, evidence: &Evidence<'_>, endpoint: SocketAddr) {
        self.add_address(evidence, endpoint.ip());
        self.endpoints.push(endpoint);
    }

    fn is_named(&self, name: &str) -> bool {
        let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        self.hosts.iter().any(|host| plain(host) == plain(name))
    }
}

/// What the layers above the failed check show to be in order, for the very names, addresses and ports that failed.
fn ruled_out(evidence: &Evidence<'_>, outcome: &Outcome, symptoms: &[Symptom<'_>]) -> Vec<Rejected> {
    let layer = Layer::of_kind(outcome.kind);
    let failing = Failing::of(evidence, symptoms);
    let mut ruled_out = Vec::new();
    let mut add = |cause: &str, above: Layer, reason: String, ids: Vec<&ObservationId>| {
        if above < layer && !ids.is_empty() {
            ruled_out.push(Rejected { cause: cause.to_owned(), reason, evidence: ids.into_iter().cloned().collect() });
        }
    };
    let leads = evidence.routes.iter().filter(|route| route.failure.is_none() && failing.addresses.contains(&route.target));
    add(
        "host.no_route",
        Layer::Host,
        "This machine has a route to the target.".to_owned(),
        leads.map(|route| route.id).collect(),
    );
    for view in evidence.names().iter().filter(|view| view.resolved() && failing.is_named(view.name)) {
        let gave: Vec<_> = view.system.iter().filter(|lookup| !lookup.addresses.is_empty()).map(|lookup| lookup.id).collect();
        let ids = if gave.is_empty() { view.server_with_data().map(|lookup| lookup.id).into_iter().collect() } else { gave };
        add("dns.resolver_unreachable", Layer::Dns, format!("{} resolves.", view.name), ids);
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in &failing.addresses {
        if !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    let answered: Vec<_> = addresses.into_iter().flat_map(|address| evidence.answered(address)).collect();
    add("path.target_silent", Layer::Path, "The target answers on at least one port or protocol.".to_owned(), answered);
    let connected =
        evidence.attempts().iter().filter(|attempt| attempt.connected() && failing.endpoints.contains(&attempt.address));
    let connected: Vec<_> = connected.map(|attempt| attempt.id).collect();
    add("tcp.filtered", Layer::Tcp, "Connections to the port succeed.".to_owned(), connected);
    let trusted = evidence.handshakes.iter().filter(|handshake| {
        failing.endpoints.contains(&handshake.address)
            && handshake.failure.is_none()
            && handshake.deciding_verdict().is_some_and(|verdict| verdict.trusted)
    });
    let trusted: Vec<_> = trusted.map(|handshake| handshake.id).collect();
    add("tls.unknown_issuer", Layer::Tls, "The TLS handshake completes with a trusted certificate.".to_owned(), trusted);
    ruled_out
}
