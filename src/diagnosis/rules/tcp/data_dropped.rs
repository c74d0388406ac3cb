use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::rule::Rule;
use crate::rules::http::place;
use crate::spot::Spot;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{Exchange, TcpState};

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["http.timeout"],
    settled_by: Some("the packets at both ends: the handshake is seen on both, the data on one only"),
    ..Rule::new("tcp.data_dropped", &["path.mtu_blackhole", "http.timeout", "tls.handshake_timeout"], evaluate)
};

/// The kernel sent the same small segment again and again, and never heard of it.
const CONFIDENCE: f64 = 0.88;

/// With fewer repetitions it may be loss.
const LEAST_RETRANSMITS: u32 = 3;

/// Segments of at most this size, headers left out, pass wherever anything passes (RFC 791 section 3.1): 576 less 40 bytes.
const SMALL_BYTES: u64 = 536;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.exchanges.iter().filter_map(dropped).collect()
}

fn dropped(exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let state = exchange.at_close.as_deref()?;
    let silent = exchange.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut);
    let sent = small_segments(state).filter(|_| silent && exchange.status.is_none())?;
    let to = match &exchange.proxy {
        Some(proxy) => format!("the proxy {proxy}"),
        None => host_of(&exchange.url).to_owned(),
    };
    let sentence = format!(
        "The connection to {to} stands, and nothing that is sent on it arrives: {sent} bytes were sent {} times, and not one was acknowledged.",
        state.retransmits + 1
    );
    let candidate = Candidate::new(Severity::Problem, CONFIDENCE, sentence)
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("path.mtu_blackhole", format!("The segments that are lost have only {sent} bytes."), [exchange.id])
        .rejecting("http.timeout", "The server's system did not even acknowledge the request.", [exchange.id])
        .next(
            Who::Network,
            "Look for a firewall or proxy on the way that lets handshakes pass and drops data: a rule by content or application, a full state table, or two ways of which one does not know the connection.",
        );
    Some(candidate)
}

/// The size of the segment that was sent again and again without anything ever coming back.
fn small_segments(state: &TcpState) -> Option<u64> {
    let heard = state.bytes_received.is_some_and(|bytes| bytes > 0);
    let all = state.bytes_sent.filter(|_| !heard && state.bytes_received.is_some() && state.retransmits >= LEAST_RETRANSMITS)?;
    let each = all / u64::from(state.retransmits + 1);
    (each > 0 && each <= SMALL_BYTES).then_some(each)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange, failure};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::TcpState;

    const URL: &str = "http://shop.example/";

    fn scene(retransmits: u32, bytes_sent: u64, bytes_received: u64) -> Scene {
        let state =
            TcpState { retransmits, bytes_sent: Some(bytes_sent), bytes_received: Some(bytes_received), ..TcpState::default() };
        let fact = exchange(URL, |exchange| {
            (exchange.status, exchange.expected) = (None, false);
            exchange.at_close = Some(Box::new(state));
            exchange.failure = Some(failure(FailureCode::TimedOut, Step::Receive));
        });
        Scene::new(URL).check(Kind::Http, [fact])
    }

    #[test]
    fn small_segments_that_nobody_acknowledges_are_dropped() {
        let finding = scene(5, 6 * 120, 0).finds("tcp.data_dropped");
        assert!(finding.sentence.contains("120 bytes were sent 6 times"), "{}", finding.sentence);
        assert_eq!(finding.refines, ["http.timeout"]);
    }

    #[test]
    fn a_request_that_was_acknowledged_is_the_servers_silence() {
        scene(0, 120, 0).finds("http.timeout");
    }

    #[test]
    fn large_segments_may_be_too_large() {
        scene(5, 6 * 1_400, 0).finds("http.timeout");
    }
}
