use jiff::{SignedDuration, Timestamp};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::document::Document;
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::history::{Sample, Series, Verdict};
use netsonde_contract::observation::{Fact, Handshake, Purpose};
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
    let (verdict, failure) = match outcome.status {
        Status::Succeeded => (Verdict::Good, None),
        Status::Failed | Status::TimedOut => match own_trouble(outcome) {
            Some(own) => (Verdict::Unmeasured, code(own)),
            None => (Verdict::Bad, Some(failure(outcome))),
        },
        Status::NotMeasured => (Verdict::Unmeasured, own_trouble(outcome).and_then(code)),
        Status::Skipped => return None,
    };
    let facts = || facts_of(outcome);
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

/// What one fact says of why a check is not as expected.
enum Says<'f> {
    /// This machine had nothing left to measure with.
    Own(&'f Failure),
    /// Something of the target, or of the way to it.
    Target,
    Nothing,
}

/// This machine's own trouble, where nothing but that kept the check from measuring: then it says nothing of the target.
fn own_trouble(outcome: &Outcome) -> Option<&Failure> {
    let mut own = None;
    for fact in facts_of(outcome) {
        match says(fact) {
            Says::Target => return None,
            Says::Own(failure) => own = own.or(Some(failure)),
            Says::Nothing => {}
        }
    }
    own
}

fn says(fact: &Fact) -> Says<'_> {
    match fact {
        // What is asked beside decides no check.
        Fact::Lookup(lookup) if lookup.purpose != Purpose::Question => Says::Nothing,
        Fact::Exchange(exchange) if !exchange.purpose.is_question() => Says::Nothing,
        Fact::FetchedIssuer(_)
        | Fact::Revocation(_)
        | Fact::HandshakeVariant(_)
        | Fact::TlsSupport(_)
        | Fact::AddressProbe(_) => Says::Nothing,
        // Requests went out before there was no room for more.
        Fact::Echo(echo) if echo.sent > 0 && echo.replies.is_empty() => Says::Target,
        Fact::PortSweep(sweep) => {
            let failures = || sweep.ports.iter().filter_map(|state| state.failure.as_ref()).chain(&sweep.failure);
            let own = failures().find(|failure| failure.code.is_of_this_machine());
            own.map_or(if failures().next().is_some() { Says::Target } else { Says::Nothing }, Says::Own)
        }
        _ => match fact.failure() {
            Some(failure) if failure.code.is_of_this_machine() => Says::Own(failure),
            Some(failure) if failure.code == FailureCode::Interrupted => Says::Nothing,
            Some(_) => Says::Target,
            None if went_well(fact) => Says::Nothing,
            None => Says::Target,
        },
    }
}

/// Of a fact without a failure: it is a step on the way to the answer, or describes this machine.
fn went_well(fact: &Fact) -> bool {
    match fact {
        Fact::Lookup(lookup) => lookup.reply.as_ref().is_none_or(|reply| reply.rcode == "NOERROR"),
        Fact::Exchange(exchange) => exchange.location.is_some(),
        Fact::ZoneServer(_)
        | Fact::Trace(_)
        | Fact::Handshake(_)
        | Fact::Sweep(_)
        | Fact::Load(_)
        | Fact::Proxy(_)
        | Fact::Mtu(_)
        | Fact::TimeOffset(_)
        | Fact::Quic(_)
        | Fact::Reflection(_)
        | Fact::CloudMetadata(_)
        | Fact::PlatformAddress(_)
        | Fact::Service(_) => false,
        _ => true,
    }
}

/// Where the target is, without path and query: what they carry is nobody's business later.
pub(crate) fn place(target: &Target) -> String {
    let scheme = target.scheme.map_or_else(String::new, |scheme| format!("{}://", scheme.as_str()));
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    let port = target.port.filter(|port| target.scheme.is_none_or(|scheme| scheme.default_port() != *port));
    format!("{scheme}{host}{}", port.map_or_else(String::new, |port| format!(":{port}")))
}

fn failure(outcome: &Outcome) -> String {
    let failures = || facts_of(outcome).filter_map(Fact::failure);
    // That this machine has no address of one family is not why nothing answers by the other.
    let failure = failures().find(|failure| !failure.code.is_of_this_machine()).or_else(|| failures().next());
    let without = if outcome.status == Status::TimedOut { "deadline" } else { "not_as_expected" };
    failure.and_then(code).unwrap_or_else(|| without.to_owned())
}

/// The failure's stable name.
fn code(failure: &Failure) -> Option<String> {
    serde_json::to_value(&failure.code).ok()?.as_str().map(str::to_owned)
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

    fn outcome(kind: &str, status: &str, facts: &[serde_json::Value]) -> Outcome {
        let observation = |(number, fact): (usize, &serde_json::Value)| {
            let mut observation = serde_json::json!({ "id": format!("c/{}", number + 1), "check": "c", "at_us": 0 });
            observation.as_object_mut().unwrap().extend(fact.as_object().unwrap().clone());
            observation
        };
        let observations: Vec<_> = facts.iter().enumerate().map(observation).collect();
        serde_json::from_value(serde_json::json!({
            "check": "c", "kind": kind, "required": true, "parameters": {}, "status": status, "began_us": 0, "took_us": 1, "observations": observations
        }))
        .unwrap()
    }

    fn connect(address: &str, code: Option<&str>) -> serde_json::Value {
        let mut fact =
            serde_json::json!({ "fact": "connect", "host": "shop.example", "address": address, "attempt": 1, "took_us": 1 });
        if let Some(code) = code {
            fact["failure"] = serde_json::json!({ "code": code, "during": "connect", "text": "" });
        }
        fact
    }

    fn echo(address: &str, sent: u32, code: Option<&str>) -> serde_json::Value {
        let mut fact = serde_json::json!({ "fact": "echo", "host": "shop.example", "address": address, "sent": sent, "replies": [], "errors": [], "size_bytes": 8, "clock": "user" });
        if let Some(code) = code {
            fact["failure"] = serde_json::json!({ "code": code, "during": "send", "text": "" });
        }
        fact
    }

    fn exchange(status: Option<u16>, code: Option<&str>) -> serde_json::Value {
        let mut fact = serde_json::json!({ "fact": "exchange", "url": "https://shop.example/", "method": "GET", "redirect": 0, "expected": false, "phases": {}, "body_bytes": 0 });
        if let Some(status) = status {
            fact["status"] = status.into();
        }
        if status == Some(302) {
            fact["location"] = "https://www.shop.example/".into();
        }
        if let Some(code) = code {
            fact["failure"] = serde_json::json!({ "code": code, "during": "connect", "text": "" });
        }
        fact
    }

    fn verdict(kind: &str, facts: &[serde_json::Value]) -> (Verdict, Option<String>) {
        let outcome = outcome(kind, "failed", facts);
        assert!(!facts_of(&outcome).any(|fact| matches!(fact, Fact::Unknown(_))), "{facts:?}");
        let sample = sample(Timestamp::UNIX_EPOCH, &outcome).unwrap();
        (sample.verdict, sample.failure)
    }

    #[test]
    fn a_machine_that_has_nothing_left_to_measure_with_has_not_measured_and_says_what_was_missing() {
        for code in ["descriptors_exhausted", "buffers_exhausted", "address_not_available", "address_in_use"] {
            let unmeasured = (Verdict::Unmeasured, Some(code.to_owned()));
            assert_eq!(verdict("tcp", &[connect("192.0.2.1:443", Some(code))]), unmeasured);
            assert_eq!(verdict("tcp", &[connect("192.0.2.1:443", None), connect("192.0.2.1:443", Some(code))]), unmeasured);
            assert_eq!(verdict("icmp", &[echo("192.0.2.1", 0, Some(code))]), unmeasured);
            assert_eq!(verdict("http", &[exchange(Some(302), None), exchange(None, Some(code))]), unmeasured);
            let timed_out = sample(Timestamp::UNIX_EPOCH, &outcome("tcp", "timed_out", &[connect("192.0.2.1:443", Some(code))]));
            assert_eq!(timed_out.map(|sample| (sample.verdict, sample.failure)), Some(unmeasured));
        }
    }

    #[test]
    fn what_the_target_or_the_way_to_it_did_counts_beside_a_trouble_of_the_own_machine() {
        let bad = |code: &str| (Verdict::Bad, Some(code.to_owned()));
        for code in ["refused", "timed_out", "reset", "network_unreachable", "network_down", "permission_denied"] {
            assert_eq!(verdict("tcp", &[connect("192.0.2.1:443", Some(code))]), bad(code));
        }
        let without_v6 = connect("[2001:db8::1]:443", Some("address_not_available"));
        assert_eq!(verdict("tcp", &[without_v6.clone(), connect("192.0.2.1:443", Some("refused"))]), bad("refused"));
        assert_eq!(verdict("http", &[without_v6, exchange(Some(500), None)]).0, Verdict::Bad);
        let silent = [echo("2001:db8::1", 0, Some("address_not_available")), echo("192.0.2.1", 3, None)];
        assert_eq!(verdict("icmp", &silent).0, Verdict::Bad);
        assert_eq!(verdict("icmp", &[echo("192.0.2.1", 3, Some("buffers_exhausted"))]).0, Verdict::Bad, "three went out");
    }
}
