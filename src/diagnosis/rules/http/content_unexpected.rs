use super::{last_exchanges, place};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{Exchange, ExpectationAbout};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same request from another network: if the content is the same there, the server has changed it"),
    ..Rule::new("http.content_unexpected", &["http.blocked_page", "http.captive_portal"], evaluate)
};

/// What came is not what was expected; whether the server or somebody on the way made it is open.
const DIRECT: f64 = 0.85;
const THROUGH_PROXY: f64 = 0.7;

/// Expectations told in the sentence.
const MAX_TOLD: usize = 3;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    last_exchanges(evidence).iter().filter_map(|exchange| unexpected(evidence, exchange)).collect()
}

fn unexpected(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let whole = exchange.expected && exchange.failure.is_none() && exchange.redirect_stopped.is_none();
    let status = exchange.status.filter(|_| whole)?;
    let unmet: Vec<String> = exchange
        .unmet()
        .filter(|expectation| expectation.about != ExpectationAbout::Status)
        .take(MAX_TOLD)
        .map(|expectation| expectation.words())
        .collect();
    if unmet.is_empty() {
        return None;
    }
    let host = host_of(&exchange.url);
    let sentence =
        format!("{host} answers with the status {status} as expected, and with another content: {}.", unmet.join("; "));
    let known = evidence.beside.iter().find(|beside| {
        beside.purpose == netsonde_contract::observation::ExchangePurpose::KnownAnswer
            && beside.expected
            && beside.failure.is_none()
            && beside.unmet().next().is_none()
    });
    let confidence = if exchange.proxy.is_some() { THROUGH_PROXY } else { DIRECT };
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("http.captive_portal", "A known answer came as it should.", known.map(|known| known.id))
        .next(Who::Server, format!("Compare what {host} delivers with what was expected: an old version, an error page with a good status, or another server behind the name."));
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Expectation, ExpectationAbout, Relation};
    use netsonde_contract::outcome::Status;

    const URL: &str = "https://shop.example/health";

    fn scene(met: bool, expected: bool) -> Scene {
        let fact = exchange(URL, |exchange| {
            exchange.expected = expected;
            exchange.expectations = vec![Expectation {
                about: ExpectationAbout::Header,
                name: Some("x-version".into()),
                relation: Relation::Equals,
                wanted: Some("2".into()),
                got: Some("1".into()),
                met,
            }];
        });
        Scene::new(URL).ended(Kind::Http, if met && expected { Status::Succeeded } else { Status::Failed }, [fact])
    }

    #[test]
    fn a_good_status_with_another_content_is_told_with_what_differs() {
        let finding = scene(false, true).finds("http.content_unexpected");
        assert!(finding.sentence.contains("the header x-version should be 2, but there is 1"), "{}", finding.sentence);
    }

    #[test]
    fn content_as_expected_and_an_error_status_are_none() {
        assert!(scene(true, true).is_healthy().is_empty());
        assert!(!scene(false, false).names("http.content_unexpected"));
    }
}
