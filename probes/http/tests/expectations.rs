use super::{answering, exchanges, params};
use crate::context::Ending;
use crate::http::run;
use crate::tls::servers::{LOOPBACK, context};
use netsonde_contract::kind::{Kind, Params};
use netsonde_contract::observation::{Exchange, ExpectationAbout, TransferEnd};
use serde_json::{Value, json};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 27\r\nServer-Timing: db;dur=5, app;dur=2.5\r\n\
    Alt-Svc: h3=\":443\"; ma=60\r\nStrict-Transport-Security: max-age=60\r\n\r\n{\"status\":\"up\",\"secret\":77}";

async fn asked(with: Value) -> (Ending, Exchange) {
    let address = answering(LOOPBACK, ANSWER).await;
    let mut value = json!({"url": format!("http://{address}/")});
    value.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    let Params::Http(params) = Params::parse(Kind::Http, value).unwrap() else { panic!() };
    let context = context(&[]);
    let ending = run(&context, &params).await.unwrap();
    (ending, exchanges(&context).remove(0))
}

#[tokio::test]
async fn rules_that_are_met_are_recorded_as_met() {
    let (ending, exchange) = asked(json!({
        "expect_status": ["200-204"], "expect_headers": ["server=nginx", "!x-gone"], "expect_body": ["\"up\""], "expect_json": ["/status=up"],
    }))
    .await;
    assert_eq!((ending, exchange.expectations.len()), (Ending::AsExpected, 5));
    assert!(exchange.expectations.iter().all(|expectation| expectation.met), "{:?}", exchange.expectations);
}

#[tokio::test]
async fn one_rule_that_is_not_met_fails_the_check_and_nothing_of_the_body_is_recorded() {
    for (with, about) in [
        (json!({"expect_headers": ["server=apache"]}), ExpectationAbout::Header),
        (json!({"expect_body": ["healthy"]}), ExpectationAbout::BodyText),
        (json!({"expect_json": ["/secret=78"]}), ExpectationAbout::Json),
        (json!({"expect_body_sha256": "ab".repeat(32)}), ExpectationAbout::BodySha256),
    ] {
        let (ending, exchange) = asked(with).await;
        let unmet: Vec<_> = exchange.unmet().map(|expectation| expectation.about).collect();
        assert_eq!((ending, exchange.status, exchange.expected, unmet), (Ending::Failed, Some(200), true, vec![about]));
        // Ports and times may have the same digits.
        let text = serde_json::to_string(&exchange.expectations).unwrap();
        assert!(!text.contains("77") && !text.contains("\"up\""), "{text}");
    }
}

#[tokio::test]
async fn a_rule_about_a_body_that_was_cut_is_not_met() {
    let (ending, exchange) = asked(json!({"expect_json": ["/status=up"], "max_body_bytes": 10})).await;
    assert_eq!((ending, exchange.body_cut), (Ending::Failed, true));
    assert_eq!(exchange.transfer.unwrap().ended, TransferEnd::ByteLimit);
}

#[tokio::test]
async fn what_the_server_tells_of_itself_is_read_and_so_is_the_connection() {
    let (_, exchange) = asked(json!({})).await;
    assert!(exchange.expectations.is_empty());
    let timing: Vec<_> = exchange.server_timing.iter().map(|metric| (metric.name.as_str(), metric.took_us)).collect();
    assert_eq!(timing, [("db", Some(5_000)), ("app", Some(2_500))]);
    assert_eq!((exchange.alternatives[0].protocol.as_str(), exchange.alternatives[0].port), ("h3", 443));
    assert!(exchange.strict_transport.is_none(), "without TLS it means nothing (RFC 6797 section 8.1)");
    assert_eq!(exchange.response_bytes, Some(ANSWER.len() as u64));
    assert!(exchange.request_bytes.is_some_and(|bytes| bytes > 40));
    assert_eq!(exchange.local.map(|local| local.ip()), exchange.address.map(|address| address.ip()));
    let transfer = exchange.transfer.unwrap();
    assert_eq!((transfer.bytes, transfer.ended), (27, TransferEnd::Complete));
    if cfg!(target_os = "linux") {
        let state = exchange.at_close.unwrap();
        assert!(state.bytes_received.is_none_or(|bytes| bytes >= ANSWER.len() as u64) && state.rtt_us > 0, "{state:?}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_is_read_for_its_time_and_rated() {
    let address = crate::tls::servers::listen(LOOPBACK, |mut stream| async move {
        use tokio::io::AsyncWriteExt;
        super::head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[7; 1_024]).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
    let context = context(&[]);
    let mut params = params(format!("http://{address}/"));
    params.max_body_s = 1;
    assert_eq!(run(&context, &params).await, Ok(Ending::AsExpected));
    let exchange = exchanges(&context).remove(0);
    let transfer = exchange.transfer.unwrap();
    assert!(exchange.body_cut && transfer.ended == TransferEnd::TimeLimit, "{transfer:?}");
    assert!((950_000..2_000_000).contains(&transfer.took_us) && transfer.slices.len() >= 8, "{transfer:?}");
    assert_eq!(transfer.slices.iter().sum::<u64>(), transfer.bytes);
    let rate = transfer.rate.unwrap();
    assert_eq!(rate, transfer.bytes * 1_000_000 / transfer.took_us);
}
