use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
use crate::rules::path::routing_loop::goes_round;
use crate::spot::Spot;
use crate::wording::{list, named};
use netsonde_contract::finding::{Place, Who};
use netsonde_contract::id::ObservationId;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some(
        "tracing to other addresses behind the last router that answered: if they answer, the target alone is silent",
    ),
    ..Rule::new("path.target_silent", &["tcp.filtered", "path.blackhole", "path.routing_loop"], evaluate)
};

/// TCP, ping and traceroute are all silent on this machine's own network, where no way back is another one: off, shut off or gone.
const ALL_TRIED: f64 = 0.8;
/// The same behind a router that answers. What it passes on may arrive, and the answers take another way back.
const BEHIND_A_ROUTER: f64 = 0.65;
/// No TCP port was tried, and many machines answer nothing else.
const WITHOUT_TCP: f64 = 0.5;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.addresses().into_iter().filter_map(|address| towards(evidence, address)).collect()
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    if address.is_unspecified()
        || !evidence.is_silent(address)
        || !evidence.silence_matters(address)
        || goes_round(evidence, address)
    {
        return None;
    }
    let router = evidence.last_router(address);
    // Somebody before the target has to answer, or the trouble may be anywhere: a router, or this machine's own link.
    let on_link = evidence.route_of(address).filter(|_| evidence.on_link(address) == Some(true) && !address.is_loopback());
    if router.is_none() && on_link.is_none() {
        return None;
    }
    let host = named(&evidence.host_at(address), address);
    let mut sentence = format!("Nothing answers at {host}: {}.", tried(evidence, address));
    let action = match router {
        Some((hop, router, _)) => {
            sentence.push_str(&format!(
                " The last router that answers on the way is {router} (hop {hop}). Whether packets do not arrive, or its answers are lost on the way back, cannot be told from here."
            ));
            format!(
                "Check that {host} is switched on and has a route back to this machine, and which firewall stands between it and {router} (hop {hop})."
            )
        }
        None => format!("Check that {host}, which is on this machine's own network, is switched on, and look at its firewall."),
    };
    // Whoever gives a machine up often forgets its name: the record then leads to nobody.
    let by_name = evidence.host_at(address).parse::<IpAddr>().is_err();
    let stale = if by_name {
        format!(" Check too that {address} is still its address: the name's record may be older than the machine.")
    } else {
        String::new()
    };
    let action = action + &stale;
    let others: Vec<&ObservationId> =
        evidence.echoes_of(address).map(|echo| echo.id).chain(evidence.traces_of(address).map(|trace| trace.id)).collect();
    let confidence = match (evidence.tried_tcp(address), router.is_some()) {
        (false, _) => WITHOUT_TCP,
        (true, true) => BEHIND_A_ROUTER,
        (true, false) => ALL_TRIED,
    };
    let mut candidate = Candidate::new(evidence.severity_at(address), confidence, sentence)
        .at(Place { hop: router.map(|(hop, _, _)| hop), address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .stopping()
        .resting_on(evidence.sent_to(address))
        .resting_on(router.map(|(_, _, id)| id))
        .resting_on(on_link.map(|route| route.id))
        .next(Who::Server, action);
    if evidence.tried_tcp(address) {
        candidate = candidate.rejecting("tcp.filtered", "No other port or protocol of the address answers either.", others);
    } else {
        candidate = candidate.settled_by("trying a TCP port of the target: give it as host:port");
    }
    let hops: Vec<&ObservationId> = evidence.hops_of(address).iter().map(|hop| hop.id).collect();
    Some(candidate.rejecting("path.routing_loop", "The routers on the way do not repeat.", hops))
}

/// `connections to port 443, ping and traceroute stay without an answer`.
fn tried(evidence: &Evidence<'_>, address: IpAddr) -> String {
    let mut ports: Vec<u16> = Vec::new();
    for attempt in evidence.attempts().iter().filter(|attempt| attempt.address.ip() == address) {
        if !ports.contains(&attempt.address.port()) {
            ports.push(attempt.address.port());
        }
    }
    // What a box on the way refuses has an answer, though none of the target.
    let swept = evidence.port_sweeps.iter().filter(|sweep| sweep.address == address).flat_map(|sweep| &sweep.fact.ports);
    for state in swept.filter(|state| state.reset.is_none()) {
        if !ports.contains(&state.port) {
            ports.push(state.port);
        }
    }
    let mut tried = Vec::new();
    if !ports.is_empty() {
        tried.push(format!("connections to port {}", list(&ports)));
    }
    let over_udp = evidence.silent_udp_ports(address);
    if !over_udp.is_empty() {
        tried.push(format!("questions to UDP port {}", list(&over_udp)));
    }
    if evidence.echoes_of(address).any(|echo| echo.fact.failure.is_none()) {
        tried.push("ping".to_owned());
    }
    if evidence.traces_of(address).next().is_some() {
        tried.push("traceroute".to_owned());
    }
    // "Ping" and "traceroute" stand for one thing each, "connections" for several.
    let stays = if tried.len() == 1 && ports.is_empty() && over_udp.is_empty() { "stays" } else { "stay" };
    format!("{} {stays} without an answer", list(&tried))
}

#[cfg(test)]
mod tests {
    use crate::scene::{
        Scene, answer, beside, connected, echo, failure, icmp, other_message, rcode, route, silent, system, time_offset,
        time_refused, trace, with_lookup, with_reply,
    };
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Purpose};
    use netsonde_contract::outcome::Status;

    const STOPS: [&str; 6] = ["10.0.1.1", "10.0.2.1", "10.0.3.1", "*", "*", "*"];

    #[test]
    fn a_target_of_which_nothing_answers_is_told_with_the_last_router() {
        let scene =
            Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443")]).check(Kind::Icmp, [echo("192.0.2.1", &[])]);
        let finding = scene.check(Kind::Traceroute, trace("192.0.2.1", &STOPS)).finds("path.target_silent");
        assert_eq!(finding.place.hop, Some(3));
        assert!(finding.sentence.contains("connections to port 443, ping and traceroute"), "{}", finding.sentence);
        assert!(finding.confidence <= 0.65 && finding.sentence.contains("on the way back"), "{}", finding.sentence);
    }

    #[test]
    fn a_service_over_udp_that_stays_silent_with_all_else_is_told_as_connections_are() {
        let asked = |answers: bool| {
            let silence = failure(FailureCode::TimedOut, Step::Receive);
            let mut fact = if answers { time_offset("192.0.2.1:123", 0) } else { time_refused("192.0.2.1:123", silence) };
            if let Fact::TimeOffset(offset) = &mut fact {
                offset.host = "shop.example".into();
            }
            let scene = Scene::new("shop.example").check(Kind::Ntp, [fact]).check(Kind::Icmp, [echo("192.0.2.1", &[])]);
            scene.check(Kind::Traceroute, trace("192.0.2.1", &STOPS))
        };
        let finding = asked(false).finds("path.target_silent");
        assert_eq!((finding.confidence, finding.severity, finding.place.hop), (0.5, Severity::Problem, Some(3)));
        assert!(finding.sentence.contains("questions to UDP port 123, ping and traceroute stay"), "{}", finding.sentence);
        assert!(asked(true).diagnose().findings.iter().all(|finding| finding.severity == Severity::Notice));
    }

    /// A time server that stays silent with all else, and what a name server at the same address is seen to reply.
    fn silent_beside_names(reply: Fact) -> Scene {
        let mut fact = time_refused("192.0.2.1:123", failure(FailureCode::TimedOut, Step::Receive));
        if let Fact::TimeOffset(offset) = &mut fact {
            offset.host = "shop.example".into();
        }
        let names = [system("shop.example", &["192.0.2.1"]), reply];
        let scene = Scene::new("shop.example").check(Kind::Dns, names).check(Kind::Ntp, [fact]);
        scene.check(Kind::Icmp, [echo("192.0.2.1", &[])]).check(Kind::Traceroute, trace("192.0.2.1", &STOPS))
    }

    /// What the name server said, come with this TTL.
    fn replied(address: &str, ttl: u8) -> Fact {
        with_reply(answer(address, "shop.example", &["192.0.2.1"]), |reply| reply.ip_ttl = Some(ttl))
    }

    #[test]
    fn a_machine_that_answers_as_a_name_server_is_not_silent() {
        for reply in [replied("192.0.2.1", 61), answer("192.0.2.1", "shop.example", &["192.0.2.1"])] {
            assert!(!silent_beside_names(reply).is_unexplained().unexplained.is_empty());
        }
        silent_beside_names(replied("192.0.2.53", 61)).finds("path.target_silent");
    }

    #[test]
    fn what_somebody_on_the_way_says_in_a_name_servers_place_is_no_sign_of_it() {
        // Three routers are on the way, and it came over two.
        silent_beside_names(replied("192.0.2.1", 62)).finds("path.target_silent");
        let twice = with_lookup(replied("192.0.2.1", 61), |lookup| lookup.others.push(other_message(true, None, "")));
        assert!(silent_beside_names(twice).names("path.target_silent"));
        let denied = rcode("192.0.2.1", "shop.example", "A", 3, &[]);
        assert!(silent_beside_names(denied).names("path.target_silent"));
        let unserved = beside(answer("198.51.100.1", "shop.example", &["192.0.2.1"]), Purpose::Unserved);
        assert!(silent_beside_names(replied("192.0.2.1", 61)).check(Kind::Dns, [unserved]).names("path.target_silent"));
    }

    #[test]
    fn a_question_over_udp_that_somebody_turned_away_was_not_met_by_silence() {
        let mut scene = silent_beside_names(replied("192.0.2.53", 61));
        let Fact::TimeOffset(offset) = &mut scene.outcomes_mut()[1].observations[0].fact else { unreachable!() };
        offset.failure = Some(failure(FailureCode::HostUnreachable, Step::Receive).with_icmp(icmp("10.0.3.1", 3, 13)));
        assert!(!scene.names("path.target_silent") && scene.names("path.admin_prohibited"));
    }

    /// A trace that was to look at so many distances.
    fn limited(hops: &[&str], max_ttl: u8) -> Vec<Fact> {
        let mut facts = trace("192.0.2.1", hops);
        for fact in &mut facts {
            if let Fact::Trace(trace) = fact {
                trace.max_ttl = max_ttl;
            }
        }
        facts
    }

    #[test]
    fn a_trace_that_was_to_stop_before_the_target_says_nothing_of_it() {
        let scene = Scene::new("shop.example").check(Kind::Traceroute, limited(&STOPS[..2], 2)).required();
        let diagnosis = scene.diagnose();
        assert_eq!((diagnosis.findings.len(), diagnosis.unexplained.len()), (0, 0), "{diagnosis:#?}");
        assert!(diagnosis.not_measured[0].why.contains("looked at 2 hops only"), "{diagnosis:#?}");
        assert!(diagnosis.not_measured[0].grant.as_deref().unwrap().contains("--max-ttl"));
        let tried = scene.check(Kind::Tcp, [silent("192.0.2.1:443")]).finds("path.target_silent");
        assert!(!tried.sentence.contains("traceroute"), "{}", tried.sentence);
    }

    #[test]
    fn long_silence_within_a_limit_is_the_targets() {
        let scene = Scene::new("shop.example").check(Kind::Traceroute, limited(&STOPS, 20)).required();
        scene.finds("path.target_silent");
    }

    #[test]
    fn a_trace_whose_time_was_over_says_nothing_of_the_target() {
        let scene = Scene::new("shop.example").ended(Kind::Traceroute, Status::TimedOut, trace("192.0.2.1", &STOPS)).required();
        let diagnosis = scene.diagnose();
        assert!(diagnosis.findings.is_empty() && diagnosis.unexplained.is_empty(), "{diagnosis:#?}");
        assert!(diagnosis.not_measured[0].grant.as_deref().unwrap().contains("--budget"));
    }

    #[test]
    fn on_the_own_link_no_router_has_to_answer() {
        let scene = Scene::new("shop.example").check(Kind::Host, [route("192.0.2.1", None)]);
        scene.check(Kind::Tcp, [silent("192.0.2.1:443")]).check(Kind::Icmp, [echo("192.0.2.1", &[])]).finds("path.target_silent");
    }

    #[test]
    fn without_any_router_that_answers_the_place_is_unknown() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443")]);
        let diagnosis = scene.check(Kind::Traceroute, trace("192.0.2.1", &["*", "*", "*"])).is_unexplained();
        assert!(diagnosis.findings.is_empty());
    }

    #[test]
    fn a_trace_that_does_not_arrive_is_no_fault_where_tcp_works() {
        let scene =
            Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]).check(Kind::Icmp, [echo("192.0.2.1", &[])]);
        assert_eq!(scene.check(Kind::Traceroute, trace("192.0.2.1", &STOPS)).is_healthy(), ["path.icmp_unsupported"]);
    }

    #[test]
    fn one_silent_address_of_two_is_felt_but_works() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443"), connected("192.0.2.2:443")]);
        let scene = scene.check(Kind::Traceroute, trace("192.0.2.1", &STOPS));
        assert_eq!(scene.finds("path.target_silent").severity, Severity::Degraded);
    }

    #[test]
    fn a_path_that_was_looked_at_without_a_port_stays_at_half_confidence() {
        let scene = Scene::new("shop.example").check(Kind::Traceroute, trace("192.0.2.1", &STOPS)).required();
        let finding = scene.check(Kind::Icmp, [echo("192.0.2.1", &[])]).finds("path.target_silent");
        assert_eq!(finding.confidence, 0.5);
        assert!(finding.settled_by.unwrap().contains("TCP port"));
    }

    #[test]
    fn a_ping_without_an_answer_alone_is_no_fault() {
        let scene = Scene::new("shop.example").check(Kind::Host, [route("192.0.2.1", None)]);
        let diagnosis = scene.check(Kind::Icmp, [echo("192.0.2.1", &[])]).diagnose();
        assert_eq!((diagnosis.findings.len(), diagnosis.unexplained.len()), (0, 1));
        assert!(!diagnosis.unexplained[0].required);
    }
}
