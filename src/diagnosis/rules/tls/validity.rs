//! Certificates outside their dates: expired, or not yet valid.

use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::rules::host::outside_time;
use crate::spot::Spot;
use crate::wording::{date, distance};
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Certificate, Handshake, TrustReason};

const CLOCK: &str = "the time of a source outside this machine (NTP, or the Date header of other servers)";

pub(in crate::rules) const EXPIRED_RULE: Rule =
    Rule { settled_by: Some(CLOCK), ..Rule::new("tls.expired", &["host.clock_skew"], expired) };

pub(in crate::rules) const NOT_YET_VALID_RULE: Rule = Rule {
    settled_by: Some(CLOCK),
    ..Rule::new("tls.not_yet_valid", &["host.clock_skew"], |evidence| outside(evidence, &NOT_YET_VALID))
};

/// What differs between the two ends of a certificate's life.
struct End {
    reason: TrustReason,
    is_outside: fn(&Certificate, Timestamp) -> bool,
    sentence: fn(&Certificate, &str, Timestamp) -> String,
    confidence: Confidence,
    /// What to do where it is the server's own, and where it is one that it sends along.
    action: fn(&str, &Certificate, bool) -> String,
}

/// How sure it is by what is known of this machine's clock.
struct Confidence {
    /// The kernel says that it is synchronised, or several time servers agree.
    synchronised: f64,
    /// The certificate is outside its dates by the time of one time server as well…
    by_server: f64,
    /// …or by the Date header of a page.
    by_page: f64,
    unknown: f64,
    /// The kernel says that it is not synchronised, or others tell another time.
    adrift: f64,
}

/// Certificates do expire, every day; clocks that run ahead by months are rare.
const EXPIRED: End = End {
    reason: TrustReason::Expired,
    is_outside: |certificate, now| certificate.not_after < now,
    sentence: |certificate, what, now| {
        format!("{what} expired on {}, {} ago.", date(certificate.not_after), distance(certificate.not_after, now))
    },
    confidence: Confidence { synchronised: 0.97, by_server: 0.95, by_page: 0.92, unknown: 0.92, adrift: 0.8 },
    action: |host, certificate, is_own| match is_own {
        true => format!("Renew the certificate of {host} ({}) and load it into the server.", certificate.subject),
        false => format!(
            "Load the current intermediate certificate of the issuer into the server of {host} in place of the expired \"{}\"; its own certificate need not be renewed for this.",
            certificate.subject
        ),
    },
};

/// A certificate from the future is rare, and a clock that fell back to its factory date is not.
const NOT_YET_VALID: End = End {
    reason: TrustReason::NotYetValid,
    is_outside: |certificate, now| now < certificate.not_before,
    sentence: |certificate, what, now| {
        let (from, ahead) = (date(certificate.not_before), distance(now, certificate.not_before));
        format!("{what} is not valid before {from}, which is {ahead} ahead of this machine's clock.")
    },
    confidence: Confidence { synchronised: 0.92, by_server: 0.9, by_page: 0.85, unknown: 0.7, adrift: 0.55 },
    action: |host, _, _| {
        format!(
            "Compare this machine's clock with the right time first; if it is right, {host} needs a certificate that is valid now."
        )
    },
};

/// From so long before the end on, a certificate should have been renewed: those of 90 days are renewed by then.
const NOTICE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Certificates that live for days are renewed when a third of their life is left.
const LEFT_OF_LIFE: i64 = 3;

/// The date stands in the certificate.
const SOON: f64 = 0.95;

fn expired(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let soon = evidence.handshakes.iter().filter_map(|handshake| expires_soon(handshake));
    outside(evidence, &EXPIRED).into_iter().chain(soon).collect()
}

/// A trusted certificate that is near its end: nobody feels it yet.
fn expires_soon(handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let now = handshake.verified_at?;
    let leaf = handshake.fact.chain.first().filter(|leaf| leaf.not_before <= now && now <= leaf.not_after)?;
    let trusted = handshake.fact.deciding_verdict().is_some_and(|verdict| verdict.trusted);
    let (left, life) = (leaf.not_after.duration_since(now), leaf.not_after.duration_since(leaf.not_before));
    if !trusted || left > NOTICE || left.as_secs() > life.as_secs() / LEFT_OF_LIFE {
        return None;
    }
    let host = &handshake.host;
    let sentence = format!(
        "The certificate of {host} expires on {}, in {}, and was not renewed yet.",
        date(leaf.not_after),
        distance(now, leaf.not_after)
    );
    let candidate = Candidate::new(Severity::Notice, SOON, sentence)
        .at(place(handshake))
        .about(Spot::Endpoint(handshake.address))
        .resting_on([handshake.id])
        .next(
            Who::Server,
            format!("Renew the certificate of {host} before that day, and see why the renewal did not come by itself."),
        );
    Some(candidate)
}

fn outside(evidence: &Evidence<'_>, end: &End) -> Vec<Candidate> {
    evidence.handshakes.iter().filter_map(|handshake| of_handshake(evidence, handshake, end)).collect()
}

fn of_handshake(evidence: &Evidence<'_>, handshake: &Seen<'_, Handshake>, end: &End) -> Option<Candidate> {
    let now = handshake.verified_at?;
    let verdict = handshake.deciding_verdict();
    let blamed = verdict.is_some_and(|verdict| !verdict.trusted && verdict.reason == Some(end.reason));
    let at = handshake.chain.iter().position(|certificate| (end.is_outside)(certificate, now))?;
    // A stale certificate that a server sends along does no harm where another path to a trusted root was found.
    if at > 0 && !blamed {
        return None;
    }
    let certificate = handshake.fact.chain.get(at)?;
    let host = &handshake.host;
    let what = if at == 0 {
        format!("The certificate of {host}")
    } else {
        format!("The certificate \"{}\" that {host} sends along, which its own depends on,", certificate.subject)
    };
    let clock = clock(evidence, certificate, now, end);
    let candidate = Candidate::new(Severity::Problem, clock.confidence, (end.sentence)(certificate, &what, now))
        .at(place(handshake))
        .about(Spot::Endpoint(handshake.address))
        .resting_on([handshake.id])
        .next(Who::Server, (end.action)(host, certificate, at == 0));
    Some(match clock.right {
        Some((reason, ids)) => candidate.resting_on(ids.iter().copied()).rejecting("host.clock_skew", reason, ids),
        None if clock.may_follow => candidate.following("host.clock_skew"),
        None => candidate,
    })
}

/// What is known of the clock by which the certificate is outside its dates.
struct Clock<'a> {
    confidence: f64,
    /// Why the clock is not the reason, and the observations that say so.
    right: Option<(String, Vec<&'a ObservationId>)>,
    /// Where this machine's clock is found wrong, nothing is wrong with the certificate.
    may_follow: bool,
}

fn clock<'a>(evidence: &Evidence<'a>, certificate: &Certificate, now: Timestamp, end: &End) -> Clock<'a> {
    let sure = &end.confidence;
    let kernel = evidence.clock().map(|clock| (clock.fact.synchronised, clock.id));
    let moment = |at: Timestamp| at.strftime("%-d %B %Y %H:%M UTC").to_string();
    if let Some(told) = outside_time::told(evidence)
        && let Some(right) = told.right_time(now)
    {
        let several = told.by_servers && told.sources.len() > 1;
        if (end.is_outside)(certificate, right) {
            let reason = format!("By {} it was {}, when the certificate's dates do not hold either.", told.who, moment(right));
            let confidence = match (kernel, told.by_servers) {
                (Some((Some(true), _)), _) => sure.synchronised,
                _ if several => sure.synchronised,
                (_, true) => sure.by_server,
                (_, false) => sure.by_page,
            };
            let ids = told.ids().chain(kernel.filter(|(synchronised, _)| *synchronised == Some(true)).map(|(_, id)| id));
            return Clock { confidence, right: Some((reason, ids.collect())), may_follow: false };
        }
        // One server against the kernel's word leaves both open.
        let disputed = kernel.is_some_and(|(synchronised, _)| synchronised == Some(true)) && !several;
        return Clock { confidence: sure.adrift, right: None, may_follow: !disputed };
    }
    match kernel {
        Some((Some(true), id)) => {
            let reason = format!("This machine's clock is synchronised; it said {}.", moment(now));
            Clock { confidence: sure.synchronised, right: Some((reason, vec![id])), may_follow: false }
        }
        Some((Some(false), _)) => Clock { confidence: sure.adrift, right: None, may_follow: true },
        _ => Clock { confidence: sure.unknown, right: None, may_follow: true },
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, certificate, clock, distrust, exchange, handshake, header, time_offset, timestamp};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, TrustReason};

    fn expired(at: usize) -> Fact {
        handshake(|handshake| {
            handshake.chain[at].not_after = timestamp("2026-05-03T08:00:00Z");
            distrust(handshake, TrustReason::Expired);
        })
    }

    fn scene(fact: Fact) -> Scene {
        Scene::new("https://shop.example").check(Kind::Tls, [fact])
    }

    #[test]
    fn an_expired_certificate_is_told_with_its_date_and_age() {
        let finding = scene(expired(0)).finds("tls.expired");
        assert_eq!(finding.sentence, "The certificate of shop.example expired on 3 May 2026, 12 days ago.");
    }

    #[test]
    fn an_expired_intermediate_is_named() {
        assert!(scene(expired(1)).finds("tls.expired").sentence.contains("CN=Middle"));
    }

    #[test]
    fn a_synchronised_clock_rules_out_that_the_clock_is_wrong() {
        let finding = scene(expired(0)).check(Kind::Host, [clock(Some(true))]).finds("tls.expired");
        assert_eq!((finding.confidence, finding.rejected[0].cause.as_str()), (0.97, "host.clock_skew"));
    }

    #[test]
    fn a_clock_that_is_not_synchronised_leaves_doubt() {
        let finding = scene(expired(0)).check(Kind::Host, [clock(Some(false))]).finds("tls.expired");
        assert!(finding.confidence < 0.9 && finding.rejected.is_empty() && finding.settled_by.is_some());
    }

    #[test]
    fn a_time_server_that_agrees_with_the_clock_settles_an_expired_certificate() {
        let told = scene(expired(0)).check(Kind::Host, [clock(Some(false))]).check(Kind::Ntp, [time_offset("192.0.2.9:123", 0)]);
        let finding = told.finds("tls.expired");
        assert!(finding.confidence >= 0.9 && finding.rejected[0].cause == "host.clock_skew", "{finding:#?}");
        // Ninety seconds of a clock are no twelve days.
        let told = scene(expired(0)).check(Kind::Ntp, [time_offset("192.0.2.9:123", 90)]).diagnose();
        let causes: Vec<&str> = told.findings.iter().map(|finding| finding.cause.as_str()).collect();
        assert_eq!(causes, ["host.clock_skew", "tls.expired"]);
    }

    #[test]
    fn a_certificate_that_is_valid_by_the_time_server_follows_from_the_wrong_clock() {
        let by_server = |kernel| {
            scene(expired(0)).check(Kind::Host, [clock(kernel)]).check(Kind::Ntp, [time_offset("192.0.2.9:123", -20 * 86_400)])
        };
        let finding = by_server(Some(false)).finds("host.clock_skew");
        assert!(finding.confidence > 0.8 && finding.suppressed == ["tls.expired"], "{finding:#?}");
        let disputed = by_server(Some(true));
        assert!(
            disputed.names("tls.expired") && disputed.names("host.clock_skew"),
            "the time server may be the one that is wrong"
        );
    }

    #[test]
    fn the_date_of_a_page_is_weaker_evidence_of_the_clock() {
        let dated = |date: &str| {
            let page = exchange("http://other.example/", |exchange| {
                exchange.address = Some("192.0.2.7:80".parse().unwrap());
                exchange.headers = vec![header("date", date)];
            });
            scene(expired(0)).check(Kind::Host, [clock(Some(false))]).check(Kind::Http, [page])
        };
        let agrees = dated("Fri, 15 May 2026 12:00:03 GMT").finds("tls.expired");
        assert!(agrees.confidence > 0.9 && agrees.rejected[0].cause == "host.clock_skew", "{agrees:#?}");
        let finding = dated("Fri, 01 May 2026 12:00:03 GMT").finds("host.clock_skew");
        assert!(finding.confidence < 0.7 && finding.suppressed == ["tls.expired"], "{finding:#?}");
    }

    #[test]
    fn a_certificate_of_tomorrow_points_at_the_clock_as_well() {
        let future = handshake(|handshake| {
            handshake.chain[0].not_before = timestamp("2026-06-01T00:00:00Z");
            distrust(handshake, TrustReason::NotYetValid);
        });
        let finding = scene(future).finds("tls.not_yet_valid");
        assert!(finding.confidence < 0.9 && finding.next_step.action.contains("clock"));
    }

    #[test]
    fn a_stale_cross_certificate_beside_a_good_path_is_no_fault() {
        let stale = handshake(|handshake| {
            let mut old = certificate("CN=Root", "CN=Older root");
            old.not_after = timestamp("2021-09-30T00:00:00Z");
            handshake.chain.push(old);
        });
        assert!(scene(stale).is_healthy().is_empty());
    }

    #[test]
    fn a_certificate_near_its_end_is_worth_a_notice() {
        let soon = || handshake(|handshake| handshake.chain[0].not_after = timestamp("2026-05-25T12:00:00Z"));
        assert_eq!(scene(soon()).is_healthy(), ["tls.expired"]);
        let sentence = scene(soon()).diagnose().findings[0].sentence.clone();
        assert!(sentence.contains("expires on 25 May 2026, in 10 days"), "{sentence}");
    }

    #[test]
    fn a_certificate_that_lives_for_a_week_is_not_near_its_end_on_its_third_day() {
        let short = handshake(|handshake| {
            (handshake.chain[0].not_before, handshake.chain[0].not_after) =
                (timestamp("2026-05-12T12:00:00Z"), timestamp("2026-05-19T12:00:00Z"));
        });
        assert!(scene(short).is_healthy().is_empty());
    }

    #[test]
    fn a_certificate_on_its_last_day_is_valid() {
        let last_day = handshake(|handshake| handshake.chain[0].not_after = timestamp("2026-05-15T12:00:00Z"));
        assert_eq!(scene(last_day).is_healthy(), ["tls.expired"], "as a notice only");
    }
}
