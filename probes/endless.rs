//! Servers that never come to an end: every kind that reads a stream stops at its own bound or its own time, long before the run's
//! deadline, and keeps what it saw.

use crate::tls::servers::{LOOPBACK, context, listen};
use netsonde_contract::failure::FailureCode;
use netsonde_contract::kind::{Kind, Params};
use netsonde_contract::observation::Fact;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What each measurement may wait for an answer. Short, since here some never get one.
const TIMEOUT_MS: u64 = 300;
/// Longer than the time-outs of all steps of one measurement together, on a busy machine; shorter than any check's deadline.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two bytes of a server that drips. It is the fault under test, and no wait for something to happen.
const DRIP: Duration = Duration::from_millis(10);

/// Says `once` and then `ever` for ever, as fast as it is taken; first it reads whatever comes, where it is to be asked.
async fn endless(asked: bool, once: &'static [u8], ever: &'static [u8]) -> SocketAddr {
    listen(LOOPBACK, move |mut stream| async move {
        if asked {
            let _ = stream.read(&mut [0; 4_096]).await;
        }
        let many = ever.repeat(16 * 1024 / ever.len());
        let mut sent = stream.write_all(once).await;
        while sent.is_ok() {
            sent = stream.write_all(&many).await;
        }
    })
    .await
}

/// The same, one byte after the other.
async fn dripping(asked: bool, once: &'static [u8], ever: &'static [u8]) -> SocketAddr {
    listen(LOOPBACK, move |mut stream| async move {
        if asked {
            let _ = stream.read(&mut [0; 4_096]).await;
        }
        let mut pace = tokio::time::interval(DRIP);
        for byte in once.iter().chain(ever.iter().cycle()) {
            pace.tick().await;
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    })
    .await
}

async fn facts(kind: Kind, mut params: Value) -> Vec<Fact> {
    params["timeout_ms"] = json!(TIMEOUT_MS);
    let params = Params::parse(kind, params).unwrap();
    let context = context(&[]);
    tokio::time::timeout(PATIENCE, crate::run(&context, &params)).await.expect("it went on and on").unwrap();
    context.recorder.observations().into_iter().map(|observation| observation.fact).collect()
}

async fn exchange(server: SocketAddr) -> netsonde_contract::observation::Exchange {
    let facts = facts(Kind::Http, json!({"url": format!("http://{server}/"), "max_body_bytes": 100_000})).await;
    facts.into_iter().find_map(|fact| if let Fact::Exchange(exchange) = fact { Some(*exchange) } else { None }).unwrap()
}

async fn handshake(server: SocketAddr, starttls: &str) -> netsonde_contract::observation::Handshake {
    let facts = facts(Kind::Tls, json!({"host": server.ip(), "port": server.port(), "starttls": starttls})).await;
    facts.into_iter().find_map(|fact| if let Fact::Handshake(handshake) = fact { Some(*handshake) } else { None }).unwrap()
}

#[tokio::test]
async fn a_head_without_an_end_is_too_large() {
    let failure = exchange(endless(true, b"HTTP/1.1 200 OK\r\n", b"X-Filler: aaaaaaaaaaaaaaaa\r\n").await).await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::TooLarge, "{}", failure.text);
}

#[tokio::test]
async fn interim_answers_without_an_end_use_up_the_time_for_the_answer() {
    let failure = exchange(endless(true, b"", b"HTTP/1.1 103 Early Hints\r\n\r\n").await).await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::TimedOut, "{}", failure.text);
}

#[tokio::test]
async fn a_body_without_an_end_is_cut_and_its_head_kept() {
    for (once, ever) in [
        (&b"HTTP/1.1 200 OK\r\n\r\n"[..], &b"aaaaaaaa"[..]),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"8\r\naaaaaaaa\r\n"),
    ] {
        let exchange = exchange(endless(true, once, ever).await).await;
        assert_eq!((exchange.status, exchange.body_cut, exchange.body_bytes), (Some(200), true, 100_000));
    }
}

#[tokio::test]
async fn a_head_that_drips_in_uses_up_the_time_for_the_answer() {
    let failure = exchange(dripping(true, b"HTTP/1.1 200 OK\r\n", b"X: a\r\n").await).await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::TimedOut, "{}", failure.text);
}

#[tokio::test]
async fn records_without_an_end_end_the_handshake() {
    let records: [(&str, &[u8], &[u8]); 5] = [
        ("changes of the cipher", b"", &[20, 3, 3, 0, 1, 1]),
        ("warnings", b"", &[21, 3, 3, 0, 2, 1, 112]),
        ("empty records", b"", &[22, 3, 3, 0, 0]),
        ("a message of 16 MiB", &[22, 3, 3, 0, 4, 2, 255, 255, 255], &[22, 3, 3, 0, 4, 0, 0, 0, 0]),
        ("data before the keys", b"", &[23, 3, 3, 0, 4, 0, 0, 0, 0]),
    ];
    for (what, once, ever) in records {
        let handshake = handshake(endless(true, once, ever).await, "none").await;
        let failure = handshake.failure.unwrap();
        let known = matches!(failure.code, FailureCode::ProtocolError | FailureCode::TimedOut | FailureCode::TlsAlert);
        assert!(known && handshake.chain.is_empty(), "{what}: {failure:?}");
    }
}

#[tokio::test]
async fn a_greeting_without_an_end_is_too_large() {
    let failure = handshake(endless(false, b"", b"220-more\r\n").await, "smtp").await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::TooLarge, "{}", failure.text);
    let server = endless(false, b"", b"220-more\r\n").await;
    let facts = facts(Kind::Service, json!({"host": server.ip(), "port": server.port(), "protocol": "smtp"})).await;
    let Some(Fact::Service(service)) = facts.first() else { panic!("{facts:?}") };
    assert_eq!(service.failure.as_ref().unwrap().code, FailureCode::TooLarge);
}

#[tokio::test]
async fn messages_of_the_greatest_length_over_tcp_break_the_protocol_and_one_that_drips_is_a_time_out() {
    let asked = |server: SocketAddr| async move {
        let params = json!({"name": "www.example", "types": ["A"], "servers": [server.to_string()], "transport": "tcp", "system": false, "attempts": 1});
        let facts = facts(Kind::Dns, params).await;
        let Some(Fact::Lookup(lookup)) = facts.into_iter().next() else { panic!("no lookup") };
        (lookup.failure.as_ref().unwrap().code.clone(), lookup.others.len())
    };
    let (code, others) = asked(endless(true, b"", b"\xff").await).await;
    assert!(
        code == FailureCode::ProtocolError && others <= netsonde_contract::observation::Lookup::MAX_OTHERS,
        "{code:?}, {others}"
    );
    assert_eq!(asked(dripping(true, b"\xff\xff", b"a").await).await.0, FailureCode::TimedOut);
}

#[tokio::test]
async fn a_banner_that_drips_in_is_kept_as_far_as_it_came_in_time() {
    let server = dripping(false, b"", b"a").await;
    let facts = facts(Kind::Tcp, json!({"host": server.ip(), "port": server.port(), "banner_bytes": 1_024})).await;
    let banner =
        facts.into_iter().find_map(|fact| if let Fact::Connect(connect) = fact { connect.banner } else { None }).unwrap();
    assert!((1..1_024).contains(&banner.bytes), "{banner:?}");
}
