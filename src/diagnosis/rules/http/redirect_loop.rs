use super::{last_exchanges, place};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, sets_cookie};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::Exchange;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same request with a higher limit of redirects"),
    ..Rule::new("http.redirect_loop", &[], evaluate)
};

/// The chain comes back to an address that it asked before.
const REPEATS: f64 = 0.95;
/// The chain is longer than the limit; a very long one that ends is thinkable.
const TOO_LONG: f64 = 0.8;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    last_exchanges(evidence).into_iter().filter_map(|last| redirect_loop(evidence, &last)).collect()
}

/// None where the site set a cookie on the way: it may send round only those who do not bring it back, as netsonde does not.
fn redirect_loop(evidence: &Evidence<'_>, last: &Seen<'_, Exchange>) -> Option<Candidate> {
    let repeats = match last.fact.redirect_stopped.as_deref()? {
        "loop" => true,
        "limit" => false,
        _ => return None,
    };
    if sets_cookie(last.outcome) {
        return None;
    }
    let chain: Vec<&ObservationId> = evidence
        .exchanges
        .iter()
        .filter(|exchange| exchange.outcome.check == last.outcome.check)
        .map(|exchange| exchange.id)
        .collect();
    let to = last.fact.location.as_deref().unwrap_or(&last.fact.url);
    let sentence = if repeats {
        format!(
            "The server sends the browser round in a circle: {} leads back to {to}, which was asked for before.",
            last.fact.url
        )
    } else {
        format!(
            "The server sends the browser on and on: after {} redirects it still answers with another one, to {to}.",
            last.fact.redirect
        )
    };
    let candidate = Candidate::new(Severity::Problem, if repeats { REPEATS } else { TOO_LONG }, sentence)
        .at(place(last))
        .about(Spot::Url(last.fact.url.clone()))
        .resting_on(chain)
        .next(Who::Server, "Correct the redirects of the site: most often a proxy in front speaks HTTPS and the server behind it thinks that it was HTTP.");
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange, header};
    use netsonde_contract::finding::State;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    const URL: &str = "https://shop.example/";

    fn redirect(number: u32, stopped: Option<&str>) -> Fact {
        exchange(URL, |exchange| {
            (exchange.status, exchange.redirect) = (Some(302), number);
            exchange.location = Some("https://shop.example/in".into());
            exchange.redirect_stopped = stopped.map(str::to_owned);
        })
    }

    #[test]
    fn a_chain_that_comes_back_is_a_circle_with_the_whole_chain_as_evidence() {
        let finding =
            Scene::new(URL).check(Kind::Http, [redirect(0, None), redirect(1, Some("loop"))]).finds("http.redirect_loop");
        assert_eq!((finding.evidence.len(), finding.confidence), (2, 0.95));
    }

    #[test]
    fn a_chain_beyond_the_limit_leaves_some_doubt() {
        let finding = Scene::new(URL).check(Kind::Http, [redirect(10, Some("limit"))]).finds("http.redirect_loop");
        assert!(finding.confidence < 0.9 && finding.sentence.contains("after 10 redirects"));
    }

    #[test]
    fn a_circle_that_a_cookie_may_end_is_not_measured() {
        let sets_cookie = exchange(URL, |exchange| {
            (exchange.status, exchange.location) = (Some(302), Some(URL.into()));
            exchange.headers.push(header("Set-Cookie", "seen=1"));
            exchange.redirect_stopped = Some("loop".into());
        });
        let diagnosis = Scene::new(URL).check(Kind::Http, [sets_cookie]).diagnose();
        assert_eq!((diagnosis.state, diagnosis.findings.len()), (State::Indeterminate, 0), "{diagnosis:#?}");
        assert!(diagnosis.not_measured[0].why.contains("netsonde keeps no cookies"), "{:?}", diagnosis.not_measured);
    }

    #[test]
    fn a_long_chain_that_ends_is_no_fault() {
        let end = exchange(URL, |exchange| exchange.redirect = 9);
        let facts = (0..9).map(|number| redirect(number, None)).chain([end]);
        assert!(Scene::new(URL).check(Kind::Http, facts).is_healthy().is_empty());
    }
}
