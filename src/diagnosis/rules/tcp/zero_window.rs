use crate::candidate::Candidate;
use crate::evidence::{Evidence, host_of};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::duration;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::kind::LoadDirection;
use netsonde_contract::observation::{ExchangePurpose, TcpState};
use std::net::SocketAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the receiver's process: whether it reads from its socket (`ss -tm` there shows a full receive queue)"),
    ..Rule::new("tcp.zero_window", &["path.mtu_blackhole"], evaluate)
};

/// The kernel counted the time that it was allowed to send nothing by the receiver.
const CONFIDENCE: f64 = 0.9;

/// Time held up by the receiver that anybody feels, in microseconds, and its share of the time spent sending.
const LEAST_HELD_US: u64 = 1_000_000;
const LEAST_SHARE: f64 = 0.5;

/// One way up that was held up.
struct Held<'a> {
    id: &'a ObservationId,
    url: &'a str,
    address: Option<SocketAddr>,
    proxy: Option<&'a str>,
    state: &'a TcpState,
}

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let uploads = evidence.beside.iter().filter(|exchange| exchange.purpose == ExchangePurpose::Upload);
    let uploads = uploads.filter_map(|exchange| {
        let state = exchange.fact.at_close.as_deref()?;
        Some(Held {
            id: exchange.id,
            url: &exchange.fact.url,
            address: exchange.address,
            proxy: exchange.fact.proxy.as_deref(),
            state,
        })
    });
    let loads = evidence.loads.iter().flat_map(|load| {
        let up = load.fact.loaded.iter().filter(|phase| phase.direction == LoadDirection::Upload);
        let states = up.flat_map(|phase| &phase.at_close);
        states.map(move |state| Held {
            id: load.id,
            url: &load.fact.url,
            address: load.fact.address,
            proxy: load.fact.proxy.as_deref(),
            state,
        })
    });
    let mut held: Vec<Held<'_>> = uploads.chain(loads).filter(|held| is_held_up(held.state)).collect();
    // One of several connections of the same measurement tells it.
    held.dedup_by_key(|held| held.id);
    held.iter().map(candidate).collect()
}

/// The receiver's window is closed, or nearly so, and the sender waited for it.
fn is_held_up(state: &TcpState) -> bool {
    let (Some(held_us), Some(busy_us)) = (state.window_limited_us, state.busy_us) else { return false };
    let closed = state.peer_window_bytes.is_some_and(|bytes| bytes < state.mss_bytes.max(1));
    closed && held_us >= LEAST_HELD_US && held_us as f64 >= busy_us as f64 * LEAST_SHARE
}

fn candidate(held: &Held<'_>) -> Candidate {
    let to = held.proxy.map_or_else(|| host_of(held.url).to_owned(), |proxy| format!("the proxy {proxy}"));
    let waited = duration(held.state.window_limited_us.unwrap_or_default());
    let window = held.state.peer_window_bytes.unwrap_or_default();
    let sentence = format!(
        "{to} takes no more data: its receive window is down to {window} bytes, and the sender waited {waited} for it to read what it has."
    );
    Candidate::new(Severity::Problem, CONFIDENCE, sentence)
        .at(Place {
            url: Some(held.url.to_owned()),
            address: held.address.map(|address| address.ip()),
            port: held.address.map(|address| address.port()),
            ..Place::default()
        })
        .about(Spot::Url(held.url.to_owned()))
        .resting_on([held.id])
        .rejecting("path.mtu_blackhole", "What was sent is acknowledged; the receiver itself asks to wait.", [held.id])
        .next(Who::Server, format!("Look at what the process behind {to} does with its input: a full disk, a lock, a slow database, or too few workers."))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange, failure};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{ExchangePurpose, TcpState};
    use netsonde_contract::outcome::Status;

    const URL: &str = "http://shop.example/";

    fn scene(window: u32, window_limited_us: u64) -> Scene {
        let state = TcpState {
            mss_bytes: 1_448,
            peer_window_bytes: Some(window),
            busy_us: Some(5_000_000),
            window_limited_us: Some(window_limited_us),
            ..TcpState::default()
        };
        let upload = exchange(URL, |exchange| {
            (exchange.purpose, exchange.status, exchange.expected) = (ExchangePurpose::Upload, None, false);
            exchange.at_close = Some(Box::new(state));
            exchange.failure = Some(failure(FailureCode::TimedOut, Step::Send));
        });
        Scene::new(URL).ended(Kind::Http, Status::Failed, [exchange(URL, |_| {}), upload])
    }

    #[test]
    fn a_receiver_whose_window_stays_closed_does_not_read() {
        let finding = scene(0, 4_900_000).finds("tcp.zero_window");
        assert!(finding.sentence.contains("down to 0 bytes"), "{}", finding.sentence);
    }

    #[test]
    fn a_window_that_is_open_at_the_end_is_none() {
        assert!(!scene(65_535, 4_900_000).names("tcp.zero_window"));
        assert!(!scene(0, 100_000).names("tcp.zero_window"));
    }
}
