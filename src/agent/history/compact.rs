use jiff::{SignedDuration, Timestamp};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::document::Document;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::history::{Sample, Series, Verdict};
use netsonde_contract::observation::{Fact, Handshake};
use netsonde_contract::outcome::{Outcome, Status};
use netsonde_contract::target::Target;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A digest tells the paths of one check apart, for which eight bytes are plenty.
const DIGEST_CHARS: usize = 16;

/// The measurements of one scheduled run. Checks that were not meant to run have none, and follow-ups, which come and go, neither.
pub(crate) fn samples(schedule: &str, document: &Document) -> Vec<(Series, Sample)> {
    let began = document.run.began;
    document
        .outcomes
        .iter()
        .filter(|outcome| outcome.separates.is_empty())
        .filter_map(|outcome| Some((series(schedule, outcome, &document.run.targets), sample(began, outcome)?)))
        .collect()
}

/// The checks of the run's plan, whether they ran or not.
pub(crate) fn planned(schedule: &str, document: &Document) -> Vec<Series> {
    let outcomes = document.outcomes.iter().filter(|outcome| outcome.separates.is_empty());
    outcomes.map(|outcome| series(schedule, outcome, &document.run.targets)).collect()
}

fn series(schedule: &str, outcome: &Outcome, targets: &[Target]) -> Series {
    let target = outcome.target.as_ref().map(place);
    Series {
        schedule: schedule.to_owned(),
        check: name(outcome.check.as_str(), target.as_deref(), targets),
        kind: outcome.kind,
        target,
        required: outcome.required,
    }
}

/// A run numbers its targets (`connect#2`), and another list of targets numbers them anew. Here a check is told by its target, and has a number only
/// where targets differ in nothing but what is not recorded of them.
fn name(id: &str, target: Option<&str>, targets: &[Target]) -> String {
    let numbered = id.split_once('#').and_then(|(name, number)| Some((name, number.parse::<usize>().ok()?)));
    let (name, number) = numbered.unwrap_or((id, 1));
    let before = targets.iter().take(number.saturating_sub(1)).filter(|other| Some(place(other).as_str()) == target).count();
    if before == 0 { name.to_owned() } else { format!("{name}#{}", before + 1) }
}

fn sample(began: Timestamp, outcome: &Outcome) -> Option<Sample> {
    let verdict = match outcome.status {
        Status::Succeeded => Verdict::Good,
        // This machine had nothing left to measure with, which says nothing of the target.
        Status::Failed | Status::TimedOut if facts_of(outcome).any(is_out_of_descriptors) => Verdict::Unmeasured,
        Status::Failed | Status::TimedOut => Verdict::Bad,
        Status::NotMeasured => Verdict::Unmeasured,
        Status::Skipped => return None,
    };
    let facts = || facts_of(outcome);
    let failure = (verdict == Verdict::Bad).then(|| failure(outcome));
    let handshake = facts().find_map(handshake).filter(|handshake| !handshake.chain.is_empty());
    let after = SignedDuration::from_micros(i64::try_from(outcome.began_us).unwrap_or_default());
    let at = began.saturating_add(after).unwrap_or(began);
    Some(Sample {
        // Milliseconds are finer than any schedule.
        at: Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at),
        verdict,
        took_us: outcome.took_us,
        rtt_us: facts().find_map(rtt_us),
        phases: facts().find_map(phases).unwrap_or_default(),
        failure,
        path: path(outcome),
        chain: handshake.map(chain),
        expires: handshake.and_then(|handshake| handshake.chain.first()).map(|leaf| leaf.not_after),
    })
}

fn facts_of(outcome: &Outcome) -> impl Iterator<Item = &Fact> {
    outcome.observations.iter().map(|observation| &observation.fact)
}

fn is_out_of_descriptors(fact: &Fact) -> bool {
    fact.failure().is_some_and(|failure| failure.code == FailureCode::DescriptorsExhausted)
}

/// Where the target is, without path and query: what they carry is nobody's business later.
pub(crate) fn place(target: &Target) -> String {
    let scheme = target.scheme.map_or_else(String::new, |scheme| format!("{}://", scheme.as_str()));
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    let port = target.port.filter(|port| target.scheme.is_none_or(|scheme| scheme.default_port() != *port));
    format!("{scheme}{host}{}", port.map_or_else(String::new, |port| format!(":{port}")))
}

fn failure(outcome: &Outcome) -> String {
    let failure = outcome.observations.iter().find_map(|observation| observation.fact.failure());
    let code =
        failure.and_then(|failure| serde_json::to_value(&failure.code).ok()).and_then(|code| code.as_str().map(str::to_owned));
    let without = if outcome.status == Status::TimedOut { "deadline" } else { "not_as_expected" };
    code.unwrap_or_else(|| without.to_owned())
}

/// How long the other side took in this fact, where it answered.
fn rtt_us(fact: &Fact) -> Option<u64> {
    match fact {
        Fact::Lookup(lookup) if lookup.failure.is_none() => lookup.took_us,
        Fact::Connect(connect) if connect.failure.is_none() => Some(connect.took_us),
        Fact::Echo(echo) => match echo.statistics.as_ref().and_then(|statistics| statistics.rtt.as_ref()) {
            Some(rtt) => Some(rtt.median_us),
            None => echo.replies.iter().map(|reply| reply.rtt_us).min(),
        },
        Fact::Handshake(handshake) if handshake.failure.is_none() => Some(handshake.took_us),
        Fact::Exchange(exchange) if exchange.failure.is_none() && exchange.status.is_some() => {
            let phases = &exchange.phases;
            let times =
                [phases.resolve_us, phases.connect_us, phases.proxy_us, phases.tls_us, phases.send_us, phases.first_byte_us];
            Some(times.into_iter().flatten().sum())
        }
        Fact::TimeOffset(offset) => offset.delay_us,
        _ => None,
    }
}

/// The phases by the names that blackbox_exporter has for them.
fn phases(fact: &Fact) -> Option<BTreeMap<String, u64>> {
    let named = match fact {
        Fact::Exchange(exchange) if exchange.status.is_some() => {
            let phases = &exchange.phases;
            vec![
                ("resolve", phases.resolve_us),
                ("connect", phases.connect_us),
                ("tls", phases.tls_us),
                ("processing", phases.first_byte_us),
                ("transfer", phases.body_us),
            ]
        }
        Fact::Echo(_) => vec![("rtt", rtt_us(fact))],
        Fact::Lookup(_) => vec![("request", rtt_us(fact))],
        _ => return None,
    };
    Some(named.into_iter().filter_map(|(name, took)| Some((name.to_owned(), took?))).collect())
}

fn handshake(fact: &Fact) -> Option<&Handshake> {
    match fact {
        Fact::Handshake(handshake) => Some(handshake),
        Fact::Exchange(exchange) => exchange.tls.as_deref(),
        _ => None,
    }
}

fn chain(handshake: &Handshake) -> String {
    digest(&handshake.chain.iter().map(|certificate| certificate.sha256.as_str()).collect::<Vec<_>>().join(" "))
}

/// The first router that answered at each distance; none where no path was measured to its end.
fn path(outcome: &Outcome) -> Option<String> {
    let facts = || outcome.observations.iter().map(|observation| &observation.fact);
    facts().find(|fact| matches!(fact, Fact::Trace(trace) if trace.arrived))?;
    let mut routers = String::new();
    for fact in facts() {
        if let Fact::Hop(hop) = fact
            && let Some(router) = hop.addresses().first()
        {
            // Writing to a text cannot fail.
            let _ = write!(routers, "{}={router} ", hop.ttl);
        }
    }
    Some(digest(&routers))
}

fn digest(text: &str) -> String {
    hexadecimal(&Sha256::digest(text)).chars().take(DIGEST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::target::TargetForm;

    #[test]
    fn what_a_url_carries_beside_its_place_is_not_recorded() {
        let recorded = |text: &str| place(&Target::parse(text, TargetForm::Url).unwrap());
        assert_eq!(recorded("https://shop.example/pay/canary?token=canary"), "https://shop.example");
        assert_eq!(recorded("http://[2001:db8::1]:8080/"), "http://[2001:db8::1]:8080");
    }

    #[test]
    fn a_check_has_the_same_name_whatever_stands_before_its_target() {
        let targets: Vec<Target> = ["https://a.example/", "https://b.example/one", "https://b.example/two"]
            .map(|text| Target::parse(text, TargetForm::Url).unwrap())
            .into();
        let own = |id: &str, targets: &[Target]| name(id, Some("https://b.example"), targets);
        assert_eq!([own("http#2", &targets), own("http#3", &targets)], ["http", "http#2"]);
        assert_eq!([own("http", &targets[1..]), own("http#2", &targets[1..])], ["http", "http#2"]);
        assert_eq!(name("interfaces", None, &[]), "interfaces");
    }

    #[test]
    fn a_machine_that_has_no_descriptor_left_has_not_measured_and_a_refusal_has() {
        let verdict = |code: &str| {
            let outcome: Outcome = serde_json::from_value(serde_json::json!({
                "check": "connect", "kind": "tcp", "required": true, "parameters": {}, "status": "failed", "began_us": 0, "took_us": 1,
                "observations": [{
                    "id": "connect/1", "check": "connect", "at_us": 0, "fact": "connect", "host": "shop.example", "address": "192.0.2.1:443",
                    "attempt": 1, "took_us": 1, "failure": { "code": code, "during": "open", "text": "", "os_error": 24 }
                }]
            }))
            .unwrap();
            let sample = sample(Timestamp::UNIX_EPOCH, &outcome).unwrap();
            (sample.verdict, sample.failure)
        };
        assert_eq!(verdict("descriptors_exhausted"), (Verdict::Unmeasured, None));
        assert_eq!(verdict("refused"), (Verdict::Bad, Some("refused".to_owned())));
    }
}
