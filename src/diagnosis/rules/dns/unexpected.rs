use super::resolver;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Handshake, Lookup, LookupSource};
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a TLS handshake with the address: the right certificate shows the right server"),
    ..Rule::new("dns.unexpected_address", &["dns.stale_record"], evaluate)
};

/// What is expected may be out of date.
const NOT_EXPECTED: f64 = 0.85;
/// And what answers there shows another certificate.
const ANOTHER_SERVER: f64 = 0.95;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for candidate in evidence.lookups.iter().filter_map(|lookup| unexpected(evidence, lookup)) {
        // Every source of names gives the same, mostly: one finding, resting on each.
        match found.iter_mut().find(|known| known.sentence == candidate.sentence) {
            Some(known) => *known = known.clone().resting_on(&candidate.evidence),
            None => found.push(candidate),
        }
    }
    found
}

/// What the check was told to expect.
fn expected(lookup: &Seen<'_, Lookup>) -> Vec<IpAddr> {
    let given = lookup.outcome.parameters.get("expect").and_then(serde_json::Value::as_array);
    given.into_iter().flatten().filter_map(|text| text.as_str()?.parse().ok()).collect()
}

fn unexpected(evidence: &Evidence<'_>, lookup: &Seen<'_, Lookup>) -> Option<Candidate> {
    let expected = expected(lookup);
    // Where only addresses of one family are expected, nothing is said of the other one.
    let judged = |address: &&IpAddr| expected.iter().any(|wanted| wanted.is_ipv4() == address.is_ipv4());
    let others: Vec<IpAddr> =
        lookup.addresses.iter().filter(judged).filter(|address| !expected.contains(address)).copied().collect();
    type Shown<'e, 'a> = Vec<&'e Seen<'a, Handshake>>;
    let (right, wrong): (Shown<'_, '_>, Shown<'_, '_>) = evidence
        .handshakes
        .iter()
        .filter(|handshake| others.contains(&handshake.address.ip()) && handshake.name.is_some())
        .partition(|handshake| {
            handshake.name.as_ref().is_some_and(|name| name.fits)
                && handshake.deciding_verdict().is_some_and(|verdict| verdict.trusted)
        });
    let cleared = |address: &IpAddr| right.iter().any(|handshake| handshake.address.ip() == *address);
    let others: Vec<IpAddr> = others.into_iter().filter(|address| !cleared(address)).collect();
    let all = lookup.addresses.iter().filter(judged).all(|address| others.contains(address));
    let first = others.first()?;
    let sentence = format!("{} has the address {}, where {} was expected.", lookup.name, list(&others), list(&expected));
    let server = match lookup.source {
        LookupSource::Server { server, .. } => Some(server.ip()),
        _ => None,
    };
    let place = server
        .map_or_else(|| Place { name: Some(lookup.name.clone()), ..Place::default() }, |server| resolver(&lookup.name, server));
    let authority = evidence.authority_for(&lookup.name);
    let same =
        |records: &[netsonde_contract::observation::Record]| records.iter().any(|record| record.data.parse() == Ok(*first));
    let agrees: Vec<&ObservationId> =
        authority.iter().filter(|(_, reply)| same(&reply.answers)).map(|(server, _)| server.id).collect();
    let candidate = Candidate::new(
        if all { Severity::Problem } else { Severity::Degraded },
        if wrong.is_empty() { NOT_EXPECTED } else { ANOTHER_SERVER },
        sentence,
    )
    .at(place)
    .about(Spot::Name(lookup.name.clone()))
    .resting_on([lookup.id])
    .resting_on(wrong.iter().map(|handshake| handshake.id))
    .rejecting("dns.stale_record", "The zone's own servers give the same address.", agrees)
    .next(
        Who::Network,
        format!(
            "Ask whoever runs the zone whether {} moved; if not, find out which name server gives {} in its place, and why.",
            lookup.name,
            list(&others)
        ),
    );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answer, distrust, handshake, system, zone_server};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::TrustReason;

    const NAME: &str = "shop.example";

    /// The name has the address given, and another or the same one was expected.
    fn scene(given: &str, wanted: &[&str]) -> Scene {
        let mut scene = Scene::new(NAME).check(Kind::Dns, [answer("10.0.0.53", NAME, &[given]), system(NAME, &[given])]);
        scene.outcomes_mut()[0].parameters = serde_json::json!({"expect": wanted});
        scene
    }

    #[test]
    fn another_address_than_the_expected_one_is_named_once() {
        let finding = scene("192.0.2.1", &["203.0.113.9"]).finds("dns.unexpected_address");
        assert!(finding.sentence.contains("192.0.2.1") && finding.evidence.len() == 2, "{finding:#?}");
    }

    #[test]
    fn the_expected_address_and_the_other_family_are_fine() {
        assert!(scene("192.0.2.1", &["192.0.2.1", "203.0.113.9"]).is_healthy().is_empty());
        assert!(scene("192.0.2.1", &["2001:db8::1"]).is_healthy().is_empty(), "nothing is expected of IPv4");
        assert!(scene("192.0.2.1", &[]).is_healthy().is_empty());
    }

    #[test]
    fn the_right_certificate_clears_the_address_and_a_foreign_one_confirms() {
        let right = scene("192.0.2.1", &["203.0.113.9"]).check(Kind::Tls, [handshake(|_| {})]);
        assert!(right.is_healthy().is_empty());
        let wrong = scene("192.0.2.1", &["203.0.113.9"])
            .check(Kind::Tls, [handshake(|handshake| distrust(handshake, TrustReason::UnknownIssuer))]);
        let diagnosis = wrong.diagnose();
        let finding = diagnosis.findings.iter().find(|finding| finding.cause == "dns.unexpected_address").unwrap();
        assert!(finding.confidence > 0.9, "{finding:#?}");
    }

    #[test]
    fn an_address_that_the_zone_gives_itself_is_not_an_old_one() {
        let mut scene = Scene::new(NAME).check(
            Kind::Dns,
            [
                answer("10.0.0.53", NAME, &["192.0.2.1"]),
                system(NAME, &["192.0.2.1"]),
                zone_server("198.51.100.1", Some(true), &["192.0.2.1"]),
            ],
        );
        scene.outcomes_mut()[0].parameters = serde_json::json!({"expect": ["203.0.113.9"]});
        assert_eq!(scene.finds("dns.unexpected_address").rejected[0].cause, "dns.stale_record");
    }
}
