use super::differences::{answer_words, system_addresses};
use super::pairing::{handshakes_of, same_name};
use super::{Pair, history, same_place, sides};
use crate::candidate::Candidate;
use crate::engine::Hypothesis;
use crate::evidence::{Answer, NXDOMAIN, Share, host_of};
use crate::rules::pings;
use crate::spot::Spot;
use crate::threshold::BAD_SHARE;
use netsonde_contract::control::{ControlEffect, ControlRelation, ControlSays};
use netsonde_contract::finding::{Finding, NextStep, Who};
use netsonde_contract::id::ObservationId;
use std::net::{IpAddr, SocketAddr};

/// Two places agree, or differ just as the cause demands.
pub(super) const CONFIRMED: f64 = 0.95;
/// The control fits the cause, and one neighbour of it as well.
pub(super) const FITTING: f64 = 0.85;
/// The control speaks against the cause; below this no rule calls anything a problem, and what was seen here stays a failure.
const CONTRADICTED: f64 = 0.5;

/// The control speaks against the far side, and what was seen here stands.
const LESS_LIKELY: f64 = 0.7;

/// Another place loses nothing on its way to the same target.
const SPARED_ELSEWHERE: f64 = 0.92;

/// What the control adds to a hypothesis.
pub(super) struct Weight {
    pub(super) confidence: f64,
    pub(super) text: String,
    pub(super) evidence: Vec<ObservationId>,
    pub(super) next: Option<NextStep>,
}

impl Weight {
    pub(super) fn new(confidence: f64, text: String, evidence: Vec<ObservationId>) -> Option<Self> {
        (!evidence.is_empty()).then_some(Self { confidence, text, evidence, next: None })
    }

    pub(super) fn next(mut self, who: Who, action: &str) -> Self {
        self.next = Some(NextStep { who, action: action.to_owned() });
        self
    }
}

/// The hypothesis with what the control says of it.
pub(super) fn weighed(pair: &Pair<'_, '_>, mut hypothesis: Hypothesis) -> Hypothesis {
    let alone = hypothesis.candidate.confidence;
    let weight = match pair.vantage.relation {
        ControlRelation::SameMachine => history::weight(pair, &hypothesis),
        ControlRelation::Unsure => of_either(pair, &hypothesis),
        ControlRelation::OtherMachine => of_another(pair, &hypothesis),
    };
    let Some(mut weight) = weight else { return hypothesis };
    let rejects = match sides::apart(pair) {
        Some(apart) if pair.vantage.relation == ControlRelation::OtherMachine => {
            weight.confidence = alone;
            weight.next = None;
            weight.text.push_str(&format!(" That was measured {apart} apart from this run, so that it changes no confidence."));
            Vec::new()
        }
        _ => sides::rejects(pair, &hypothesis),
    };
    hypothesis.candidate.confidence = weight.confidence;
    if let Some(next) = weight.next {
        hypothesis.candidate.next_step = next;
    }
    hypothesis.control = Some(ControlSays {
        bundle: pair.vantage.bundle.clone(),
        effect: effect(alone, weight.confidence),
        confidence_alone: alone,
        text: weight.text,
        evidence: weight.evidence,
        rejects,
    });
    hypothesis
}

fn of_another(pair: &Pair<'_, '_>, hypothesis: &Hypothesis) -> Option<Weight> {
    elsewhere(pair, hypothesis).or_else(|| same_there(pair, hypothesis))
}

/// What holds whether that run is of this machine at another time or of another one: both must raise the cause, or both lower it, and the
/// lesser of the two counts.
fn of_either(pair: &Pair<'_, '_>, hypothesis: &Hypothesis) -> Option<Weight> {
    let alone = hypothesis.candidate.confidence;
    let (once, other) = (history::weight(pair, hypothesis), of_another(pair, hypothesis));
    let apart = sides::apart(pair).is_some();
    let of = |weight: &Option<Weight>| weight.as_ref().map_or(alone, |weight| weight.confidence);
    let (once_to, other_to) = (of(&once), if apart { alone } else { of(&other) });
    let confidence = if once_to > alone && other_to > alone {
        once_to.min(other_to)
    } else if once_to < alone && other_to < alone {
        once_to.max(other_to)
    } else {
        alone
    };
    let mut text = "What the two bundles say does not tell whether that run is of this machine or of another one: only what holds for both counts.".to_owned();
    let mut evidence = Vec::new();
    for (whose, weight) in [("If it is of this machine", once), ("If it is of another one", other)] {
        let Some(weight) = weight else { continue };
        text.push_str(&format!(" {whose}: {}", weight.text));
        evidence.extend(weight.evidence.into_iter().filter(|id| !evidence.contains(id)).collect::<Vec<_>>());
    }
    Weight::new(confidence, text, evidence)
}

fn effect(alone: f64, now: f64) -> ControlEffect {
    if now > alone {
        ControlEffect::Raised
    } else if now < alone {
        ControlEffect::Lowered
    } else {
        ControlEffect::Unchanged
    }
}

/// What another place says of the causes that one place alone cannot tell from their neighbours.
fn elsewhere(pair: &Pair<'_, '_>, hypothesis: &Hypothesis) -> Option<Weight> {
    let candidate = &hypothesis.candidate;
    match hypothesis.rule.code {
        "tcp.filtered" | "cloud.port_filter" => filtered(pair, candidate),
        "tcp.refused" => refused(pair, candidate),
        "tcp.rejected_by_middlebox" => rejected_on_the_way(pair, candidate),
        "tcp.snat_exhausted" => translator(pair, candidate),
        "path.target_silent" | "path.target_down" => far_side(pair, candidate),
        "path.blackhole" | "path.no_route" | "path.admin_prohibited" | "path.routing_loop" => on_the_way(pair, candidate),
        "path.loss" | "path.congestion" | "path.ecmp_member_bad" => lossy(pair, candidate),
        "path.mtu_blackhole" => small_only(pair, candidate),
        "tls.intercepted" => intercepted(pair, candidate),
        "dns.nxdomain" => missing_name(pair, candidate),
        "dns.nxdomain_injected" | "dns.spoofed" | "dns.intercepted" => forged(pair, candidate),
        "dns.split_horizon" => other_view(pair, candidate),
        code if code.starts_with("http.") => answered(pair, candidate, code),
        "dns.resolver_unreachable" | "dns.name_unanswered" | "dns.tcp_blocked" | "dns.edns_dropped" | "dns.aaaa_dropped" => {
            same_place::same_server(pair, candidate)
        }
        "host.clock_skew" => same_place::clock(pair, candidate),
        "service.refused_by_policy" => same_place::refused_by_policy(pair, candidate),
        code if sides::is_near(code) || sides::is_far(code) => same_place::works(pair, candidate, code),
        _ => None,
    }
}

pub(super) fn raised(candidate: &Candidate, to: f64) -> f64 {
    candidate.confidence.max(to)
}

pub(super) fn lowered(candidate: &Candidate, to: f64) -> f64 {
    candidate.confidence.min(to)
}

fn endpoints(candidate: &Candidate) -> Vec<SocketAddr> {
    let endpoint = |spot: &Spot| match spot {
        Spot::Endpoint(endpoint) => Some(*endpoint),
        _ => None,
    };
    candidate.about.iter().filter_map(endpoint).collect()
}

pub(super) fn addresses(candidate: &Candidate) -> Vec<IpAddr> {
    let address = |spot: &Spot| match spot {
        Spot::Address(address) => Some(*address),
        Spot::Endpoint(endpoint) => Some(endpoint.ip()),
        _ => None,
    };
    let mut addresses: Vec<IpAddr> = candidate.about.iter().filter_map(address).chain(candidate.place.address).collect();
    // What it is about is mostly its place as well.
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// How the control's attempts at the same endpoints went.
#[derive(Default)]
struct Reach {
    connected: Vec<ObservationId>,
    refused: Vec<ObservationId>,
    silent: Vec<ObservationId>,
}

fn reach(pair: &Pair<'_, '_>, candidate: &Candidate) -> Reach {
    let wanted = endpoints(candidate);
    let mut reach = Reach::default();
    for attempt in pair.there.attempts().iter().filter(|attempt| wanted.contains(&attempt.address)) {
        if attempt.connected() {
            reach.connected.push(attempt.id.clone());
        } else if attempt.refused_by_reset() {
            reach.refused.push(attempt.id.clone());
        } else if attempt.silent() {
            reach.silent.push(attempt.id.clone());
        }
    }
    reach
}

fn filtered(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let (reach, from) = (reach(pair, candidate), pair.vantage.name());
    if !reach.connected.is_empty() {
        let text = format!(
            "{from} connects to the same port: the service runs, and the filter is on the way from here or lets only some sources through."
        );
        return Weight::new(raised(candidate, CONFIRMED), text, reach.connected)
            .map(|weight| weight.next(Who::Network, "Look at the firewalls and security rules that traffic of this machine passes and that of the control does not, and at rules by source address in front of the target."));
    }
    if !reach.refused.is_empty() {
        let text = format!(
            "{from} is refused at once where this machine hears nothing: no service listens there, and beside that a filter drops what comes from here."
        );
        return Weight::new(raised(candidate, FITTING), text, reach.refused);
    }
    let text =
        format!("{from} gets no answer at this port either: the filter stands at the far side, or in front of it for everybody.");
    Weight::new(raised(candidate, FITTING), text, reach.silent)
        .map(|weight| weight.next(Who::Server, "Look at the target's own firewall and at the security rules in front of it: the port is closed for other places, too."))
}

fn refused(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let (reach, from) = (reach(pair, candidate), pair.vantage.name());
    if !reach.connected.is_empty() {
        let text = format!(
            "{from} connects to the same port: the service runs. What refuses here stands on the way, or the server refuses this source."
        );
        return Weight::new(lowered(candidate, CONTRADICTED), text, reach.connected).map(|weight| {
            weight.next(
                Who::Network,
                "Look for a firewall that rejects connections of this machine on the way or by source address at the target.",
            )
        });
    }
    let text = format!("{from} is refused as well: nothing listens there for anybody.");
    Weight::new(raised(candidate, CONFIRMED), text, reach.refused)
}

fn rejected_on_the_way(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let (reach, from) = (reach(pair, candidate), pair.vantage.name());
    if !reach.connected.is_empty() {
        let text = format!("{from} connects to the same port: the target itself does not refuse.");
        return Weight::new(raised(candidate, CONFIRMED), text, reach.connected);
    }
    let text = format!("{from} is refused as well: what refuses stands in front of the target for both, or is the target.");
    Weight::new(lowered(candidate, FITTING), text, reach.refused)
}

/// The same number of connections at once from a place that does not go through this translator.
fn translator(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let wanted = endpoints(candidate);
    let held = |evidence: &crate::evidence::Evidence<'_>| -> Vec<(bool, ObservationId)> {
        let at_once = |seen: &&crate::evidence::Seen<'_, netsonde_contract::observation::Connect>| {
            let parameter = seen.outcome.parameters.get("concurrent").and_then(serde_json::Value::as_u64);
            wanted.contains(&seen.address) && parameter.is_some_and(|number| number > 1)
        };
        evidence.connects.iter().filter(at_once).map(|seen| (seen.failure.is_none(), seen.id.clone())).collect()
    };
    let (here, there) = (held(pair.here), held(pair.there));
    if there.len() < here.len() {
        return None;
    }
    let stood = there.iter().filter(|(stood, _)| *stood).count();
    let from = pair.vantage.name();
    let ids: Vec<ObservationId> = there.iter().map(|(_, id)| id.clone()).collect();
    if stood == there.len() {
        let text = format!(
            "{from} keeps {stood} connections to the same place at once: the server takes them, so the translator on the way from here is what has no port left."
        );
        return Weight::new(raised(candidate, FITTING), text, ids);
    }
    let text = format!(
        "{from} keeps only {stood} of {} connections, too: the limit is the server's, or both go through one translator.",
        there.len()
    );
    Weight::new(lowered(candidate, CONTRADICTED), text, ids).map(|weight| {
        weight.next(Who::Server, "Look at how many connections of one source the server, or what stands in front of it, takes.")
    })
}

/// What the control heard from the address, and what it sent there.
pub(super) fn heard(pair: &Pair<'_, '_>, candidate: &Candidate) -> (Vec<ObservationId>, Vec<ObservationId>) {
    let mut answered = Vec::new();
    let mut silent = Vec::new();
    for address in addresses(candidate) {
        answered.extend(pair.there.answered(address).into_iter().cloned());
        if pair.there.is_silent(address) {
            silent.extend(pair.there.sent_to(address).into_iter().cloned());
        }
    }
    answered.dedup();
    (answered, silent)
}

fn far_side(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let (answered, silent) = heard(pair, candidate);
    let from = pair.vantage.name();
    if !answered.is_empty() {
        let text = format!(
            "The target answers to {from}: it is alive. What drops the traffic is on the way from here, or lets only some sources through."
        );
        return Weight::new(lowered(candidate, CONTRADICTED), text, answered).map(|weight| {
            weight.next(
                Who::Network,
                "Follow the traffic of this machine behind the last router that answers: the target itself is alive.",
            )
        });
    }
    let text = format!("The target does not answer to {from} either: it is the far side, not the way from here.");
    Weight::new(raised(candidate, 0.92), text, silent)
}

fn on_the_way(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let (answered, silent) = heard(pair, candidate);
    let from = pair.vantage.name();
    if !answered.is_empty() {
        let text = format!("The target answers to {from}: the fault is on the way from here.");
        return Weight::new(raised(candidate, CONFIRMED), text, answered);
    }
    let text = format!(
        "The target does not answer to {from} either: what stops the traffic is on a part of the way that both share, or it is the target."
    );
    Weight::new(lowered(candidate, FITTING), text, silent)
}

fn lossy(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let from = pair.vantage.name();
    let (mut here, mut there) = (Share::default(), Share::default());
    for address in addresses(candidate) {
        here = here.and(pings::of(pair.here, address).even);
        there = there.and(pings::of(pair.there, address).even);
    }
    let ids: Vec<ObservationId> = there.ids.iter().map(|id| (*id).clone()).collect();
    let counts = format!("{} of {} packets", there.cases, there.of);
    if there.of == 0 {
        return None;
    }
    if there.exceeds(BAD_SHARE) {
        let text = format!(
            "{from} lost {counts} to the same address, too: the fault is on the part of the way that both share, or at the target."
        );
        return Weight::new(candidate.confidence, text, ids);
    }
    if here.least_above(&there) > 0.0 {
        let text =
            format!("{from} lost {counts} to the same address: the fault is on the part of the way that only this machine uses.");
        return Weight::new(more_likely(candidate), text, ids);
    }
    let text = format!("{from} lost {counts} to the same address, which are too few to tell whether it meets the same.");
    Weight::new(candidate.confidence, text, ids)
}

/// That another place is spared shows where the fault lies; what looks like it from here looks so on as long as nothing rules it out.
fn more_likely(candidate: &Candidate) -> f64 {
    let told_apart = candidate.rejected.iter().any(|rejected| rejected.cause == "path.icmp_rate_limited");
    raised(candidate, if told_apart { SPARED_ELSEWHERE } else { candidate.confidence })
}

fn small_only(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let wanted = addresses(candidate);
    let passed = pair.there.mtus.iter().find(|mtu| wanted.contains(&mtu.address) && mtu.passed_bytes.is_some())?;
    let theirs = passed.passed_bytes?;
    let own = pair.here.mtus.iter().find(|mtu| wanted.contains(&mtu.address)).and_then(|mtu| mtu.passed_bytes)?;
    let from = pair.vantage.name();
    if theirs > own {
        let text = format!(
            "{from} gets packets of {theirs} bytes to the same address, where {own} is the most from here: the narrow place is on the way from here."
        );
        return Weight::new(raised(candidate, CONFIRMED), text, vec![passed.id.clone()]);
    }
    let text = format!("{from} gets no larger packets through either: the narrow place is near the target.");
    Weight::new(candidate.confidence, text, vec![passed.id.clone()])
}

fn intercepted(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let own = pair.here.handshakes.iter().find(|handshake| candidate.evidence.contains(handshake.id))?;
    let leaf = own.chain.first()?;
    let others = handshakes_of(own.fact, pair.there);
    let from = pair.vantage.name();
    let same = others.iter().find(|other| other.chain.first().is_some_and(|other| other.sha256 == leaf.sha256));
    if let Some(same) = same {
        let text = format!(
            "{from} is shown the very same certificate: it is the server's own, or both places pass the same inspection."
        );
        return Weight::new(lowered(candidate, CONTRADICTED), text, vec![same.id.clone()]).map(|weight| {
            weight.next(
                Who::Server,
                "Ask whoever runs the server whether the certificate is theirs: it is the same from elsewhere.",
            )
        });
    }
    let other = others.iter().find(|other| other.chain.first().is_some_and(|other| other.issuer != leaf.issuer))?;
    let issuer = other.chain.first().map(|leaf| leaf.issuer.clone()).unwrap_or_default();
    let text = format!("{from} is shown another certificate for the same name, issued by \"{issuer}\".");
    Weight::new(raised(candidate, 0.97), text, vec![other.id.clone()])
}

pub(super) fn name_of(candidate: &Candidate) -> Option<&str> {
    let spot = candidate.about.iter().find_map(|spot| match spot {
        Spot::Name(name) => Some(name.as_str()),
        _ => None,
    });
    spot.or(candidate.place.name.as_deref())
}

/// The control's answers for the name: those with data, and those that say there is no such name.
fn answers_there(pair: &Pair<'_, '_>, name: &str) -> (Vec<ObservationId>, Vec<ObservationId>) {
    let (mut data, mut missing) = (Vec::new(), Vec::new());
    for view in pair.there.names().iter().filter(|view| same_name(view.name, name)) {
        data.extend(view.answers(|answer| answer == Answer::Data).into_iter().map(|(_, lookup)| lookup.id.clone()));
        missing.extend(view.answers(|answer| answer == Answer::Code(NXDOMAIN)).into_iter().map(|(_, lookup)| lookup.id.clone()));
        if let Some((_, ids)) = system_addresses(view).filter(|(addresses, _)| !addresses.is_empty()) {
            data.extend(ids);
        }
    }
    (data, missing)
}

fn missing_name(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let (data, missing) = answers_there(pair, name_of(candidate)?);
    let from = pair.vantage.name();
    if !data.is_empty() {
        let text = format!(
            "{from} gets an answer for the name: it exists, at least there. Here it is hidden, not yet known, or known inside only."
        );
        return Weight::new(lowered(candidate, 0.6), text, data).map(|weight| {
            weight.next(
                Who::Network,
                "Compare the name servers of both places: one has another view of the zone, an older answer, or a filter.",
            )
        });
    }
    let text = format!("{from} is told the same: there is no such name.");
    Weight::new(raised(candidate, 0.97), text, missing)
}

fn forged(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let (data, missing) = answers_there(pair, name_of(candidate)?);
    let from = pair.vantage.name();
    if !data.is_empty() {
        let text = format!("{from} gets an answer for the name: what is said here is said here only.");
        return Weight::new(raised(candidate, CONFIRMED), text, data);
    }
    let text = format!("{from} is told that there is no such name, too.");
    Weight::new(lowered(candidate, 0.6), text, missing)
}

fn other_view(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let name = name_of(candidate)?;
    let here = pair.here.names().iter().find(|view| same_name(view.name, name)).and_then(system_addresses)?.0;
    let (there, ids) = pair.there.names().iter().find(|view| same_name(view.name, name)).and_then(system_addresses)?;
    if there.is_empty() || here == there {
        return None;
    }
    let text = format!("{} gets {} for the name.", pair.vantage.name(), crate::wording::list(&there));
    Weight::new(raised(candidate, CONFIRMED), text, ids)
}

/// Answers that something on the way gives in the server's place.
const NOT_THE_SERVER: [&str; 3] = ["http.blocked_page", "http.captive_portal", "http.headers_tampered"];

/// The control was answered as expected by the same URL, or the same host.
fn answered(pair: &Pair<'_, '_>, candidate: &Candidate, code: &str) -> Option<Weight> {
    let own = pair.here.exchanges.iter().find(|exchange| candidate.evidence.contains(exchange.id))?;
    let of_host = || pair.there.exchanges.iter().rfind(|other| host_of(&other.url) == host_of(&own.url));
    let other = pair.there.exchanges.iter().rfind(|other| other.url == own.url).or_else(of_host)?;
    if !other.expected || other.failure.is_some() {
        return None;
    }
    let seen = format!("{} is answered as expected ({}).", pair.vantage.name(), answer_words(other.fact));
    let ids = vec![other.id.clone()];
    if NOT_THE_SERVER.contains(&code) {
        return Weight::new(raised(candidate, CONFIRMED), format!("{seen} What answers here is not the server."), ids);
    }
    let text = format!("{seen} The server works for others: what differs between the two places comes first.");
    Weight::new(lowered(candidate, LESS_LIKELY), text, ids)
}

/// The control's own run names the same cause for the same place: the far side, or what both share.
fn same_there(pair: &Pair<'_, '_>, hypothesis: &Hypothesis) -> Option<Weight> {
    let candidate = &hypothesis.candidate;
    let at_same = |finding: &&&Finding| finding.cause == hypothesis.rule.code && history::is_at(&finding.place, &candidate.place);
    let same = pair.findings.iter().find(at_same)?;
    let of_machine = hypothesis.rule.area() == "host";
    let text = if of_machine {
        format!("{} has the same of its own.", pair.vantage.name())
    } else {
        format!("{} finds the same: it is not the way from here.", pair.vantage.name())
    };
    let agreed = if of_machine { candidate.confidence } else { candidate.confidence + (1.0 - candidate.confidence) / 2.0 };
    Weight::new(agreed, text, same.evidence.clone())
}
