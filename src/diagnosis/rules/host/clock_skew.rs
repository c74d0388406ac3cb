use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::threshold::{CLOCK_OFF_US, CLOCK_WRONG_US};
use crate::wording::{count, list};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Leap, TimeOffset};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("asking more time servers that do not belong together: `netsonde probe ntp` with others"),
    ..Rule::new("host.clock_skew", &["tls.expired", "tls.not_yet_valid"], evaluate)
};

/// Several servers agree, and not with this machine.
const SEVERAL: f64 = 0.95;
/// One server against one machine.
const ONE: f64 = 0.7;
/// One server against a machine whose kernel says that its clock is kept right by another.
const ONE_AGAINST_SYNCHRONISED: f64 = 0.5;

/// Servers that agree differ by no more than this; their paths' asymmetry is far below it.
const AGREEMENT_US: i64 = 1_000_000;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    skewed(evidence).into_iter().collect()
}

fn skewed(evidence: &Evidence<'_>) -> Option<Candidate> {
    let asked: Vec<(i64, &Seen<'_, TimeOffset>)> = evidence
        .time_offsets
        .iter()
        .filter(|offset| knows_the_time(offset))
        .filter_map(|offset| Some((offset.offset_us?, offset)))
        .collect();
    let mut offsets: Vec<i64> = asked.iter().map(|(offset_us, _)| *offset_us).collect();
    offsets.sort_unstable();
    let median_us = *offsets.get(offsets.len() / 2)?;
    let (agreeing, others): (Vec<_>, Vec<_>) =
        asked.into_iter().partition(|(offset_us, _)| (offset_us - median_us).abs() <= AGREEMENT_US);
    if median_us.abs() <= CLOCK_OFF_US || agreeing.len() <= others.len() {
        return None;
    }
    let synchronised = evidence.clock().filter(|clock| clock.synchronised == Some(true));
    let confidence = match (agreeing.len(), synchronised.is_some()) {
        (2.., _) => SEVERAL,
        (_, false) => ONE,
        (_, true) => ONE_AGAINST_SYNCHRONISED,
    };
    let severity = if median_us.abs() > CLOCK_WRONG_US { Severity::Problem } else { Severity::Notice };
    let direction = if median_us > 0 { "behind" } else { "ahead of" };
    let servers: Vec<String> = agreeing.iter().map(|(_, offset)| offset.address.ip().to_string()).collect();
    let who = if servers.len() == 1 { "the time server" } else { "the time servers" };
    let sentence = format!(
        "This machine's clock is {} {direction} {who} {}: certificates, sign-ins and one-time passwords depend on it.",
        count(median_us.abs() / 1_000_000, "second"),
        list(&servers)
    );
    let candidate = Candidate::new(severity, confidence, sentence)
        .at(Place { address: agreeing.first().map(|(_, offset)| offset.address.ip()), ..Place::default() })
        .about(Spot::Everything)
        .resting_on(agreeing.iter().map(|(_, offset)| offset.id))
        .resting_on(synchronised.map(|clock| clock.id))
        .next(
            Who::Customer,
            "Set the clock and let the system keep it right (`timedatectl set-ntp true`; Windows: `w32tm /resync`); in a virtual machine look at the host's clock.",
        );
    Some(candidate)
}

/// The server answered, and does not say of itself that it does not know the time (RFC 5905 section 7.3).
fn knows_the_time(offset: &TimeOffset) -> bool {
    offset
        .server
        .as_ref()
        .is_none_or(|server| (1..16).contains(&server.stratum) && server.leap != Leap::Unsynchronised && server.kiss.is_none())
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, time_offset};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;

    fn scene(seconds: &[i64]) -> Scene {
        let facts = seconds.iter().enumerate().map(|(at, seconds)| time_offset(&format!("192.0.2.{at}:123"), *seconds));
        Scene::new("time.example").check(Kind::Ntp, facts)
    }

    #[test]
    fn a_clock_that_is_minutes_off_is_told_with_its_direction() {
        let finding = scene(&[90]).finds("host.clock_skew");
        assert!(finding.sentence.contains("90 seconds behind the time server 192.0.2.0"), "{}", finding.sentence);
        assert!(finding.confidence < 0.9 && finding.settled_by.is_some());
        assert!(scene(&[-90, -90]).finds("host.clock_skew").confidence > 0.9);
    }

    #[test]
    fn ten_seconds_are_worth_knowing() {
        let diagnosis = scene(&[10]).diagnose();
        assert_eq!((diagnosis.findings[0].cause.as_str(), diagnosis.findings[0].severity), ("host.clock_skew", Severity::Notice));
    }

    #[test]
    fn one_server_of_three_that_differs_is_itself_wrong() {
        assert!(!scene(&[0, 90, 0]).names("host.clock_skew"));
    }

    #[test]
    fn a_second_is_no_skew() {
        assert!(!scene(&[1]).names("host.clock_skew"));
    }
}
