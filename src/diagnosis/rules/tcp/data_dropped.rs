use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, Share, host_of};
use crate::rule::Rule;
use crate::rules::path::loss;
use crate::rules::{http, tls};
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Exchange, Handshake, Service, TcpState};
use std::net::SocketAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["http.timeout", "service.no_greeting"],
    settled_by: Some("the packets at both ends: the handshake is seen on both, the data on one only"),
    ..Rule::new("tcp.data_dropped", &["path.mtu_blackhole", "http.timeout", "tls.handshake_timeout"], evaluate)
};

/// The kernel sent the same small segment again and again, and never heard of it.
const CONFIDENCE: f64 = 0.88;

/// With fewer repetitions it may be loss.
const LEAST_RETRANSMITS: u32 = 3;

/// Segments of at most this size, headers left out, pass wherever anything passes (RFC 791 section 3.1): 576 less 40 bytes.
const SMALL_BYTES: u64 = 536;

const ACTION: &str = "Look for a firewall or proxy on the way that lets handshakes pass and drops data: a rule by content or application, a full state table, or two ways of which one does not know the connection.";

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let in_handshakes = evidence.handshakes.iter().filter(|handshake| !is_answered(evidence, handshake.address));
    let in_handshakes = in_handshakes.filter_map(hello_dropped);
    // A handshake of the same check tells what became of its hello.
    let is_told = |exchange: &&Seen<'_, Exchange>| {
        let own =
            |handshake: &Seen<'_, Handshake>| std::ptr::eq(handshake.outcome, exchange.outcome) && handshake.at_close.is_some();
        exchange.failure.as_ref().is_some_and(|failure| failure.during == Step::Handshake) && evidence.handshakes.iter().any(own)
    };
    let in_exchanges = evidence.exchanges.iter().filter(|exchange| !is_told(exchange) && !is_chance(evidence, exchange));
    let in_exchanges = in_exchanges.filter_map(dropped);
    in_handshakes.chain(in_exchanges).chain(evidence.services.iter().filter_map(question_dropped)).collect()
}

/// On a way that loses so much, the same segment is lost that often once in fewer cases than this.
const ONE_CASE_IN: f64 = 4_000.0;

/// The way loses so much that all that was sent may have been lost by chance.
fn is_chance(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>) -> bool {
    let lost = exchange.address.filter(|_| exchange.proxy.is_none()).and_then(|at| loss::share(evidence, at.ip()));
    let times = exchange.fact.at_close.as_deref().map_or(0, |state| state.retransmits.saturating_add(1));
    let chance = |share: Share<'_>| (share.percent() / 100.0).powi(i32::try_from(times).unwrap_or(i32::MAX));
    lost.is_some_and(|share| chance(share) > 1.0 / ONE_CASE_IN)
}

/// The first question to a service was never acknowledged, and no word came.
fn question_dropped(service: &Seen<'_, Service>) -> Option<Candidate> {
    let state = service.at_close.as_deref().filter(|_| service.received_bytes == 0)?;
    let sent = Unheard::of(state).filter(|_| timed_out(service.failure.as_ref()))?;
    let (address, port) = (service.address.ip(), service.address.port());
    let to = format!("{} on port {port}", named(&service.host, address));
    let candidate = Candidate::new(Severity::Problem, CONFIDENCE, sent.sentence(&to))
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(service.address))
        .resting_on([service.id])
        .rejecting("path.mtu_blackhole", sent.not_for_its_size(), [service.id])
        .next(Who::Network, ACTION);
    Some(candidate)
}

fn dropped(exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let state = exchange.at_close.as_deref()?;
    let sent = Unheard::of(state).filter(|_| timed_out(exchange.failure.as_ref()) && exchange.status.is_none())?;
    let to = match &exchange.proxy {
        Some(proxy) => format!("the proxy {proxy}"),
        None => host_of(&exchange.url).to_owned(),
    };
    let candidate = Candidate::new(Severity::Problem, CONFIDENCE, sent.sentence(&to))
        .at(http::place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("path.mtu_blackhole", sent.not_for_its_size(), [exchange.id])
        .rejecting("http.timeout", "The server's system did not even acknowledge the request.", [exchange.id])
        .next(Who::Network, ACTION);
    Some(candidate)
}

/// Another hello to the port was answered: what is dropped depends on what it says, and others tell what that is.
fn is_answered(evidence: &Evidence<'_>, at: SocketAddr) -> bool {
    let silent = |failure: Option<&Failure>| failure.is_some_and(|failure| failure.code == FailureCode::TimedOut);
    evidence.handshakes.iter().any(|handshake| handshake.address == at && !silent(handshake.failure.as_ref()))
        || evidence.variants.iter().any(|variant| variant.address == at && !silent(variant.failure.as_ref()))
}

/// The hello of a handshake was never acknowledged.
fn hello_dropped(handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let in_handshake = handshake.failure.as_ref().is_some_and(|failure| failure.during == Step::Handshake);
    let state = handshake.at_close.as_deref().filter(|_| in_handshake && timed_out(handshake.failure.as_ref()))?;
    let sent = Unheard::of(state)?;
    let (address, port) = (handshake.address.ip(), handshake.address.port());
    let candidate = Candidate::new(
        Severity::Problem,
        CONFIDENCE,
        sent.sentence(&format!("{} on port {port}", named(&handshake.host, address))),
    )
    .at(tls::place(handshake))
    .about(Spot::Endpoint(handshake.address))
    .stopping()
    .resting_on([handshake.id])
    .rejecting("path.mtu_blackhole", sent.not_for_its_size(), [handshake.id])
    .rejecting("tls.handshake_timeout", "The server's system did not even acknowledge the hello.", [handshake.id])
    .next(Who::Network, ACTION);
    Some(candidate)
}

fn timed_out(failure: Option<&Failure>) -> bool {
    failure.is_some_and(|failure| failure.code == FailureCode::TimedOut)
}

/// What was sent again and again without an acknowledgement, and was lost for another reason than its size. Nothing came in meanwhile.
#[derive(Clone, Copy, Debug)]
struct Unheard {
    /// Bytes that the peer has.
    arrived: u64,
    /// Bytes that it never acknowledged.
    missing: u64,
    /// The small segment among them: all of them, or their end.
    small: u64,
    /// Segments that were sent again.
    again: u32,
}

impl Unheard {
    fn of(state: &TcpState) -> Option<Self> {
        let again = state.retransmits;
        if state.bytes_received? > 0 || again < LEAST_RETRANSMITS {
            return None;
        }
        let sent = state.bytes_sent?;
        let once = match state.bytes_resent {
            Some(resent) => sent.saturating_sub(resent),
            None => sent / u64::from(again + 1),
        };
        let arrived = state.bytes_acknowledged.unwrap_or_default();
        let missing = once.saturating_sub(arrived);
        if (1..=SMALL_BYTES).contains(&missing) {
            return Some(Self { arrived, missing, small: missing, again });
        }
        // Of several segments the last is shorter, and the peer tells where it came and those before it did not (RFC 2018).
        let mss = u64::from(state.mss_bytes);
        let end = missing.checked_rem(mss).unwrap_or_default();
        let told = state.sack && state.segments_sacked == Some(0) && state.bytes_acknowledged.is_some();
        (missing > mss && (1..=SMALL_BYTES).contains(&end) && told).then_some(Self { arrived, missing, small: end, again })
    }

    fn sentence(self, to: &str) -> String {
        let Self { arrived, missing, small, again } = self;
        let what = if arrived > 0 {
            return format!(
                "The connection to {to} stands, and not all that is sent on it arrives: after {arrived} bytes the next {missing} were sent again and again, {again} segments in all, and never acknowledged."
            );
        } else if small == missing {
            format!("{missing} bytes were sent {} times, and not one was acknowledged", again + 1)
        } else {
            format!("of {missing} bytes {again} segments were sent again, and not one byte was acknowledged")
        };
        format!("The connection to {to} stands, and nothing that is sent on it arrives: {what}.")
    }

    fn not_for_its_size(self) -> String {
        if self.small == self.missing {
            format!("The segments that are lost have only {} bytes.", self.small)
        } else {
            format!("A segment of only {} bytes is lost as well: the peer would have told that it came.", self.small)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo_series, exchange, failure, handshake, variant};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{TcpState, Variant};

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
    fn on_a_way_that_loses_most_packets_so_many_in_a_row_are_chance() {
        let beside = |lost| scene(6, 7 * 76, 0).check(Kind::Icmp, [echo_series("192.0.2.1", 60, lost, |_| {})]);
        assert!(!beside(45).names("tcp.data_dropped"));
        assert!(beside(6).names("tcp.data_dropped") && beside(0).names("tcp.data_dropped"));
    }

    #[test]
    fn small_segments_that_nobody_acknowledges_are_dropped() {
        let finding = scene(5, 6 * 120, 0).finds("tcp.data_dropped");
        assert!(finding.sentence.contains("120 bytes were sent 6 times"), "{}", finding.sentence);
        assert_eq!(finding.refines, ["http.timeout", "service.no_greeting"]);
    }

    #[test]
    fn a_request_that_was_acknowledged_is_the_servers_silence() {
        scene(0, 120, 0).finds("http.timeout");
    }

    #[test]
    fn large_segments_may_be_too_large() {
        scene(5, 6 * 1_400, 0).finds("http.timeout");
    }

    /// A handshake over which a hello of so many bytes was sent, with what the kernel says of it.
    fn hello(bytes: u64, acknowledged: u64, sacked: u32) -> Scene {
        let state = TcpState {
            retransmits: 4,
            mss_bytes: 1_448,
            sack: true,
            bytes_sent: Some(bytes + 4 * bytes.min(1_448)),
            bytes_resent: Some(4 * bytes.min(1_448)),
            bytes_acknowledged: Some(acknowledged),
            segments_sacked: Some(sacked),
            bytes_received: Some(0),
            ..TcpState::default()
        };
        let fact = handshake(|handshake| {
            (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
            handshake.at_close = Some(Box::new(state));
            handshake.failure = Some(failure(FailureCode::TimedOut, Step::Handshake));
        });
        Scene::new("https://shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]).check(Kind::Tls, [fact])
    }

    #[test]
    fn a_hello_of_which_no_segment_arrives_is_dropped_on_the_way() {
        let finding = hello(1_700, 0, 0).finds("tcp.data_dropped");
        let causes: Vec<_> = finding.rejected.iter().map(|rejected| rejected.cause.as_str()).collect();
        assert_eq!(causes, ["path.mtu_blackhole", "tls.handshake_timeout"]);
        assert!(finding.sentence.contains("of 1700 bytes 4 segments"), "{}", finding.sentence);
        hello(300, 0, 0).finds("tcp.data_dropped");
    }

    #[test]
    fn a_hello_whose_small_end_arrived_was_too_large() {
        assert!(!hello(1_700, 0, 1).names("tcp.data_dropped"));
        assert!(!hello(1_300, 0, 0).names("tcp.data_dropped"), "one segment alone may be too large as well");
    }

    #[test]
    fn a_hello_whose_end_alone_is_lost_is_dropped_for_no_size() {
        let finding = hello(1_484, 1_448, 0).finds("tcp.data_dropped");
        assert!(finding.sentence.contains("after 1448 bytes the next 36"), "{}", finding.sentence);
    }

    #[test]
    fn where_another_hello_is_answered_it_is_what_the_hello_says() {
        let small = variant(Variant::ClassicGroups, Some("shop.example"), None);
        assert!(!hello(1_700, 0, 0).check(Kind::Tls, [small]).names("tcp.data_dropped"));
    }

    #[test]
    fn a_hello_that_was_acknowledged_is_the_servers_silence() {
        let finding = hello(1_700, 1_700, 0).finds("tls.handshake_timeout");
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "tcp.data_dropped"), "{finding:?}");
    }
}
