use crate::candidate::Candidate;
use crate::evidence::{Endpoint, Evidence, Router, Seen, replies};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::{list, named};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Hop, ReplyKind};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a trace with TCP packets to the port, which shows the last router that lets them pass, and more attempts"),
    ..Rule::new("tcp.filtered", &["path.blackhole", "tcp.accept_queue_full", "tcp.refused", "host.firewall_local"], evaluate)
};

/// The port's SYNs vanish between two routers of which both answer to other packets.
const BETWEEN_ROUTERS: f64 = 0.93;
/// Not even the first router hears of them, though they were seen to leave this machine.
const BEFORE_FIRST_ROUTER: f64 = 0.9;
/// The address answers otherwise, and how far the SYNs get was not looked at. They were seen to leave this machine.
const LEAVES: f64 = 0.88;
/// Every one of several attempts is silent; this machine itself may drop them.
const SEVERAL_ATTEMPTS: f64 = 0.85;
/// Nothing but refusals shows that the address answers, and a box on the way may send those in the place of a target that is gone.
const BY_REFUSALS: f64 = 0.6;
/// One attempt: its SYNs may have been lost, or met a full queue.
const ONE_ATTEMPT: f64 = 0.8;
/// They get as far as anything gets short of the target: its own firewall, or a server that accepts nobody any more.
const AT_THE_TARGET: f64 = 0.7;
/// No router hears of them, and whether they leave this machine was not seen.
const UNHEARD: f64 = 0.7;

/// What is left to ask where a trace with SYNs was made.
const AT_THE_PORT: &str =
    "a capture at the target (`tcpdump -n tcp port PORT`): whether SYNs arrive, and whether anything is answered";
const LEAVING: &str = "a capture on this machine's own interface, or its packet filter: whether the SYNs leave";

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.endpoints().iter().filter_map(|endpoint| filtered(evidence, endpoint)).collect()
}

/// How far the SYNs to the port get.
#[derive(Clone, Copy, Debug)]
enum Reach<'a> {
    /// No trace with SYNs was made.
    Untraced,
    /// Routers answer to other packets, the nearest of them this one, and none to these.
    Unheard { trace: &'a ObservationId, nearest: &'a ObservationId },
    /// To this router, behind which other packets get further, as the second observation shows.
    Stalls { at: Router<'a>, further: &'a ObservationId },
    /// As far as any packet is seen to get short of the target, where there are routers at all.
    AtTheTarget { trace: &'a ObservationId, last: Option<Router<'a>> },
    /// One was answered.
    Through,
}

impl<'a> Reach<'a> {
    fn of(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>) -> Self {
        let address = endpoint.address.ip();
        let Some(syns) = evidence.syn_trace(endpoint.address) else { return Self::Untraced };
        if syns.arrived.is_some() {
            return Self::Through;
        }
        let reached = syns.last.map_or(0, |router| router.hop);
        // Routers alone count: one before the target that answers nobody may have passed on what the target was silent to.
        let is_router = |hop: &&Seen<'a, Hop>| replies(hop.fact).any(|reply| reply.kind != ReplyKind::Arrived);
        let further = evidence.plain_hops(address).filter(is_router).filter(|hop| hop.ttl > reached).min_by_key(|hop| hop.ttl);
        match (syns.last, further) {
            (Some(at), Some(further)) => Self::Stalls { at, further: further.id },
            (None, Some(nearest)) => Self::Unheard { trace: syns.id, nearest: nearest.id },
            (last, None) => Self::AtTheTarget { trace: syns.id, last },
        }
    }
}

fn filtered<'a>(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>) -> Option<Candidate> {
    let address = endpoint.address.ip();
    let answers = evidence.answered(address);
    let reach = Reach::of(evidence, endpoint);
    if !endpoint.silent() || answers.is_empty() || matches!(reach, Reach::Through) {
        return None;
    }
    let elsewhere = evidence.connected_elsewhere(endpoint);
    let severity = if elsewhere.is_some() { Severity::Degraded } else { Severity::Problem };
    let (host, port) = (named(endpoint.host(), address), endpoint.address.port());
    let ids: Vec<&ObservationId> = endpoint.ids().collect();
    let others = others(evidence, endpoint);
    let sentence = match reach {
        Reach::AtTheTarget { .. } => {
            format!("Connections to {host} on port {port} stay without any answer, while the same address answers to {others}.")
        }
        _ => format!(
            "A filter drops connections to {host} on port {port}: they stay without any answer, while the same address answers to {others}."
        ),
    };
    let candidate = Candidate::new(severity, ONE_ATTEMPT, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .stopping()
        .resting_on(ids.iter().copied())
        .resting_on(answers.iter().copied())
        .rejecting("path.blackhole", "The address answers on another port or protocol: the way to it is open.", answers)
        .rejecting("tcp.refused", "No refusal came back.", ids)
        .next(Who::Network, format!("Allow TCP port {port} to {address} from this machine: look at the firewalls and security groups before the target, and at its own."));
    let mut candidate = judge_reach(evidence, endpoint, reach, candidate);
    let by_itself = [evidence.echoed(address), evidence.arrived(address)].iter().any(|ids| !ids.is_empty());
    if !by_itself && !evidence.takes_connections(address) {
        candidate.confidence = candidate.confidence.min(BY_REFUSALS);
        candidate.rejected.retain(|rejected| rejected.cause != "path.blackhole");
    }
    Some(candidate)
}

/// Where the SYNs stall, what that rules out, and how sure it makes.
fn judge_reach<'a>(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>, reach: Reach<'a>, mut candidate: Candidate) -> Candidate {
    let left = evidence.seen_to_leave(endpoint);
    candidate = candidate.rejecting("host.firewall_local", "Its packets were seen to leave this machine.", left);
    match reach {
        Reach::Stalls { at, further } => {
            candidate.confidence = BETWEEN_ROUTERS;
            candidate.place.hop = Some(at.hop);
            candidate.sentence.push_str(&format!(
                " The last router that they reach is {} (hop {}); it drops them, or what lies right behind it.",
                at.address, at.hop
            ));
            let reason = format!("The router {} (hop {}) hears of its packets: they leave this machine.", at.address, at.hop);
            candidate.rejected.retain(|rejected| rejected.cause != "host.firewall_local");
            let asked = format!(
                "Ask whoever runs the router {} (hop {}) and the next one for the rule that drops TCP port {} to {}.",
                at.address,
                at.hop,
                endpoint.address.port(),
                endpoint.address.ip()
            );
            candidate
                .resting_on([at.id, further])
                .rejecting("host.firewall_local", reason, [at.id])
                .next(Who::Network, asked)
                .rejecting(
                    "tcp.accept_queue_full",
                    "They are dropped before they come near the server, where other packets pass.",
                    [at.id, further],
                )
        }
        Reach::Unheard { trace, nearest } => {
            candidate.confidence = if left.is_some() { BEFORE_FIRST_ROUTER } else { UNHEARD };
            candidate.sentence.push_str(match left {
                Some(_) => " Not even the first router that answers hears of them.",
                None => {
                    " No router hears of them: this machine itself drops them, or something before the first router that answers."
                }
            });
            candidate.resting_on([trace, nearest]).settled_by(LEAVING).rejecting(
                "tcp.accept_queue_full",
                "They are dropped before they come near the server, where other packets pass.",
                [trace, nearest],
            )
        }
        Reach::AtTheTarget { trace, last } => {
            candidate.confidence = AT_THE_TARGET;
            if let Some(last) = last {
                candidate.place.hop = Some(last.hop);
                let reason =
                    format!("The router {} (hop {}) hears of its packets: they leave this machine.", last.address, last.hop);
                candidate.rejected.retain(|rejected| rejected.cause != "host.firewall_local");
                candidate = candidate.rejecting("host.firewall_local", reason, [last.id]);
                candidate.sentence.push_str(&format!(
                    " They get as far as {} (hop {}), the last router that answers at all.",
                    last.address, last.hop
                ));
            }
            let nearest = if last.is_some() { "That router drops them, a" } else { "A" };
            candidate.sentence.push_str(&format!(
                " {nearest} filter behind it or at the target does, their answers are lost on the way back, or the server accepts nobody any more and its queue is full.",
            ));
            candidate.next_step.action.push_str(" See there as well whether the program behind the port hangs.");
            candidate.resting_on([trace]).settled_by(AT_THE_PORT)
        }
        Reach::Untraced | Reach::Through => {
            candidate.confidence = match (left, endpoint.attempts.len()) {
                (_, 1) => ONE_ATTEMPT,
                (Some(_), _) => LEAVES,
                (None, _) => SEVERAL_ATTEMPTS,
            };
            candidate
        }
    }
}

/// What the same address answers to: `ping`, `traceroute`, `port 22`.
fn others(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> String {
    let address = endpoint.address.ip();
    let mut others: Vec<String> = Vec::new();
    let same_address =
        evidence.attempts().iter().filter(|attempt| attempt.address.ip() == address && attempt.address != endpoint.address);
    for attempt in same_address.filter(|attempt| attempt.connected() || attempt.refused_by_reset()) {
        let port = format!("port {}", attempt.address.port());
        if !others.contains(&port) {
            others.push(port);
        }
    }
    for (port, _) in evidence.answering_sweeps(address) {
        let port = format!("port {port}");
        if !others.contains(&port) {
            others.push(port);
        }
    }
    if !evidence.echoed(address).is_empty() {
        others.push("ping".to_owned());
    }
    if !evidence.arrived(address).is_empty() {
        others.push("traceroute".to_owned());
    }
    list(&others)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo, failure, refused, silent, syn_trace, trace};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::State;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    fn dropped() -> Scene {
        Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443"), silent("192.0.2.1:443"), silent("192.0.2.1:443")])
    }

    #[test]
    fn a_silent_port_of_an_address_that_answers_to_ping_is_filtered() {
        let finding = dropped().check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]).finds("tcp.filtered");
        assert!(finding.confidence >= 0.7 && finding.sentence.contains("answers to ping"), "{}", finding.sentence);
        let causes: Vec<_> = finding.rejected.iter().map(|rejected| rejected.cause.as_str()).collect();
        assert!(causes.starts_with(&["path.blackhole", "tcp.refused"]), "{causes:?}");
    }

    #[test]
    fn what_would_settle_it_is_no_trace_that_was_made() {
        let asks = |scene: Scene| scene.finds("tcp.filtered").settled_by.unwrap();
        let pinged = || dropped().check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]);
        assert!(asks(pinged()).contains("a trace with TCP packets"));
        let hops = ["10.0.1.1", "10.0.2.1", "*"];
        let traced = pinged().check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "192.0.2.1"]));
        let traced = asks(traced.check(Kind::Traceroute, syn_trace("192.0.2.1", &hops)));
        assert!(traced.contains("a capture at the target"), "{traced}");
    }

    #[test]
    fn without_the_right_to_ping_the_arrival_of_a_trace_or_another_port_tells() {
        dropped().check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "192.0.2.1"])).finds("tcp.filtered");
        let finding = dropped().check(Kind::Tcp, [connected("192.0.2.1:22")]).finds("tcp.filtered");
        assert!(finding.sentence.contains("answers to port 22"), "{}", finding.sentence);
    }

    #[test]
    fn a_trace_that_arrived_before_it_could_send_no_more_counts() {
        let mut facts = trace("192.0.2.1", &["10.0.1.1", "192.0.2.1"]);
        if let Some(Fact::Trace(trace)) = facts.last_mut() {
            trace.failure = Some(failure(FailureCode::BudgetExhausted, Step::Send));
        }
        dropped().check(Kind::Traceroute, facts).finds("tcp.filtered");
    }

    #[test]
    fn an_address_that_answers_nothing_is_not_known_to_be_filtered() {
        dropped().check(Kind::Icmp, [echo("192.0.2.1", &[])]).is_unexplained();
    }

    #[test]
    fn another_address_that_answers_proves_nothing() {
        let diagnosis = dropped().check(Kind::Icmp, [echo("192.0.2.2", &[9_000])]).diagnose();
        assert_eq!(diagnosis.state, State::Unexplained);
    }

    #[test]
    fn another_target_of_the_run_proves_nothing_either() {
        let scene = dropped().target("other.example").check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]);
        assert!(!scene.names("tcp.filtered"));
    }

    /// The address answers pings, and a plain trace passes two routers.
    fn beside_a_trace() -> Scene {
        let scene = dropped().check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]);
        scene.check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "192.0.2.1"]))
    }

    #[test]
    fn the_last_router_that_hears_of_the_syns_is_named_where_others_follow() {
        let finding =
            beside_a_trace().check(Kind::Traceroute, syn_trace("192.0.2.1", &["10.0.1.1", "*", "*"])).finds("tcp.filtered");
        assert!(finding.confidence > 0.9 && finding.place.hop == Some(1), "{finding:?}");
        assert!(finding.sentence.contains("10.0.1.1 (hop 1)"), "{}", finding.sentence);
        let causes: Vec<_> = finding.rejected.iter().map(|rejected| rejected.cause.as_str()).collect();
        assert_eq!(causes, ["path.blackhole", "tcp.refused", "host.firewall_local", "tcp.accept_queue_full"]);
    }

    #[test]
    fn syns_that_come_to_the_last_router_leave_a_server_that_accepts_nobody_possible() {
        let finding = beside_a_trace()
            .check(Kind::Traceroute, syn_trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "*"]))
            .finds("tcp.filtered");
        assert!(finding.confidence < 0.8 && finding.place.hop == Some(2), "{finding:?}");
        let open: Vec<_> = finding.could_not_separate.iter().map(|open| open.cause.as_str()).collect();
        assert_eq!(open, ["tcp.accept_queue_full"]);
        assert!(finding.could_not_separate[0].would_take.contains("ss -ltn"));
    }

    #[test]
    fn a_silent_router_before_the_target_may_have_passed_them_on() {
        let scene = dropped().check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]);
        let scene = scene.check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "*", "192.0.2.1"]));
        let finding = scene.check(Kind::Traceroute, syn_trace("192.0.2.1", &["10.0.1.1", "*", "*"])).finds("tcp.filtered");
        assert!(finding.confidence < 0.8, "{finding:?}");
    }

    #[test]
    fn where_no_router_hears_of_them_this_machines_own_firewall_stays_open_with_the_right_that_would_tell() {
        let finding = beside_a_trace().check(Kind::Traceroute, syn_trace("192.0.2.1", &["*", "*"])).finds("tcp.filtered");
        let open = finding.could_not_separate.iter().find(|open| open.cause == "host.firewall_local").unwrap();
        assert!(finding.confidence < 0.8 && open.would_take.contains("raw sockets"), "{finding:?}");
    }

    #[test]
    fn a_port_that_answers_a_single_syn_is_not_filtered() {
        let scene = beside_a_trace().check(Kind::Traceroute, syn_trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "192.0.2.1"]));
        assert!(!scene.names("tcp.filtered"));
    }

    #[test]
    fn one_refusal_among_silence_is_not_called_filtered() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443"), refused("192.0.2.1:443", 9_000)]);
        assert_eq!(scene.check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]).finds("tcp.refused").confidence, 0.7);
    }
}
