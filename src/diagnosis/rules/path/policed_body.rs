//! A page or a file that comes below a ceiling: what a limit on the way does to a download that somebody really makes.

use super::policed::{ceiling, has_holes, is_queue, starts_fast};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::spot::Spot;
use crate::wording::duration;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Exchange, TcpState};

/// One connection below a ceiling, with losses and without a queue; that a lossy path happens to be steady is the other possibility.
const CONFIDENCE: f64 = 0.75;

/// Bytes a second from which on nobody feels a limit while a page loads.
const FELT_BELOW: u64 = 1_250_000;

/// Where every segment behind a hole waits for one that is sent again, the data's own round trips grow by this time, and no further.
const SENT_AGAIN_US: u64 = 200_000;

/// So many pings that all came back show that nothing but the transfer loses packets.
const LEAST_PINGS: u32 = 10;
/// The same of connections that stood at once, where nobody may ping.
const LEAST_CONNECTIONS: usize = 6;

/// Bodies that were cut off at a rate.
pub(super) fn cut_off(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.exchanges.iter().filter_map(|exchange| of_exchange(evidence, exchange)).collect()
}

fn of_exchange(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let address = exchange.address.filter(|_| exchange.proxy.is_none())?;
    let slices = &exchange.transfer.as_ref()?.slices;
    let state: &TcpState = exchange.at_close.as_deref()?;
    let rate = ceiling(slices).filter(|rate| *rate < FELT_BELOW)?;
    let loaded_us = u64::from(state.receive_rtt_us?);
    let idle_us =
        evidence.path_rtt(address.ip()).map(|(rtt_us, _)| rtt_us).into_iter().chain(exchange.phases.connect_us).min()?;
    if !has_holes(std::slice::from_ref(state), slices.len()) || queues(evidence, exchange, rate, (idle_us, loaded_us)) {
        return None;
    }
    let pings = evidence.lost_calmly(address.ip()).and(evidence.lost_in_bursts(address.ip()));
    let burst = starts_fast(slices, rate);
    // Where pings are lost too, only the cut after a fast start tells a limit from a path that loses by chance.
    let attempts = || evidence.attempts().iter().filter(|attempt| attempt.address.ip() == address.ip());
    let at_once =
        attempts().count() >= LEAST_CONNECTIONS && attempts().all(|attempt| attempt.connected() && !attempt.connected_late());
    if !burst && (pings.cases > 0 || (pings.of < LEAST_PINGS && !at_once)) {
        return None;
    }
    let how = if burst { "after a fast start" } else { "with segments lost all the time" };
    let sentence = format!(
        "What {} sends is cut off at {} kbit/s on its way: it is steady {how}, and nothing waits in a queue (a round trip takes {} meanwhile), as where a limit drops what is above it.",
        host_of(&exchange.url),
        rate * 8 / 1_000,
        duration(loaded_us)
    );
    let place =
        Place { url: Some(exchange.url.clone()), address: Some(address.ip()), port: Some(address.port()), ..Place::default() };
    let none_lost = pings.ids.iter().copied().filter(|_| pings.cases == 0).collect::<Vec<_>>();
    let candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(place)
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("path.congestion", "Round trips stay short while the data comes.", [exchange.id])
        .rejecting("path.loss", "No ping was lost.", none_lost);
    let candidate = if pings.cases > 0 { candidate.resting_on(pings.ids) } else { candidate };
    Some(candidate.next(Who::Network, "Ask the provider for the limit of the line, the virtual machine's size or the VPN; measure it with `netsonde run load`. A limit that queues (shaping) instead of dropping gives more of the same rate."))
}

/// Packets wait in a queue while the data comes. Pings of the same time tell; without any, the data's own round trips, which segments that
/// are sent again make longer too, so that they have to stay short.
fn queues(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>, rate: u64, (idle_us, loaded_us): (u64, u64)) -> bool {
    let grown_us = loaded_us.saturating_sub(idle_us);
    let mut meanwhile = evidence.round_trips_during(exchange);
    meanwhile.sort_unstable();
    match meanwhile.get(meanwhile.len() / 2).filter(|_| meanwhile.len() >= LEAST_PINGS as usize) {
        Some(usual_us) => is_queue(usual_us.saturating_sub(idle_us), rate) || grown_us > SENT_AGAIN_US,
        None => is_queue(grown_us, rate),
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo_series, exchange};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{TcpState, Transfer};

    const URL: &str = "http://shop.example/file";

    fn body(receive_rtt_us: u32, out_of_order: u32, pings_lost: u32) -> Scene {
        let fact = exchange(URL, |exchange| {
            let slices = vec![25_000; 60];
            exchange.body_bytes = slices.iter().sum();
            exchange.phases.body_us = Some(6_000_000);
            exchange.at_close = Some(Box::new(TcpState {
                mss_bytes: 1_428,
                bytes_received: Some(exchange.body_bytes),
                receive_rtt_us: Some(receive_rtt_us),
                out_of_order: Some(out_of_order),
                ..TcpState::default()
            }));
            exchange.transfer = Some(Box::new(Transfer { bytes: exchange.body_bytes, slices, ..Transfer::default() }));
        });
        let scene = Scene::new(URL).check(Kind::Tcp, [connected("192.0.2.1:443")]).check(Kind::Http, [fact]);
        scene.check(Kind::Icmp, [echo_series("192.0.2.1", 20, pings_lost, |_| {})])
    }

    #[test]
    fn a_body_below_a_ceiling_that_loses_segments_and_waits_in_no_queue_is_policed() {
        let finding = body(21_000, 120, 0).finds("path.policed");
        assert!(finding.sentence.contains("cut off at 2000 kbit/s"), "{}", finding.sentence);
    }

    #[test]
    fn a_queue_a_slow_sender_and_a_lossy_path_are_no_limit() {
        assert!(!body(400_000, 120, 0).names("path.policed"), "it waits in a queue");
        assert!(!body(21_000, 0, 0).names("path.policed"), "nothing is lost: the server sends no faster");
        assert!(!body(21_000, 120, 4).names("path.policed"), "pings are lost as well");
    }
}
