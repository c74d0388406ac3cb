use super::{last_exchanges, place, slow_line};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::rule::Rule;
use crate::rules::path::loss;
use crate::spot::Spot;
use crate::threshold::{INITIAL_WINDOW_BYTES, RTT_NOISE_US, SLOW_BODY_US, SLOW_FIRST_BYTE_US};
use crate::wording::duration;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::Exchange;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some(
        "measuring under load (`netsonde run load`), which tells a rate limit on the way; and the same file fetched from a machine beside the server: if it is slow there too, the server holds it back",
    ),
    ..Rule::new("http.slow_transfer", &["http.slow_network", "http.slow_server", "path.loss", "path.policed"], evaluate)
};

/// The rate is below what even a new connection may send; a limit on the way and a slow server look the same from here.
const CONFIDENCE: f64 = 0.65;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    last_exchanges(evidence).iter().filter_map(|exchange| slow(evidence, exchange)).collect()
}

fn slow(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let (body_us, first_byte_us) = (exchange.phases.body_us?, exchange.phases.first_byte_us?);
    let address = exchange.address.filter(|_| exchange.proxy.is_none() && exchange.failure.is_none())?;
    let by_connections = evidence.attempts().iter().filter(|attempt| attempt.connected() && attempt.address == address);
    let by_path = evidence.path_rtt(address.ip()).map(|(rtt_us, _)| rtt_us);
    let rtt_us = by_connections.map(|attempt| attempt.took_us).chain(by_path).min()?.max(RTT_NOISE_US);
    // A sender that is held back by nothing doubles its window each round trip: this is the least that it may send.
    let expected_us = (exchange.body_bytes / INITIAL_WINDOW_BYTES + 1) * rtt_us;
    if body_us < SLOW_BODY_US || body_us < expected_us * 4 || first_byte_us.saturating_sub(rtt_us) > SLOW_FIRST_BYTE_US {
        return None;
    }
    if stopped(evidence, exchange) || loss::share(evidence, address.ip()).is_some() || slow_line::of(evidence, exchange).is_some()
    {
        return None;
    }
    let bytes = exchange.body_bytes;
    let rate = bytes * 1_000 / (body_us / 1_000).max(1);
    let sentence = format!(
        "{} begins its answer at once, and then sends it slowly: {bytes} bytes take {} ({rate} bytes a second), where a round trip takes {}.",
        host_of(&exchange.url),
        duration(body_us),
        duration(rtt_us)
    );
    let pings = evidence.lost_calmly(address.ip());
    let candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("http.slow_server", "The first byte came at once.", [exchange.id])
        .rejecting("http.slow_network", format!("A round trip takes {}.", duration(rtt_us)), [exchange.id]);
    let candidate = if pings.cases == 0 { candidate.rejecting("path.loss", "No ping was lost.", pings.ids) } else { candidate };
    Some(candidate.next(
        Who::Support,
        "Measure under load (`netsonde run load`) to see whether a rate limit on the way cuts it off (a policer, the size of a virtual machine, a VPN); if not, look at what makes the body at the server: a query that streams, a slow disk, a limit for each client.",
    ))
}

/// The same page's body stopped altogether where it was waited for longer: what came of it until a shorter limit is no rate.
fn stopped(evidence: &Evidence<'_>, exchange: &Exchange) -> bool {
    let timed_out = |other: &Exchange| other.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut);
    let same = |other: &Exchange| other.url == exchange.url && other.address == exchange.address && other.status.is_some();
    exchange.body_cut && evidence.exchanges.iter().any(|other| same(other.fact) && timed_out(other.fact))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange, failure};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Phases;

    const URL: &str = "http://shop.example/";

    fn body(bytes: u64, body_us: u64) -> Scene {
        let fact = exchange(URL, |exchange| {
            exchange.body_bytes = bytes;
            exchange.phases =
                Phases { connect_us: Some(20_000), first_byte_us: Some(25_000), body_us: Some(body_us), ..Phases::default() };
        });
        Scene::new(URL).check(Kind::Http, [fact])
    }

    #[test]
    fn a_body_far_below_what_the_path_carries_is_held_back() {
        let finding = body(50_000, 5_000_000).finds("http.slow_transfer");
        assert!(finding.sentence.contains("10000 bytes a second"), "{}", finding.sentence);
    }

    #[test]
    fn a_body_that_stops_is_told_once_also_where_a_shorter_look_saw_it_begin() {
        let stopped = exchange(URL, |exchange| {
            exchange.body_bytes = 50_000;
            exchange.failure = Some(failure(FailureCode::TimedOut, Step::Receive));
        });
        let again = exchange(URL, |exchange| {
            (exchange.body_bytes, exchange.body_cut) = (30_000, true);
            exchange.phases =
                Phases { connect_us: Some(2_000), first_byte_us: Some(2_500), body_us: Some(2_001_000), ..Phases::default() };
        });
        let slow = Scene::new(URL).check(Kind::Http, [again.clone()]);
        slow.finds("http.slow_transfer");
        Scene::new(URL).check(Kind::Http, [stopped]).check(Kind::Http, [again]).finds("http.timeout");
    }

    #[test]
    fn a_large_body_takes_its_time() {
        assert!(body(20_000_000, 8_000_000).is_healthy().is_empty());
    }

    #[test]
    fn a_small_body_that_comes_within_two_seconds_is_not_slow() {
        assert!(body(50_000, 1_500_000).is_healthy().is_empty());
    }
}
