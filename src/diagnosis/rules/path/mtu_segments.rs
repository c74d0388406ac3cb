//! Large segments of connections that vanish while other packets of their size pass.

use super::mtu::{self, BY_TRACE, ONE_CASE_IN, stalled_of};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Share, small_segments};
use crate::rules::path::loss;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::outcome::Outcome;
use std::net::{IpAddr, SocketAddr};

/// What comes to a halt works over small segments: once, where a server that is slow now and then looks alike, or where it came to a halt
/// more than once.
const SMALL_WORKS: f64 = 0.85;
const SMALL_WORKS_AGAIN: f64 = 0.93;

/// What came to a halt works over small segments, though other large packets may pass: something drops the large ones of connections.
pub(super) fn swallowed(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let usual = |outcome: &Outcome| small_segments(outcome).is_none();
    let halted: Vec<&ObservationId> = stalled_of(evidence, address, &usual);
    let of_address = |at: Option<SocketAddr>| at.is_some_and(|at| at.ip() == address);
    let exchanges = evidence.exchanges.iter().filter(|exchange| exchange.proxy.is_none() && of_address(exchange.address));
    let exchanges = exchanges.filter(|exchange| exchange.failure.is_none() && exchange.status.is_some());
    let handshakes =
        evidence.handshakes.iter().filter(|handshake| handshake.address.ip() == address && handshake.failure.is_none());
    let all = || exchanges.clone().map(|one| (one.outcome, one.id)).chain(handshakes.clone().map(|one| (one.outcome, one.id)));
    let (bytes, works) = all().find_map(|(outcome, id)| Some((small_segments(outcome)?, id)))?;
    // A request that is answered now and then at its usual size is a server's, not the path's.
    if halted.is_empty() || all().any(|(outcome, id)| usual(outcome) && is_like(evidence, id, &halted)) {
        return None;
    }
    // Where much is lost, some come to a halt and others do not by chance: each does no more often than a packet is lost.
    let by_chance =
        |lost: &Share<'_>| mtu::likely(lost).powi(i32::try_from(halted.len()).unwrap_or(i32::MAX)) > 1.0 / ONE_CASE_IN;
    if loss::halts(evidence, address) && loss::share(evidence, address).as_ref().is_some_and(by_chance) {
        return None;
    }
    // An exchange over TLS has its handshake beside it.
    let handshake = evidence
        .handshakes
        .iter()
        .find(|handshake| handshake.address.ip() == address && handshake.failure.is_none() && !usual(handshake.outcome));
    let handshake = handshake.map(|handshake| handshake.id);
    let confidence = match (halted.len() > 1, loss::share(evidence, address).is_some()) {
        (_, true) => BY_TRACE,
        (true, false) => SMALL_WORKS_AGAIN,
        (false, false) => SMALL_WORKS,
    };
    let sentence = format!(
        "Large segments of connections with {} vanish without a word: what comes to a halt as usual works at once where no segment has more than {bytes} bytes of data. Other packets of that size may pass.",
        named(&evidence.host_at(address), address)
    );
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .resting_on(halted)
        .resting_on([works])
        .rejecting("path.mtu_lowered", "No router tells a limit.", [works])
        .rejecting("http.slow_server", "It answers at once over small segments.", [works])
        .rejecting("path.loss", "Over small segments nothing is missing.", [works])
        .rejecting("http.timeout", "What is asked over small segments is answered.", [works])
        .rejecting("tls.handshake_timeout", "Over small segments the same handshake completes.", handshake)
        .rejecting("tls.large_hello_blocked", "The same hello passes where small segments carry it.", handshake)
        .next(
            Who::Network,
            format!("Look for what drops large packets of TCP on the way to {address}: a tunnel or VPN that is too narrow, a firewall that filters \"packet too big\" messages (ICMP 3/4, ICMPv6 2) or reassembles segments. Until then clamp the MSS to {bytes}."),
        );
    Some(candidate)
}

/// The observation is of the same kind as one of those that came to a halt.
fn is_like(evidence: &Evidence<'_>, id: &ObservationId, halted: &[&ObservationId]) -> bool {
    let exchange = |id: &ObservationId| evidence.exchanges.iter().find(|exchange| exchange.id == id);
    match exchange(id) {
        Some(answered) => halted.iter().any(|id| exchange(id).is_some_and(|halted| halted.url == answered.url)),
        None => {
            let handshake = |id: &ObservationId| evidence.handshakes.iter().find(|handshake| handshake.id == id);
            halted.iter().any(|other| {
                handshake(id)
                    .zip(handshake(other))
                    .is_some_and(|(one, other)| one.address == other.address && one.server_name == other.server_name)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange, failure, mtu};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, MtuLimit};

    const URL: &str = "http://shop.example/";

    fn halted() -> Fact {
        exchange(URL, |exchange| {
            exchange.status = None;
            exchange.failure = Some(failure(FailureCode::TimedOut, Step::Receive));
        })
    }

    /// The page as usual, and once more over small segments.
    fn asked(usual: Fact, small: Fact) -> Scene {
        let mut scene = Scene::new(URL).check(Kind::Mtu, [mtu(MtuLimit::None, 1_500, None)]).check(Kind::Http, [usual]);
        scene = scene.check(Kind::Http, [small]);
        scene.outcomes_mut().last_mut().unwrap().parameters = serde_json::json!({"max_segment_bytes": 1_000});
        scene
    }

    #[test]
    fn a_page_that_comes_over_small_segments_alone_meets_a_filter_of_large_ones() {
        let finding = asked(halted(), exchange(URL, |_| {})).finds("path.mtu_blackhole");
        assert!(finding.sentence.contains("no segment has more than 1000 bytes") && finding.confidence < 0.9, "{finding:#?}");
        let again = asked(halted(), exchange(URL, |_| {})).check(Kind::Http, [halted()]);
        assert!(again.finds("path.mtu_blackhole").confidence >= 0.9);
    }

    #[test]
    fn a_page_that_halts_over_small_segments_too_is_the_servers() {
        let finding = asked(halted(), halted()).finds("http.timeout");
        assert!(finding.confidence >= 0.9 && finding.rejected.iter().any(|rejected| rejected.cause == "path.mtu_blackhole"));
    }

    #[test]
    fn where_half_of_all_is_lost_two_that_halt_are_chance() {
        let lossy = |lost| {
            let scene = asked(halted(), exchange(URL, |_| {})).check(Kind::Http, [halted()]);
            scene.check(Kind::Icmp, [crate::scene::echo_series("192.0.2.1", 60, lost, |_| {})])
        };
        assert!(!lossy(36).names("path.mtu_blackhole"));
        assert!(lossy(0).names("path.mtu_blackhole"));
    }

    #[test]
    fn a_page_that_comes_now_and_then_as_usual_is_no_filters() {
        let scene = asked(halted(), exchange(URL, |_| {})).check(Kind::Http, [exchange(URL, |_| {})]);
        assert!(!scene.names("path.mtu_blackhole"));
    }
}
