use super::{failure, http, of, tcp};
use crate::units;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::observation::{Fact, Service, ServiceReach, TlsUpgrade};
use netsonde_contract::outcome::Outcome;

/// What the probe notes of a Redis that tells nothing without a password: the one ability that belongs beside the name.
const WANTS_PASSWORD: &str = "asks for a password";

pub(super) fn outcome(outcome: &Outcome) -> String {
    let facts = of(outcome, |fact| if let Fact::Service(service) = fact { Some(&**service) } else { None });
    facts.into_iter().map(line).collect::<Vec<_>>().join("; ")
}

/// `192.0.2.25:25 SMTP, Postfix 3.7, TLS offered and made (TLSv1.3), first byte after 12 ms`.
pub(super) fn line(service: &Service) -> String {
    let mut parts = vec![service.protocol.label().to_owned()];
    match (&service.refusal, &service.spoke) {
        // Where the service has no codes and closes with a sentence, the sentence alone says it.
        (Some(refusal), _) if refusal.code == "closed" => parts.push(format!("refuses: {}", refusal.text)),
        (Some(refusal), _) => parts.push(format!("refuses: {} {}", refusal.code, refusal.text).trim_end().to_owned()),
        (None, Some(spoke)) => parts.push(format!("speaks {spoke} instead")),
        (None, None) if service.reached >= ServiceReach::Understood => {
            let named = [&service.product, &service.version].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
            parts.push(if named.is_empty() { "answers".to_owned() } else { named });
            parts.extend(service.capabilities.iter().filter(|one| one.as_str() == WANTS_PASSWORD).cloned());
            parts.extend(service.tls_upgrade.as_ref().map(tls));
        }
        (None, None) => {}
    }
    let upgrade_failed = service.tls_upgrade.as_ref().and_then(|upgrade| upgrade.failure.as_ref());
    let told = service.refusal.is_some()
        || service.spoke.is_some()
        || (service.failure.is_some() && service.failure.as_ref() == upgrade_failed);
    parts.extend(service.failure.as_ref().filter(|_| !told).map(failure::short));
    parts.extend(service.first_byte_us.map(|us| format!("first byte after {}", units::duration(us))));
    format!("{} {}", service.address, parts.join(", "))
}

fn tls(upgrade: &TlsUpgrade) -> String {
    match (upgrade.offered, &upgrade.version, &upgrade.failure) {
        (_, Some(version), None) => format!("TLS offered and made ({version})"),
        (_, Some(version), Some(found)) => format!("TLS made ({version}), then {}", failure::short(found)),
        (true, None, Some(found)) if found.code == FailureCode::Other("starttls_refused".into()) => {
            let words = found.text.rsplit_once(": ").map_or(found.text.as_str(), |(_, words)| words);
            format!("TLS offered, and refused when it was asked for ({words})")
        }
        (true, None, Some(found)) => format!("TLS offered, and not made: {}", failure::short(found)),
        (true, None, None) if upgrade.required => "TLS required".to_owned(),
        (true, None, None) => "TLS offered".to_owned(),
        (false, ..) => "no TLS offered".to_owned(),
    }
}

pub(super) fn details(service: &Service) -> Vec<String> {
    let mut lines = failure::details(service.failure.as_ref());
    lines.extend(tcp::attempts(&service.attempts));
    lines.extend(service.greeting.as_ref().map(|greeting| format!("greeting: {greeting}")));
    if !service.capabilities.is_empty() {
        lines.push(format!("can: {}", service.capabilities.join(", ")));
    }
    if let Some(cipher) = service.tls_upgrade.as_ref().and_then(|upgrade| upgrade.cipher.as_ref()) {
        lines.push(format!("cipher {cipher}"));
    }
    let connected = service.connect_us.map(|us| format!("connection {}", units::duration(us)));
    let steps = service.steps.iter().map(|step| {
        let unanswered = if step.answered { "" } else { " (no answer)" };
        format!("{} {}{unanswered}", step.name, units::duration(step.took_us))
    });
    let steps: Vec<String> = connected.into_iter().chain(steps).collect();
    if !steps.is_empty() {
        lines.push(format!("steps: {}", steps.join(", ")));
    }
    lines.extend(service.at_close.as_deref().map(|state| format!("the kernel at the end: {}", http::kernel(state))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn fact(more: Value) -> Service {
        let mut fact = json!({"host": "mx", "address": "192.0.2.25:25", "protocol": "smtp", "reached": "understood", "first_byte_us": 12_000});
        fact.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(fact).unwrap()
    }

    #[test]
    fn a_living_service_is_named_with_its_tls() {
        let upgrade = json!({"offered": true, "version": "TLSv1.3", "cipher": "c"});
        let service = fact(json!({"product": "Postfix", "capabilities": ["SIZE 9"], "tls_upgrade": upgrade}));
        assert_eq!(line(&service), "192.0.2.25:25 SMTP, Postfix, TLS offered and made (TLSv1.3), first byte after 12 ms");
        assert_eq!(details(&service), ["can: SIZE 9", "cipher c"]);
    }

    #[test]
    fn tls_that_is_refused_and_a_password_that_is_wanted_stand_in_the_line() {
        let failure = json!({"code": "starttls_refused", "during": "handshake", "text": "the service offers TLS and refuses it when it is asked for: 454 TLS not available"});
        let refusing =
            fact(json!({"product": "Postfix", "tls_upgrade": {"offered": true, "failure": failure}, "failure": failure}));
        let expected = "192.0.2.25:25 SMTP, Postfix, TLS offered, and refused when it was asked for (454 TLS not available), first byte after 12 ms";
        assert_eq!(line(&refusing), expected);
        let locked = fact(json!({"protocol": "redis", "capabilities": ["asks for a password"]}));
        assert_eq!(line(&locked), "192.0.2.25:25 Redis, answers, asks for a password, first byte after 12 ms");
        let full = fact(json!({"protocol": "ssh", "refusal": {"code": "closed", "text": "Exceeded MaxStartups"}}));
        assert!(line(&full).contains("SSH, refuses: Exceeded MaxStartups,"), "{}", line(&full));
    }

    #[test]
    fn a_refusal_and_another_protocol_are_said_instead() {
        let failure = json!({"code": "protocol_error", "during": "receive", "text": "no"});
        let refused = fact(json!({"refusal": {"code": "554", "text": "go away"}, "failure": failure}));
        assert_eq!(line(&refused), "192.0.2.25:25 SMTP, refuses: 554 go away, first byte after 12 ms");
        let other = fact(json!({"reached": "answered", "spoke": "HTTP", "failure": failure}));
        assert_eq!(line(&other), "192.0.2.25:25 SMTP, speaks HTTP instead, first byte after 12 ms");
    }
}
