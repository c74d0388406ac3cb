use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, is_fragmented};
use crate::rule::Rule;
use crate::rules::path::pings;
use crate::spot::Spot;
use crate::threshold::BAD_SHARE;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Mtu, MtuLimit};
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a capture at the target while a large ping is sent: whether any fragment arrives"),
    ..Rule::new("path.fragments_dropped", &["path.mtu_blackhole", "path.loss"], evaluate)
};

/// Some hosts and load balancers drop large pings of themselves, which looks the same.
const CONFIDENCE: f64 = 0.7;

/// So many large requests without any reply: on a path without loss that is no chance.
const LEAST_SENT: u32 = 3;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.addresses().into_iter().filter_map(|address| towards(evidence, address)).collect()
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let large = evidence
        .echoes_of(address)
        .find(|echo| is_fragmented(echo.fact) && echo.failure.is_none() && echo.errors.is_empty() && echo.sent >= LEAST_SENT)?;
    let small: Vec<&ObservationId> = evidence.answered_series(address).map(|echo| echo.id).collect();
    // Where every large packet vanishes, pieces do too.
    let vanished = |mtu: &Seen<'_, Mtu>| {
        mtu.limit == MtuLimit::Untold && mtu.stopped_bytes.is_some_and(|stopped| !evidence.carries(address, stopped))
    };
    let swallowed = evidence.mtus_of(address).any(vanished);
    if !large.replies.is_empty() || small.is_empty() || swallowed || !pings_pass(evidence, address) {
        return None;
    }
    let wide: Vec<&ObservationId> =
        evidence.mtus_of(address).filter(|mtu| mtu.passed_bytes.is_some_and(|bytes| bytes >= 1_280)).map(|mtu| mtu.id).collect();
    let sentence = format!(
        "Packets to {} that travel in several pieces never arrive, while small ones do: large DNS answers, VPNs and other UDP traffic fail.",
        named(&evidence.host_at(address), address)
    );
    let candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .resting_on([large.id])
        .resting_on(small.iter().copied())
        .rejecting("path.mtu_blackhole", "Large packets in one piece pass.", wide)
        .rejecting("path.loss", "Pings in one packet are not lost.", small)
        .next(
            Who::Network,
            format!(
                "Look for a firewall on the way to {address} that drops IP fragments, and let them pass or put them together."
            ),
        );
    Some(candidate)
}

/// A few large pings that are lost show nothing where small ones are lost as well, by the path or by a limit on pings.
fn pings_pass(evidence: &Evidence<'_>, address: IpAddr) -> bool {
    let pings = pings::of(evidence, address);
    pings.lost().is_none() && !pings.limited() && !pings.faster.exceeds(BAD_SHARE)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, echo_series, mtu, sized, tcp_mtu};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::MtuLimit;

    fn scene(small_lost: u32, large_lost: u32) -> Scene {
        let scene = Scene::new("shop.example").check(Kind::Icmp, [echo_series("192.0.2.1", 20, small_lost, |_| {})]);
        scene.check(Kind::Icmp, [sized(echo_series("192.0.2.1", 3, large_lost, |_| {}), 2_000)])
    }

    #[test]
    fn large_pings_that_never_arrive_while_small_ones_do_are_dropped_fragments() {
        assert_eq!(scene(0, 3).finds("path.fragments_dropped").rejected[0].cause, "path.loss");
    }

    #[test]
    fn one_large_ping_that_arrives_shows_that_fragments_pass() {
        assert!(scene(0, 2).is_healthy().is_empty());
    }

    #[test]
    fn where_large_segments_pass_whole_it_is_the_pieces() {
        let sizes = [mtu(MtuLimit::Untold, 1_300, Some(1_301)), tcp_mtu(MtuLimit::None, 1_500, None, 1_460)];
        scene(0, 3).check(Kind::Mtu, sizes).finds("path.fragments_dropped");
    }

    #[test]
    fn a_path_that_loses_small_pings_too_is_another_cause() {
        scene(6, 3).finds("path.loss");
    }
}
