//! What the proxy in force says to the request itself: it wants a sign-in, forbids it, or does not reach the host.

use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Exchange, Proxy, SocksAnswer};
use std::net::SocketAddr;

pub(in crate::rules) const AUTH_REQUIRED_RULE: Rule =
    Rule::new("http.proxy_auth_required", &["http.client_error"], |evidence| answered(evidence, &AUTH_REQUIRED));

pub(in crate::rules) const DENIED_RULE: Rule =
    Rule::new("http.proxy_denied", &["http.client_error"], |evidence| answered(evidence, &DENIED));

pub(in crate::rules) const UPSTREAM_FAILED_RULE: Rule = Rule {
    settled_by: Some(
        "the same proxy asked for another host: where it says the same of that one, the proxy itself is out of order",
    ),
    ..Rule::new("http.proxy_upstream_failed", &["http.server_error", "http.proxy_unreachable"], |evidence| {
        answered(evidence, &UPSTREAM_FAILED)
    })
};

/// Whoever answers CONNECT or asks for a proxy's sign-in is the proxy (RFC 9110 sections 9.3.6 and 15.5.8).
const ANSWERED: f64 = 0.95;

/// To a plain request, a proxy's own 502 or 504 looks like one that it hands on; it is the nearest gateway that such an answer can be of
/// (RFC 9110 sections 15.6.3 and 15.6.5).
const PERHAPS_HANDED_ON: f64 = 0.6;

/// It says that something is not available, and not whether that is the host or the proxy itself (RFC 9110 section 15.6.4).
const UNAVAILABLE: f64 = 0.7;

/// What a proxy says to a request by itself.
struct Said {
    statuses: &'static [u16],
    /// The same of a SOCKS proxy.
    by_socks: fn(&SocksAnswer) -> bool,
    /// Only the answer to CONNECT is surely the proxy's own; to other requests it hands on what the server said.
    to_connect_only: bool,
    meaning: &'static str,
    neighbour: &'static str,
    who: Who,
    action: &'static str,
}

const AUTH_REQUIRED: Said = Said {
    statuses: &[407],
    by_socks: SocksAnswer::wants_sign_in,
    to_connect_only: false,
    meaning: "wants a sign-in before it passes anything on",
    neighbour: "http.client_error",
    who: Who::Customer,
    action: "Give the application the user name and password of the proxy, or have this machine allowed there without them.",
};

const DENIED: Said = Said {
    statuses: &[403],
    by_socks: SocksAnswer::is_denied,
    to_connect_only: true,
    meaning: "does not allow it",
    neighbour: "http.client_error",
    who: Who::Network,
    action: "Ask whoever runs the proxy to allow this host and port for this machine.",
};

const UPSTREAM_FAILED: Said = Said {
    statuses: &[502, 503, 504],
    by_socks: SocksAnswer::failed_behind,
    to_connect_only: true,
    meaning: "cannot reach the host itself",
    neighbour: "http.server_error",
    who: Who::Network,
    action: "Run netsonde where the proxy runs, or ask whoever runs it to look for this host in its log: the fault lies behind the proxy.",
};

impl Said {
    /// Whether a gateway says so of whatever lies behind it.
    fn is_of_gateway(&self, status: u16) -> bool {
        self.statuses.contains(&status) && matches!(status, 502 | 504)
    }
}

/// One word of the proxy's.
struct Heard<'a> {
    id: &'a ObservationId,
    proxy: &'a str,
    url: &'a str,
    address: Option<SocketAddr>,
    /// `status 407`, or a SOCKS reply in words.
    word: String,
    /// The ways to sign in that it offers, where it was asked.
    methods: Vec<&'a str>,
    /// The answer may be one that the proxy hands on.
    perhaps_handed_on: bool,
    /// The user name and password of the setting were sent, and it still says so.
    signed_in: bool,
}

impl Heard<'_> {
    /// What a sign-in that was given and not taken means, and what to do: a password is only good where the proxy asks for one.
    fn refused_sign_in(&self) -> Option<(&'static str, &'static str)> {
        let takes_password = |name: &&str| ["basic", "digest", "password"].contains(&name.to_ascii_lowercase().as_str());
        match (self.signed_in, self.methods.is_empty() || self.methods.iter().any(takes_password)) {
            (false, _) => None,
            (true, true) => Some((
                "does not accept the user name and password that were given",
                "Check the user name and password that are set for the proxy, and ask whoever runs it whether that account is locked or may not use it.",
            )),
            (true, false) => Some((
                "takes no user name and password, which were given",
                "Ask whoever runs the proxy to let this machine in without a sign-in, or to offer Basic: the ways that it offers need a sign-in by the system.",
            )),
        }
    }
}

fn answered(evidence: &Evidence<'_>, said: &Said) -> Vec<Candidate> {
    let by_answers = evidence.proxy_answers.iter().filter_map(|seen| of_answer(seen, said));
    let by_requests = evidence.exchanges.iter().filter_map(|seen| of_exchange(seen, said));
    let mut candidates: Vec<(&str, &str, Candidate)> = Vec::new();
    for heard in by_answers.chain(by_requests) {
        match candidates.iter_mut().find(|(proxy, url, _)| *proxy == heard.proxy && *url == heard.url) {
            Some((_, _, candidate)) => *candidate = candidate.clone().resting_on([heard.id]),
            None => candidates.push((heard.proxy, heard.url, candidate(&heard, said))),
        }
    }
    candidates.into_iter().map(|(_, _, candidate)| candidate).collect()
}

/// The proxy asked as such tells more than a request that failed.
fn of_answer<'a>(seen: &Seen<'a, Proxy>, said: &Said) -> Option<Heard<'a>> {
    let fact = seen.fact;
    let by_connect = fact.connect.as_ref().and_then(|answer| answer.status);
    let by_get = fact.get.as_ref().and_then(|answer| answer.status);
    let by_get = by_get.filter(|status| !said.to_connect_only || said.is_of_gateway(*status));
    let status = [by_connect, by_get].into_iter().flatten().find(|status| said.statuses.contains(status));
    let socks = fact.socks.as_ref().filter(|socks| (said.by_socks)(socks));
    let word = status.map(|status| format!("status {status}")).or_else(|| Some(socks?.words().to_owned()))?;
    let methods = fact.methods.iter().map(|method| method.name.as_str()).collect();
    let signed_in = fact.signed_in && said.statuses.contains(&407);
    let perhaps_handed_on = said.to_connect_only && socks.is_none() && status != by_connect;
    Some(Heard {
        id: seen.id,
        proxy: &fact.proxy,
        url: &fact.url,
        address: fact.address,
        word,
        methods,
        perhaps_handed_on,
        signed_in,
    })
}

fn of_exchange<'a>(seen: &Seen<'a, Exchange>, said: &Said) -> Option<Heard<'a>> {
    let exchange = seen.fact;
    let to_connect = exchange.method == "CONNECT";
    let status = exchange.status.filter(|status| said.statuses.contains(status) && !exchange.expected);
    let by_plain = |status: u16| exchange.url.starts_with("http://") && said.is_of_gateway(status);
    let status = status.filter(|status| to_connect || !said.to_connect_only || by_plain(*status));
    let perhaps_handed_on = said.to_connect_only && !to_connect && status.is_some();
    let socks = exchange.socks.as_ref().filter(|socks| (said.by_socks)(socks));
    let word = status.map(|status| format!("status {status}")).or_else(|| Some(socks?.words().to_owned()))?;
    let proxy = exchange.proxy.as_deref()?;
    Some(Heard {
        id: seen.id,
        proxy,
        url: &exchange.url,
        address: exchange.address,
        word,
        methods: Vec::new(),
        perhaps_handed_on,
        signed_in: false,
    })
}

fn candidate(heard: &Heard<'_>, said: &Said) -> Candidate {
    let Heard { id, proxy, url, address, word, methods, .. } = heard;
    let offered = if methods.is_empty() { String::new() } else { format!(" It offers {}.", methods.join(", ")) };
    let unclear = said.statuses.contains(&503) && word == "status 503";
    let (meaning, confidence, action) = match unclear {
        true => (
            "says that it cannot serve it: it does not reach the host, or is itself out of order",
            UNAVAILABLE,
            "Ask the proxy for another host: if it says the same, look at the proxy itself; if not, the fault lies behind it, where its log names this host.",
        ),
        false => (said.meaning, ANSWERED, said.action),
    };
    let (meaning, action) = heard.refused_sign_in().unwrap_or((meaning, action));
    let (meaning, confidence, action) = match heard.perhaps_handed_on {
        true => (
            "answers that it got nothing usable from behind it: it does not reach the host, or hands on the answer of one in front of it",
            PERHAPS_HANDED_ON,
            "Look for this request in the log of the proxy: it names the host that it could not reach; if it did reach it, look at the log of the host.",
        ),
        false => (meaning, confidence, action),
    };
    let sentence = format!("The proxy {proxy} was asked for {} and {meaning} ({word}).{offered}", host_of(url));
    let reason = "The proxy itself answered: the request never came to the server.";
    let place = Place {
        url: Some((*url).to_owned()),
        name: Some(host_of(proxy).to_owned()),
        address: address.map(|address| address.ip()),
        port: address.map(|address| address.port()),
        ..Place::default()
    };
    // An answer that may be handed on rejects nobody.
    let own = (!heard.perhaps_handed_on).then_some(*id);
    Candidate::new(Severity::Problem, confidence, sentence)
        .at(place)
        .about(Spot::Url((*url).to_owned()))
        .resting_on([*id])
        .rejecting(said.neighbour, reason, own)
        .next(said.who, action)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange, failure, proxy};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, ProxyMethod, SocksAnswer};

    const URL: &str = "https://shop.example/";
    const PROXY: &str = "http://proxy.example:3128";

    fn through_proxy(method: &str, status: u16) -> Fact {
        exchange(URL, |exchange| {
            (exchange.method, exchange.proxy) = (method.into(), Some(PROXY.into()));
            (exchange.status, exchange.expected) = (Some(status), false);
            exchange.address = Some("10.0.0.3:3128".parse().unwrap());
        })
    }

    #[test]
    fn a_proxy_that_was_asked_as_such_tells_its_ways_to_sign_in() {
        let fact = proxy(URL, |proxy| {
            proxy.lets_in_anybody = Some(false);
            proxy.methods = ["Negotiate", "Basic"].map(|name| ProxyMethod { name: name.into(), realm: None }).to_vec();
            proxy.connect.as_mut().unwrap().status = Some(407);
        });
        let scene = Scene::new(URL).check(Kind::Proxy, [fact]).check(Kind::Http, [through_proxy("CONNECT", 407)]);
        let finding = scene.finds("http.proxy_auth_required");
        assert!(finding.sentence.ends_with("(status 407). It offers Negotiate, Basic."), "{}", finding.sentence);
        assert_eq!(finding.evidence.len(), 2);
    }

    #[test]
    fn a_sign_in_that_was_given_is_not_advised() {
        for (methods, words, advice) in [
            (&["Negotiate", "Basic"][..], "does not accept the user name and password", "Check the user name"),
            (&["Negotiate", "NTLM"], "takes no user name and password", "without a sign-in"),
        ] {
            let fact = proxy(URL, |proxy| {
                (proxy.lets_in_anybody, proxy.signed_in) = (Some(false), true);
                proxy.methods = methods.iter().map(|name| ProxyMethod { name: (*name).into(), realm: None }).collect();
                proxy.connect.as_mut().unwrap().status = Some(407);
            });
            let finding = Scene::new(URL).check(Kind::Proxy, [fact]).finds("http.proxy_auth_required");
            assert!(finding.sentence.contains(words) && finding.next_step.action.contains(advice), "{}", finding.sentence);
        }
    }

    #[test]
    fn a_proxy_that_lets_out_is_no_finding() {
        assert!(Scene::new(URL).check(Kind::Proxy, [proxy(URL, |_| {})]).is_healthy().is_empty());
    }

    #[test]
    fn the_reply_of_a_socks_proxy_names_the_cause() {
        for (method, reply, cause) in [
            (SocksAnswer::NO_METHOD, None, "http.proxy_auth_required"),
            (0, Some(2), "http.proxy_denied"),
            (0, Some(5), "http.proxy_upstream_failed"),
        ] {
            let socks = Some(SocksAnswer { version: 5, method: Some(method), reply, ..SocksAnswer::default() });
            let asked = proxy(URL, |proxy| (proxy.connect, proxy.socks) = (None, socks));
            Scene::new(URL).check(Kind::Proxy, [asked]).finds(cause);
            let requested = exchange(URL, |exchange| {
                (exchange.status, exchange.socks, exchange.proxy) = (None, socks, Some("socks5://proxy.example:1080".into()));
                exchange.failure = Some(failure(FailureCode::Other("proxy_refused".into()), Step::Other));
            });
            Scene::new(URL).check(Kind::Http, [requested]).finds(cause);
        }
    }

    #[test]
    fn what_the_proxy_says_to_connect_names_the_cause() {
        for (status, cause) in [
            (407, "http.proxy_auth_required"),
            (403, "http.proxy_denied"),
            (502, "http.proxy_upstream_failed"),
            (503, "http.proxy_upstream_failed"),
            (504, "http.proxy_upstream_failed"),
        ] {
            Scene::new(URL).check(Kind::Http, [through_proxy("CONNECT", status)]).finds(cause);
        }
    }

    #[test]
    fn an_error_that_the_proxy_only_hands_on_is_the_servers() {
        Scene::new(URL).check(Kind::Http, [through_proxy("GET", 403)]).finds("http.client_error");
        Scene::new(URL).check(Kind::Http, [through_proxy("GET", 502)]).finds("http.server_error");
    }

    #[test]
    fn a_gateways_error_to_a_plain_request_is_laid_to_the_nearest_gateway_and_left_open() {
        let plain = "http://shop.example/";
        for status in [502, 504] {
            let fact = exchange(plain, |exchange| {
                (exchange.method, exchange.proxy) = ("GET".into(), Some(PROXY.into()));
                (exchange.status, exchange.expected) = (Some(status), false);
            });
            let finding = Scene::new(plain).check(Kind::Http, [fact]).finds("http.proxy_upstream_failed");
            assert!(finding.confidence < 0.7 && finding.sentence.contains("or hands on"), "{}", finding.sentence);
            assert!(finding.rejected.iter().all(|rejected| rejected.cause != "http.server_error"));
        }
    }

    #[test]
    fn a_sign_in_that_no_proxy_asked_for_is_not_the_proxys() {
        let fact = exchange(URL, |exchange| (exchange.status, exchange.expected) = (Some(407), false));
        Scene::new(URL).check(Kind::Http, [fact]).is_unexplained();
    }
}
