use super::{last_exchanges, place};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::Exchange;

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["http.client_error", "http.server_error", "http.content_unexpected"],
    settled_by: Some("the same request from another network, and the number of the incident that such a page shows"),
    ..Rule::new("http.blocked_page", &["http.client_error"], evaluate)
};

/// The filter names itself.
const NAMED: f64 = 0.92;
/// A status that is made for it (RFC 7725 section 3), by nobody in particular.
const BY_STATUS: f64 = 0.85;
/// The server's product answers so where its filter is at work, and hardly else.
const BY_SERVER: f64 = 0.75;

const LEGAL_REASONS: u16 = 451;

/// Headers that only a filter's own answer has: name, a part of the value in lower case, the filter, and how sure that is.
const HEADERS: [(&str, &str, &str, f64); 12] = [
    ("cf-mitigated", "", "Cloudflare", NAMED),
    ("x-sucuri-block", "", "Sucuri", NAMED),
    ("x-squid-error", "err_access_denied", "Squid", NAMED),
    ("server", "zscaler", "Zscaler", NAMED),
    ("server", "netskope", "Netskope", NAMED),
    ("server", "sucuri/cloudproxy", "Sucuri", BY_SERVER),
    ("server", "ddos-guard", "DDoS-Guard", BY_SERVER),
    ("server", "akamaighost", "Akamai", BY_SERVER),
    ("server", "awselb/", "AWS WAF", BY_SERVER),
    ("server", "microsoft-azure-application-gateway", "the firewall of Azure's Application Gateway", BY_SERVER),
    ("server", "mod_security", "ModSecurity", NAMED),
    ("server", "fortiweb", "FortiWeb", BY_SERVER),
];

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    last_exchanges(evidence).iter().filter_map(blocked).collect()
}

/// A filter's mark is on the answer, sure enough to name the filter or not.
pub(super) fn is_marked(exchange: &Exchange) -> bool {
    let by_header = |(name, part, _, _): &(&str, &str, &str, f64)| {
        exchange.header(name).is_some_and(|value| value.to_ascii_lowercase().contains(part))
    };
    exchange.block_page.is_some() || HEADERS.iter().any(by_header)
}

fn blocked(exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let status = exchange.status.filter(|status| *status != 407 && (!exchange.expected || exchange.unmet().next().is_some()))?;
    let by_page = exchange.block_page.clone().map(|filter| (filter, NAMED, "the words of its page"));
    // Of a product that also serves, only the status of a refusal is telling.
    let telling = |sure: f64| sure >= NAMED || status == 403;
    let by_header = HEADERS.iter().find_map(|(name, part, filter, sure)| {
        let value = exchange.header(name)?.to_ascii_lowercase();
        (value.contains(part) && telling(*sure)).then(|| ((*filter).to_owned(), *sure, "its headers"))
    });
    let by_status = (status == LEGAL_REASONS).then(|| ("a filter".to_owned(), BY_STATUS, "the status, which means just that"));
    let (filter, confidence, known_by) = by_page.or(by_header).or(by_status)?;
    let host = host_of(&exchange.url);
    let sentence = format!("The answer for {host} (status {status}) is a block page of {filter}, known by {known_by}.");
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("http.client_error", format!("The answer is known by {known_by}."), [exchange.id])
        .next(Who::Network, format!("Ask whoever runs {filter} (this network, or the operator of {host}) to allow the address for this machine; the page often shows a category or an incident's number."));
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Exchange, Header};

    const URL: &str = "https://shop.example/";

    fn scene(status: u16, change: impl FnOnce(&mut Exchange)) -> Scene {
        let fact = exchange(URL, |exchange| {
            (exchange.status, exchange.expected) = (Some(status), false);
            change(exchange);
        });
        Scene::new(URL).check(Kind::Http, [fact])
    }

    fn server(value: &str) -> Vec<Header> {
        vec![Header { name: "Server".into(), value: value.into() }]
    }

    #[test]
    fn a_page_that_is_known_by_its_words_its_server_or_its_status_is_a_filters() {
        let by_words = scene(403, |exchange| exchange.block_page = Some("FortiGuard".into())).finds("http.blocked_page");
        assert!(by_words.sentence.contains("a block page of FortiGuard"), "{}", by_words.sentence);
        assert!(by_words.refines.iter().any(|code| code == "http.client_error"));
        scene(403, |exchange| exchange.headers = server("Microsoft-Azure-Application-Gateway/v2")).finds("http.blocked_page");
        scene(451, |_| {}).finds("http.blocked_page");
    }

    #[test]
    fn a_plain_refusal_of_the_server_is_none() {
        scene(403, |_| {}).finds("http.client_error");
        scene(404, |exchange| exchange.headers = server("awselb/2.0")).finds("http.client_error");
    }
}
