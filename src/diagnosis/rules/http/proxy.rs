//! The proxy in force cannot be reached.

use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of, is_of_proxy};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Connect, Exchange, Proxy};
use netsonde_contract::outcome::{Outcome, Status};
use netsonde_contract::target::bracketed;
use std::net::SocketAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("connecting to the proxy's port from another machine of the same network"),
    ..Rule::new("http.proxy_unreachable", &["tcp.filtered", "http.timeout"], unreachable)
};

/// The proxy's own machine, or the system, says so.
const SAID: f64 = 0.95;
/// Silence: the proxy or the way to it.
const SILENT: f64 = 0.85;

/// One failed way to the proxy, from the check that connects to it or from a request.
struct Failed<'a> {
    id: &'a ObservationId,
    /// `http://host:port`, without credentials.
    proxy: String,
    address: Option<SocketAddr>,
    how: String,
    /// Nothing came back.
    silent: bool,
    url: Option<&'a str>,
}

fn unreachable(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let connected = |address: SocketAddr| evidence.to_proxy.iter().any(|seen| seen.address == address && seen.failure.is_none());
    let by_check = evidence.to_proxy.iter().filter(|seen| !connected(seen.address)).filter_map(|seen| of_connect(evidence, seen));
    let by_request = evidence.exchanges.iter().filter_map(of_exchange);
    let by_name = evidence.outcomes.iter().filter_map(|outcome| of_unresolved(evidence, outcome));
    let by_answer = evidence.proxy_answers.iter().filter_map(of_answer);
    let failed: Vec<Failed<'_>> = by_check.chain(by_request).chain(by_answer).chain(by_name).collect();
    let any_works = evidence.to_proxy.iter().any(|seen| seen.failure.is_none());
    let mut candidates: Vec<(String, Candidate)> = Vec::new();
    for found in failed {
        // One of the proxy's addresses works, and programs come to it.
        if any_works && found.url.is_none() {
            continue;
        }
        match candidates.iter_mut().find(|(proxy, _)| *proxy == found.proxy) {
            Some((_, candidate)) => {
                *candidate = candidate.clone().resting_on([found.id]);
                candidate.place.url = candidate.place.url.take().or(found.url.map(str::to_owned));
            }
            None => candidates.push((found.proxy.clone(), candidate(evidence, &found))),
        }
    }
    candidates.into_iter().map(|(_, candidate)| candidate).collect()
}

fn of_connect<'a>(evidence: &Evidence<'_>, seen: &Seen<'a, Connect>) -> Option<Failed<'a>> {
    let failure = seen.fact.failure.as_ref().filter(|failure| !held_back(failure))?;
    let (host, port) = (seen.fact.host.as_str(), seen.address.port());
    // The setting as it was read names the proxy as people know it.
    let plain = format!("http://{}:{port}", bracketed(host));
    let settings = evidence.proxies.iter().flat_map(|proxies| &proxies.fact.settings);
    let mut known: Vec<&str> =
        settings.map(|setting| setting.url.trim_end_matches('/')).filter(|url| host_of(url) == host).collect();
    // Several settings may name one host: the one with this port first, as one without a port means the scheme's.
    known.sort_by_key(|url| !url.ends_with(&format!(":{port}")));
    let known = known.first().copied();
    Some(Failed {
        id: seen.id,
        proxy: known.map_or(plain, str::to_owned),
        address: Some(seen.address),
        how: words(failure, host),
        silent: is_silence(failure),
        url: None,
    })
}

/// The check that connects to the proxy had no address to connect to. Its note says so, and the setting is what was observed.
fn of_unresolved<'a>(evidence: &Evidence<'a>, outcome: &Outcome) -> Option<Failed<'a>> {
    let unresolved = outcome.note.as_ref().is_some_and(|note| note.why.contains("did not resolve"));
    let host = outcome.parameters.get("host").and_then(serde_json::Value::as_str);
    let host = host.filter(|_| is_of_proxy(outcome) && outcome.status == Status::NotMeasured && unresolved)?;
    let mut settings =
        evidence.proxies.iter().flat_map(|proxies| proxies.fact.settings.iter().map(|setting| (setting, proxies.id)));
    let (setting, id) = settings.find(|(setting, _)| host_of(&setting.url).eq_ignore_ascii_case(host))?;
    Some(Failed {
        id,
        proxy: setting.url.trim_end_matches('/').to_owned(),
        address: None,
        how: without_address(host),
        silent: false,
        url: None,
    })
}

fn words(failure: &Failure, host: &str) -> String {
    match &failure.code {
        _ if failure.during == Step::Resolve => without_address(host),
        FailureCode::Refused => "it refuses the connection".to_owned(),
        FailureCode::TimedOut => "it does not answer".to_owned(),
        _ => failure.words(),
    }
}

fn without_address(host: &str) -> String {
    format!("the name {host} has no address here")
}

fn is_silence(failure: &Failure) -> bool {
    failure.code == FailureCode::TimedOut && failure.icmp.is_none()
}

fn of_exchange<'a>(seen: &Seen<'a, Exchange>) -> Option<Failed<'a>> {
    let proxy = seen.fact.proxy.as_deref()?;
    let failure = seen.fact.failure.as_ref().filter(|failure| !held_back(failure))?;
    matches!(failure.during, Step::Resolve | Step::Open | Step::Connect).then(|| Failed {
        id: seen.id,
        proxy: proxy.trim_end_matches('/').to_owned(),
        address: seen.fact.address,
        how: words(failure, host_of(proxy)),
        silent: is_silence(failure),
        url: Some(&seen.fact.url),
    })
}

fn of_answer<'a>(seen: &Seen<'a, Proxy>) -> Option<Failed<'a>> {
    let failure = seen.fact.failure.as_ref().filter(|failure| !held_back(failure))?;
    matches!(failure.during, Step::Resolve | Step::Open | Step::Connect).then(|| Failed {
        id: seen.id,
        proxy: seen.fact.proxy.clone(),
        address: seen.fact.address,
        how: words(failure, host_of(&seen.fact.proxy)),
        silent: is_silence(failure),
        url: Some(&seen.fact.url),
    })
}

fn held_back(failure: &Failure) -> bool {
    matches!(failure.code, FailureCode::NotAllowed | FailureCode::BudgetExhausted | FailureCode::Interrupted)
}

fn candidate(evidence: &Evidence<'_>, found: &Failed<'_>) -> Candidate {
    let Failed { id, proxy, address, how, silent, url } = found;
    let setting = evidence.proxies.iter().flat_map(|proxies| proxies.fact.settings.iter().map(|setting| (setting, proxies.id)));
    let setting = setting.into_iter().find(|(setting, _)| setting.url.trim_end_matches('/') == proxy);
    let set_by = setting.map_or(String::new(), |(setting, _)| format!(" (set by {})", setting.set_by));
    let sentence = format!("The proxy {proxy}{set_by} cannot be reached: {how}. Whatever is asked for through it fails.");
    let answered = (!*silent).then_some(*id);
    let place = Place {
        url: url.map(str::to_owned),
        name: Some(host_of(proxy).to_owned()),
        address: address.map(|address| address.ip()),
        port: address.map(|address| address.port()),
        ..Place::default()
    };
    Candidate::new(Severity::Problem, if *silent { SILENT } else { SAID }, sentence)
        .at(place)
        .about(Spot::Everything)
        .towards(address.map(|address| address.ip()))
        .stopping()
        .resting_on([*id])
        .resting_on(setting.map(|(_, id)| id))
        .rejecting("tcp.filtered", "The failure came back at once; a filter that drops packets would stay silent.", answered)
        .rejecting("http.timeout", "No connection stood that a request could have been sent on.", [*id])
        .next(Who::Customer, "Check the proxy's address and port in the settings of this machine; if they are right, whoever runs the proxy has to start it.")
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connect, exchange, failure, proxies, proxy};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::id::CheckId;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;
    use netsonde_contract::outcome::Status;

    const URL: &str = "https://shop.example/";
    const PROXY: &str = "http://proxy.example:3128";

    fn through_proxy(method: &str, status: Option<u16>, failed: Option<(FailureCode, Step)>) -> Fact {
        exchange(URL, |exchange| {
            (exchange.method, exchange.proxy) = (method.into(), Some(PROXY.into()));
            (exchange.status, exchange.expected) = (status, false);
            exchange.address = Some("10.0.0.3:3128".parse().unwrap());
            exchange.failure = failed.map(|(code, during)| failure(code, during));
        })
    }

    /// The check of the set `web` that connects to the proxy.
    fn proxy_check(scene: Scene, facts: impl IntoIterator<Item = Fact>) -> Scene {
        let mut scene = scene.check(Kind::Tcp, facts);
        scene.outcomes_mut().last_mut().unwrap().check = CheckId::new("proxy");
        scene
    }

    #[test]
    fn a_proxy_that_refuses_is_named_with_the_setting_that_chose_it() {
        let scene = Scene::new(URL).check(Kind::Host, [proxies(PROXY, "https_proxy")]);
        let scene = scene.check(Kind::Http, [through_proxy("CONNECT", None, Some((FailureCode::Refused, Step::Connect)))]);
        let finding = scene.finds("http.proxy_unreachable");
        assert!(
            finding.sentence.starts_with("The proxy http://proxy.example:3128 (set by https_proxy) cannot be"),
            "{finding:#?}"
        );
        assert_eq!((finding.place.port, finding.place.url.as_deref()), (Some(3128), Some(URL)));
        assert_eq!(finding.evidence.len(), 2);
    }

    #[test]
    fn a_proxy_whose_name_does_not_resolve_is_not_taken_for_the_targets_name() {
        let fact = through_proxy("CONNECT", None, Some((FailureCode::ResolveFailed, Step::Resolve)));
        let finding = Scene::new(URL).check(Kind::Http, [fact]).finds("http.proxy_unreachable");
        assert!(finding.sentence.contains("the name proxy.example has no address"), "{}", finding.sentence);
    }

    #[test]
    fn a_check_that_finds_no_address_of_the_proxy_names_its_setting() {
        let scene = Scene::new(URL).check(Kind::Host, [proxies(PROXY, "https_proxy")]);
        let mut scene = scene.ended(Kind::Tcp, Status::NotMeasured, []);
        let outcome = scene.outcomes_mut().last_mut().unwrap();
        (outcome.check, outcome.parameters) = (CheckId::new("proxy"), serde_json::json!({"host": "proxy.example", "port": 3128}));
        outcome.note.as_mut().unwrap().why = "proxy.example did not resolve: no such name".into();
        let finding = scene.ended(Kind::Http, Status::Skipped, []).finds("http.proxy_unreachable");
        assert!(
            finding.sentence.contains("(set by https_proxy)") && finding.sentence.contains("has no address here"),
            "{finding:#?}"
        );
    }

    #[test]
    fn a_closed_port_of_the_proxy_is_no_closed_port_of_the_target() {
        let mut refused = connect("10.0.0.3:3128", 400, Some(failure(FailureCode::Refused, Step::Connect)));
        if let Fact::Connect(connect) = &mut refused {
            connect.host = "proxy.example".into();
        }
        let scene = proxy_check(Scene::new(URL), [refused]).ended(Kind::Http, Status::Skipped, []);
        let finding = scene.finds("http.proxy_unreachable");
        assert!(finding.sentence.contains("http://proxy.example:3128 cannot be reached: it refuses"), "{}", finding.sentence);
    }

    #[test]
    fn a_proxy_that_was_asked_as_such_and_is_not_there_is_named() {
        let fact = proxy(URL, |proxy| {
            (proxy.connect, proxy.failure) = (None, Some(failure(FailureCode::Refused, Step::Connect)));
        });
        let finding = Scene::new(URL).check(Kind::Proxy, [fact]).finds("http.proxy_unreachable");
        assert_eq!((finding.place.port, finding.place.name.as_deref()), (Some(3128), Some("proxy.example")));
    }

    #[test]
    fn a_proxy_that_works_is_no_finding() {
        let good = exchange(URL, |exchange| exchange.proxy = Some(PROXY.into()));
        let scene = proxy_check(Scene::new(URL), [connect("10.0.0.3:3128", 400, None)]);
        assert!(scene.check(Kind::Http, [good]).is_healthy().is_empty());
    }
}
