use super::Pair;
use super::differences::system_addresses;
use super::pairing::{handshakes_of, same_name};
use super::weighing::heard;
use crate::candidate::Candidate;
use crate::engine::Hypothesis;
use crate::evidence::{Seen, is_private};
use crate::rules::RULES;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::control::{ControlEffect, ControlRelation, ControlSays};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Handshake, TrustReason, TrustStore};
use std::net::{IpAddr, SocketAddr};

/// Another certificate from another issuer elsewhere, where that one is a public authority's.
const PUBLIC_ELSEWHERE: f64 = 0.93;
/// Another certificate from another issuer elsewhere. Servers of one name may differ by place.
const OTHER_ELSEWHERE: f64 = 0.8;
/// The target is alive elsewhere, so that the way from here, or a filter by source, swallows everything.
const ALIVE_ELSEWHERE: f64 = 0.8;
/// One place has private addresses and the other public ones.
const TWO_VIEWS: f64 = 0.9;

/// The hypotheses with those that only two views together show. Those of another time are changes, not views.
pub(super) fn beside(pair: &Pair<'_, '_>, hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
    if pair.vantage.relation != ControlRelation::OtherMachine {
        return hypotheses;
    }
    let mut all = swallowed(pair, hypotheses);
    for found in [intercepted(pair), two_views(pair)].concat() {
        let known = |known: &Hypothesis| {
            known.rule.code == found.rule.code && known.candidate.evidence.iter().any(|id| found.candidate.evidence.contains(id))
        };
        if !all.iter().any(known) {
            all.push(found);
        }
    }
    all
}

fn found(
    pair: &Pair<'_, '_>,
    code: &str,
    candidate: Candidate,
    text: String,
    evidence: Vec<ObservationId>,
) -> Option<Hypothesis> {
    let rule = RULES.iter().find(|rule| rule.code == code)?;
    let control = ControlSays {
        bundle: pair.vantage.bundle.clone(),
        effect: ControlEffect::Found,
        confidence_alone: 0.0,
        text,
        evidence,
        rejects: Vec::new(),
    };
    Some(Hypothesis { rule, candidate, suppressed: Vec::new(), from: rule.layer(), control: Some(control) })
}

/// A target that is silent here and answers elsewhere is not off: the way from here loses the traffic.
fn swallowed(pair: &Pair<'_, '_>, hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
    let told = |hypotheses: &[Hypothesis], hypothesis: &Hypothesis| {
        hypotheses.iter().any(|other| other.rule.code == "path.blackhole" && other.candidate.about == hypothesis.candidate.about)
    };
    let in_place = |hypothesis: &Hypothesis| -> Option<Hypothesis> {
        let (answered, _) = heard(pair, &hypothesis.candidate);
        if hypothesis.rule.code != "path.target_silent" || answered.is_empty() || told(&hypotheses, hypothesis) {
            return None;
        }
        let mut candidate = hypothesis.candidate.clone();
        candidate.confidence = ALIVE_ELSEWHERE;
        candidate.rejected.retain(|rejected| rejected.cause == "path.routing_loop");
        candidate.sentence.push_str(" From elsewhere the target answers: the traffic of this machine is lost on its way, or a filter in front of the target drops it by its source.");
        candidate.next_step.who = Who::Network;
        let place = candidate.place.hop.map_or_else(
            || "Follow the traffic of this machine from its gateway on".to_owned(),
            |hop| format!("Follow the traffic of this machine behind hop {hop}"),
        );
        candidate.next_step.action =
            format!("{place}: routes and firewalls there, and rules by source address in front of the target.");
        candidate.settled_by =
            Some("a trace from the control to this machine's address, or a capture in front of the target".to_owned());
        let text = format!("The target answers to {}: it is alive.", pair.vantage.name());
        found(pair, "path.blackhole", candidate, text, answered)
    };
    let replaced: Vec<Option<Hypothesis>> = hypotheses.iter().map(in_place).collect();
    hypotheses.into_iter().zip(replaced).map(|(hypothesis, other)| other.unwrap_or(hypothesis)).collect()
}

fn is_unlisted(handshake: &Handshake) -> bool {
    let unknown = |verdict: &&netsonde_contract::observation::TrustVerdict| {
        verdict.store == TrustStore::Mozilla && !verdict.trusted && verdict.reason == Some(TrustReason::UnknownIssuer)
    };
    handshake.trust.iter().find(unknown).is_some()
}

fn is_public(handshake: &Handshake) -> bool {
    handshake.trust.iter().any(|verdict| verdict.store == TrustStore::Mozilla && verdict.trusted)
}

/// An issuer that no public list knows here, and another one for the same name elsewhere.
fn intercepted(pair: &Pair<'_, '_>) -> Vec<Hypothesis> {
    let one = |own: &Seen<'_, Handshake>| -> Option<Hypothesis> {
        let leaf = own.chain.first().filter(|leaf| !leaf.self_signed && is_unlisted(own.fact))?;
        let others = handshakes_of(own.fact, pair.there);
        let shared = others.iter().any(|other| other.chain.first().is_some_and(|other| other.sha256 == leaf.sha256));
        let other = others.iter().find(|other| other.chain.first().is_some_and(|other| other.issuer != leaf.issuer))?;
        let trusts = |handshake: &Handshake| handshake.deciding_verdict().is_some_and(|verdict| verdict.trusted);
        let (theirs, trusted, public) = (other.chain.first()?, trusts(own.fact), is_public(other.fact));
        // What this machine trusts and the other one does not, or a leaf that vouches for itself there, speaks against that side.
        if shared || theirs.self_signed || (trusted && !trusts(other.fact)) {
            return None;
        }
        let theirs = theirs.issuer.clone();
        let whose = if public { "from here" } else { "from here or from there" };
        let sentence = format!(
            "The certificate that arrives for {} is made by \"{}\", which is no public authority; elsewhere the same name shows one by \"{theirs}\": somebody on the way {whose} opens the connection.",
            own.host, leaf.issuer
        );
        let candidate = Candidate::new(
            // An inspection that this machine trusts is meant to be there.
            if trusted { Severity::Notice } else { Severity::Problem },
            if public { PUBLIC_ELSEWHERE } else { OTHER_ELSEWHERE },
            sentence,
        )
        .at(place(own.address))
        .about(Spot::Endpoint(own.address))
        .resting_on([own.id])
        .next(Who::Network, format!("Whoever runs the network exempts {} from TLS inspection, or installs the inspection's authority where the program looks for authorities.", own.host));
        let text = format!("{} is shown a certificate by \"{theirs}\".", pair.vantage.name());
        found(pair, "tls.intercepted", candidate, text, vec![other.id.clone()])
    };
    pair.here.handshakes.iter().filter_map(one).collect()
}

fn place(address: SocketAddr) -> Place {
    Place { address: Some(address.ip()), port: Some(address.port()), ..Place::default() }
}

/// Private addresses in one place, public ones in the other.
fn two_views(pair: &Pair<'_, '_>) -> Vec<Hypothesis> {
    let others = pair.there.names();
    let mut all = Vec::new();
    for view in pair.here.names() {
        let Some(other) = others.iter().find(|other| same_name(other.name, view.name)) else { continue };
        let (Some((own, ids)), Some((theirs, their_ids))) = (system_addresses(&view), system_addresses(other)) else { continue };
        let inside = |addresses: &[IpAddr]| !addresses.is_empty() && addresses.iter().all(|address| is_private(*address));
        let outside = |addresses: &[IpAddr]| !addresses.is_empty() && !addresses.iter().any(|address| is_private(*address));
        let two = (inside(&own) && outside(&theirs)) || (outside(&own) && inside(&theirs));
        if !two {
            continue;
        }
        // From here the answer is of no use where nothing at its addresses connects.
        let tried = pair.here.attempts().iter().filter(|attempt| own.contains(&attempt.address.ip()));
        let (mut any, mut works) = (false, false);
        for attempt in tried {
            any = true;
            works |= attempt.connected();
        }
        let severity = if any && !works { Severity::Problem } else { Severity::Notice };
        let sentence = format!(
            "{} has {} here and {} elsewhere: the name has one address inside and another outside.",
            view.name,
            list(&own),
            list(&theirs)
        );
        let mut candidate = Candidate::new(severity, TWO_VIEWS, sentence)
            .at(Place { name: Some(view.name.to_owned()), ..Place::default() })
            .about(Spot::Name(view.name.to_owned()))
            .resting_on(&ids)
            .next(
                Who::Network,
                format!(
                    "Check which of the two views of {} this machine should get, and which name servers it is set to use.",
                    view.name
                ),
            );
        if severity == Severity::Problem {
            for address in &own {
                candidate = candidate.about(Spot::Address(*address));
            }
            candidate = candidate.stopping();
        }
        let text = format!("{} gets {} for the name.", pair.vantage.name(), list(&theirs));
        all.extend(found(pair, "dns.split_horizon", candidate, text, their_ids));
    }
    all
}
