use super::refused_in_sweep;
use crate::candidate::Candidate;
use crate::evidence::{Attempt, Endpoint, Evidence};
use crate::rule::Rule;
use crate::rules::tcp::rejected_by_middlebox::{Origin, nobody_before, origin, resets};
use crate::spot::Spot;
use crate::threshold::{RTT_NOISE_US, TOO_EARLY_FOR_TARGET};
use crate::wording::{duration, named};
use netsonde_contract::finding::{Place, Severity, Who};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some(
        "capturing the reset and comparing its TTL with that of the target's other replies, which needs raw sockets",
    ),
    // Without the reset's TTL only its timing tells the target from a box on the way.
    unprivileged_cap: 0.85,
    ..Rule::new("tcp.refused", &["tcp.rejected_by_middlebox", "host.firewall_local", "tcp.filtered"], evaluate)
};

/// A reset answered the SYN, from as far away as the target's other replies, and SYNs that do not reach it are not answered.
const FROM_TARGET: f64 = 0.95;
/// Its TTL says that it comes from so far away, and whoever sent it may have written what the target would.
const BY_TTL: f64 = 0.88;
/// A reset answered the SYN, and its own distance is not known.
const CONFIDENCE: f64 = 0.85;
/// No round trip is known to compare the refusal's time with.
const WITHOUT_RTT: f64 = 0.8;
/// The refusal came earlier than the target could have sent it.
const TOO_EARLY: f64 = 0.5;
/// The reset passed no router, though the own route leads over one: the gateway may have sent it; or it leaves the TTL as it is, as routers
/// of clouds and containers do.
const FROM_THE_LINK: f64 = 0.5;
/// Some attempts met silence, so that two things may be going on.
const MIXED: f64 = 0.7;

const BEFORE_THE_TARGET: &str = "SYNs to the port that do not reach as far as the target (`netsonde probe traceroute --protocol tcp`): who answers them is on the way";

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = evidence.endpoints().iter().filter_map(|endpoint| refused(evidence, endpoint)).collect();
    candidates.extend(refused_in_sweep::refused(evidence));
    candidates
}

fn refused<'a>(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>) -> Option<Candidate> {
    let refusals: Vec<&Attempt<'_>> = endpoint.attempts.iter().filter(|attempt| attempt.refused_by_reset()).collect();
    let fastest = refusals.iter().min_by_key(|attempt| attempt.took_us)?;
    if endpoint.connected() {
        return None;
    }
    let address = endpoint.address.ip();
    let (severity, elsewhere) = match evidence.connected_elsewhere(endpoint) {
        // A server on one of the two loopback addresses is how most of them are set up.
        Some(_) if address.is_loopback() => return None,
        Some(other) => (Severity::Degraded, Some(other)),
        None => (Severity::Problem, None),
    };
    let (named, port) = (named(endpoint.host(), address), endpoint.address.port());
    let sentence = match elsewhere {
        None => format!(
            "{named} refuses connections on port {port}: the machine answers, but nothing accepts connections on that port."
        ),
        Some(other) => format!(
            "{named} refuses connections on port {port}, while {} accepts them: programs that try this address first fail or lose time.",
            other.address.ip()
        ),
    };
    let place = Place { address: Some(address), port: Some(port), ..Place::default() };
    let mut candidate = Candidate::new(severity, CONFIDENCE, sentence)
        .at(place)
        .about(Spot::Endpoint(endpoint.address))
        .stopping()
        .resting_on(endpoint.ids())
        .rejecting("tcp.filtered", "A refusal came back; a filter that drops packets would stay silent.", [fastest.id])
        .next(
            Who::Server,
            format!("Start the service on port {port} of {named}, or correct the port that the application uses."),
        );
    candidate = candidate.rejecting(
        "host.firewall_local",
        "This machine's own packet filter was read, and has no rule that rejects.",
        evidence.own_filter_rejects_nothing(),
    );
    candidate = judge_origin(evidence, endpoint, fastest, candidate);
    if refusals.len() < endpoint.attempts.len() {
        candidate.confidence = candidate.confidence.min(MIXED);
    }
    Some(candidate)
}

/// The target itself, or a box on the way? Its own refusal takes the path's round trip.
fn judge_origin<'a>(
    evidence: &Evidence<'a>,
    endpoint: &Endpoint<'a>,
    fastest: &Attempt<'_>,
    mut candidate: Candidate,
) -> Candidate {
    let address = endpoint.address.ip();
    if address.is_loopback() {
        if evidence.own_filter_rejects_nothing().is_some() {
            candidate.confidence = FROM_TARGET;
        }
        return candidate.rejecting(
            "tcp.rejected_by_middlebox",
            "The address is this machine itself: nothing lies between.",
            [fastest.id],
        );
    }
    if resets(endpoint).next().is_some() {
        candidate = candidate.settled_by(
            "another reply of the target, to compare the reset's TTL with: `netsonde probe icmp`, or a port of it that is open",
        );
    } else if evidence.environment.raw_sockets {
        // The right is there; what the run did was something else than connecting to the port for its own sake.
        candidate = candidate.settled_by("a tcp check of this very port, which records how many routers its reset passed");
    }
    if resets(endpoint).next().is_none() && evidence.environment.raw_sockets {
        candidate =
            candidate.settled_by("the reset's TTL beside that of the target's other replies: `netsonde probe tcp` reads it here");
    }
    let origin = origin(evidence, endpoint);
    if let Origin::Target(id) = origin {
        let nobody_before = nobody_before(evidence, endpoint);
        candidate.confidence = if nobody_before.is_some() { FROM_TARGET } else { BY_TTL };
        return candidate.resting_on([id]).resting_on(nobody_before).settled_by(BEFORE_THE_TARGET).rejecting(
            "tcp.rejected_by_middlebox",
            "The reset came from as many routers away as the target's other replies (by its TTL).",
            [fastest.id, id],
        );
    }
    if let Origin::OnTheLink { gateway, shown_by } = origin {
        candidate.confidence = FROM_THE_LINK;
        candidate.sentence.push_str(&format!(
            " The refusal passed no router on its way here, though this machine reaches the address over {gateway}, which may have sent it."
        ));
        return candidate.resting_on([shown_by]);
    }
    match evidence.path_rtt(address) {
        Some((rtt_us, id)) if rtt_us >= RTT_NOISE_US && (fastest.took_us as f64) < rtt_us as f64 * TOO_EARLY_FOR_TARGET => {
            candidate.confidence = TOO_EARLY;
            candidate = candidate.resting_on([id]);
        }
        Some((rtt_us, id)) if rtt_us >= RTT_NOISE_US => {
            let reason = format!(
                "The refusal took {}, and the shortest round trip to the target {}: it came from as far away as the target.",
                duration(fastest.took_us),
                duration(rtt_us)
            );
            candidate = candidate.rejecting("tcp.rejected_by_middlebox", reason, [fastest.id, id]);
        }
        _ => candidate.confidence = WITHOUT_RTT,
    }
    candidate
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answered_with, connected, echo, refused, silent, trace, with_ttl};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;

    #[test]
    fn a_closed_port_that_answers_after_the_paths_round_trip_is_refused_by_the_target() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [refused("192.0.2.1:443", 20_500)]);
        let finding = scene.check(Kind::Icmp, [echo("192.0.2.1", &[20_000, 21_000])]).finds("tcp.refused");
        assert_eq!((finding.place.port, finding.confidence), (Some(443), 0.85));
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "tcp.rejected_by_middlebox"));
    }

    #[test]
    fn one_of_two_refusals_that_is_faster_than_the_path_leaves_the_box_on_the_way_possible() {
        let facts = [refused("192.0.2.1:443", 4_000), refused("192.0.2.1:443", 20_500)];
        let scene = Scene::new("shop.example").check(Kind::Tcp, facts);
        let finding = scene.check(Kind::Icmp, [echo("192.0.2.1", &[20_000])]).finds("tcp.refused");
        assert_eq!(finding.confidence, 0.5);
        assert!(finding.settled_by.is_some());
        assert!(finding.rejected.iter().all(|rejected| rejected.cause != "tcp.rejected_by_middlebox"));
    }

    #[test]
    fn a_reset_with_the_ttl_of_the_targets_other_replies_is_the_targets_for_sure() {
        let mut scene = Scene::new("shop.example").check(Kind::Tcp, [answered_with(refused("192.0.2.1:443", 900), 57)]);
        scene.be_privileged();
        let finding = scene.check(Kind::Icmp, [with_ttl(echo("192.0.2.1", &[800]), 57)]).finds("tcp.refused");
        assert!(finding.confidence > 0.85);
    }

    #[test]
    fn a_reset_that_was_read_and_has_nothing_to_compare_with_asks_for_no_right() {
        let mut scene = Scene::new("shop.example").check(Kind::Tcp, [answered_with(refused("192.0.2.1:443", 900), 57)]);
        scene.be_privileged();
        let settled_by = scene.finds("tcp.refused").settled_by.unwrap();
        assert!(settled_by.contains("compare the reset's TTL") && !settled_by.contains("raw sockets"), "{settled_by}");
    }

    #[test]
    fn a_reset_that_passed_no_router_on_a_way_that_has_one_may_be_the_gateways() {
        let from = |ttl: u8, gateway: Option<&str>| {
            let mut fact = answered_with(refused("192.0.2.1:443", 900), ttl);
            if let netsonde_contract::observation::Fact::Connect(connect) = &mut fact {
                connect.gateway = gateway.map(|gateway| gateway.parse().unwrap());
            }
            let mut scene = Scene::new("shop.example").check(Kind::Tcp, [fact]);
            scene.be_privileged();
            scene.finds("tcp.refused")
        };
        for ttl in [64, 128, 255] {
            let finding = from(ttl, Some("10.0.0.1"));
            assert!(finding.confidence <= 0.5 && finding.sentence.contains("10.0.0.1, which may have sent it"), "{finding:?}");
            assert!(finding.rejected.iter().all(|rejected| rejected.cause != "tcp.rejected_by_middlebox"));
        }
        assert!(from(63, Some("10.0.0.1")).confidence >= 0.8 && from(64, None).confidence >= 0.8);
    }

    #[test]
    fn the_reset_that_a_handshake_met_is_read_as_one_of_a_connection_is() {
        let fact = crate::scene::handshake(|handshake| {
            (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
            handshake.failure = Some(crate::scene::failure(FailureCode::Refused, Step::Connect));
            handshake.attempts = vec![serde_json::from_value(serde_json::json!({
                "address": handshake.address, "began_us": 0, "took_us": 900, "reset": {"ttl": 64, "at_us": 900}, "gateway": "10.0.0.1",
                "failure": handshake.failure,
            })).unwrap()];
        });
        let mut scene = Scene::new("https://shop.example").check(Kind::Tls, [fact]);
        scene.be_privileged();
        let finding = scene.finds("tcp.refused");
        assert!(finding.confidence <= 0.5 && !finding.settled_by.clone().unwrap().contains("raw sockets"), "{finding:?}");
    }

    #[test]
    fn a_request_whose_first_address_refused_is_felt_though_it_works() {
        let fact = crate::scene::exchange("http://shop.example/", |exchange| {
            exchange.attempts = vec![
                serde_json::from_value(serde_json::json!({
                    "address": "[2001:db8::1]:443", "began_us": 0, "took_us": 900,
                    "failure": crate::scene::failure(FailureCode::Refused, Step::Connect),
                }))
                .unwrap(),
            ];
        });
        let finding = Scene::new("http://shop.example/").check(Kind::Http, [fact]).finds("tcp.refused");
        assert_eq!((finding.severity, finding.place.address), (Severity::Degraded, Some("2001:db8::1".parse().unwrap())));
    }

    #[test]
    fn loopback_without_the_right_to_ping_is_refused_all_the_same() {
        let scene = Scene::new("https://127.0.0.1:1").check(Kind::Tcp, [refused("127.0.0.1:1", 60), refused("127.0.0.1:1", 50)]);
        let scene = scene.ended(Kind::Icmp, netsonde_contract::outcome::Status::NotMeasured, []);
        let finding = scene.check(Kind::Traceroute, trace("127.0.0.1", &["127.0.0.1"])).finds("tcp.refused");
        assert!(finding.sentence.contains("port 1"), "{}", finding.sentence);
    }

    #[test]
    fn this_machine_itself_is_refused_for_sure_where_its_own_filter_rejects_nothing() {
        let mut scene = Scene::new("127.0.0.1:1").check(Kind::Tcp, [answered_with(refused("127.0.0.1:1", 60), 64)]);
        scene.be_privileged();
        assert_eq!(scene.finds("tcp.refused").confidence, 0.85);
        let nothing = netsonde_contract::observation::Fact::Firewall(netsonde_contract::observation::Firewall::default());
        let finding = scene.check(Kind::Host, [nothing]).finds("tcp.refused");
        assert_eq!((finding.confidence, finding.settled_by), (0.95, None));
    }

    #[test]
    fn one_of_two_addresses_that_refuses_is_felt_but_works() {
        let finding =
            Scene::new("shop.example").check(Kind::Tcp, [refused("[2001:db8::1]:443", 20_000), connected("192.0.2.1:443")]);
        assert_eq!(finding.finds("tcp.refused").severity, Severity::Degraded);
    }

    #[test]
    fn two_addresses_that_refuse_are_one_finding() {
        let scene =
            Scene::new("shop.example").check(Kind::Tcp, [refused("192.0.2.1:443", 20_000), refused("192.0.2.2:443", 20_000)]);
        let finding = scene.finds("tcp.refused");
        assert_eq!(finding.evidence.len(), 2);
        assert!(finding.sentence.ends_with("The same holds for 192.0.2.2."), "{}", finding.sentence);
    }

    #[test]
    fn a_server_on_one_loopback_address_only_is_no_fault() {
        let scene = Scene::new("localhost").check(Kind::Tcp, [refused("[::1]:443", 50), connected("127.0.0.1:443")]);
        assert!(scene.is_healthy().is_empty());
    }

    #[test]
    fn a_refusal_that_only_a_request_met_is_one_as_well() {
        let fact = crate::scene::exchange("http://127.0.0.1:1/", |exchange| {
            (exchange.address, exchange.status) = (Some("127.0.0.1:1".parse().unwrap()), None);
            exchange.failure = Some(crate::scene::failure(FailureCode::Refused, Step::Connect));
        });
        assert_eq!(Scene::new("http://127.0.0.1:1/").check(Kind::Http, [fact]).finds("tcp.refused").confidence, 0.85);
        let scene = Scene::new("http://192.0.2.1/")
            .check(Kind::Load, [crate::scene::unloaded("http://192.0.2.1/", FailureCode::Refused)]);
        scene.finds("tcp.refused");
    }

    #[test]
    fn silence_is_no_refusal() {
        Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443")]).is_unexplained();
    }
}
