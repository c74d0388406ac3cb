use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, Share};
use crate::rule::Rule;
use crate::rules::path::{loss, pings};
use crate::threshold::BAD_SHARE;
use crate::wording::{count, named};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Hop, ReplyKind};
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same trace with more time between the probes: the router then answers them all"),
    ..Rule::new("path.icmp_rate_limited", &["path.loss"], evaluate)
};

/// Farther hops lose nothing, so that what is lost here is only the router's own answers.
const BY_LATER_HOPS: f64 = 0.85;
/// Pings are lost only when they come fast.
const BY_PACE: f64 = 0.8;
/// Pings are lost, and other packets are not.
const BY_OTHER_PACKETS: f64 = 0.9;
/// Answers of hops farther away that make up for every probe of the one that leaves some out.
const PROOF: usize = 2;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let addresses = evidence.addresses();
    let routers = addresses.iter().flat_map(|address| routers(evidence, *address));
    let targets = addresses.iter().filter_map(|address| alone(evidence, *address).or_else(|| target(evidence, *address)));
    routers.chain(targets).collect()
}

/// Routers that answer some probes of several and not others, while all that goes to some hop farther away comes back.
fn routers(evidence: &Evidence<'_>, address: IpAddr) -> Vec<Candidate> {
    let hops = evidence.hops_of(address);
    // Where the way itself loses packets, few answers of later hops are chance.
    let lossy = loss::share(evidence, address).is_some();
    (0..hops.len()).filter_map(|at| router(hops.get(at)?, hops.get(at + 1..)?, lossy)).collect()
}

fn router(hop: &Seen<'_, Hop>, later: &[Seen<'_, Hop>], lossy: bool) -> Option<Candidate> {
    let (answered, lost) = split(hop);
    let is_router = hop.probes.iter().filter_map(|probe| probe.reply.as_ref()).all(|r| r.kind == ReplyKind::TimeExceeded);
    // What lies behind it may lose packets for reasons of its own; one distance that answered them all is enough.
    let whole: Vec<&Seen<'_, Hop>> =
        later.iter().filter(|later| later.ttl > hop.ttl && split(later).0 > 0 && split(later).1 == 0).collect();
    let proof: usize = whole.iter().map(|hop| split(hop).0).sum();
    if answered == 0 || lost == 0 || !is_router || !is_proof(proof, answered, lost, lossy) {
        return None;
    }
    let from = hop.addresses().first().copied()?;
    let sentence = format!(
        "The router {from} (hop {}) answers only {answered} of {} itself, and passes on all that goes farther: it limits its own answers, and no traffic is lost there.",
        hop.ttl,
        count((answered + lost) as i64, "probe")
    );
    let behind: Vec<&ObservationId> = whole.iter().map(|hop| hop.id).collect();
    let reason = match whole.len() == later.len() {
        true => "No hop behind it loses any probe.",
        false => "Hops behind it answered every probe, which had to pass it.",
    };
    let candidate = Candidate::new(Severity::Notice, BY_LATER_HOPS, sentence)
        .at(Place { hop: Some(hop.ttl), address: Some(from), ..Place::default() })
        .resting_on([hop.id])
        .resting_on(behind.iter().copied())
        .rejecting("path.loss", reason, behind)
        .next(Who::Customer, "Nothing has to be done: loss that later hops do not have is none.");
    Some(candidate)
}

/// So many answers of later hops show that what this one left out was not lost on the way to it.
fn is_proof(proof: usize, answered: usize, lost: usize, lossy: bool) -> bool {
    let share = |cases: usize, of: usize| Share {
        cases: u32::try_from(cases).unwrap_or(u32::MAX),
        of: u32::try_from(of).unwrap_or(u32::MAX),
        ids: Vec::new(),
    };
    (!lossy && proof >= PROOF * (answered + lost)) || share(lost, answered + lost).least_above(&share(0, proof)) > 0.0
}

/// Probes of the hop that were answered, and that were not.
fn split(hop: &Hop) -> (usize, usize) {
    let answered = hop.probes.iter().filter(|probe| probe.reply.is_some()).count();
    (answered, hop.probes.len() - answered)
}

/// Pings are lost at every pace, and packets that are no pings are not.
fn alone(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let pings = pings::of(evidence, address);
    if !pings.limited() || pings.beside.carried.cases > 0 {
        return None;
    }
    let sentence = format!(
        "{} of the pings to {} got no answer, and of other packets to it {} were lost: a router on the way or the target itself lets only so many pings through, and no traffic is lost.",
        pings.even.words(),
        named(&evidence.host_at(address), address),
        pings.beside.words()
    );
    let others: Vec<&ObservationId> = pings.beside.ids().collect();
    let candidate = Candidate::new(Severity::Notice, BY_OTHER_PACKETS, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .resting_on(pings.even.ids)
        .resting_on(others.iter().copied())
        .rejecting("path.loss", format!("It would meet other packets as well: {} were lost.", pings.beside.words()), others)
        .next(Who::Customer, "Nothing has to be done: applications are not touched by it.");
    Some(candidate)
}

/// A target that answers slow pings all and fast ones in part.
fn target(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let pings = pings::of(evidence, address);
    // Where the shares may be the same, slow pings do not show that it is the pace.
    if pings.lost().is_some() || pings.limited() || !pings.faster.exceeds(BAD_SHARE) {
        return None;
    }
    let sentence = format!(
        "{} answers pings in order when they come slowly, and not all when they come fast ({} lost): a limit on pings, of its own or on the way, and no traffic is lost.",
        named(&evidence.host_at(address), address),
        pings.faster.words()
    );
    let candidate = Candidate::new(Severity::Notice, BY_PACE, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .resting_on(pings.faster.ids)
        .resting_on(pings.even.ids.iter().copied())
        .rejecting("path.loss", "Pings that come slowly are not lost that often.", pings.even.ids)
        .next(Who::Customer, "Nothing has to be done: applications are not touched by it.");
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo_series, trace_rounds};
    use netsonde_contract::kind::Kind;

    #[test]
    fn pings_that_are_lost_where_nothing_else_is_are_limited() {
        let (clean, at) = ("++++++++++", "192.0.2.1");
        let way = [("10.0.1.1", clean), ("10.0.2.1", clean), (at, clean)];
        let scene = Scene::new("shop.example")
            .check(Kind::Tcp, (0..22).map(|_| connected("192.0.2.1:443")))
            .check(Kind::Icmp, [echo_series(at, 20, 15, |_| {})])
            .check(Kind::Traceroute, trace_rounds(at, &way));
        assert_eq!(scene.is_healthy(), ["path.icmp_rate_limited"]);
        let finding = scene.diagnose().findings.remove(0);
        assert!(finding.sentence.contains("0 of 22 packets of connections"), "{}", finding.sentence);
        let rejected = finding.rejected.iter().find(|rejected| rejected.cause == "path.loss").unwrap();
        assert!(rejected.evidence.len() > 22, "{rejected:?}");
    }

    #[test]
    fn two_routers_that_limit_their_answers_are_both_named_though_the_end_of_the_way_loses() {
        let (clean, half, lossy) = ("++++++++++", "+-+-+-+-+-", "+-++-++-++");
        let way = [("10.0.1.1", half), ("10.0.2.1", clean), ("10.0.3.1", half), ("10.0.4.1", clean), ("192.0.2.1", lossy)];
        let diagnosis = Scene::new("shop.example").check(Kind::Traceroute, trace_rounds("192.0.2.1", &way)).diagnose();
        let named: Vec<_> = diagnosis.findings.iter().map(|finding| finding.cause.as_str()).collect();
        assert_eq!(named, ["path.icmp_rate_limited"], "{diagnosis:#?}");
        assert!(diagnosis.findings[0].sentence.contains("The same holds for 10.0.3.1"), "{diagnosis:#?}");
    }

    #[test]
    fn a_router_that_misses_probes_which_later_hops_answer_limits_its_answers() {
        let facts =
            trace_rounds("192.0.2.1", &[("10.0.1.1", "+++"), ("10.0.2.1", "+--"), ("10.0.3.1", "+++"), ("192.0.2.1", "+++")]);
        let scene = Scene::new("shop.example").check(Kind::Traceroute, facts);
        assert_eq!(scene.is_healthy(), ["path.icmp_rate_limited"]);
        assert_eq!(scene.diagnose().findings[0].place.hop, Some(2));
    }

    #[test]
    fn loss_that_the_target_inherits_is_no_limit() {
        let facts =
            trace_rounds("192.0.2.1", &[("10.0.1.1", "+++"), ("10.0.2.1", "+--"), ("10.0.3.1", "+-+"), ("192.0.2.1", "+-+")]);
        assert!(!Scene::new("shop.example").check(Kind::Traceroute, facts).names("path.icmp_rate_limited"));
    }

    #[test]
    fn a_router_that_never_answers_is_silent_and_not_limited() {
        let facts = trace_rounds("192.0.2.1", &[("10.0.1.1", "+++"), ("10.0.2.1", "---"), ("192.0.2.1", "+++")]);
        assert!(Scene::new("shop.example").check(Kind::Traceroute, facts).is_healthy().is_empty());
    }
}
