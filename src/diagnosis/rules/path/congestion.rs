use super::loaded;
use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
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

/// With fewer replies the median is chance.
const LEAST_REPLIES: usize = 10;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let idle = evidence.addresses().into_iter().filter_map(|address| towards(evidence, address));
    idle.chain(loaded::congested(evidence)).collect()
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let (median_us, least_us, ids) = wait_us(evidence, address)?;
    let sentence = format!(
        "The way to {} is full: packets take {} where {} is enough, because they wait in a queue behind other traffic.",
        named(&evidence.host(), address),
        duration(median_us),
        duration(least_us)
    );
    let candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .resting_on(ids)
        .next(
            Who::Network,
            "Find what fills the line (a backup, an update, a large upload) and give it a limit, or let the router keep its queue short (fq_codel, CAKE).",
        );
    Some(candidate)
}

/// The usual round trip of a series, the smallest that was ever seen, and where; none where packets do not wait that much.
pub(in crate::rules) fn wait_us<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<(u64, u64, Vec<&'a ObservationId>)> {
    let by_connections = evidence
        .attempts()
        .iter()
        .filter(|attempt| attempt.connected() && attempt.address.ip() == address)
        .map(|attempt| (attempt.took_us, attempt.id));
    let (least_us, least_id) = by_connections.chain(evidence.path_rtt(address)).min_by_key(|(rtt_us, _)| *rtt_us)?;
    let usual = evidence.answered_series(address).filter(|echo| echo.replies.len() >= LEAST_REPLIES).map(|echo| {
        let mut times: Vec<u64> = echo.replies.iter().map(|reply| reply.rtt_us).collect();
        times.sort_unstable();
        (times[times.len() / 2], echo.id)
    });
    let (median_us, id) = usual.max_by_key(|(median_us, _)| *median_us)?;
    let waits = median_us >= least_us * CONGESTED_TIMES && median_us - least_us >= CONGESTED_WAIT_US;
    waits.then(|| (median_us, least_us, vec![id, least_id]))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo};
    use netsonde_contract::kind::Kind;

    fn waiting(rtt_us: u64) -> Scene {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]);
        scene.check(Kind::Icmp, [echo("192.0.2.1", &[rtt_us; 12])])
    }

    #[test]
    fn packets_that_wait_many_times_as_long_as_the_path_needs_are_in_a_queue() {
        let finding = waiting(160_000).finds("path.congestion");
        assert!(finding.sentence.contains("160 ms") && finding.sentence.contains("20 ms"), "{}", finding.sentence);
    }

    #[test]
    fn packets_that_take_twice_as_long_are_not() {
        assert!(waiting(35_000).is_healthy().is_empty());
    }
}
