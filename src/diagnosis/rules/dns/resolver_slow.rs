use crate::candidate::Candidate;
use crate::evidence::{Evidence, NameView, Seen, ServerView};
use crate::rule::Rule;
use crate::threshold::{FAR_ROUND_TRIP_US, SLOW_LOOKUP_US, SLOW_RESOLVER_US};
use crate::wording::duration;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Lookup, LookupSource, Transport};
use std::net::SocketAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a ping to the name server, which tells its distance from its own time"),
    ..Rule::new("dns.resolver_slow", &["path.congestion", "dns.resolver_unreachable"], evaluate)
};

/// The server's distance is known, so that the rest is its own time.
const WITH_DISTANCE: f64 = 0.92;
/// A way that is as long would look the same: it is only worth a word until the distance is known.
const WITHOUT_DISTANCE: f64 = 0.7;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let names = evidence.names();
    let each = names.iter().flat_map(|view| view.servers.iter().map(move |server| (view, server)));
    each.filter_map(|(view, server)| slow(evidence, view, server)).collect()
}

/// Name servers that took long for an answer and never answered anything sooner, and that nothing shows the distance of.
pub(crate) fn unplaced(evidence: &Evidence<'_>) -> Vec<SocketAddr> {
    let names = evidence.names();
    let is_open = |server: &&ServerView<'_>| {
        slowest(server).is_some_and(|(took_us, lookup)| {
            took_us.saturating_sub(far_us(evidence)) > SLOW_RESOLVER_US && distance(evidence, server, &lookup, took_us).is_none()
        })
    };
    names.iter().flat_map(|view| &view.servers).filter(is_open).map(|server| server.server).collect()
}

/// The longest that an answer to the first packet took.
fn slowest<'a>(server: &ServerView<'a>) -> Option<(u64, Seen<'a, Lookup>)> {
    // A query that was sent again was lost, which is another matter. One over a connection takes several round trips.
    let prompt = |lookup: &&Seen<'_, Lookup>| lookup.attempts <= 1 && lookup.reply.is_some() && over_udp(lookup);
    let prompt = server.lookups.iter().filter(prompt);
    prompt.filter_map(|lookup| Some((lookup.took_us?, *lookup))).max_by_key(|(took, _)| *took)
}

fn slow(evidence: &Evidence<'_>, view: &NameView<'_>, server: &ServerView<'_>) -> Option<Candidate> {
    let (took_us, lookup) = slowest(server)?;
    let distance = distance(evidence, server, &lookup, took_us);
    let own_us = took_us.saturating_sub(distance.map_or(0, |(rtt_us, _)| rtt_us).max(far_us(evidence)));
    if own_us <= SLOW_RESOLVER_US {
        return None;
    }
    let felt = view.system.iter().any(|system| system.took_us.is_some_and(|took_us| took_us > SLOW_LOOKUP_US));
    let address = server.server.ip();
    let whose = if distance.is_some() { " of its own" } else { ", itself or the way to it," };
    let sentence =
        format!("The name server {address} answers, but took {}{whose} to answer for {}.", duration(own_us), view.name);
    let candidate = Candidate::new(
        if felt && distance.is_some() { Severity::Degraded } else { Severity::Notice },
        if distance.is_some() { WITH_DISTANCE } else { WITHOUT_DISTANCE },
        sentence,
    )
    .at(Place { resolver: Some(address), name: Some(view.name.to_owned()), ..Place::default() })
    .resting_on([lookup.id])
    .rejecting("dns.resolver_unreachable", "It answers, to the first query.", [lookup.id])
    .next(Who::Network, format!("Look at the load of the name server {address} and at the servers that it asks in turn; give this machine a nearer or less loaded one."));
    Some(match distance {
        Some((rtt_us, id)) => {
            let reason = format!("The way to it and back takes {} at most.", duration(rtt_us));
            candidate.resting_on([id]).rejecting("path.congestion", reason, [id])
        }
        None => candidate,
    })
}

/// Where even the target is far away, a name server that is near has to ask others as far away.
fn far_us(evidence: &Evidence<'_>) -> u64 {
    let of_target = evidence.addresses().into_iter().filter(|address| evidence.is_between(*address).is_none());
    let nearest_us = of_target.filter_map(|address| evidence.distance_of(address)).map(|(rtt_us, _)| rtt_us).min();
    nearest_us.filter(|rtt_us| *rtt_us >= FAR_ROUND_TRIP_US).unwrap_or_default()
}

fn over_udp(lookup: &Lookup) -> bool {
    matches!(lookup.source, LookupSource::Server { transport: Transport::Udp, .. })
}

/// The shortest time in which the server was seen to answer anything, and the observation that shows it: no round trip takes longer.
/// An answer that took nearly as long as the slow one shows nothing: the server may have been slow with both.
fn distance<'a>(
    evidence: &Evidence<'a>,
    server: &ServerView<'a>,
    slow: &Seen<'_, Lookup>,
    took_us: u64,
) -> Option<(u64, &'a ObservationId)> {
    let beside_names = evidence.distance_of(server.server.ip());
    let beside = evidence.beside_of(server.server);
    let all = beside.into_iter().chain(server.lookups.iter().copied()).filter(|lookup| lookup.id != slow.id);
    let lookups = all.filter(|lookup| lookup.reply.is_some() && lookup.attempts <= 1);
    let lookups = lookups.filter_map(|lookup| Some((lookup.took_us?, lookup.id))).filter(|(quick_us, _)| *quick_us < took_us / 2);
    lookups.chain(beside_names).min_by_key(|(took_us, _)| *took_us)
}

#[cfg(test)]
mod tests {
    use crate::follow_up::follow_ups;
    use crate::scene::{Scene, answer, connect, echo, rcode, slowly, system, with_lookup};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, LookupSource, Transport};

    const NAME: &str = "shop.example";

    fn taking(fact: Fact, took_us: u64) -> Fact {
        with_lookup(fact, |lookup| lookup.took_us = Some(took_us))
    }

    fn a(took_us: u64) -> Fact {
        taking(answer("10.0.0.53", NAME, &["192.0.2.1"]), took_us)
    }

    #[test]
    fn a_near_server_that_takes_its_time_is_slow() {
        let facts = [a(900_000), slowly(system(NAME, &["192.0.2.1"]))];
        let finding =
            Scene::new(NAME).check(Kind::Dns, facts).check(Kind::Icmp, [echo("10.0.0.53", &[20_000])]).finds("dns.resolver_slow");
        assert_eq!(finding.severity, Severity::Degraded);
        assert!(finding.sentence.contains("880 ms") && finding.confidence > 0.9, "{}", finding.sentence);
    }

    #[test]
    fn a_second_question_that_is_answered_at_once_shows_the_distance_as_well() {
        let quick = taking(rcode("10.0.0.53", NAME, "AAAA", 0, &[]), 10_000);
        let facts = [a(900_000), quick, slowly(system(NAME, &["192.0.2.1"]))];
        assert!(Scene::new(NAME).check(Kind::Dns, facts).finds("dns.resolver_slow").confidence > 0.9);
    }

    #[test]
    fn a_server_that_is_slow_with_everything_may_be_far_away() {
        let slow = taking(rcode("10.0.0.53", NAME, "AAAA", 0, &[]), 880_000);
        let facts = [a(900_000), slow, slowly(system(NAME, &["192.0.2.1"]))];
        let scene = Scene::new(NAME).check(Kind::Dns, facts);
        assert_eq!(scene.is_healthy(), ["dns.resolver_slow"]);
        assert!(scene.diagnose().findings[0].confidence < 0.75);
        let asks: Vec<_> = follow_ups(scene.outcomes(), &scene.environment(), &scene.diagnose());
        assert!(asks.iter().any(|ask| ask.between.contains(&"dns.resolver_slow")), "{asks:?}");
    }

    #[test]
    fn a_server_as_far_away_as_it_is_slow_is_not_slow() {
        let facts = [a(900_000), slowly(system(NAME, &["192.0.2.1"]))];
        let scene = Scene::new(NAME).check(Kind::Dns, facts).check(Kind::Icmp, [echo("10.0.0.53", &[600_000])]);
        assert!(scene.is_healthy().is_empty());
    }

    #[test]
    fn a_near_server_that_asks_others_over_a_satellite_is_not_slow() {
        let facts = [a(640_000), slowly(system(NAME, &["192.0.2.1"]))];
        let near = Scene::new(NAME).check(Kind::Dns, facts.clone()).check(Kind::Icmp, [echo("10.0.0.53", &[900])]);
        near.finds("dns.resolver_slow");
        let facts = Scene::new(NAME).check(Kind::Dns, facts).check(Kind::Tcp, [connect("192.0.2.1:443", 620_000, None)]);
        assert!(facts.is_healthy().is_empty());
    }

    #[test]
    fn a_connection_to_a_far_server_does_not_make_it_slow() {
        let over_tcp = with_lookup(a(1_270_000), |lookup| {
            if let LookupSource::Server { transport, .. } = &mut lookup.source {
                *transport = Transport::Tcp;
            }
        });
        let facts = [a(420_000), over_tcp, slowly(system(NAME, &["192.0.2.1"]))];
        assert!(Scene::new(NAME).check(Kind::Dns, facts).is_healthy().is_empty());
    }

    #[test]
    fn a_query_that_was_lost_once_does_not_make_the_server_slow() {
        let lost = with_lookup(a(2_010_000), |lookup| lookup.attempts = 2);
        let facts = [lost, slowly(system(NAME, &["192.0.2.1"]))];
        assert!(Scene::new(NAME).check(Kind::Dns, facts).is_healthy().is_empty());
    }
}
