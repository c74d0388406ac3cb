//! A clock that is wrong, by what time servers and pages say, and by the dates of certificates of many hosts.

use super::outside_time::{self, Told};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::threshold::CLOCK_WRONG_US;
use crate::wording::{count, date, list};
use jiff::Timestamp;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Certificate, Handshake};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("asking more time servers that do not belong together: `netsonde probe ntp` with others"),
    ..Rule::new("host.clock_skew", &["tls.expired", "tls.not_yet_valid"], evaluate)
};

/// Several servers agree, and not with this machine.
const SEVERAL: f64 = 0.95;
/// One server against one machine, and a certificate whose dates hold by the server's time and fail by this machine's.
const ONE_AND_CERTIFICATE: f64 = 0.85;
/// One server against one machine.
const ONE: f64 = 0.7;
/// One server against a machine whose kernel says that its clock is kept right by another.
const ONE_AGAINST_SYNCHRONISED: f64 = 0.5;
/// Pages of several machines are dated alike, and not as this machine's clock says.
const SEVERAL_PAGES: f64 = 0.8;
/// One page is, and a certificate's dates hold by it alone.
const PAGE_AND_CERTIFICATE: f64 = 0.65;
/// Certificates of several owners fail by their dates, all in one direction.
const DATES_OF_MANY: f64 = 0.75;
/// The same within one owner's hosts, whose issuer may have a wrong clock as well.
const DATES_OF_ONE_OWNER: f64 = 0.6;

/// Servers that agree differ by no more than this; their paths' asymmetry is far below it.
pub(super) const AGREEMENT_US: i64 = 1_000_000;
/// Hosts whose dates fail at once: two renewals are forgotten now and then.
const MANY_HOSTS: usize = 3;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let found = match outside_time::by_servers(evidence) {
        Some(told) => by_servers(evidence, &told),
        None => match outside_time::by_pages(evidence) {
            Some(told) => by_pages(evidence, &told),
            None => by_certificates(evidence),
        },
    };
    found.into_iter().collect()
}

fn by_servers(evidence: &Evidence<'_>, told: &Told<'_>) -> Option<Candidate> {
    if told.agrees() {
        return None;
    }
    let synchronised = evidence.clock().filter(|clock| clock.synchronised == Some(true));
    let shown = made_valid(evidence, told);
    let confidence = match (told.sources.len(), synchronised.is_some()) {
        (2.., _) => SEVERAL,
        (_, true) => ONE_AGAINST_SYNCHRONISED,
        (_, false) if shown.is_some() => ONE_AND_CERTIFICATE,
        (_, false) => ONE,
    };
    let severity = if told.offset_us.abs() > CLOCK_WRONG_US { Severity::Problem } else { Severity::Notice };
    let candidate = off_by(severity, confidence, told).resting_on(synchronised.map(|clock| clock.id));
    Some(candidate.resting_on(shown.map(|handshake| handshake.id)))
}

/// A page's date is weaker: caches keep old ones, and a server's clock may be as wrong as this one.
fn by_pages(evidence: &Evidence<'_>, told: &Told<'_>) -> Option<Candidate> {
    if told.agrees() || evidence.clock().is_some_and(|clock| clock.synchronised == Some(true)) {
        return None;
    }
    let shown = made_valid(evidence, told);
    let confidence = match (told.sources.len(), &shown) {
        (2.., _) => SEVERAL_PAGES,
        (_, Some(_)) => PAGE_AND_CERTIFICATE,
        (_, None) => return None,
    };
    Some(off_by(Severity::Problem, confidence, told).resting_on(shown.map(|handshake| handshake.id)))
}

fn off_by(severity: Severity, confidence: f64, told: &Told<'_>) -> Candidate {
    let direction = if told.offset_us > 0 { "behind" } else { "ahead of" };
    let sentence = format!(
        "This machine's clock is {} {direction} {}: certificates, sign-ins and one-time passwords depend on it.",
        count(told.offset_us.abs() / 1_000_000, "second"),
        told.who
    );
    set_the_clock(Candidate::new(severity, confidence, sentence))
        .at(Place { address: told.sources.first().map(|source| source.address), ..Place::default() })
        .resting_on(told.ids())
}

fn set_the_clock(candidate: Candidate) -> Candidate {
    candidate.about(Spot::Everything).next(
        Who::Customer,
        "Set the clock and let the system keep it right (`timedatectl set-ntp true`; Windows: `w32tm /resync`); in a virtual machine look at the host's clock.",
    )
}

fn handshakes<'e, 'a>(evidence: &'e Evidence<'a>) -> impl Iterator<Item = &'e Seen<'a, Handshake>> {
    evidence.handshakes.iter().chain(&evidence.handshakes_elsewhere)
}

/// The certificate's dates hold at this time.
fn holds(certificate: &Certificate, at: Timestamp) -> bool {
    certificate.not_before <= at && at <= certificate.not_after
}

/// A handshake whose certificate is outside its dates by this machine's clock, and within them by the others'.
fn made_valid<'a>(evidence: &Evidence<'a>, told: &Told<'_>) -> Option<Seen<'a, Handshake>> {
    let by_them = |handshake: &&Seen<'a, Handshake>| {
        let (leaf, own) = (handshake.chain.first(), handshake.verified_at);
        leaf.zip(own).is_some_and(|(leaf, own)| !holds(leaf, own) && told.right_time(own).is_some_and(|right| holds(leaf, right)))
    };
    handshakes(evidence).find(by_them).copied()
}

/// One host and the certificate that it showed first.
struct Dated<'a> {
    host: &'a str,
    leaf: &'a Certificate,
    own: Timestamp,
    seen: Seen<'a, Handshake>,
}

/// Certificates of many hosts that fail by their dates in one direction, and that one time would make valid, all that are valid now among
/// them.
fn by_certificates(evidence: &Evidence<'_>) -> Option<Candidate> {
    if evidence.clock().is_some_and(|clock| clock.synchronised == Some(true)) {
        return None;
    }
    let mut hosts: Vec<Dated<'_>> = Vec::new();
    for seen in handshakes(evidence) {
        let (Some(leaf), Some(own)) = (seen.fact.chain.first(), seen.verified_at) else { continue };
        let known = |known: &Dated<'_>| known.host.eq_ignore_ascii_case(&seen.fact.host) || known.leaf.sha256 == leaf.sha256;
        if !hosts.iter().any(known) {
            hosts.push(Dated { host: &seen.fact.host, leaf, own, seen: *seen });
        }
    }
    let behind = |host: &Dated<'_>| host.own < host.leaf.not_before;
    let ahead = |host: &Dated<'_>| host.leaf.not_after < host.own;
    fails_alike(&hosts, behind, true).or_else(|| fails_alike(&hosts, ahead, false))
}

fn fails_alike(hosts: &[Dated<'_>], fails: impl Fn(&Dated<'_>) -> bool, behind: bool) -> Option<Candidate> {
    let failing: Vec<&Dated<'_>> = hosts.iter().filter(|host| fails(host)).collect();
    let from = hosts.iter().map(|host| host.leaf.not_before).max()?;
    let until = hosts.iter().map(|host| host.leaf.not_after).min()?;
    if failing.len() < MANY_HOSTS || failing.len() * 2 <= hosts.len() || from > until {
        return None;
    }
    let mut owners: Vec<String> = failing.iter().filter_map(|host| owner(host.host)).collect();
    owners.sort();
    owners.dedup();
    let confidence = match (owners.len(), behind) {
        (2.., _) => DATES_OF_MANY,
        (_, true) => DATES_OF_ONE_OWNER,
        // One owner forgets many renewals at once.
        (_, false) => return None,
    };
    let mut names: Vec<&str> = failing.iter().map(|host| host.host).collect();
    names.sort_unstable();
    let (how, side) = if behind { ("not yet valid", "behind") } else { ("expired", "ahead") };
    let day = date(if behind { from } else { until });
    let one_issuer = failing.iter().all(|host| host.leaf.issuer == failing[0].leaf.issuer);
    let issuer = if one_issuer { ", or the clock of the authority that issued all of them is wrong" } else { "" };
    let sentence = format!(
        "The certificates of {} all look {how}, and all would be valid on {day}: this machine's clock is {side}{issuer}.",
        list(&names)
    );
    let mut ids: Vec<_> = failing.iter().map(|host| host.seen.id).collect();
    ids.sort_by(|left, right| left.as_str().cmp(right.as_str()));
    Some(set_the_clock(Candidate::new(Severity::Problem, confidence, sentence)).resting_on(ids))
}

/// The last two labels of a name, which hosts of one owner share; none for an address.
pub(in crate::rules) fn owner(host: &str) -> Option<String> {
    let labels: Vec<&str> = host.trim_end_matches('.').rsplit('.').take(2).collect();
    let is_name = host.parse::<std::net::IpAddr>().is_err() && labels.len() == 2;
    is_name.then(|| labels.join(".").to_lowercase())
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, certificate, clock, distrust, exchange, handshake, header, time_offset, timestamp};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, TrustReason};

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

    /// The certificate of one host, from and until when it is valid.
    fn dated(host: &str, from: &str, until: &str) -> Fact {
        handshake(|handshake| {
            handshake.host = host.into();
            handshake.chain = vec![certificate(&format!("CN={host}"), "CN=Middle")];
            handshake.chain[0].sha256 = host.into();
            (handshake.chain[0].not_before, handshake.chain[0].not_after) = (timestamp(from), timestamp(until));
            if timestamp(from) > timestamp("2026-05-15T12:00:00Z") {
                distrust(handshake, TrustReason::NotYetValid);
            } else if timestamp(until) < timestamp("2026-05-15T12:00:00Z") {
                distrust(handshake, TrustReason::Expired);
            }
        })
    }

    fn hosts(facts: Vec<(&str, Fact)>) -> Scene {
        let first = Scene::new(facts[0].0);
        facts.into_iter().fold(first, |scene, (target, fact)| scene.target(target).check(Kind::Tls, [fact]))
    }

    fn early(names: &[&'static str]) -> Scene {
        let one = |name: &&'static str| (*name, dated(name, "2026-06-01T00:00:00Z", "2026-09-01T00:00:00Z"));
        hosts(names.iter().map(one).collect())
    }

    #[test]
    fn dates_that_fail_on_many_unrelated_targets_are_this_machines_clock_told_once() {
        let finding = early(&["a.example", "b.test", "c.invalid"]).finds("host.clock_skew");
        assert!(finding.confidence > 0.7 && finding.target.is_none(), "{finding:#?}");
        assert!(finding.suppressed.contains(&"tls.not_yet_valid".to_owned()), "{finding:#?}");
        let of_one = early(&["a.lab.example", "b.lab.example", "c.lab.example"]).finds("host.clock_skew");
        assert!(of_one.confidence < finding.confidence && of_one.sentence.contains("authority"), "{}", of_one.sentence);
    }

    #[test]
    fn two_hosts_and_hosts_beside_which_more_are_right_leave_the_clock_alone() {
        assert!(!early(&["a.example", "b.test"]).names("host.clock_skew"));
        let right = |name: &'static str| (name, dated(name, "2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z"));
        let wrong = |name: &'static str| (name, dated(name, "2026-06-01T00:00:00Z", "2026-09-01T00:00:00Z"));
        let mixed = hosts(vec![
            wrong("a.example"),
            wrong("b.test"),
            wrong("c.invalid"),
            right("d.one"),
            right("e.two"),
            right("f.three"),
        ]);
        assert!(!mixed.names("host.clock_skew"));
        let synchronised = early(&["a.example", "b.test", "c.invalid"]).check(Kind::Host, [clock(Some(true))]);
        assert!(!synchronised.names("host.clock_skew"));
    }

    #[test]
    fn certificates_that_no_one_time_makes_valid_have_expired_by_themselves() {
        let old = |name: &'static str, year: i32| {
            (name, dated(name, &format!("{year}-01-01T00:00:00Z"), &format!("{year}-03-01T00:00:00Z")))
        };
        let scene = hosts(vec![old("a.example", 2023), old("b.test", 2024), old("c.invalid", 2025)]);
        assert!(!scene.names("host.clock_skew") && scene.names("tls.expired"));
    }

    fn page(url: &str, at: &str, date: &str) -> Fact {
        exchange(url, |exchange| {
            exchange.address = Some(at.parse().unwrap());
            exchange.headers = vec![header("date", date)];
        })
    }

    #[test]
    fn pages_of_two_machines_that_are_dated_otherwise_show_a_wrong_clock_and_one_does_not() {
        let (one, two) = (
            page("https://a.example/", "192.0.2.1:443", "Mon, 18 May 2026 12:00:00 GMT"),
            page("https://b.test/", "192.0.2.2:443", "Mon, 18 May 2026 12:00:01 GMT"),
        );
        let scene = Scene::new("https://a.example/").check(Kind::Http, [one.clone()]);
        assert!(!scene.names("host.clock_skew"), "one server may be wrong itself");
        let finding = scene.check(Kind::Http, [two]).finds("host.clock_skew");
        assert!(finding.confidence < 0.9 && finding.sentence.contains("Date header"), "{finding:#?}");
    }
}
