use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::Exchange;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same echo from another network, and over https where it was http"),
    ..Rule::new("http.headers_tampered", &[], evaluate)
};

/// Nobody but the server itself reads what is within TLS, unless somebody on the way ends the TLS.
const IN_CLEAR: f64 = 0.85;
const WITHIN_TLS: f64 = 0.7;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.beside.iter().filter_map(tampered).collect()
}

fn tampered(exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let echoed = exchange.echoed.as_ref().filter(|echoed| !echoed.lost.is_empty() || !echoed.changed.is_empty())?;
    let changed = echoed.changed.iter().map(|header| format!("{} is changed", header.name));
    let lost = echoed.lost.iter().map(|name| format!("{name} is missing"));
    let what: Vec<String> = changed.chain(lost).collect();
    let by = match &exchange.proxy {
        Some(proxy) => format!("between this machine and it, most likely the proxy {proxy},"),
        None => "between this machine and it, or in front of the server,".to_owned(),
    };
    let host = host_of(&exchange.url);
    let sentence = format!("Something {by} changes the request: at {host} {}.", what.join(", "));
    let confidence = if exchange.url.starts_with("https://") { WITHIN_TLS } else { IN_CLEAR };
    let candidate = Candidate::new(Severity::Degraded, confidence, sentence)
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .next(Who::Network, "Ask whoever runs the proxy, firewall or mobile network which headers it rewrites; over https it can only do so where it opens the TLS.");
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{ChangedHeader, EchoedHeaders, ExchangePurpose, Header};
    use netsonde_contract::outcome::Status;

    const URL: &str = "http://shop.example/";

    fn scene(status: Status, echoed: EchoedHeaders) -> Scene {
        let echo = exchange("http://echo.example/", |exchange| {
            (exchange.purpose, exchange.echoed) = (ExchangePurpose::HeaderEcho, Some(Box::new(echoed)));
        });
        Scene::new(URL).ended(Kind::Http, status, [exchange(URL, |_| {}), echo])
    }

    #[test]
    fn a_header_that_arrives_otherwise_was_changed_on_the_way() {
        let changed = ChangedHeader { name: "user-agent".into(), sent: "netsonde".into(), got: "proxy".into() };
        let echoed = EchoedHeaders { sent: 5, changed: vec![changed], lost: vec!["cache-control".into()], ..Default::default() };
        let finding = scene(Status::Failed, echoed).finds("http.headers_tampered");
        assert!(finding.sentence.contains("user-agent is changed, cache-control is missing"), "{}", finding.sentence);
    }

    #[test]
    fn headers_that_servers_in_front_add_are_no_tampering() {
        let added = Header { name: "x-forwarded-for".into(), value: "192.0.2.9".into() };
        let echoed = EchoedHeaders { sent: 5, added: vec![added], ..Default::default() };
        assert!(scene(Status::Succeeded, echoed).is_healthy().is_empty());
    }
}
