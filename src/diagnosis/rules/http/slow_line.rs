//! A body that fills a link on the way, which is slow: packets wait behind it in a queue, so that it is not the sender who holds it back.

use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::rules::path::policed;
use crate::spot::Spot;
use crate::threshold::{SLOW_BODY_US, SLOW_FIRST_BYTE_US};
use crate::wording::duration;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::Exchange;

/// The queue grows while the body comes; that others share the line is the other possibility.
const CONFIDENCE: f64 = 0.8;

/// Bytes a second (4 Mbit/s) from which on a page of usual size, about 2 MB, comes within some seconds: a line that carries more is not slow.
const SLOW_LINE: u64 = 500_000;
/// A body that takes the line's time, not that of its first windows.
const LEAST_BYTES: u64 = 100_000;
/// Round trips while the body comes, a quarter of which may meet the queue before it is full.
const LEAST_ROUND_TRIPS: usize = 10;

/// For the cause http.slow_network.
pub(super) fn of(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let address = exchange.address.filter(|_| exchange.proxy.is_none() && exchange.failure.is_none())?;
    let (body_us, first_byte_us) = (exchange.phases.body_us?, exchange.phases.first_byte_us?);
    let rate = exchange.body_bytes.checked_mul(1_000)?.checked_div(body_us / 1_000)?;
    if body_us < SLOW_BODY_US || exchange.body_bytes < LEAST_BYTES || rate >= SLOW_LINE || first_byte_us > SLOW_FIRST_BYTE_US {
        return None;
    }
    let of_address = |attempt: &&crate::evidence::Attempt<'_>| attempt.connected() && attempt.address == address;
    let connections = evidence.attempts().iter().filter(of_address).map(|attempt| attempt.took_us);
    let by_path = evidence.path_rtt(address.ip()).map(|(rtt_us, _)| rtt_us);
    let idle_us = connections.chain(by_path).min()?;
    let mut meanwhile = evidence.round_trips_during(exchange);
    meanwhile.sort_unstable();
    // A way whose times merely vary lets a good part of the packets through at once.
    let most_wait_us = *meanwhile.get(meanwhile.len() / 4).filter(|_| meanwhile.len() >= LEAST_ROUND_TRIPS)?;
    let usual_us = *meanwhile.get(meanwhile.len() / 2)?;
    if !policed::is_queue(most_wait_us.saturating_sub(idle_us), rate) || most_wait_us < 2 * idle_us {
        return None;
    }
    let pings = evidence.lost_calmly(address.ip());
    let sentence = format!(
        "The line is slow, not the server: {} bytes of {} took {} ({} kbit/s), and while they came packets took {} instead of {}, because they waited for them in the queue of a link on the way.",
        exchange.body_bytes,
        host_of(&exchange.url),
        duration(body_us),
        rate * 8 / 1_000,
        duration(usual_us),
        duration(idle_us)
    );
    let candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .resting_on(evidence.echoed(address.ip()))
        .rejecting("http.slow_server", "The first byte came at once, and the data fills a queue on its way.", [exchange.id])
        .settled_by("the same transfer while nothing else uses the line, beside its promised rate: `netsonde run load`")
        .next(
            Who::Network,
            "Compare the rate with the one that the line, the virtual machine or the VPN is meant to have, and look for what else uses it; a router that keeps its queue short (fq_codel, CAKE) leaves calls and sign-ins usable meanwhile.",
        );
    let clean = pings.cases == 0;
    Some(if clean { candidate.rejecting("path.loss", "No ping was lost.", pings.ids) } else { candidate })
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo, exchange};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Phases;

    const URL: &str = "http://192.0.2.1/large";

    /// A body that took so long, with so much of the time of pings meanwhile; without load they take 20 ms.
    fn body(bytes: u64, body_us: u64, rtts_us: &[u64]) -> Scene {
        let fact = exchange(URL, |exchange| {
            exchange.address = Some("192.0.2.1:80".parse().unwrap());
            exchange.body_bytes = bytes;
            exchange.phases =
                Phases { connect_us: Some(20_000), first_byte_us: Some(25_000), body_us: Some(body_us), ..Phases::default() };
        });
        let scene = Scene::new(URL).check(Kind::Tcp, [connected("192.0.2.1:80")]).check(Kind::Http, [fact]);
        scene.check(Kind::Icmp, [echo("192.0.2.1", rtts_us)])
    }

    #[test]
    fn a_body_behind_which_packets_wait_fills_a_slow_line() {
        let finding = body(800_000, 13_600_000, &[440_000; 20]).finds("http.slow_network");
        assert!(finding.sentence.contains("470 kbit/s") && finding.sentence.contains("440 ms instead of 20 ms"), "{finding:?}");
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "http.slow_server"));
        body(1_048_576, 4_500_000, &[60_000; 20]).finds("http.slow_network");
    }

    #[test]
    fn a_server_that_sends_slowly_fills_no_queue() {
        assert!(body(150_000, 13_600_000, &[21_000; 20]).names("http.slow_transfer"));
        assert!(!body(150_000, 13_600_000, &[21_000; 20]).names("http.slow_network"));
    }

    #[test]
    fn times_that_vary_by_themselves_are_no_queue() {
        let varying: Vec<u64> = (0..20).map(|nth| 20_000 + nth % 4 * 25_000).collect();
        assert!(!body(800_000, 4_000_000, &varying).names("http.slow_network"));
    }

    #[test]
    fn a_line_of_some_megabits_is_not_slow() {
        assert!(!body(20_000_000, 16_000_000, &[80_000; 20]).names("http.slow_network"));
    }
}
