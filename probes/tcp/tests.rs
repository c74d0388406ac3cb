use super::*;
use crate::context::{ProxyChoice, Recorder};
use crate::gate::{Gate, Limits};
use crate::{Trust, clock::Clock};
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::id::CheckId;
use netsonde_contract::kind::{Kind, Params};
use netsonde_contract::observation::{PortSweep, SeenSegment};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;

async fn measure(parameters: Value) -> (Ending, Vec<Fact>) {
    let Params::Tcp(params) = Params::parse(Kind::Tcp, parameters).unwrap() else { panic!("no tcp") };
    let clock = Clock::start();
    let recorder = Recorder::new(CheckId::new("tcp"));
    let context = Context {
        gate: Arc::new(Gate::new(Limits::PERSON, clock)),
        clock,
        names: Arc::default(),
        trust: Arc::new(Trust::new(Vec::new()).unwrap()),
        proxy: ProxyChoice::None,
        recorder: recorder.clone(),
        max_segment_bytes: None,
    };
    let ending = run(&context, &params).await.unwrap();
    (ending, recorder.observations().into_iter().map(|observation| observation.fact).collect())
}

fn connects(facts: &[Fact]) -> Vec<&Connect> {
    facts.iter().filter_map(|fact| if let Fact::Connect(connect) = fact { Some(connect) } else { None }).collect()
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn a_greeting_is_read_and_cut_at_its_bound() {
    let (listener, port) = listener();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 mail.example ESMTP ready\r\n").unwrap();
        std::thread::park();
    });
    let (_, facts) = measure(json!({"host": "127.0.0.1", "port": port, "banner_bytes": 8})).await;
    let connect = connects(&facts)[0];
    let banner = connect.banner.as_ref().unwrap();
    assert_eq!((banner.text.as_str(), banner.bytes), ("220 mail", 8));
    assert!(banner.first_byte_us.is_some());
    if cfg!(target_os = "linux") {
        assert_eq!(connect.interface.as_deref(), Some("lo"));
        assert!(connect.at_close.as_ref().unwrap().bytes_received.unwrap_or(30) >= 8);
        assert!(connect.at_connect.as_ref().unwrap().mss_bytes > 0);
    }
}

#[tokio::test]
async fn a_server_that_closes_a_held_connection_is_told_from_one_that_keeps_it() {
    for closes in [true, false] {
        let (listener, port) = listener();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            if !closes {
                std::thread::park();
            }
            drop(stream);
        });
        let (_, facts) = measure(json!({"host": "127.0.0.1", "port": port, "hold_s": 1})).await;
        let hold = connects(&facts)[0].hold.clone().unwrap();
        if closes {
            assert_eq!(hold.failure.unwrap().code, FailureCode::Closed);
            assert!(hold.idle_us < 900_000 && hold.answered.is_none());
        } else {
            assert_eq!(hold.failure, None);
            assert!(hold.idle_us >= 1_000_000, "{hold:?}");
            assert_eq!(hold.answered, cfg!(target_os = "linux").then_some(true));
        }
    }
}

#[tokio::test]
async fn connections_made_at_once_have_source_ports_of_their_own() {
    let (_listener, port) = listener();
    let (ending, facts) = measure(json!({"host": "127.0.0.1", "port": port, "attempts": 20, "concurrent": 20})).await;
    assert_eq!(ending, Ending::AsExpected);
    let mut ports: Vec<u16> = connects(&facts).iter().map(|connect| connect.local.unwrap().port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 20);
}

#[tokio::test]
async fn connections_that_are_spread_begin_one_after_the_other_without_waiting_for_each_other() {
    let (_listener, port) = listener();
    let parameters = json!({"host": "127.0.0.1", "port": port, "attempts": 4, "concurrent": 4, "spread_ms": 30});
    let clock = Clock::start();
    let (ending, facts) = measure(parameters).await;
    assert_eq!((ending, connects(&facts).len()), (Ending::AsExpected, 4));
    assert!(clock.now_us() >= 90_000);
}

#[tokio::test]
async fn further_ports_are_open_or_closed_each_once() {
    let (_first, open) = listener();
    let (_second, also_open) = listener();
    let (closed_listener, closed) = listener();
    drop(closed_listener);
    let ports = json!([also_open, format!("{closed}-{closed}"), also_open]);
    let (_, facts) = measure(json!({"host": "127.0.0.1", "port": open, "ports": ports, "rate": 1_000})).await;
    let sweep: &PortSweep =
        facts.iter().find_map(|fact| if let Fact::PortSweep(sweep) = fact { Some(sweep) } else { None }).unwrap();
    assert_eq!((sweep.asked, sweep.ports.len()), (2, 2));
    for state in &sweep.ports {
        let code = state.failure.as_ref().map(|failure| failure.code.clone());
        assert_eq!(code, (state.port == closed).then_some(FailureCode::Refused));
    }
}

#[tokio::test]
async fn of_listed_targets_each_must_have_an_open_port_and_of_a_range_any() {
    let everywhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = everywhere.local_addr().unwrap().port();
    let beside = std::net::TcpListener::bind(("127.0.0.2", port)).unwrap();
    let ending = async |targets: &[&str]| {
        measure(json!({"host": "127.0.0.1", "port": port, "targets": targets, "timeout_ms": 500})).await.0
    };
    assert_eq!(ending(&["127.0.0.2", "127.0.0.1-127.0.0.9"]).await, Ending::AsExpected);
    assert_eq!(ending(&["127.0.0.2", "127.0.0.3"]).await, Ending::Failed);
    assert_eq!(ending(&["127.0.0.3-127.0.0.9"]).await, Ending::Failed);
    drop(beside);
}

#[tokio::test]
async fn every_port_of_every_further_target_is_tried_once() {
    let (_first, open) = listener();
    let (closed_listener, closed) = listener();
    drop(closed_listener);
    let targets = json!(["127.0.0.2-127.0.0.4", "127.0.0.3"]);
    let (ending, facts) =
        measure(json!({"host": "127.0.0.1", "port": open, "ports": [closed], "targets": targets, "rate": 1_000})).await;
    assert_eq!(ending, Ending::Failed, "127.0.0.3 was listed, and has no port that is open");
    let swept: Vec<(String, u32, Vec<u16>)> = facts
        .iter()
        .filter_map(|fact| if let Fact::PortSweep(sweep) = fact { Some(sweep) } else { None })
        .filter(|sweep| sweep.address != IpAddr::from([127, 0, 0, 1]))
        .map(|sweep| (sweep.host.clone(), sweep.asked, sweep.ports.iter().map(|state| state.port).collect()))
        .collect();
    let both = {
        let mut both = vec![open, closed];
        both.sort_unstable();
        both
    };
    let expected = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(|host| (host.to_owned(), 2, both.clone()));
    assert_eq!(swept, expected);
}

#[test]
fn more_targets_and_pairs_than_allowed_are_refused() {
    for (targets, ports, reason) in [
        ("10.0.0.0/20", json!([]), "at most 1024"),
        ("10.0.0.0/23", json!(["1-100"]), "at most 10000"),
        ("a b", json!([]), "is no name"),
    ] {
        let error = Params::parse(Kind::Tcp, json!({"host": "h", "port": 1, "targets": [targets], "ports": ports})).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn the_time_of_a_refusal_is_the_resets_own_and_not_when_the_program_woke() {
    let reset = |at_us| Answered { reset: Some(SeenSegment { ttl: 64, ip_id: None, at_us }), syn_ack: None };
    let refused = Seen::failed(Failure::new(FailureCode::Refused, Step::Connect, "refused"));
    assert_eq!(decided_us(1_000, 6_635, &refused, &reset(1_089)), 89);
    // A stamp from before the SYN, or from after the program heard of it, is another clock's.
    assert_eq!(decided_us(1_000, 6_635, &refused, &reset(900)), 6_635);
    assert_eq!(decided_us(1_000, 6_635, &refused, &reset(90_000)), 6_635);
    let silent = Seen::failed(Failure::new(FailureCode::TimedOut, Step::Connect, "silence"));
    assert_eq!(decided_us(1_000, 6_635, &silent, &reset(1_089)), 6_635);
}

#[test]
fn more_ports_than_allowed_are_refused() {
    for (ports, reason) in
        [(json!(vec![1; 1_025]), "at most 1024"), (json!(["1-1000", "2000-2024"]), "at most 1024"), (json!([0]), "1 to 65535")]
    {
        let error = Params::parse(Kind::Tcp, json!({"host": "h", "port": 1, "ports": ports})).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}
