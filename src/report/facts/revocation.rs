//! What was said where the certificate names a place to ask about its revocation.

use super::{failure, tls};
use crate::units;
use netsonde_contract::observation::{Revocation, RevocationSource};

pub(super) fn line(fact: &Revocation) -> String {
    let from = match fact.by {
        RevocationSource::Ocsp => "OCSP responder",
        RevocationSource::Crl => "revocation list",
        RevocationSource::Other => "revocation",
    };
    let said = match (&fact.failure, &fact.statement) {
        (Some(found), _) => failure::short(found),
        (None, Some(statement)) => tls::statement(statement),
        (None, None) => "nothing".to_owned(),
    };
    format!("{from} {}: {said}, after {}", fact.url, units::duration(fact.took_us))
}

pub(super) fn details(fact: &Revocation) -> Vec<String> {
    let mut lines = vec![format!("about the certificate of {} at {}", fact.host, fact.server)];
    lines.extend(fact.address.map(|address| format!("asked of {address}")));
    lines.extend(failure::details(fact.failure.as_ref()));
    lines
}

#[cfg(test)]
mod tests {
    use super::line;
    use serde_json::json;

    #[test]
    fn a_responder_that_is_silent_is_told_from_one_that_says_revoked() {
        let fact = |rest: serde_json::Value| {
            let mut value = json!({"host": "a.example", "server": "192.0.2.1:443", "by": "ocsp", "url": "http://ocsp.example/", "took_us": 2_000});
            value.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            line(&serde_json::from_value(value).unwrap())
        };
        let silent = fact(json!({"failure": {"code": "timed_out", "during": "connect", "text": "no answer"}}));
        assert!(silent.starts_with("OCSP responder http://ocsp.example/: ") && silent.ends_with("after 2.0 ms"), "{silent}");
        assert!(fact(json!({"statement": {"status": "revoked", "about_leaf": true}})).contains(": revoked, after"));
    }
}
