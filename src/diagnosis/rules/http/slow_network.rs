use super::{last_exchanges, place, slow_line, waits_for};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::threshold::{FAR_ROUND_TRIP_US, SLOW_FIRST_BYTE_US};
use crate::wording::duration;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::Exchange;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the round trip to each router on the way: where it rises"),
    ..Rule::new("http.slow_network", &["http.slow_server", "path.loss"], evaluate)
};

/// The round trip alone explains the time.
const CONFIDENCE: f64 = 0.9;

/// Connecting and asking take a round trip each at the least.
const ROUND_TRIPS: u64 = 2;
/// The handshake of TLS takes one more (RFC 8446 section 2).
const ROUND_TRIPS_OF_TLS: u64 = 1;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let exchanges = last_exchanges(evidence);
    let of_each = |exchange| slow_line::of(evidence, exchange).or_else(|| slow(evidence, exchange));
    exchanges.iter().filter_map(of_each).collect()
}

fn slow(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let address = exchange.address.filter(|_| exchange.proxy.is_none() && exchange.status.is_some())?;
    let first_byte_us = exchange.phases.first_byte_us?;
    let by_connections = evidence.attempts().iter().filter(|attempt| attempt.connected() && attempt.address == address);
    let by_connections = by_connections.map(|attempt| (attempt.took_us, attempt.id));
    let (rtt_us, id): (u64, &ObservationId) =
        by_connections.chain(evidence.path_rtt(address.ip())).min_by_key(|(rtt_us, _)| *rtt_us)?;
    let total_us = first_byte_us + connect_us(exchange)? + exchange.phases.tls_us.unwrap_or_default();
    let round_trips = ROUND_TRIPS + exchange.phases.tls_us.map_or(0, |_| ROUND_TRIPS_OF_TLS);
    // The server's own time is a small part: at least half of all is round trips that had to be made.
    let explained = rtt_us * round_trips * 2 >= total_us;
    let server_us = first_byte_us.saturating_sub(rtt_us * waits_for(exchange));
    if rtt_us < FAR_ROUND_TRIP_US || !explained || server_us > SLOW_FIRST_BYTE_US {
        return None;
    }
    let sentence = format!(
        "The network takes the time, not the server: each round trip takes {}, and {} passed until the answer began.",
        duration(rtt_us),
        duration(total_us)
    );
    let candidate = Candidate::new(Severity::Notice, CONFIDENCE, sentence)
        .at(place(exchange))
        .resting_on([exchange.id, id])
        .rejecting("http.slow_server", format!("Of the wait for the first byte only {} is the server's.", duration(server_us)), [exchange.id])
        .next(
            Who::Network,
            "Find where the round trip rises (`netsonde run path`): a satellite link, a detour, a VPN far away, or a queue that is always full.",
        );
    Some(candidate)
}

/// The connection by itself: what other addresses took before it is no round trip.
fn connect_us(exchange: &Exchange) -> Option<u64> {
    let own = exchange.attempts.iter().find(|attempt| Some(attempt.address) == exchange.address);
    own.map(|attempt| attempt.took_us).or(exchange.phases.connect_us)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Phases;

    const URL: &str = "http://shop.example/";

    fn timed(connect_us: u64, first_byte_us: u64) -> Scene {
        within_tls(connect_us, None, first_byte_us)
    }

    fn within_tls(connect_us: u64, tls_us: Option<u64>, first_byte_us: u64) -> Scene {
        let fact = exchange(URL, |exchange| {
            exchange.phases =
                Phases { connect_us: Some(connect_us), tls_us, first_byte_us: Some(first_byte_us), ..Phases::default() };
        });
        Scene::new(URL).check(Kind::Http, [fact])
    }

    #[test]
    fn the_handshake_of_tls_is_a_round_trip_of_its_own() {
        assert_eq!(within_tls(456_000, Some(480_000), 930_000).is_healthy(), ["http.slow_network"]);
    }

    #[test]
    fn a_handshake_that_takes_many_round_trips_is_not_the_networks() {
        assert!(!within_tls(456_000, Some(2_000_000), 600_000).names("http.slow_network"));
    }

    #[test]
    fn a_round_trip_that_explains_the_wait_is_the_networks() {
        let scene = timed(620_000, 640_000);
        assert_eq!(scene.is_healthy(), ["http.slow_network"], "a satellite is no fault");
        let finding = scene.diagnose().findings.remove(0);
        assert!(finding.sentence.contains("620 ms") && finding.rejected[0].cause == "http.slow_server", "{}", finding.sentence);
    }

    #[test]
    fn the_other_end_of_the_earth_is_no_fault() {
        assert!(timed(280_000, 300_000).is_healthy().is_empty());
    }

    #[test]
    fn a_slow_server_behind_a_slow_network_is_still_slow() {
        timed(320_000, 2_400_000).finds("http.slow_server");
    }
}
