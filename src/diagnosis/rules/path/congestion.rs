use super::loaded;
use crate::candidate::Candidate;
use crate::evidence::{Attempt, Evidence, Share};
use crate::rule::Rule;
use crate::rules::tcp::transparent_proxy;
use crate::spot::Spot;
use crate::threshold::{CONGESTED_TIMES, CONGESTED_WAIT_US};
use crate::wording::{duration, named};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same series while nothing else uses the line: if the time falls to its minimum, the line was full"),
    ..Rule::new("path.congestion", &["host.overloaded", "path.jitter"], evaluate)
};

/// Packets wait; that a queue of the way and not this machine lets them wait is not seen from one end.
const CONFIDENCE: f64 = 0.7;

/// With fewer round trips their spread is chance.
const LEAST_ROUND_TRIPS: u32 = 10;

/// So many connections all find a full queue empty by no chance.
const SEVERAL: usize = 4;

/// A queue that fills and empties lets not every packet wait: the lower end of the 95 % interval of those that do is above this part.
const LEAST_WAITING: f64 = 0.25;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let idle = evidence.addresses().into_iter().filter_map(|address| towards(evidence, address));
    idle.chain(loaded::congested(evidence)).collect()
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let Waits { waiting, usual_us, least_us } = waits(evidence, address)?;
    let sentence = format!(
        "The way to {} is full: {} of the packets take {} or so where {} is enough, because they wait in a queue behind other traffic.",
        named(&evidence.host_at(address), address),
        waiting.words(),
        duration(usual_us),
        duration(least_us)
    );
    let candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .resting_on(waiting.ids)
        .next(
            Who::Network,
            "Find what fills the line (a backup, an update, a large upload) and give it a limit, or let the router keep its queue short (fq_codel, CAKE).",
        );
    Some(candidate)
}

/// How packets to one address wait.
pub(in crate::rules) struct Waits<'a> {
    /// Those that wait, of all.
    waiting: Share<'a>,
    /// The median of those that wait.
    usual_us: u64,
    /// The smallest that was ever seen.
    least_us: u64,
}

/// All round trips of pings, of traces and of connections together, as one series alone has few; none where they do not wait that much.
pub(in crate::rules) fn waits<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<Waits<'a>> {
    let mut seen = evidence.round_trips(address);
    // Those of whoever takes connections in the target's place are another machine's.
    let nearer = transparent_proxy::round_trips_before(evidence, address);
    seen.retain(|(_, id)| !nearer.contains(id));
    let least_us = seen.iter().map(|(rtt_us, _)| *rtt_us).min()?;
    // Whoever fills a line waits in its queue: that is no other traffic.
    let own = evidence.beside_own_load();
    seen.retain(|(_, id)| !own.contains(id));
    let does = |rtt_us: u64| rtt_us >= least_us * CONGESTED_TIMES && rtt_us - least_us >= CONGESTED_WAIT_US;
    let mut waiting = Share::default();
    let mut times = Vec::new();
    for (rtt_us, id) in seen {
        let waits = does(rtt_us);
        waiting.cases += u32::from(waits);
        waiting.of += 1;
        if !waiting.ids.contains(&id) {
            waiting.ids.push(id);
        }
        times.extend(Some(rtt_us).filter(|_| waits));
    }
    times.sort_unstable();
    let usual_us = times.get(times.len() / 2).copied()?;
    if connections_pass_by(evidence, address, &does) {
        return None;
    }
    let many = waiting.of >= LEAST_ROUND_TRIPS && waiting.interval().0 > LEAST_WAITING;
    many.then_some(Waits { waiting, usual_us, least_us })
}

/// Not one of several connections waits, and everything else does: ICMP takes another way, and no packet stands in a queue behind others.
fn connections_pass_by(evidence: &Evidence<'_>, address: IpAddr, waits: &dyn Fn(u64) -> bool) -> bool {
    let stood = |attempt: &&Attempt<'_>| attempt.address.ip() == address && attempt.by_tcp_check && attempt.connected();
    let connections: Vec<_> = evidence.attempts().iter().filter(stood).collect();
    let quick = connections.iter().all(|attempt| !attempt.connected_late() && !waits(attempt.took_us));
    let is_connection = |id: &ObservationId| connections.iter().any(|attempt| attempt.id == id);
    let others = || evidence.round_trips(address).into_iter().filter(|(_, id)| !is_connection(id));
    connections.len() >= SEVERAL && quick && others().next().is_some() && others().all(|(rtt_us, _)| waits(rtt_us))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo, exchange};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    fn waiting(rtt_us: u64) -> Scene {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]);
        scene.check(Kind::Icmp, [echo("192.0.2.1", &[rtt_us; 12])])
    }

    #[test]
    fn packets_that_wait_many_times_as_long_as_the_path_needs_are_in_a_queue() {
        let finding = waiting(160_000).finds("path.congestion");
        assert!(finding.sentence.contains("160 ms") && finding.sentence.contains("20 ms"), "{}", finding.sentence);
    }

    /// Uniform between nothing and 300 ms, a quarter of it without any wait: the median of ten of these is chance.
    #[test]
    fn a_queue_that_empties_now_and_then_is_seen_over_all_round_trips_together() {
        let rtts = |from: u64| -> Vec<u64> {
            (0..10).map(|nth| ((nth * 7 + from) % 10 * 40_000).saturating_sub(100_000) + 1_000).collect()
        };
        let scene = Scene::new("shop.example").check(Kind::Icmp, [echo("192.0.2.1", &rtts(0)), echo("192.0.2.1", &rtts(3))]);
        assert!(scene.finds("path.congestion").sentence.contains("12 of 20"), "{:?}", scene.diagnose().findings);
    }

    #[test]
    fn connections_that_a_busy_machine_noticed_late_did_not_wait_in_a_queue() {
        let late = |at: &str| {
            let Fact::Connect(mut connect) = connected(at) else { unreachable!("a connection is one") };
            (connect.took_us, connect.kernel_rtt_us, connect.syn_retransmits) = (100_000, Some(20), Some(0));
            Fact::Connect(connect)
        };
        let scene = Scene::new("shop.example").check(Kind::Tcp, (0..12).map(|_| late("192.0.2.1:443")));
        assert!(!scene.check(Kind::Icmp, [echo("192.0.2.1", &[20; 4])]).names("path.congestion"));
    }

    #[test]
    fn pings_that_take_a_slow_way_beside_quick_connections_are_in_no_queue() {
        let scene =
            Scene::new("shop.example").check(Kind::Tcp, (0..6).map(|_| crate::scene::connect("192.0.2.1:443", 300, None)));
        assert!(!scene.check(Kind::Icmp, [echo("192.0.2.1", &[80_000; 20])]).names("path.congestion"));
    }

    #[test]
    fn connections_that_end_nearer_are_no_measure_of_what_the_rest_of_the_address_takes() {
        let quick = |_| crate::scene::connect("192.0.2.1:443", 300, None);
        let way = crate::scene::trace_after("192.0.2.1", &["10.0.1.1", "10.0.2.1", "192.0.2.1"], 20_000);
        let scene = Scene::new("shop.example").check(Kind::Tcp, (0..3).map(quick)).check(Kind::Traceroute, way);
        let scene = scene.check(Kind::Icmp, [echo("192.0.2.1", &[60_000; 20])]);
        assert!(scene.names("path.congestion"), "so it looks where nobody knows where connections end");
        let mut near = crate::scene::syn_trace("192.0.2.1", &["192.0.2.1"]);
        if let Some(Fact::Hop(hop)) = near.first_mut() {
            hop.probes[0].reply.as_mut().unwrap().rtt_us = 250;
        }
        let scene = scene.check(Kind::Traceroute, near);
        assert!(scene.names("tcp.transparent_proxy") && !scene.names("path.congestion"), "{:#?}", scene.diagnose().findings);
    }

    #[test]
    fn a_queue_that_netsonde_itself_fills_is_not_other_traffic() {
        let page = exchange("http://192.0.2.1/", |exchange| {
            (exchange.body_bytes, exchange.phases.body_us) = (800_000, Some(13_000_000));
        });
        let scene = |body| {
            let connected = Scene::new("http://192.0.2.1/").check(Kind::Tcp, [connected("192.0.2.1:80")]);
            connected.check(Kind::Icmp, [echo("192.0.2.1", &[440_000; 20])]).check(Kind::Http, body)
        };
        assert!(!scene(vec![page]).names("path.congestion"));
        assert!(scene(Vec::new()).names("path.congestion"));
    }

    #[test]
    fn a_few_packets_that_wait_are_no_full_way() {
        let mut rtts = vec![20_000; 16];
        rtts.extend([200_000; 4]);
        assert!(!Scene::new("shop.example").check(Kind::Icmp, [echo("192.0.2.1", &rtts)]).names("path.congestion"));
    }

    #[test]
    fn packets_that_take_twice_as_long_are_not() {
        assert!(waiting(35_000).is_healthy().is_empty());
    }
}
