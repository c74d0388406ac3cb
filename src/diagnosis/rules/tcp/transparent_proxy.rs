use super::some_rejected::fails;
use crate::candidate::Candidate;
use crate::evidence::{Attempt, Endpoint, Evidence};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::threshold::{RTT_NOISE_US, TOO_EARLY_FOR_TARGET};
use crate::wording::{duration, named};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{ReplyKind, TraceProtocol};
use std::net::{IpAddr, SocketAddr};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a trace with TCP packets to the port: it ends at the box that takes the connection"),
    ..Rule::new("tcp.transparent_proxy", &["tcp.rejected_by_middlebox"], evaluate)
};

/// SYNs are answered nearer than other packets to the same address still pass routers, or than the target answers them.
const BY_DISTANCE: f64 = 0.93;
/// Nearer by one: of two ways one may be shorter.
const BY_ONE_HOP: f64 = 0.8;
/// No connection can stand before its packets were at the target; that ICMP is slowed down on the way is the other possibility.
const BY_TIME: f64 = 0.8;
/// The target does not answer to ICMP, and routers before it are slower: many of them answer late.
const BY_TIME_OF_ROUTERS: f64 = 0.6;

const ACTION: &str = "Ask whoever runs the network whether a proxy or firewall is meant to take these connections; what it does with them, this machine cannot see.";

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.endpoints().iter().filter_map(|endpoint| intercepted(evidence, endpoint)).collect()
}

/// What shows that somebody else takes the connections.
enum Shown<'a> {
    /// The distance of whoever answers SYNs, and how far other packets get, as the observations show.
    ByDistance { at: u8, further: u8, ids: [&'a ObservationId; 2] },
    /// They stand before their packets can have been where ICMP shows the target, or a router before it.
    ByTime { slowest: Attempt<'a>, rtt_us: u64, id: &'a ObservationId, of_target: bool },
}

impl<'a> Shown<'a> {
    fn of(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>) -> Option<Self> {
        // What resets some connections may be what answered the trace.
        if !endpoint.connected() || endpoint.attempts.iter().any(fails) {
            return None;
        }
        // Where connections end is seen: times, which routers may stretch, have no say any more.
        match evidence.syn_trace(endpoint.address) {
            Some(syns) => Self::by_distance(evidence, endpoint.address.ip(), syns.arrived?, syns.id),
            None => Self::by_time(evidence, endpoint),
        }
    }

    fn by_distance(evidence: &Evidence<'a>, address: IpAddr, at: u8, syns: &'a ObservationId) -> Option<Self> {
        // Of a target that answers, its own distance counts; of one that does not, routers that pass packets on at the same distance.
        let hops = || evidence.plain_hops(address);
        let arrived = |ttl: u8| hops().find(|hop| hop.ttl == ttl).map(|hop| hop.id);
        match (evidence.plain_distance(address), evidence.plain_last_router(address)) {
            (Some(distance), _) if distance > at => {
                Some(Self::ByDistance { at, further: distance, ids: [syns, arrived(distance)?] })
            }
            (Some(_), _) => None,
            (None, Some(router)) if router.hop >= at => {
                Some(Self::ByDistance { at, further: router.hop.saturating_add(1), ids: [syns, router.id] })
            }
            (None, _) => None,
        }
    }

    fn by_time(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>) -> Option<Self> {
        let address = endpoint.address.ip();
        let of_target = evidence.path_rtt(address).map(|(rtt_us, id)| (rtt_us, id, true));
        let (rtt_us, id, of_target) = of_target.or_else(|| rtt_of_routers(evidence, address))?;
        let stood = endpoint.attempts.iter().filter(|attempt| attempt.connected() && attempt.took_us > 0);
        // The slowest counts: all of them came too early, so that none is a mistake of the clock.
        let slowest = *stood.max_by_key(|attempt| attempt.took_us)?;
        let early = rtt_us >= RTT_NOISE_US && (slowest.took_us as f64) < rtt_us as f64 * TOO_EARLY_FOR_TARGET;
        early.then_some(Self::ByTime { slowest, rtt_us, id, of_target })
    }
}

/// The shortest round trip to the farthest router before the target.
fn rtt_of_routers<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<(u64, &'a ObservationId, bool)> {
    let last = evidence.plain_last_router(address)?;
    let at_last = evidence.plain_hops(address).filter(|hop| hop.ttl == last.hop);
    let replies = at_last.flat_map(|hop| crate::evidence::replies(hop.fact));
    let rtt_us = replies.filter(|reply| reply.kind == ReplyKind::TimeExceeded).map(|reply| reply.rtt_us).min()?;
    Some((rtt_us, last.id, false))
}

/// Every connection to the address that stands was taken by somebody else, as their distance shows.
pub(in crate::rules) fn takes(evidence: &Evidence<'_>, address: IpAddr) -> bool {
    let endpoints = evidence.endpoints();
    let mut stand = endpoints.iter().filter(|endpoint| endpoint.address.ip() == address && endpoint.connected()).peekable();
    stand.peek().is_some() && stand.all(|endpoint| matches!(Shown::of(evidence, endpoint), Some(Shown::ByDistance { .. })))
}

/// Connections to the address, and probes with SYNs, that somebody nearer than the target answers, as their distance shows.
pub(in crate::rules) fn round_trips_before<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Vec<&'a ObservationId> {
    let endpoints = evidence.endpoints();
    let taken = |endpoint: &&Endpoint<'a>| matches!(Shown::of(evidence, endpoint), Some(Shown::ByDistance { .. }));
    let taken: Vec<&Endpoint<'a>> = endpoints.iter().filter(|endpoint| endpoint.address.ip() == address).filter(taken).collect();
    let hops = evidence.hops_of(address).into_iter().filter(|hop| !taken.is_empty() && hop.protocol == TraceProtocol::Tcp);
    taken.iter().flat_map(|endpoint| endpoint.ids()).chain(hops.map(|hop| hop.id)).collect()
}

/// Who is at the other end of connections to the port, as SYNs of a bounded reach show.
pub(in crate::rules) enum Taker<'a> {
    /// Somebody so many hops away, before the target.
    Before { hop: u8, ids: [&'a ObservationId; 2] },
    /// Nobody nearer than the target, or than the last router before it.
    NobodyBefore { id: &'a ObservationId },
}

/// None where no SYNs were sent to see it.
pub(in crate::rules) fn taker<'a>(evidence: &Evidence<'a>, at: SocketAddr) -> Option<Taker<'a>> {
    let syns = evidence.syn_trace(at)?;
    let by_distance = |hop: u8| Shown::by_distance(evidence, at.ip(), hop, syns.id);
    match syns.arrived.map(|hop| (hop, by_distance(hop))) {
        Some((hop, Some(Shown::ByDistance { ids, .. }))) => Some(Taker::Before { hop, ids }),
        // That they are answered at all only tells something beside another distance.
        Some(_) if evidence.plain_distance(at.ip()).is_none() => None,
        _ => Some(Taker::NobodyBefore { id: syns.id }),
    }
}

/// It stands, and where it ends is worth a look: it stood too early, or nothing but that it stands tells that the target is there.
pub(crate) fn is_doubtful(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> bool {
    let address = endpoint.address.ip();
    let comparable =
        evidence.plain_last_router(address).is_some() || evidence.plain_distance(address).is_some_and(|hops| hops > 1);
    if !endpoint.connected() || evidence.syn_trace(endpoint.address).is_some() || !comparable {
        return false;
    }
    let too_early = matches!(Shown::of(evidence, endpoint), Some(Shown::ByTime { .. }));
    let is_only_sign = !evidence.is_heard_of(address) && !carries_answers(evidence, endpoint);
    too_early || (is_only_sign && endpoint.attempts.iter().any(|attempt| attempt.by_tcp_check))
}

/// Somebody spoke on a connection to the port.
fn carries_answers(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> bool {
    let at = endpoint.address;
    let spoke = |bytes: Option<u32>| bytes.is_some_and(|bytes| bytes > 0);
    evidence.exchanges.iter().any(|exchange| exchange.address == Some(at) && exchange.status.is_some())
        || evidence.handshakes.iter().any(|handshake| handshake.address == at && handshake.failure.is_none())
        || evidence.services.iter().any(|service| service.address == at && service.first_byte_us.is_some())
        || evidence
            .connects
            .iter()
            .any(|connect| connect.address == at && spoke(connect.banner.as_ref().map(|banner| banner.bytes)))
}

fn intercepted<'a>(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>) -> Option<Candidate> {
    let shown = Shown::of(evidence, endpoint)?;
    let address = endpoint.address.ip();
    let (host, port) = (named(endpoint.host(), address), endpoint.address.port());
    let stands = endpoint.attempts.iter().find(|attempt| attempt.connected())?;
    let place = Place { address: Some(address), port: Some(port), ..Place::default() };
    let candidate = match shown {
        Shown::ByDistance { at, further, ids } => {
            let heard = evidence.is_heard_of(address);
            // Whoever answers on the connection may be the target behind the proxy; where nobody does, nothing tells that it is there.
            let severity = if heard || carries_answers(evidence, endpoint) { Severity::Notice } else { Severity::Degraded };
            let away = |hops: u8| if hops == 1 { "one hop".to_owned() } else { format!("{hops} hops") };
            let target = if heard { "the target is" } else { "other packets to the target get further: it is at least" };
            let unknown = match severity {
                Severity::Notice => "",
                _ => " That they stand does not show that the target is there: nothing else was heard of it.",
            };
            let sentence = format!(
                "Something {} away takes connections to {host} on port {port} in the target's place; {target} {} away.{unknown}",
                away(at),
                away(further)
            );
            let confidence = if further > at.saturating_add(1) { BY_DISTANCE } else { BY_ONE_HOP };
            let action =
                format!("{ACTION} Whether the target itself works is to be asked of it another way, or from behind that box.");
            Candidate::new(severity, confidence, sentence)
                .at(Place { hop: Some(at), ..place })
                .about(Spot::Endpoint(endpoint.address))
                .resting_on(ids)
                .next(Who::Network, if severity == Severity::Notice { ACTION.to_owned() } else { action })
        }
        Shown::ByTime { slowest, rtt_us, id, of_target } => {
            let whose = if of_target { "the target is" } else { "a router before the target is" };
            let sentence = format!(
                "Something on the way takes connections to {host} on port {port} in the target's place: they stand after {}, and {whose} {} away.",
                duration(slowest.took_us),
                duration(rtt_us)
            );
            Candidate::new(Severity::Notice, if of_target { BY_TIME } else { BY_TIME_OF_ROUTERS }, sentence)
                .at(place)
                .resting_on([slowest.id, id])
                .next(Who::Network, ACTION)
        }
    };
    Some(candidate.resting_on([stands.id]).rejecting("tcp.rejected_by_middlebox", "The connection stands.", [stands.id]))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connect, connected, echo, exchange, syn_trace, trace, trace_after};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;

    const AT: &str = "192.0.2.1:443";

    /// A target of which nothing is heard behind three routers, and a connection that stands.
    fn unheard() -> Scene {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected(AT)]).check(Kind::Icmp, [echo("192.0.2.1", &[])]);
        scene.check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "10.0.3.1", "*"]))
    }

    #[test]
    fn connections_that_end_before_other_packets_do_say_nothing_of_a_target_that_is_silent() {
        let finding = unheard().check(Kind::Traceroute, syn_trace("192.0.2.1", &["192.0.2.1"])).finds("tcp.transparent_proxy");
        assert!(finding.severity == Severity::Degraded && finding.place.hop == Some(1), "{finding:?}");
        assert!(finding.confidence > 0.9 && finding.sentence.contains("nothing else was heard"), "{}", finding.sentence);
        let scene = unheard().check(Kind::Traceroute, syn_trace("192.0.2.1", &["192.0.2.1"]));
        assert!(!scene.names("path.icmp_unsupported"), "it is not the target that answers");
    }

    #[test]
    fn connections_that_end_behind_all_routers_are_the_targets() {
        let scene = unheard().check(Kind::Traceroute, syn_trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "10.0.3.1", "192.0.2.1"]));
        assert_eq!(scene.is_healthy(), ["path.icmp_unsupported"]);
    }

    #[test]
    fn a_router_that_says_of_pings_that_they_get_no_further_passes_none_on() {
        let rejected = trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "10.0.3.1", "10.0.3.1 !3/1"]);
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected(AT)]).check(Kind::Traceroute, rejected);
        let scene = scene.check(Kind::Traceroute, syn_trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "10.0.3.1", "192.0.2.1"]));
        assert!(!scene.names("tcp.transparent_proxy"), "{:#?}", scene.diagnose().findings);
    }

    #[test]
    fn a_proxy_through_which_somebody_answers_is_worth_knowing_and_no_fault() {
        let page = exchange("http://shop.example/", |exchange| exchange.address = Some(AT.parse().unwrap()));
        let scene = unheard().check(Kind::Traceroute, syn_trace("192.0.2.1", &["192.0.2.1"])).check(Kind::Http, [page]);
        assert_eq!(scene.is_healthy(), ["tcp.transparent_proxy"]);
    }

    #[test]
    fn a_near_target_whose_pings_take_a_slow_way_takes_its_own_connections() {
        let near = Scene::new("shop.example").check(Kind::Tcp, [connect(AT, 300, None)]);
        let near = near.check(Kind::Icmp, [echo("192.0.2.1", &[80_000])]);
        let near = near.check(Kind::Traceroute, trace_after("192.0.2.1", &["10.0.1.1", "192.0.2.1"], 40_000));
        let scene = near.check(Kind::Traceroute, syn_trace("192.0.2.1", &["10.0.1.1", "192.0.2.1"]));
        assert!(scene.is_healthy().is_empty());
    }

    #[test]
    fn a_connection_that_stands_before_a_router_on_the_way_could_answer_is_told_with_little_confidence() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connect(AT, 300, None)]);
        let scene = scene.check(Kind::Traceroute, trace_after("192.0.2.1", &["10.0.1.1", "10.0.2.1", "*"], 40_000));
        let finding = scene.diagnose().findings.into_iter().find(|finding| finding.cause == "tcp.transparent_proxy").unwrap();
        assert!(finding.severity == Severity::Notice && finding.confidence < 0.7, "{finding:?}");
    }

    fn scene(took_us: u64) -> Scene {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connect("192.0.2.1:443", took_us, None)]);
        scene.check(Kind::Icmp, [echo("192.0.2.1", &[40_000, 41_000])])
    }

    #[test]
    fn a_connection_that_stands_before_its_packets_can_have_arrived_is_taken_on_the_way() {
        assert_eq!(scene(3_000).is_healthy(), ["tcp.transparent_proxy"]);
    }

    #[test]
    fn a_connection_that_takes_the_paths_round_trip_is_the_targets() {
        assert!(scene(40_500).is_healthy().is_empty());
    }
}
