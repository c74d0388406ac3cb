use super::pairing::check_of;
use super::weighing::Weight;
use super::{Pair, moment, sides};
use crate::engine::Hypothesis;
use netsonde_contract::control::{Difference, DifferenceAbout};
use netsonde_contract::finding::{Finding, NextStep, Place};
use netsonde_contract::id::ObservationId;
use netsonde_contract::outcome::{Outcome, Status};

/// Changes that a finding names; the list of differences has them all.
const SHOWN: usize = 3;
/// What a change of explains that something works no more. That it does not connect is the symptom itself.
const CHANGES: [DifferenceAbout; 5] = [
    DifferenceAbout::Certificate,
    DifferenceAbout::Addresses,
    DifferenceAbout::DnsAnswer,
    DifferenceAbout::Path,
    DifferenceAbout::Mtu,
];

/// What the same machine saw at another time: whether it worked, and what is different now. The time between the two may hold anything:
/// only a change of just what the cause speaks of, or that the very same endpoint worked, makes it likelier.
pub(super) fn weight(pair: &Pair<'_, '_>, hypothesis: &Hypothesis) -> Option<Weight> {
    let candidate = &hypothesis.candidate;
    let at = moment(pair.vantage.environment.began);
    let rests_on = |outcome: &&&Outcome| {
        let seen = |id: &ObservationId| candidate.evidence.contains(id);
        matches!(outcome.status, Status::Failed | Status::TimedOut)
            && outcome.observations.iter().any(|observation| seen(&observation.id))
    };
    let then = pair.here.outcomes.iter().filter(rests_on).find_map(|outcome| check_of(outcome, pair.there));
    let worked = then.filter(|outcome| outcome.status == Status::Succeeded);
    let (text, evidence) = if let Some(outcome) = worked {
        let ids: Vec<ObservationId> = outcome.observations.iter().map(|observation| observation.id.clone()).collect();
        let when = if pair.vantage.environment.began <= pair.here.environment.began {
            "It worked from this machine at"
        } else {
            "Later it worked from this machine, at"
        };
        (format!("{when} {at}.{}", changes(&pair.differences)), ids)
    } else {
        let same = |finding: &&&Finding| finding.cause == hypothesis.rule.code && is_at(&finding.place, &candidate.place);
        let same = pair.findings.iter().find(same)?;
        (format!("The same was found from this machine at {at}."), same.evidence.clone())
    };
    let next = worked.map(|_| NextStep {
        who: candidate.next_step.who,
        action: format!(
            "{} It worked at {at}: look first at what was changed between then and this run.",
            candidate.next_step.action
        ),
    });
    let likelier = worked.is_some() && (has_changed(pair, hypothesis) || ended(pair, hypothesis));
    let confidence = if likelier { candidate.confidence.max(half_settled(candidate.confidence)) } else { candidate.confidence };
    (!evidence.is_empty()).then_some(Weight { confidence, text, evidence, next })
}

/// Half of the doubt that is left, and never more than this.
const MOST: f64 = 0.97;

fn half_settled(confidence: f64) -> f64 {
    (confidence + (1.0 - confidence) / 2.0).min(MOST)
}

/// What the cause says to be wrong was otherwise when it worked: the size that passes, the way, the certificate, the name's addresses.
fn has_changed(pair: &Pair<'_, '_>, hypothesis: &Hypothesis) -> bool {
    let about: &[DifferenceAbout] = match hypothesis.rule.code {
        "path.mtu_blackhole" | "path.mtu_lowered" => &[DifferenceAbout::Mtu],
        "path.blackhole" | "path.routing_loop" | "path.no_route" | "path.route_changed" => &[DifferenceAbout::Path],
        "tls.intercepted" | "tls.unknown_issuer" | "tls.self_signed" | "tls.chain_incomplete" | "tls.name_mismatch" => {
            &[DifferenceAbout::Certificate]
        }
        "dns.unexpected_address" | "dns.stale_record" | "dns.split_horizon" | "dns.bogon_answer" | "host.hosts_file_override" => {
            &[DifferenceAbout::Addresses, DifferenceAbout::DnsAnswer]
        }
        _ => return false,
    };
    pair.differences.iter().any(|difference| about.contains(&difference.about))
}

/// The very endpoint worked from here: it is not one that never was, and what refuses or swallows packets came since.
fn ended(pair: &Pair<'_, '_>, hypothesis: &Hypothesis) -> bool {
    let of_change = ["tcp.filtered", "cloud.port_filter", "path.blackhole", "path.target_silent", "path.target_down"];
    of_change.contains(&hypothesis.rule.code) && !sides::seen(pair, &hypothesis.candidate).0.is_empty()
}

/// Two findings of one cause are the same only at the same address, port and page, as far as both name them.
pub(super) fn is_at(one: &Place, other: &Place) -> bool {
    fn agree<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
        one.is_none() || other.is_none() || one == other
    }
    // One name may lead to several addresses.
    let named = one.name.is_some() && other.name.is_some();
    let host = if named { one.name == other.name } else { agree(&one.address, &other.address) };
    host && agree(&one.port, &other.port) && agree(&one.url, &other.url)
}

fn changes(differences: &[Difference]) -> String {
    let told: Vec<String> = differences
        .iter()
        .filter(|difference| CHANGES.contains(&difference.about))
        .take(SHOWN)
        .map(|difference| {
            format!(
                " Different: {} of {}, then {}, now {}.",
                difference.about.words(),
                difference.subject,
                difference.there,
                difference.here
            )
        })
        .collect();
    if told.is_empty() { " Nothing else that both runs looked at has changed.".to_owned() } else { told.concat() }
}
