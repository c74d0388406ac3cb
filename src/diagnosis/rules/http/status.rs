//! Responses with an error status that was not expected: 5xx of the server, 4xx for the request.

use super::{blocked_page, last_exchanges, place};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Exchange, ExchangePurpose};

pub(in crate::rules) const SERVER_ERROR_RULE: Rule = Rule {
    settled_by: Some("the same request without the proxy"),
    ..Rule::new("http.server_error", &["http.blocked_page", "http.proxy_upstream_failed"], server_error)
};

pub(in crate::rules) const CLIENT_ERROR_RULE: Rule = Rule {
    settled_by: Some("the same request from another network, and the text of the page"),
    ..Rule::new("http.client_error", &["http.blocked_page", "http.proxy_denied", "http.proxy_auth_required"], client_error)
};

/// The status says it, and nobody stands between.
const DIRECT: f64 = 0.95;
/// A proxy stands between, which may have made the answer itself.
const THROUGH_PROXY: f64 = 0.7;
/// Whoever answers in a server's place may say that it is down.
const KNOWN_DOWN: f64 = 0.8;
/// Network Authentication Required (RFC 6585 section 6): a portal's own.
const SIGN_IN_STATUS: u16 = 511;
/// Filters answer with 403 as well.
const FORBIDDEN: f64 = 0.8;

fn server_error(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let known = evidence.beside.iter().filter_map(known_server_down);
    of_server_errors(evidence).into_iter().chain(known).collect()
}

/// The server whose answer is known is down, so that it tells nothing of the network.
fn known_server_down(exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let (status, mut candidate) = with_status(exchange, 500..600).filter(|(status, _)| *status != SIGN_IN_STATUS)?;
    let own = exchange.location.as_deref().is_none_or(|location| host_of(location) == host_of(&exchange.url));
    if exchange.purpose != ExchangePurpose::KnownAnswer || exchange.method == "CONNECT" || !own {
        return None;
    }
    let host = host_of(&exchange.fact.url);
    candidate.severity = Severity::Degraded;
    candidate.confidence = candidate.confidence.min(KNOWN_DOWN);
    candidate.sentence = format!(
        "{host}, whose answer is known, answers with the error {status} instead{}: it is that server that is down, and whether the network wants a sign-in is not known from it.",
        answered_by(exchange)
    );
    let direct = exchange.proxy.is_none().then_some(exchange.id);
    Some(
        candidate
            .rejecting("http.proxy_upstream_failed", "No proxy stood between.", direct)
            .rejecting("http.blocked_page", "Neither its headers nor its page are known as a filter's.", no_filter(exchange))
            .next(Who::Customer, format!("Take another URL whose answer is known, or look at the log of {host}.")),
    )
}

fn of_server_errors(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_exchange = |exchange: Seen<'_, Exchange>| {
        let (status, candidate) = with_status(&exchange, 500..600)?;
        // The nearest gateway is the proxy, which reads plain requests and answers them itself: another cause, which leaves this one open.
        if exchange.proxy.is_some() && exchange.fact.url.starts_with("http://") && matches!(status, 502 | 504) {
            return None;
        }
        let host = host_of(&exchange.fact.url);
        let meaning = match status {
            500 => "an error within the application",
            502 => "the server in front got no good answer from the one behind it",
            503 => "the service is overloaded or switched off at the moment",
            504 => "the server in front waited too long for the one behind it",
            _ => "an error on the server's side",
        };
        let mut candidate = candidate;
        candidate.sentence = format!("{host} answers with the error {status}, {meaning}{}.", answered_by(&exchange));
        let direct = exchange.proxy.is_none().then_some(exchange.id);
        let candidate = candidate
            .rejecting("http.proxy_upstream_failed", "No proxy stood between.", direct)
            .rejecting("http.blocked_page", "Neither its headers nor its page are known as a filter's.", no_filter(&exchange))
            .next(Who::Server, format!("Look at the log of {host} for this request, at the time of the run."));
        Some(candidate)
    };
    last_exchanges(evidence).into_iter().filter_map(of_exchange).collect()
}

fn client_error(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_exchange = |exchange: Seen<'_, Exchange>| {
        let (status, mut candidate) = with_status(&exchange, 400..500)?;
        let url = &exchange.fact.url;
        let host = host_of(url);
        let (meaning, who, action) = match status {
            // A proxy asks for its own sign-in: another cause.
            407 => return None,
            401 => (
                "it wants a sign-in that the request did not carry",
                Who::Customer,
                "Give the application its credentials; where this status is right, say so with `--expect-status 401`.".to_owned(),
            ),
            403 => (
                "it refuses this request",
                Who::Server,
                format!("Ask the operator of {host} whether this machine's address or account may use {url}."),
            ),
            404 | 410 => ("there is nothing at this address", Who::Customer, format!("Check the path of {url}.")),
            429 => (
                "too many requests came from here",
                Who::Customer,
                "Slow the application down, or ask the operator for a higher limit.".to_owned(),
            ),
            _ => ("it does not accept this request", Who::Customer, format!("Compare the request with what {host} expects.")),
        };
        candidate.sentence = format!("{host} answers with the status {status}: {meaning}{}.", answered_by(&exchange));
        if status == 403 {
            candidate.confidence = candidate.confidence.min(FORBIDDEN);
        }
        let direct = exchange.proxy.is_none().then_some(exchange.id);
        let candidate = candidate.rejecting("http.proxy_denied", "No proxy stood between.", direct).next(who, action);
        Some(candidate)
    };
    last_exchanges(evidence).into_iter().filter_map(of_exchange).collect()
}

/// The status where it is in the range and was not expected, and the candidate for it, still without words.
fn with_status(exchange: &Seen<'_, Exchange>, range: std::ops::Range<u16>) -> Option<(u16, Candidate)> {
    let status = exchange.status.filter(|status| range.contains(status) && !exchange.expected)?;
    let confidence = if exchange.proxy.is_some() { THROUGH_PROXY } else { DIRECT };
    let candidate = Candidate::new(Severity::Problem, confidence, "")
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id]);
    Some((status, candidate))
}

/// The answer came from the server itself, and bears no mark of a filter.
fn no_filter<'a>(exchange: &Seen<'a, Exchange>) -> Option<&'a ObservationId> {
    (exchange.proxy.is_none() && !blocked_page::is_marked(exchange)).then_some(exchange.id)
}

/// Who made the answer, as far as its headers tell.
fn answered_by(exchange: &Seen<'_, Exchange>) -> String {
    let parts = [("Server", exchange.header("server")), ("Via", exchange.header("via"))];
    let told: Vec<String> = parts.iter().filter_map(|(name, value)| Some(format!("{name}: {}", (*value)?))).collect();
    let through = exchange.proxy.as_ref().map(|proxy| format!("through the proxy {proxy}"));
    let all: Vec<String> = told.into_iter().chain(through).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join(", ")) }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange};
    use netsonde_contract::finding::Who;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    const URL: &str = "https://shop.example/";

    fn with_status(status: u16, expected: bool) -> Fact {
        exchange(URL, |exchange| (exchange.status, exchange.expected) = (Some(status), expected))
    }

    #[test]
    fn a_server_error_is_told_with_who_answered() {
        let finding = Scene::new(URL).check(Kind::Http, [with_status(503, false)]).finds("http.server_error");
        assert!(finding.sentence.contains("503") && finding.sentence.contains("Server: nginx"), "{}", finding.sentence);
        assert_eq!(finding.next_step.who, Who::Server);
    }

    #[test]
    fn a_missing_page_is_the_customers_path() {
        let finding = Scene::new(URL).check(Kind::Http, [with_status(404, false)]).finds("http.client_error");
        assert_eq!(finding.next_step.who, Who::Customer);
    }

    #[test]
    fn an_error_through_a_proxy_may_be_the_proxys() {
        let fact = exchange(URL, |exchange| {
            (exchange.status, exchange.expected, exchange.proxy) = (Some(502), false, Some("http://proxy:3128".into()));
        });
        let finding = Scene::new(URL).check(Kind::Http, [fact]).finds("http.server_error");
        assert!(finding.confidence <= 0.7 && finding.rejected.is_empty() && finding.place.address.is_none());
    }

    #[test]
    fn a_status_that_was_expected_is_no_fault() {
        assert!(Scene::new(URL).check(Kind::Http, [with_status(401, true)]).is_healthy().is_empty());
    }

    #[test]
    fn an_error_that_a_redirect_leads_away_from_is_not_the_answer() {
        let first =
            exchange(URL, |exchange| (exchange.status, exchange.location) = (Some(302), Some("https://shop.example/in".into())));
        let facts = [first, exchange("https://shop.example/in", |exchange| exchange.redirect = 1)];
        assert!(Scene::new(URL).check(Kind::Http, facts).is_healthy().is_empty());
    }

    #[test]
    fn what_a_proxy_says_to_connect_is_not_the_servers_answer() {
        let fact = exchange(URL, |exchange| {
            (exchange.method, exchange.status, exchange.expected) = ("CONNECT".into(), Some(502), false);
            exchange.proxy = Some("http://proxy:3128".into());
        });
        assert!(!Scene::new(URL).check(Kind::Http, [fact]).names("http.server_error"));
    }

    #[test]
    fn a_proxys_own_sign_in_is_not_the_servers_answer() {
        Scene::new(URL).check(Kind::Http, [with_status(407, false)]).is_unexplained();
    }
}
