use super::at_proxy::{AtProxy, is_with_proxy};
use super::{last_exchanges, place};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of, small_segments};
use crate::rule::Rule;
use crate::rules::path::loss;
use crate::spot::Spot;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::Exchange;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some(
        "the same request over small segments (the interface's MTU at 1000 bytes, or an MSS clamp for a moment): if it is answered then, large packets are lost on the way back",
    ),
    ..Rule::new(
        "http.timeout",
        &["path.mtu_blackhole", "http.slow_server", "tls.handshake_timeout", "http.proxy_upstream_failed"],
        evaluate,
    )
};

/// Connected and asked, and no answer. Whether the request was acknowledged is not seen.
const CONFIDENCE: f64 = 0.75;
/// Large packets to the target pass: no path swallows the request. The way back may still swallow the answer.
const LARGE_OUT: f64 = 0.8;
/// Large answers of the target come back as well; a filter for large segments of TCP alone is left.
const LARGE_BACK: f64 = 0.88;
/// Small segments, of which nothing on the way drops one for its size, met with silence as well.
const SMALL_TOO: f64 = 0.93;
/// It is the proxy that was asked and that is silent; whether for what lies behind it is not seen.
const AT_PROXY: f64 = 0.8;
/// The head came, and then nothing: what stopped is the body's sender, or packets of its size.
const STALLED: f64 = 0.7;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let mut last = last_exchanges(evidence);
    last.retain(|exchange| !is_with_proxy(exchange));
    let at_proxy = AtProxy::all(evidence);
    let of_proxy = at_proxy.iter().filter_map(silent_proxy);
    last.iter().filter_map(|exchange| timeout(evidence, exchange)).chain(of_proxy).collect()
}

/// The proxy took the connection and the request, and said nothing to it.
fn silent_proxy(at_proxy: &AtProxy<'_>) -> Option<Candidate> {
    if at_proxy.failure.code != FailureCode::TimedOut {
        return None;
    }
    let (proxy, host) = (at_proxy.proxy, at_proxy.host());
    let sentence = format!(
        "The proxy {proxy} accepts the connection, and does not answer within the limit when it is asked for {host}: it hangs, or waits for {host} and does not say so. {host} itself was not reached."
    );
    let ids = || at_proxy.ids.iter().copied();
    let small = ids().filter(|_| at_proxy.is_small());
    let candidate = at_proxy
        .candidate(AT_PROXY, sentence)
        .rejecting("path.mtu_blackhole", "The request and the answer to it are small.", small)
        .rejecting("http.slow_server", "No answer came at all.", ids())
        .rejecting("tls.handshake_timeout", "No handshake with the host had begun.", ids())
        .settled_by("the same proxy asked for another host: where it is silent for that one as well, the proxy itself is out of order")
        .next(
            Who::Network,
            format!("Ask the proxy for another host: if it is silent there too, whoever runs it has to look at it; if not, look for {host} in its log."),
        );
    Some(candidate)
}

fn timeout(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let failure = exchange.failure.as_ref()?;
    if failure.code != FailureCode::TimedOut || failure.during != Step::Receive {
        return None;
    }
    // What the way loses explains it, and the server is not asked about first.
    let direct = exchange.address.filter(|_| exchange.proxy.is_none());
    if direct.is_some_and(|address| loss::halts(evidence, address.ip())) {
        return None;
    }
    if let Some(status) = exchange.status {
        return Some(stalled(evidence, exchange, status));
    }
    let host = host_of(&exchange.url);
    let through = exchange.proxy.as_ref().map_or(String::new(), |proxy| format!(" through the proxy {proxy}"));
    let sentence = format!("{host} accepts the connection and the request{through}, and then does not answer within the limit.");
    let without_proxy = exchange.proxy.is_none().then_some(exchange.id);
    let secured = exchange.phases.tls_us.map(|_| exchange.id);
    let out = direct.map(|address| evidence.passes_large(address.ip())).unwrap_or_default();
    let back = direct.map(|address| evidence.large_came_back(address.ip())).unwrap_or_default();
    let small = over_small_segments(evidence, exchange);
    let confidence = match (small.is_empty(), out.is_empty(), back.is_empty()) {
        (false, _, _) => SMALL_TOO,
        (true, true, _) => CONFIDENCE,
        (true, false, true) => LARGE_OUT,
        (true, false, false) => LARGE_BACK,
    };
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("tls.handshake_timeout", "The TLS handshake was complete.", secured)
        .rejecting("http.slow_server", "No answer came at all.", [exchange.id])
        .rejecting("path.mtu_blackhole", SMALL_SILENT, small)
        .rejecting("http.proxy_upstream_failed", NOT_THE_PROXY, secured.or(without_proxy))
        .next(
            Who::Server,
            format!("Look at what {host} does with the request: a service behind it that hangs, or all its workers busy. If its log shows that it answered, large packets are lost on the way back."),
        );
    Some(candidate.resting_on(out).resting_on(back))
}

const SMALL_SILENT: &str = "Over small segments, which no path is too narrow for, the same came to a halt.";

const NOT_THE_PROXY: &str = "No proxy stood between, or the proxy had opened its tunnel to the host.";

/// The same request held to small segments, which came to a halt at the same place.
fn over_small_segments<'a>(evidence: &Evidence<'a>, exchange: &Seen<'_, Exchange>) -> Vec<&'a ObservationId> {
    let halted = |other: &&Seen<'_, Exchange>| {
        let timed_out = |failure: &Failure| failure.code == FailureCode::TimedOut && failure.during == Step::Receive;
        small_segments(other.outcome).is_some()
            && other.url == exchange.url
            && other.address == exchange.address
            && other.status == exchange.status
            && other.failure.as_ref().is_some_and(timed_out)
    };
    evidence.exchanges.iter().filter(halted).map(|other| other.id).collect()
}

/// The answer began and stopped in its body.
fn stalled(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>, status: u16) -> Candidate {
    let small = over_small_segments(evidence, exchange);
    let (host, bytes) = (host_of(&exchange.url), exchange.body_bytes);
    let sentence = format!(
        "{host} begins its answer (status {status}), and after {bytes} bytes of its body nothing more comes within the limit."
    );
    Candidate::new(Severity::Problem, if small.is_empty() { STALLED } else { SMALL_TOO }, sentence)
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("http.slow_server", "The answer does not go on at all.", [exchange.id])
        .rejecting("tls.handshake_timeout", "The answer had begun.", [exchange.id])
        .rejecting("http.proxy_upstream_failed", "The answer had begun.", [exchange.id])
        .rejecting("path.mtu_blackhole", SMALL_SILENT, small)
        .next(
            Who::Server,
            format!("Look at the log of {host} for this request: what made the body stop. If it sent all of it, packets are lost on the way back, the large ones first."),
        )
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, echo, echo_series, exchange, failure, mtu, proxy, sized};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Finding;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{MtuLimit, SocksAnswer};

    const URL: &str = "https://shop.example/";

    fn scene(during: Step, status: Option<u16>) -> Scene {
        let fact = exchange(URL, |exchange| {
            exchange.status = status;
            exchange.phases.tls_us = Some(30_000);
            exchange.failure = Some(failure(FailureCode::TimedOut, during));
        });
        Scene::new(URL).check(Kind::Http, [fact])
    }

    #[test]
    fn a_request_without_an_answer_is_the_servers_silence() {
        let finding = scene(Step::Receive, None).finds("http.timeout");
        assert!(finding.confidence < 0.9 && finding.rejected.iter().any(|rejected| rejected.cause == "tls.handshake_timeout"));
    }

    #[test]
    fn large_packets_that_pass_one_way_leave_the_way_back_open() {
        let passes = || mtu(MtuLimit::None, 1_500, None);
        let finding = scene(Step::Receive, None).check(Kind::Mtu, [passes()]).finds("http.timeout");
        let open = |finding: &Finding| finding.could_not_separate.iter().any(|open| open.cause == "path.mtu_blackhole");
        assert!(finding.confidence < 0.9 && open(&finding), "{finding:?}");
        let back = sized(echo("192.0.2.1", &[9_000; 5]), 1_400);
        let surer = scene(Step::Receive, None).check(Kind::Mtu, [passes()]).check(Kind::Icmp, [back]).finds("http.timeout");
        assert!(surer.confidence > finding.confidence && open(&surer), "{surer:?}");
    }

    #[test]
    fn large_answers_that_never_come_back_are_the_paths() {
        let large = sized(echo_series("192.0.2.1", 5, 5, |_| {}), 1_400);
        let scene = scene(Step::Receive, None).check(Kind::Mtu, [mtu(MtuLimit::None, 1_500, None)]);
        let finding = scene.check(Kind::Icmp, [echo("192.0.2.1", &[9_000; 5]), large]).finds("path.mtu_blackhole");
        assert!(finding.sentence.contains("answers"), "{}", finding.sentence);
    }

    #[test]
    fn on_a_way_that_loses_a_fifth_the_server_is_not_blamed_and_on_one_that_loses_little_it_is() {
        let lossy = |lost| scene(Step::Receive, None).check(Kind::Icmp, [echo_series("192.0.2.1", 60, lost, |_| {})]);
        let finding = lossy(12).finds("path.loss");
        assert_eq!(finding.severity, netsonde_contract::finding::Severity::Problem);
        assert!(lossy(0).names("http.timeout") && lossy(4).names("http.timeout"));
    }

    #[test]
    fn silence_in_the_handshake_is_another_cause() {
        assert!(!scene(Step::Handshake, None).names("http.timeout"));
    }

    const PROXY: &str = "http://proxy.example:3128";

    fn through_proxy(url: &str, method: &str, failed: FailureCode) -> Scene {
        let fact = exchange(url, |exchange| {
            (exchange.method, exchange.proxy, exchange.status) = (method.into(), Some(PROXY.into()), None);
            (exchange.address, exchange.request_bytes) = (Some("10.0.0.3:3128".parse().unwrap()), Some(83));
            exchange.failure = Some(failure(failed, Step::Receive));
        });
        Scene::new(url).check(Kind::Http, [fact])
    }

    #[test]
    fn a_proxy_that_is_silent_to_connect_or_to_a_plain_request_is_named_and_not_the_host() {
        for (url, method) in [(URL, "CONNECT"), ("http://shop.example/", "GET")] {
            let finding = through_proxy(url, method, FailureCode::TimedOut).finds("http.timeout");
            assert!(finding.sentence.starts_with("The proxy http://proxy.example:3128 accepts"), "{}", finding.sentence);
            assert_eq!((finding.place.port, finding.place.name.as_deref()), (Some(3128), Some("proxy.example")));
            let open: Vec<_> = finding.could_not_separate.iter().map(|open| open.cause.as_str()).collect();
            assert!(open.contains(&"http.proxy_upstream_failed"), "{open:?}");
            assert_eq!(open.contains(&"path.mtu_blackhole"), method == "GET", "only the answer to CONNECT is surely small");
        }
    }

    #[test]
    fn a_proxy_that_was_asked_as_such_and_is_silent_is_named() {
        let fact = proxy(URL, |proxy| {
            let answer = proxy.connect.as_mut().unwrap();
            (answer.status, answer.failure) = (None, Some(failure(FailureCode::TimedOut, Step::Receive)));
        });
        let finding = Scene::new(URL).check(Kind::Proxy, [fact]).finds("http.timeout");
        assert!(finding.sentence.starts_with("The proxy"), "{}", finding.sentence);
    }

    #[test]
    fn a_socks_proxy_that_is_silent_is_named_and_one_that_granted_the_connection_is_not() {
        let through_socks = |reply: Option<u8>, during: Step| {
            let fact = exchange("http://shop.example/", |exchange| {
                (exchange.proxy, exchange.status) = (Some("socks5://proxy.example:1080".into()), None);
                exchange.socks = Some(SocksAnswer { version: 5, method: Some(0), reply, ..SocksAnswer::default() });
                exchange.failure = Some(failure(FailureCode::TimedOut, during));
            });
            Scene::new("http://shop.example/").check(Kind::Http, [fact]).finds("http.timeout").sentence
        };
        assert!(through_socks(None, Step::Other).starts_with("The proxy socks5://proxy.example:1080 accepts"));
        assert!(through_socks(Some(0), Step::Receive).starts_with("shop.example accepts"));
    }

    #[test]
    fn a_host_that_is_silent_behind_an_open_tunnel_is_the_hosts_silence() {
        let fact = exchange(URL, |exchange| {
            (exchange.proxy, exchange.status, exchange.phases.tls_us) = (Some(PROXY.into()), None, Some(30_000));
            exchange.failure = Some(failure(FailureCode::TimedOut, Step::Receive));
        });
        let finding = Scene::new(URL).check(Kind::Http, [fact]).finds("http.timeout");
        assert!(finding.sentence.starts_with("shop.example accepts"), "{}", finding.sentence);
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "http.proxy_upstream_failed"));
    }

    #[test]
    fn an_answer_that_stops_in_its_body_says_how_far_it_came() {
        let finding = scene(Step::Receive, Some(200)).finds("http.timeout");
        assert!(finding.sentence.contains("after 10 bytes of its body") && finding.confidence < 0.8, "{}", finding.sentence);
    }
}
