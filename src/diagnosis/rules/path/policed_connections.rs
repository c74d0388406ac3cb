//! A limit on how many connections begin in a second: those that begin in quick succession wait for an answer, and slow ones do not. A way
//! that loses packets takes no account of their pace.

use crate::candidate::Candidate;
use crate::evidence::{Endpoint, Evidence, Order, Paces};
use crate::rules::tcp::accept_queue_full;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;

/// A limit on the way, or a server that accepts too slowly: the pace alone does not tell these apart.
const BY_PACE: f64 = 0.7;
/// Each time that first packets were sent again about as many stood. Servers whose system counts those that are just beginning do the same.
const BY_NUMBER: f64 = 0.7;

pub(super) fn limited(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_endpoint = |endpoint: &Endpoint<'_>| limited_at(evidence, endpoint).or_else(|| by_number(evidence, endpoint));
    evidence.endpoints().iter().filter_map(of_endpoint).collect()
}

fn by_number(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let most = evidence.let_in_by_number(endpoint)?;
    let again = evidence.sent_again(endpoint.address.ip());
    if !endpoint.connected() || again.order_at_once() == Order::Mixed {
        return None;
    }
    let (address, port) = (endpoint.address.ip(), endpoint.address.port());
    let host = named(endpoint.host(), address);
    let uneven = endpoint.attempts.iter().filter(|attempt| attempt.connected_late() || attempt.silent());
    let ids: Vec<&ObservationId> = uneven.map(|attempt| attempt.id).collect();
    let sentence = format!(
        "Something lets only so many connections to {host} on port {port} begin in a second: each time that those which wait ask again, {most} of them stand or one less, and the others wait on. A server that accepts too slowly lets in all that ask while its queue has room; on some systems it looks the same."
    );
    let pings = evidence.lost_calmly(address);
    let clean = pings.of > 0 && pings.cases == 0;
    let candidate = Candidate::new(Severity::Degraded, BY_NUMBER, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .resting_on(ids.iter().copied())
        .rejecting("path.loss", "Loss would let fewer through each time that they ask.", ids.iter().copied())
        .rejecting("path.congestion", "It is first packets that get no answer, and in the order in which they are sent.", ids)
        .settled_by("the server's count of listen drops (`nstat TcpExtListenDrops`): where it does not grow, a firewall before it has the limit")
        .next(
            Who::Network,
            format!("Ask whoever runs the firewalls and load balancers before {host} for their limit on new connections in a second, and whoever writes the program to keep connections and reuse them."),
        );
    Some(if clean { candidate.resting_on(pings.ids) } else { candidate })
}

fn limited_at<'a>(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>) -> Option<Candidate> {
    let Paces { quick, slow } = Some(Paces::of(evidence, endpoint)).filter(Paces::show_limit)?;
    // Where pings show that the way loses nothing, it is told there, the limit beside the queue.
    if !endpoint.connected() || accept_queue_full::is_full(evidence, endpoint) {
        return None;
    }
    let (address, port) = (endpoint.address.ip(), endpoint.address.port());
    let host = named(endpoint.host(), address);
    let sentence = format!(
        "Something lets only so many connections to {host} on port {port} begin in a second: the first packet of {} of {} that began in quick succession got no answer, and of {} of {} that began slowly. Loss on the way takes no account of their pace. A server that accepts too slowly looks the same.",
        quick.cases, quick.of, slow.cases, slow.of
    );
    let candidate = Candidate::new(Severity::Degraded, BY_PACE, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .resting_on(quick.ids.iter().copied())
        .resting_on(slow.ids.iter().copied())
        .rejecting("path.loss", "Connections that began slowly had their first packets answered.", slow.ids.iter().copied())
        .rejecting("path.congestion", "Connections that began slowly had their first packets answered.", slow.ids)
        .settled_by("the server's count of listen drops (`nstat TcpExtListenDrops`): where it does not grow, a firewall before it has the limit")
        .next(
            Who::Network,
            format!("Ask whoever runs the firewalls and load balancers before {host} for their limit on new connections in a second, and whoever writes the program to keep connections and reuse them."),
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::follow_up::follow_ups;
    use crate::scene::{Scene, connected, connected_late, echo_series, paced};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;
    use serde_json::json;

    const AT: &str = "192.0.2.1:443";

    /// Connections of one check that began so many milliseconds apart: `+` at once, `l` late.
    fn begun(scene: Scene, spread_ms: u64, marks: &str) -> Scene {
        let facts: Vec<Fact> = marks.chars().map(|mark| if mark == '+' { connected(AT) } else { connected_late(AT) }).collect();
        let mut scene = scene.check(Kind::Tcp, facts);
        scene.outcomes_mut().last_mut().unwrap().parameters =
            json!({"concurrent": marks.len(), "attempts": marks.len(), "spread_ms": spread_ms});
        scene
    }

    /// Half of the pings are lost, and half of the connections that begin in quick succession are late.
    fn quick() -> Scene {
        let scene = paced(Scene::new("shop.example").check(Kind::Icmp, [echo_series("192.0.2.1", 40, 20, |_| {})]), 50);
        begun(begun(scene, 0, "+++lll"), 60, "+ll+ll+ll+ll+ll+ll+l")
    }

    #[test]
    fn connections_that_begin_slowly_and_all_stand_show_a_limit_beside_one_on_pings() {
        let diagnosis = begun(quick(), 400, "++++++++++++").diagnose();
        let finding = diagnosis.findings.iter().find(|finding| finding.cause == "path.policed").unwrap();
        assert!(finding.sentence.contains("16 of 26") && finding.sentence.contains("0 of 12"), "{}", finding.sentence);
        assert!(diagnosis.findings.iter().all(|finding| finding.cause != "path.loss"), "{diagnosis:#?}");
    }

    /// Connections that began at the same moment: each mark tells how often the first packet was sent again, `-` that none was answered.
    fn at_once(scene: Scene, marks: &str) -> Scene {
        let fact = |mark: char| match mark.to_digit(10) {
            None => crate::scene::silent(AT),
            Some(again) => {
                let Fact::Connect(mut connect) = connected(AT) else { unreachable!("a connection is one") };
                (connect.syn_retransmits, connect.took_us) = (Some(again), 20_000 + u64::from(again) * 1_000_000);
                Fact::Connect(connect)
            }
        };
        scene.check(Kind::Tcp, marks.chars().map(fact).collect::<Vec<_>>())
    }

    #[test]
    fn as_many_as_the_time_before_whenever_they_ask_again_are_let_in_by_number() {
        let pinged = || Scene::new("shop.example").check(Kind::Icmp, [echo_series("192.0.2.1", 60, 0, |_| {})]);
        let finding = at_once(at_once(pinged(), "011223"), "112233----------").finds("path.policed");
        assert!(finding.sentence.contains("2 of them stand or one less") && finding.confidence < 0.9, "{finding:#?}");
        // Those that begin one after the other are late now and then, whatever lets only so many in.
        let mut scene = at_once(at_once(at_once(pinged(), "001122"), "112233----------"), "01010");
        scene.outcomes_mut().last_mut().unwrap().parameters = json!({"concurrent": 1, "spread_ms": 0});
        scene.finds("path.policed");
        at_once(at_once(pinged(), "001111"), "1111111111111111").finds("tcp.accept_queue_full");
        assert!(!at_once(pinged(), "0000000011112223").names("path.policed"), "chance lets fewer through each time");
    }

    #[test]
    fn slow_connections_that_wait_as_often_are_lost_on_the_way() {
        let scene = begun(quick(), 400, "+l++l+l++l+l");
        assert!(!scene.names("path.policed") && scene.names("path.loss"));
    }

    #[test]
    fn slow_connections_are_asked_for_where_many_quick_ones_wait() {
        let asks = |scene: &Scene| {
            let asked = follow_ups(scene.outcomes(), &scene.environment(), &scene.diagnose());
            asked.iter().any(|ask| ask.params.to_value()["spread_ms"].as_u64().is_some_and(|spread_ms| spread_ms >= 300))
        };
        assert!(asks(&quick()));
        assert!(!asks(&begun(quick(), 400, "++++++++++++")), "they were made");
        assert!(!asks(&begun(Scene::new("shop.example"), 0, "+++++l")), "one late connection is chance");
    }
}
