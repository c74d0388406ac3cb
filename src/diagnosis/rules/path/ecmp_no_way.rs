//! One of several parallel routers that has no way to the target and says so: some connections are answered with its error, and others stand.

use crate::candidate::Candidate;
use crate::evidence::{Attempt, Endpoint, Evidence};
use crate::rules::path::admin_prohibited::says_nobody;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;

/// A router says of some connections that there is no way, and others to the same port stand, in no order.
const SAID: f64 = 0.85;
/// Only one met the error, or all that began after the first did: a way that is lost just then, or a limit in a router's words, looks the same.
const ONE_OR_LAST: f64 = 0.6;

/// Below so many attempts, one that is rejected and one that stands say nothing of a pattern.
const LEAST_ATTEMPTS: usize = 4;

pub(super) fn towards(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let address = endpoint.address.ip();
    let made: Vec<&Attempt<'_>> = endpoint.attempts.iter().filter(|attempt| attempt.by_tcp_check).collect();
    let has_no_way = |attempt: &&&Attempt<'_>| {
        let error = attempt.rejected_by().filter(|error| says_nobody(error.meaning()));
        error.is_some_and(|error| error.offender != address && !evidence.is_own(error.offender))
    };
    let rejected: Vec<&Attempt<'_>> = made.iter().filter(has_no_way).copied().collect();
    let stood: Vec<&Attempt<'_>> = made.iter().filter(|attempt| attempt.connected()).copied().collect();
    let error = rejected.first()?.rejected_by()?;
    let last_stood_us = stood.iter().map(|attempt| attempt.at_us).max()?;
    // What a router says is limited: those that it says nothing to stay silent.
    let others = made.iter().filter(|attempt| !attempt.connected() && !attempt.silent() && attempt.rejected_by().is_none());
    if made.len() < LEAST_ATTEMPTS || others.count() > 0 {
        return None;
    }
    let in_no_order = rejected.len() > 1 && rejected.iter().any(|attempt| attempt.at_us < last_stood_us);
    let offender = error.offender;
    let hop = evidence.hop_of(address, offender);
    let at = hop.map_or(String::new(), |hop| format!(" (hop {hop})"));
    let sentence = format!(
        "{} of {} connections to {} on port {} are answered by the router {offender}{at} with \"{}\", and the others stand: of several parallel ways one leads over a router that has no way to the target, and which way a connection takes depends on its source port.",
        rejected.len(),
        made.len(),
        named(endpoint.host(), address),
        endpoint.address.port(),
        error.words()
    );
    let ids: Vec<&ObservationId> = rejected.iter().map(|attempt| attempt.id).collect();
    let candidate = Candidate::new(Severity::Degraded, if in_no_order { SAID } else { ONE_OR_LAST }, sentence)
        .at(Place { hop, address: Some(offender), port: Some(endpoint.address.port()), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .resting_on(endpoint.ids())
        .rejecting("path.loss", "A router answers those that do not stand.", ids.iter().copied())
        .rejecting("tcp.accept_queue_full", "A router answers those that do not stand.", ids.iter().copied())
        .rejecting("tcp.backend_unhealthy", "The error is a router's, and not the target's own.", ids.iter().copied())
        .rejecting("tcp.snat_exhausted", "A translator without ports does not say that there is no way.", ids)
        .settled_by(format!("the routes and neighbours of {offender} for {address}, beside those of the routers that share the traffic with it"))
        .next(
            Who::Network,
            format!("Whoever runs {offender} has to look at its route to {address} and at its next hop; until then take it out of the parallel ways."),
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, icmp, icmp_ended, refused, trace};
    use netsonde_contract::failure::FailureCode;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    const AT: &str = "192.0.2.1:443";

    /// Connections of one check: `+` stands, `x` meets this error.
    fn made(marks: &str, offender: &str, code: u8) -> Scene {
        let rejected = || icmp_ended(AT, 400, FailureCode::HostUnreachable, icmp(offender, 3, code));
        let facts: Vec<Fact> = marks.chars().map(|mark| if mark == '+' { connected(AT) } else { rejected() }).collect();
        let scene = Scene::new("shop.example").check(Kind::Tcp, facts);
        scene.check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "192.0.2.1"]))
    }

    #[test]
    fn a_router_without_a_way_beside_others_that_have_one_is_a_bad_member() {
        for code in [0, 1] {
            let finding = made("+x+x+x", "10.0.2.1", code).finds("path.ecmp_member_bad");
            assert!(finding.sentence.starts_with("3 of 6 connections") && finding.place.hop == Some(2), "{finding:#?}");
            assert_eq!(finding.confidence, 0.85);
        }
    }

    #[test]
    fn errors_to_the_last_ones_alone_may_be_a_limit() {
        assert_eq!(made("+++xxx", "10.0.2.1", 1).finds("path.ecmp_member_bad").confidence, 0.6);
    }

    #[test]
    fn a_filter_that_forbids_some_is_a_filter_and_the_targets_own_errors_are_its_servers() {
        let finding = made("+x+x+x", "10.0.2.1", 13).finds("path.admin_prohibited");
        assert!(finding.sentence.contains("3 of 6 connections") && finding.confidence < 0.9, "{finding:#?}");
        let finding = made("+x+x+x", "192.0.2.1", 3).finds("tcp.backend_unhealthy");
        assert!(finding.sentence.starts_with("3 of 6 connections") && finding.confidence > 0.7, "{finding:#?}");
    }

    #[test]
    fn resets_among_them_are_another_matter() {
        let facts = [connected(AT), refused(AT, 900), connected(AT), refused(AT, 900)];
        assert!(!Scene::new("shop.example").check(Kind::Tcp, facts).names("path.ecmp_member_bad"));
    }

    #[test]
    fn where_none_stands_there_is_no_other_way() {
        assert!(!made("xxxx", "10.0.2.1", 1).names("path.ecmp_member_bad"));
    }
}
