//! A page or a file that comes below a ceiling: what a limit on the way does to a download that somebody really makes.

use super::policed::{ceiling, holes, is_queue, starts_fast};
use super::policed_line;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::spot::Spot;
use crate::threshold::INITIAL_WINDOW_BYTES;
use crate::wording::duration;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Exchange, TcpState, Transfer};

/// One connection below a ceiling, with losses and without a queue; that a lossy path happens to be steady is the other possibility.
const CONFIDENCE: f64 = 0.75;

/// Bytes a second from which on nobody feels a limit while a page loads.
const FELT_BELOW: u64 = 1_250_000;

/// Where every segment behind a hole waits for one that is sent again, the data's own round trips grow by this time, and no further.
const SENT_AGAIN_US: u64 = 200_000;

/// Tenths of a second that a sender waits before it sends again (RFC 6298, 200 ms on Linux, doubled once).
const LONGEST_PAUSE: usize = 4;

/// Tenths of a second without any data, which no line with a queue has.
const LEAST_SILENT: usize = 3;

/// So often what was held back by a pause comes at once, faster than the rate, where nothing queues.
const LEAST_AT_ONCE: usize = 2;

/// Segments behind a hole, where pauses show losses as well.
const LEAST_HOLES: u64 = 3;

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
    let transfer = exchange.transfer.as_deref()?;
    let state: &TcpState = exchange.at_close.as_deref()?;
    let passed = let_through(transfer, state);
    let behind_pauses = behind_pauses(transfer, &passed, state);
    let rate = ceiling(&evened(&passed)).or(behind_pauses.map(|(rate, _)| rate)).filter(|rate| *rate < FELT_BELOW)?;
    let pauses = behind_pauses.map_or(0, |(_, pauses)| pauses);
    let idle_us =
        evidence.path_rtt(address.ip()).map(|(rtt_us, _)| rtt_us).into_iter().chain(exchange.phases.connect_us).min()?;
    let loaded_us = state.receive_rtt_us.map(u64::from).or(behind_pauses.map(|_| idle_us))?;
    let loses = holes(std::slice::from_ref(state), passed.len(), pauses);
    if !loses || queues(evidence, exchange, rate, (idle_us, loaded_us), pauses > 0) {
        return None;
    }
    let pings = evidence.lost_calmly(address.ip()).and(evidence.lost_in_bursts(address.ip()));
    let burst = starts_fast(&transfer.slices, rate);
    // Where pings are lost too, only the cut after a fast start tells a limit from a path that loses by chance.
    let attempts = || evidence.attempts().iter().filter(|attempt| attempt.address.ip() == address.ip());
    let at_once =
        attempts().count() >= LEAST_CONNECTIONS && attempts().all(|attempt| attempt.connected() && !attempt.connected_late());
    if !burst && (pings.cases > 0 || (pings.of < LEAST_PINGS && !at_once)) {
        return None;
    }
    let how = if burst { "after a fast start" } else { "with segments lost all the time" };
    let (unqueued, reason) = if pauses > 0 {
        let unqueued = "what a pause held back passes at once".to_owned();
        (unqueued, "What was held back by a pause came faster than the rate, which no queue lets through.")
    } else {
        let unqueued = format!("nothing waits in a queue (a round trip takes {} meanwhile)", duration(loaded_us));
        (unqueued, "Round trips stay short while the data comes.")
    };
    let sentence = format!(
        "What {} sends is cut off at {} kbit/s on its way: it is steady {how}, and {unqueued}, as where a limit drops what is above it.",
        host_of(&exchange.url),
        rate * 8 / 1_000
    );
    let place =
        Place { url: Some(exchange.url.clone()), address: Some(address.ip()), port: Some(address.port()), ..Place::default() };
    let none_lost = pings.ids.iter().copied().filter(|_| pings.cases == 0).collect::<Vec<_>>();
    let candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(place)
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("path.congestion", reason, [exchange.id])
        .rejecting("path.loss", "No ping was lost.", none_lost);
    let candidate = if pings.cases > 0 { candidate.resting_on(pings.ids) } else { candidate };
    Some(candidate.next(Who::Network, "Ask the provider for the limit of the line, the virtual machine's size or the VPN; measure it with `netsonde run load`. A limit that queues (shaping) instead of dropping gives more of the same rate."))
}

/// The slices without the pauses that a sender makes whose last segments were all dropped: what it sent at once before counts for the time
/// until it sends again.
fn evened(slices: &[u64]) -> Vec<u64> {
    let mut evened = slices.to_vec();
    let mut at = 0;
    while at < evened.len() {
        let silent = evened.iter().skip(at + 1).take(LONGEST_PAUSE).take_while(|bytes| **bytes == 0).count();
        let share = evened.get(at).copied().unwrap_or_default() / (silent as u64 + 1);
        evened.iter_mut().skip(at).take(silent + 1).for_each(|bytes| *bytes = share);
        at += silent + 1;
    }
    evened
}

/// Bytes that the way let through in each tenth of a second: as they came where the kernel counted them, else as they were read, which is
/// later where a hole had to be filled first.
fn let_through(transfer: &Transfer, state: &TcpState) -> Vec<u64> {
    if transfer.arrived.is_empty() {
        return transfer.slices.clone();
    }
    transfer.arrived.iter().map(|segments| u64::from(*segments) * u64::from(state.mss_bytes)).collect()
}

/// The rate of a limit a short way off, whose sender pauses because all that came last was dropped, and whose next window then passes at
/// once; and the number of such pauses, each of which is a loss that nothing came behind to show.
fn behind_pauses(transfer: &Transfer, passed: &[u64], state: &TcpState) -> Option<(u64, u64)> {
    let rate = policed_line::rate(passed).filter(|_| !transfer.arrived.is_empty())?;
    let pauses = policed_line::at_once(passed, rate);
    let silent = passed.iter().filter(|bytes| **bytes == 0).count();
    let shown = pauses >= LEAST_AT_ONCE && silent >= LEAST_SILENT && u64::from(state.out_of_order?) >= LEAST_HOLES;
    shown.then_some((rate, pauses as u64))
}

/// Packets wait in a queue while the data comes. Pings of the same time tell; without any, the data's own round trips, which segments that
/// are sent again make longer too, so that they have to stay short, or the line has to have passed faster what it held back.
fn queues(
    evidence: &Evidence<'_>,
    exchange: &Seen<'_, Exchange>,
    rate: u64,
    (idle_us, loaded_us): (u64, u64),
    at_once: bool,
) -> bool {
    let grown_us = loaded_us.saturating_sub(idle_us);
    let mut meanwhile = evidence.round_trips_during(exchange);
    meanwhile.sort_unstable();
    match meanwhile.get(meanwhile.len() / 2).filter(|_| meanwhile.len() >= LEAST_PINGS as usize) {
        Some(usual_us) => is_queue(usual_us.saturating_sub(idle_us), rate) || grown_us > SENT_AGAIN_US,
        None if at_once => grown_us > SENT_AGAIN_US,
        None => {
            is_queue(grown_us, rate)
                && !stands_empty(exchange.transfer.as_ref().map_or(&[][..], |transfer| &transfer.slices), rate, grown_us)
        }
    }
}

/// The line fell silent time and again, and no more than a first window was on its way: on a short way the data's own round trip is the time
/// that a window takes at this rate, and a queue would have gone on sending.
fn stands_empty(slices: &[u64], rate: u64, grown_us: u64) -> bool {
    let silent = slices.iter().filter(|bytes| **bytes == 0).count();
    silent >= LEAST_SILENT && grown_us * rate / 1_000_000 <= INITIAL_WINDOW_BYTES
}

#[cfg(test)]
mod tests {
    use super::evened;
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
    fn on_a_short_way_the_line_that_falls_silent_shows_that_nothing_queues() {
        let near = |slices: Vec<u64>| {
            let fact = exchange(URL, |exchange| {
                exchange.body_bytes = slices.iter().sum();
                exchange.phases.connect_us = Some(300);
                exchange.phases.body_us = Some(6_000_000);
                exchange.at_close = Some(Box::new(TcpState {
                    mss_bytes: 1_428,
                    bytes_received: Some(exchange.body_bytes),
                    receive_rtt_us: Some(51_000),
                    out_of_order: Some(120),
                    ..TcpState::default()
                }));
                exchange.transfer = Some(Box::new(Transfer { bytes: exchange.body_bytes, slices, ..Transfer::default() }));
            });
            let at_once = (0..6).map(|_| connected("192.0.2.1:443"));
            Scene::new(URL).check(Kind::Tcp, at_once).check(Kind::Http, [fact]).names("path.policed")
        };
        let silent = [vec![80_000, 0, 30_000, 0, 40_000, 0], vec![25_000; 54]].concat();
        assert!(near(silent));
        assert!(!near(vec![25_000; 60]), "a queue sends all the time");
    }

    /// As many segments sent again as at a policer a fraction of a millisecond away, whose holes are filled late.
    fn in_segments(arrived: Vec<u32>, out_of_order: u32) -> bool {
        let fact = exchange(URL, |exchange| {
            let last = arrived.len() - 1;
            let slices: Vec<u64> = (0..arrived.len()).map(|at| if at == last { 400_000 } else { 7_000 }).collect();
            exchange.body_bytes = slices.iter().sum();
            exchange.phases.connect_us = Some(300);
            exchange.phases.body_us = Some(arrived.len() as u64 * 100_000);
            exchange.at_close = Some(Box::new(TcpState {
                mss_bytes: 1_428,
                bytes_received: Some(exchange.body_bytes),
                receive_rtt_us: Some(83_000),
                out_of_order: Some(out_of_order),
                ..TcpState::default()
            }));
            exchange.transfer =
                Some(Box::new(Transfer { bytes: exchange.body_bytes, slices, arrived: arrived.clone(), ..Transfer::default() }));
        });
        let at_once = (0..6).map(|_| connected("192.0.2.1:443"));
        Scene::new(URL).check(Kind::Tcp, at_once).check(Kind::Http, [fact]).names("path.policed")
    }

    #[test]
    fn segments_that_pass_at_once_behind_pauses_show_a_limit_though_holes_hide_it_from_the_program() {
        let pauses = [vec![6, 0, 36, 0, 43, 0, 32, 0, 39, 0, 41, 0, 32, 0, 34], vec![18; 30]].concat();
        assert!(in_segments(pauses.clone(), 8));
        assert!(!in_segments(pauses, 0), "a server that pauses loses nothing");
        let queued = [vec![6, 0, 18, 0, 18, 0, 18, 0, 18, 0, 18, 0, 18, 0, 18], vec![18; 30]].concat();
        assert!(!in_segments(queued, 80), "a line with a queue is never faster than its rate");
        assert!(!in_segments(vec![18; 45], 80), "nor does it fall silent");
    }

    #[test]
    fn what_came_at_once_before_a_pause_counts_for_the_pause() {
        assert_eq!(evened(&[80, 0, 30, 10, 0, 0, 5]), [40, 40, 30, 3, 3, 3, 5]);
        assert_eq!(evened(&[0, 0, 9]), [0, 0, 9]);
    }

    #[test]
    fn a_queue_a_slow_sender_and_a_lossy_path_are_no_limit() {
        assert!(!body(400_000, 120, 0).names("path.policed"), "it waits in a queue");
        assert!(!body(21_000, 0, 0).names("path.policed"), "nothing is lost: the server sends no faster");
        assert!(!body(21_000, 120, 4).names("path.policed"), "pings are lost as well");
    }
}
