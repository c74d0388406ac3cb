use super::{place, waits_for};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, data_resent, host_of};
use crate::rule::Rule;
use crate::rules::path::loss;
use crate::spot::Spot;
use crate::threshold::{FAR_ROUND_TRIP_US, SLOW_FIRST_BYTE_US};
use crate::wording::duration;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::Exchange;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the request on the wire: acknowledgements that come at once and no segment sent twice"),
    ..Rule::new("http.slow_server", &["http.slow_network", "path.mtu_blackhole"], evaluate)
};

/// The wait is far above the round trip; retransmissions, which would look alike, are not seen.
const CONFIDENCE: f64 = 0.85;
/// None of many pings was lost: nothing had to be sent again that would explain the wait.
const NOTHING_LOST: f64 = 0.92;
/// A proxy stands between, which may wait as well as the server.
const BEHIND_PROXY: f64 = 0.6;
/// Through a tunnel the handshake went to the server itself, and took the whole way there and back.
const BEHIND_TUNNEL: f64 = 0.8;
/// Round trips of its own that a proxy needs at most before it can pass an answer on: for the name, the connection and the request.
const OF_THE_PROXY: u64 = 3;
/// Systems send again after 200 ms at the least, and some of that more on the ways that most have; where the first packet of the connection
/// was lost, no round trip is known and they begin with a second (RFC 6298 section 2).
const SENT_AGAIN_US: u64 = 300_000;
const AFTER_A_LOST_FIRST_US: u64 = 1_000_000;
/// So often in a row the server's own packets are lost now and then where a quarter of all is.
const UNSEEN: u32 = 3;
/// The same where more is lost: as often in a row as chance has it in one case of so many.
const ONE_CASE_IN: f64 = 100.0;
/// Where more is lost than this, nothing gets through in any time.
const MOST_LOST: f64 = 0.9;
/// No program waits longer than this many doublings.
const MOST_TIMES: u32 = 10;
/// Pings after which no loss means little loss.
const ENOUGH_PINGS: u32 = 20;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let slow = evidence.exchanges.iter().filter_map(|exchange| Some((exchange, wait_us(evidence, exchange)?)));
    let slow = slow.filter(|(exchange, (wait_us, _))| wait_us.saturating_sub(lost_us(evidence, exchange)) > SLOW_FIRST_BYTE_US);
    let slowest = slow.max_by_key(|(_, (wait_us, _))| *wait_us);
    let slowest = slowest.map(|(exchange, (wait_us, rtt_us))| candidate(evidence, exchange, wait_us, rtt_us));
    slowest.or_else(|| behind_proxy(evidence)).into_iter().collect()
}

/// Behind a proxy the connection's round trip is the proxy's. Whether the server waits or the proxy is not seen, but where a tunnel took the
/// handshake to the server itself.
fn behind_proxy(evidence: &Evidence<'_>) -> Option<Candidate> {
    let of = |exchange: &Seen<'_, Exchange>| -> Option<(u64, bool)> {
        exchange.proxy.as_ref().filter(|_| !is_late_error(exchange) && exchange.method != "CONNECT")?;
        let first_byte_us = exchange.phases.first_byte_us?;
        let (way_us, tunnel) = match exchange.phases.tls_us {
            Some(tls_us) => (tls_us * waits_for(exchange), true),
            None => (FAR_ROUND_TRIP_US * OF_THE_PROXY, false),
        };
        (first_byte_us.saturating_sub(way_us) > SLOW_FIRST_BYTE_US).then_some((first_byte_us, tunnel))
    };
    let slow = evidence.exchanges.iter().filter_map(|exchange| Some((*exchange, of(exchange)?)));
    let (exchange, (wait_us, tunnel)) = slow.max_by_key(|(_, (wait_us, _))| *wait_us)?;
    let (host, wait) = (host_of(&exchange.url), duration(wait_us));
    let proxy = exchange.proxy.as_deref()?.trim_end_matches('/');
    let (confidence, who) = match tunnel {
        true => (
            BEHIND_TUNNEL,
            format!("the handshake with {host} itself was quick, so that the server is slow, or the proxy holds its answer back"),
        ),
        false => (BEHIND_PROXY, format!("the server is slow, or the proxy {proxy}, or the way between the two")),
    };
    let sentence = format!("Through the proxy {proxy}, {host} takes {wait} to begin its answer: {who}.");
    let candidate = Candidate::new(Severity::Degraded, confidence, sentence)
        .at(place(&exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("path.mtu_blackhole", "The answer came; in a black hole it would not.", [exchange.id])
        .settled_by(format!("the same page asked from beside the proxy, and another page through it: if that one is slow too, it is the proxy {proxy}"))
        .next(Who::Support, format!("Ask for another page through the same proxy: if it is slow too, look at the proxy {proxy}; if not, look for what {host} does before it answers."));
    Some(candidate)
}

/// An error that came late is the error's business.
fn is_late_error(exchange: &Exchange) -> bool {
    exchange.status.is_none_or(|status| status >= 400 && !exchange.expected)
}

/// What packets that were lost explain of the wait: the request was sent again, or on a way that loses packets, and shows no pings, the
/// first packets of the answer may have been.
fn lost_us(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>) -> u64 {
    let state = exchange.fact.at_close.as_deref();
    let resent = state.map_or(0, data_resent);
    let first_too = state.is_some_and(|state| state.retransmits > resent);
    let of_request = waited_us(resent, if first_too { AFTER_A_LOST_FIRST_US } else { SENT_AGAIN_US });
    let address = exchange.address.map(|address| address.ip());
    of_request + address.map_or(0, |address| waited_us(unseen(evidence, address), SENT_AGAIN_US))
}

/// How often in a row the server's own packets may have been lost, which nothing here sees: where connections alone show that the way loses
/// packets, or where pings show that it loses so many that requests come to a halt.
fn unseen(evidence: &Evidence<'_>, address: IpAddr) -> u32 {
    let by_connections = loss::share_of_connections(evidence, address).map_or(0, |_| UNSEEN);
    let share = loss::share(evidence, address).filter(|_| loss::halts(evidence, address));
    let in_a_row = |lost: f64| (ONE_CASE_IN.ln() / -lost.min(MOST_LOST).ln()).ceil();
    share.map_or(0, |lost| in_a_row(lost.percent() / 100.0) as u32).max(by_connections)
}

/// How long a sender waits that sends again so many times: each time twice as long as before (RFC 6298 section 5.5).
fn waited_us(times: u32, first_us: u64) -> u64 {
    first_us.saturating_mul(2_u64.saturating_pow(times.min(MOST_TIMES)).saturating_sub(1))
}

/// The wait for the first byte with the round trips that it needs taken off, and one of them.
fn wait_us(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>) -> Option<(u64, u64)> {
    if is_late_error(exchange) {
        return None;
    }
    let first_byte_us = exchange.phases.first_byte_us?;
    // Behind a proxy the connection's round trip is the proxy's, and nothing tells the server's.
    let address = exchange.address.filter(|_| exchange.proxy.is_none())?;
    let by_path = evidence.path_rtt(address.ip()).map(|(rtt_us, _)| rtt_us);
    let by_connections = evidence
        .attempts()
        .iter()
        .filter(|attempt| attempt.connected() && attempt.address == address)
        .map(|attempt| attempt.took_us);
    let rtt_us = by_connections.chain(by_path).chain(exchange.phases.connect_us).min()?;
    Some((first_byte_us.saturating_sub(rtt_us * waits_for(exchange)), rtt_us))
}

fn candidate(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>, wait_us: u64, rtt_us: u64) -> Candidate {
    let host = host_of(&exchange.url);
    let (wait, round_trip) = (duration(wait_us), duration(rtt_us));
    let sentence = match rtt_us < FAR_ROUND_TRIP_US {
        true => format!(
            "{host} takes {wait} to begin its answer, while the network's round trip is only {round_trip}: the server is slow, and the network is not."
        ),
        false => format!(
            "{host} takes {wait} of its own to begin its answer, beside the round trips of {round_trip} that it needs: the server is slow, and far away as well."
        ),
    };
    let pings = exchange.address.map(|address| evidence.lost_calmly(address.ip())).unwrap_or_default();
    let clean = pings.of >= ENOUGH_PINGS && pings.cases == 0;
    Candidate::new(Severity::Degraded, if clean { NOTHING_LOST } else { CONFIDENCE }, sentence)
        .at(place(exchange))
        .resting_on([exchange.id])
        .resting_on(pings.ids.into_iter().filter(|_| clean))
        .rejecting("http.slow_network", format!("The connection took {round_trip}."), [exchange.id])
        .rejecting("path.mtu_blackhole", "The answer came; in a black hole it would not.", [exchange.id])
        .next(Who::Server, format!("Look for what {host} does before it answers: database, other services, a cold start."))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, echo_series, exchange};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Phases, TcpState};

    const URL: &str = "https://shop.example/";

    fn timed(connect_us: u64, first_byte_us: u64) -> Fact {
        exchange(URL, |exchange| {
            exchange.phases = Phases { connect_us: Some(connect_us), first_byte_us: Some(first_byte_us), ..Phases::default() };
        })
    }

    #[test]
    fn a_late_first_byte_on_a_fast_network_is_the_servers() {
        let finding = Scene::new(URL).check(Kind::Http, [timed(20_000, 2_020_000)]).finds("http.slow_server");
        assert!(finding.sentence.contains("takes 2.0 seconds") && finding.sentence.contains("20 ms"), "{}", finding.sentence);
    }

    #[test]
    fn pings_of_which_none_is_lost_leave_only_the_server() {
        let scene = Scene::new(URL).check(Kind::Http, [timed(20_000, 2_020_000)]);
        assert!(scene.finds("http.slow_server").confidence < 0.9);
        let scene = scene.check(Kind::Icmp, [echo_series("192.0.2.1", 20, 0, |_| {})]);
        assert!(scene.finds("http.slow_server").confidence > 0.9);
    }

    #[test]
    fn a_first_byte_just_within_the_limit_is_no_fault() {
        assert!(Scene::new(URL).check(Kind::Http, [timed(20_000, 770_000)]).is_healthy().is_empty());
    }

    /// A first byte after 830 ms, with so many segments that were sent again.
    fn sent_again(first_byte_us: u64, resent: u32) -> Scene {
        let fact = exchange(URL, |exchange| {
            exchange.phases = Phases { connect_us: Some(300), first_byte_us: Some(first_byte_us), ..Phases::default() };
            let bytes = 76 * u64::from(resent);
            let (sent, resent_bytes) = (Some(76 + bytes), Some(bytes));
            exchange.at_close = Some(Box::new(TcpState {
                retransmits: resent,
                mss_bytes: 1_448,
                bytes_sent: sent,
                bytes_resent: resent_bytes,
                ..TcpState::default()
            }));
        });
        Scene::new(URL).check(Kind::Http, [fact])
    }

    #[test]
    fn a_request_that_had_to_be_sent_again_explains_the_wait() {
        assert!(!sent_again(830_000, 3).names("http.slow_server"));
        assert!(sent_again(830_000, 0).names("http.slow_server"));
        assert!(sent_again(5_000_000, 1).names("http.slow_server"), "one of them explains no five seconds");
    }

    #[test]
    fn a_way_that_loses_much_explains_a_long_wait_and_not_any() {
        let beside = |lost, first_byte_us| {
            let scene = Scene::new(URL).check(Kind::Http, [timed(300, first_byte_us)]);
            scene.check(Kind::Icmp, [echo_series("192.0.2.1", 60, lost, |_| {})]).names("http.slow_server")
        };
        assert!(!beside(30, 5_800_000), "seven in a row are lost once in a hundred times");
        assert!(beside(3, 5_800_000), "of a twentieth not even three are");
        assert!(beside(12, 12_000_000) && !beside(12, 2_000_000));
    }

    #[test]
    fn a_far_server_is_not_a_slow_one() {
        assert!(!Scene::new(URL).check(Kind::Http, [timed(600_000, 1_300_000)]).names("http.slow_server"));
    }

    fn through_proxy(tls_us: Option<u64>, first_byte_us: u64) -> Scene {
        let url = if tls_us.is_some() { URL } else { "http://shop.example/" };
        let fact = exchange(url, |exchange| {
            exchange.proxy = Some("http://proxy:3128".into());
            exchange.phases = Phases { tls_us, first_byte_us: Some(first_byte_us), ..Phases::default() };
        });
        Scene::new(url).check(Kind::Http, [fact])
    }

    #[test]
    fn behind_a_proxy_the_server_or_the_proxy_is_slow() {
        let finding = through_proxy(None, 3_000_000).finds("http.slow_server");
        assert!(finding.sentence.contains("or the proxy http://proxy:3128"), "{}", finding.sentence);
        let tunnelled = through_proxy(Some(20_000), 3_000_000).finds("http.slow_server");
        assert!(finding.confidence < tunnelled.confidence && tunnelled.confidence < 0.9, "{tunnelled:?}");
    }

    #[test]
    fn a_proxy_that_is_far_from_the_server_is_not_slow() {
        assert!(through_proxy(None, 1_500_000).is_healthy().is_empty());
        assert!(through_proxy(Some(600_000), 1_900_000).is_healthy().is_empty());
    }
}
