use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::rules::path::{congestion, loss};
use crate::threshold::JITTER_US;
use crate::wording::{duration, named};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::Echo;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same series while nothing else uses the line, and to the first router alone"),
    ..Rule::new("path.jitter", &["path.congestion", "path.loss", "host.overloaded"], evaluate)
};

/// The times vary; whether a radio link, a busy line or this machine makes them vary is open.
const CONFIDENCE: f64 = 0.7;

/// With fewer replies, one late packet is a tenth of them.
const LEAST_REPLIES: usize = 10;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.addresses().into_iter().filter_map(|address| towards(evidence, address)).collect()
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    if loss::share(evidence, address).is_some() || congestion::waits(evidence, address).is_some() {
        return None;
    }
    // Pings that wait behind netsonde's own download vary by its doing.
    let own = evidence.beside_own_load();
    let series = evidence.answered_series(address).filter(|echo| !own.contains(&echo.id));
    let (echo, spread_us) = series.filter_map(|echo| Some((echo, spread_us(echo)?))).max_by_key(|(_, spread)| *spread)?;
    if spread_us <= JITTER_US {
        return None;
    }
    let (host, fastest) = (named(&evidence.host_at(address), address), echo.min_rtt_us().unwrap_or_default());
    let sentence = format!(
        "The time that packets to {host} take varies: one in ten takes {} longer than the fastest, which takes {}. Calls and remote desktops feel it.",
        duration(spread_us),
        duration(fastest)
    );
    let candidate = Candidate::new(Severity::Notice, CONFIDENCE, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .resting_on([echo.id])
        .rejecting("path.loss", "No more pings were lost than chance explains.", [echo.id])
        .next(
            Who::Network,
            "Look for a radio link or a busy line on the way; a cable in place of Wi-Fi shows whether the own network does it.",
        );
    Some(candidate)
}

/// How much longer than the fastest the slowest tenth takes.
fn spread_us(echo: &Seen<'_, Echo>) -> Option<u64> {
    let mut times: Vec<u64> = echo.replies.iter().map(|reply| reply.rtt_us).collect();
    if times.len() < LEAST_REPLIES {
        return None;
    }
    times.sort_unstable();
    let at_ninety = times.get((times.len() * 9).div_ceil(10) - 1)?;
    Some(at_ninety - times.first()?)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, echo};
    use netsonde_contract::kind::Kind;

    fn times(slow: usize) -> Scene {
        let rtts: Vec<u64> = (0..20).map(|at| if at < slow { 70_000 } else { 30_000 }).collect();
        Scene::new("shop.example").check(Kind::Icmp, [echo("192.0.2.1", &rtts)])
    }

    #[test]
    fn times_that_vary_by_more_than_a_calls_buffer_are_worth_knowing() {
        assert_eq!(times(6).is_healthy(), ["path.jitter"]);
    }

    #[test]
    fn one_late_reply_is_not() {
        assert!(times(1).is_healthy().is_empty());
    }
}
