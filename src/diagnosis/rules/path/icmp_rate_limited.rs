use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::rules::path::loss;
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

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let addresses = evidence.addresses();
    let routers = addresses.iter().filter_map(|address| router(evidence, *address));
    let targets = addresses.iter().filter_map(|address| target(evidence, *address));
    routers.chain(targets).collect()
}

/// A router that answers some probes of several and not others, while all that goes farther comes back.
fn router(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let hops = evidence.hops_of(address);
    let (at, hop) = hops.iter().enumerate().find(|(at, hop)| {
        let later = &hops[at + 1..];
        let (answered, lost) = split(hop);
        let whole = |hop: &Seen<'_, Hop>| split(hop).1 == 0;
        let proof: usize = later.iter().filter(|hop| whole(hop)).map(|hop| split(hop).0).sum();
        // A later hop that is wholly silent says nothing; one that answers in part may itself be what is broken.
        let clean = later.iter().all(|hop| whole(hop) || split(hop).0 == 0);
        let is_router = hop.probes.iter().filter_map(|probe| probe.reply.as_ref()).all(|r| r.kind == ReplyKind::TimeExceeded);
        answered > 0 && lost > 0 && is_router && clean && proof >= 2 * (answered + lost)
    })?;
    let (answered, lost) = split(hop);
    let from = hop.addresses().first().copied()?;
    let later: Vec<&ObservationId> = hops[at + 1..].iter().map(|hop| hop.id).collect();
    let sentence = format!(
        "The router {from} (hop {}) answers only {answered} of {} itself, and passes on all that goes farther: it limits its own answers, and no traffic is lost there.",
        hop.ttl,
        count((answered + lost) as i64, "probe")
    );
    let candidate = Candidate::new(Severity::Notice, BY_LATER_HOPS, sentence)
        .at(Place { hop: Some(hop.ttl), address: Some(from), ..Place::default() })
        .resting_on([hop.id])
        .resting_on(later.iter().copied())
        .rejecting("path.loss", "No hop behind it loses any probe.", later)
        .next(Who::Customer, "Nothing has to be done: loss that later hops do not have is none.");
    Some(candidate)
}

/// Probes of the hop that were answered, and that were not.
fn split(hop: &Hop) -> (usize, usize) {
    let answered = hop.probes.iter().filter(|probe| probe.reply.is_some()).count();
    (answered, hop.probes.len() - answered)
}

/// A target that answers slow pings all and fast ones in part.
fn target(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let (calm, burst) = (evidence.lost_calmly(address), evidence.lost_in_bursts(address));
    // Where the shares may be the same, slow pings do not show that it is the pace.
    if calm.of == 0 || !burst.exceeds(BAD_SHARE) || !loss::grows_with_rate(&calm, &burst) {
        return None;
    }
    let sentence = format!(
        "{} answers pings in order when they come slowly, and not all when they come fast ({} lost): it limits its answers, and no traffic is lost.",
        named(&evidence.host_at(address), address),
        burst.words()
    );
    let candidate = Candidate::new(Severity::Notice, BY_PACE, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .resting_on(burst.ids)
        .resting_on(calm.ids.iter().copied())
        .rejecting("path.loss", "Pings that come slowly are not lost that often.", calm.ids)
        .next(Who::Customer, "Nothing has to be done: applications are not touched by it.");
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, trace_rounds};
    use netsonde_contract::kind::Kind;

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
