use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, host_of};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;

pub(in crate::rules) const RULE: Rule =
    Rule::new("tls.client_certificate_required", &["tls.version_unsupported", "tls.handshake_rejected"], evaluate);

/// A server sends this alert for no other reason than a client without a certificate (RFC 8446 section 6.2), and only after it asked
/// for one. Before TLS 1.3 there was no such alert, and the general one proves nothing.
const ALERT: &str = "certificate_required (116)";

const CONFIDENCE: f64 = 0.97;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let says_so = |failure: &Option<Failure>| {
        failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TlsAlert && failure.text.contains(ALERT))
    };
    let handshakes = evidence.handshakes.iter().filter(|handshake| says_so(&handshake.failure));
    let handshakes = handshakes
        .map(|handshake| candidate(&handshake.host, handshake.id).at(place(handshake)).about(Spot::Endpoint(handshake.address)));
    // In TLS 1.3 the alert comes when the client's part of the handshake is over: the first read meets it.
    let exchanges = evidence.exchanges.iter().filter(|exchange| says_so(&exchange.failure));
    let exchanges = exchanges.map(|exchange| {
        let address = exchange.address.filter(|_| exchange.proxy.is_none());
        let host = host_of(&exchange.url);
        let place = Place {
            address: address.map(|address| address.ip()),
            port: address.map(|address| address.port()),
            name: Some(host.to_owned()),
            ..Place::default()
        };
        let candidate = candidate(host, exchange.id).at(place).about(Spot::Url(exchange.url.clone()));
        address.into_iter().fold(candidate, |candidate, address| candidate.about(Spot::Endpoint(address)))
    });
    // A service that agreed to TLS says it once the handshake is complete.
    let services = evidence.services.iter().filter(|service| says_so(&service.failure)).map(|service| {
        let (address, host) = (service.address, &service.host);
        let place =
            Place { address: Some(address.ip()), port: Some(address.port()), name: Some(host.clone()), ..Place::default() };
        candidate(host, service.id).at(place).about(Spot::Endpoint(address))
    });
    let mut candidates: Vec<Candidate> = handshakes.chain(exchanges).chain(services).collect();
    // One server says the same to the handshake and to the request.
    let mut joined: Vec<Candidate> = Vec::new();
    for candidate in candidates.drain(..) {
        match joined.iter_mut().find(|known| known.place == candidate.place) {
            Some(known) => {
                *known = candidate.about.into_iter().fold(known.clone().resting_on(&candidate.evidence), Candidate::about);
            }
            None => joined.push(candidate),
        }
    }
    joined
}

fn candidate(host: &str, id: &ObservationId) -> Candidate {
    let sentence = format!(
        "{host} wants a certificate from whoever connects (mutual TLS), and none was given: it ended the connection with the alert {ALERT}."
    );
    Candidate::new(Severity::Problem, CONFIDENCE, sentence)
        .resting_on([id])
        .rejecting("tls.version_unsupported", "The alert names the missing certificate.", [id])
        .rejecting("tls.handshake_rejected", "The alert names its reason.", [id])
        .next(
            Who::Customer,
            format!("Give the application the client certificate that the operator of {host} issued for it, with its key."),
        )
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange, handshake};
    use netsonde_contract::failure::{Failure, FailureCode, Step};
    use netsonde_contract::kind::Kind;

    const URL: &str = "https://shop.example/";

    fn alert(name: &str, during: Step) -> Option<Failure> {
        Some(Failure::new(FailureCode::TlsAlert, during, format!("the peer sent the TLS alert {name}")))
    }

    #[test]
    fn the_alert_at_the_first_read_tells_that_a_certificate_is_wanted() {
        let request = exchange(URL, |exchange| {
            (exchange.status, exchange.failure) = (None, alert("certificate_required (116)", Step::Receive));
        });
        let scene = Scene::new(URL).check(Kind::Tls, [handshake(|_| {})]).check(Kind::Http, [request]);
        assert_eq!(scene.finds("tls.client_certificate_required").place.port, Some(443));
    }

    #[test]
    fn a_service_that_wants_one_after_it_agreed_to_tls_is_told() {
        let failure = alert("certificate_required (116)", Step::Handshake);
        let fact = serde_json::from_value(serde_json::json!({
            "fact": "service", "host": "mail.example", "address": "192.0.2.1:25", "protocol": "smtp", "reached": "understood",
            "steps": [], "received_bytes": 40, "tls_upgrade": {"offered": true, "version": "TLSv1.3", "failure": failure},
            "failure": failure,
        }));
        let scene = Scene::new("mail.example").check(Kind::Service, [fact.unwrap()]);
        assert_eq!(scene.finds("tls.client_certificate_required").place.port, Some(25));
        assert!(scene.diagnose().unexplained.is_empty());
    }

    #[test]
    fn handshake_and_request_that_meet_it_are_one_finding() {
        let request = exchange(URL, |exchange| {
            (exchange.status, exchange.failure) = (None, alert("certificate_required (116)", Step::Receive));
        });
        let failed = handshake(|handshake| handshake.failure = alert("certificate_required (116)", Step::Handshake));
        let scene = Scene::new(URL).check(Kind::Tls, [failed]).check(Kind::Http, [request]);
        assert_eq!(scene.finds("tls.client_certificate_required").evidence.len(), 2);
    }

    #[test]
    fn another_alert_may_have_any_reason() {
        let failed = handshake(|handshake| handshake.failure = alert("handshake_failure (40)", Step::Handshake));
        assert!(!Scene::new(URL).check(Kind::Tls, [failed]).names("tls.client_certificate_required"));
    }
}
