use super::{answering, exchanges, handshakes, head, params, probe, reply};
use crate::context::{Ending, NotMeasurable};
use crate::http::run;
use crate::tls::servers::{LOOPBACK, context, listen};
use netsonde_contract::failure::{FailureCode, Step};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn what_is_no_http_has_its_own_codes() {
    const LONG: &[u8] = &[b'a'; 100_000];
    let cases: [(&[u8], FailureCode, Step, &str); 5] = [
        (b"SSH-2.0-Example\r\n", FailureCode::ProtocolError, Step::Receive, "SSH-2.0-Example"),
        (b"HTTP/1.1 two hundred\r\n\r\n", FailureCode::ProtocolError, Step::Receive, "status"),
        (&[21, 3, 1, 0, 2, 2, 70], FailureCode::ProtocolError, Step::Receive, "TLS"),
        (b"", FailureCode::Closed, Step::Receive, "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", FailureCode::Incomplete, Step::Receive, "after 5 of 10 bytes"),
    ];
    for (answer, code, during, words) in cases {
        let address = answering(LOOPBACK, answer).await;
        let (ending, exchanges) = probe(format!("http://{address}/")).await;
        let failure = exchanges[0].failure.clone().unwrap();
        assert_eq!((ending, failure.code, failure.during), (Ending::Failed, code, during), "{}", failure.text);
        let quoted = exchanges[0].plain_reply.clone().unwrap_or_default();
        assert!(!failure.text.contains("SSH"), "a reply's bytes stand in their own field: {}", failure.text);
        assert!(failure.text.contains(words) || quoted.contains(words), "{}: {quoted}", failure.text);
    }
    let address = listen(LOOPBACK, |mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await;
        reply(&mut stream, LONG).await;
    })
    .await;
    let (_, exchanges) = probe(format!("http://{address}/")).await;
    assert_eq!(exchanges[0].failure.clone().unwrap().code, FailureCode::TooLarge);
}

#[tokio::test]
async fn a_body_that_ends_early_keeps_the_head() {
    let address = answering(LOOPBACK, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort").await;
    let (_, exchanges) = probe(format!("http://{address}/")).await;
    assert_eq!((exchanges[0].status, exchanges[0].body_bytes), (Some(200), 5));
}

#[tokio::test]
async fn a_reset_after_the_request_is_a_reset() {
    let address = listen(LOOPBACK, |mut stream| async move {
        head(&mut stream).await;
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    })
    .await;
    let (_, exchanges) = probe(format!("http://{address}/")).await;
    let failure = exchanges[0].failure.clone().unwrap();
    assert_eq!((failure.code, failure.during), (FailureCode::Reset, Step::Receive));
}

#[tokio::test]
async fn silence_after_the_request_is_a_time_out_of_receiving() {
    let address = listen(LOOPBACK, |mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let context = context(&[]);
    let mut params = params(format!("http://{address}/"));
    params.timeout_ms = 100;
    run(&context, &params).await.unwrap();
    let exchange = &exchanges(&context)[0];
    let failure = exchange.failure.clone().unwrap();
    assert_eq!((failure.code, failure.during), (FailureCode::TimedOut, Step::Receive));
    assert!(exchange.phases.send_us.is_some() && exchange.phases.first_byte_us.is_none());
}

/// Whoever drops the check says whether its time was over; without that word it was interrupted, which is no silence.
#[tokio::test]
async fn an_exchange_that_is_cut_off_is_kept_with_why() {
    let address = listen(LOOPBACK, |mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    for (time_is_over, code) in [(true, FailureCode::TimedOut), (false, FailureCode::Interrupted)] {
        let context = context(&[]);
        let params = params(format!("http://{address}/"));
        let mut running = Box::pin(run(&context, &params));
        tokio::time::timeout(Duration::from_millis(100), &mut running).await.unwrap_err();
        if time_is_over {
            context.recorder.time_is_over();
        }
        drop(running);
        let exchange = &exchanges(&context)[0];
        assert_eq!((exchange.status, exchange.body_bytes), (Some(200), 5));
        assert_eq!(exchange.failure.clone().unwrap().code, code);
    }
}

#[tokio::test]
async fn a_plain_server_on_the_https_port_is_said_twice() {
    let address = listen(LOOPBACK, |mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        reply(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let context = context(&[]);
    assert_eq!(run(&context, &params(format!("https://{address}/"))).await, Ok(Ending::Failed));
    assert_eq!(exchanges(&context)[0].failure.clone().unwrap().code, FailureCode::NotTls);
    assert!(handshakes(&context)[0].plain_reply.clone().unwrap().starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn an_address_that_the_gate_refuses_is_recorded_and_not_asked() {
    let mut context = context(&[]);
    context.gate = Arc::new(crate::gate::closed(context.clock));
    assert_eq!(run(&context, &params("http://127.0.0.1:9/".into())).await, Ok(Ending::Failed));
    assert_eq!(exchanges(&context)[0].failure.clone().unwrap().code, FailureCode::NotAllowed);
    assert_eq!(context.gate.sent(), 0);
}

#[tokio::test]
async fn a_server_that_speaks_first_is_quoted() {
    let address = listen(LOOPBACK, |mut stream| async move {
        reply(&mut stream, b"220 mail.test ESMTP\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let (_, exchanges) = probe(format!("http://{address}/")).await;
    let failure = exchanges[0].failure.clone().unwrap();
    assert_eq!(failure.code, FailureCode::ProtocolError);
    assert_eq!(exchanges[0].plain_reply.as_deref(), Some("220 mail.test ESMTP.."));
    assert!(!failure.text.contains("mail.test"), "a banner may name its machine: {}", failure.text);
}

#[tokio::test]
async fn a_url_that_cannot_be_asked_for_is_not_measurable() {
    for url in
        ["shop.test", "ftp://shop.test/", "http://", "http://user:secret@shop.test/", "http://127.1/", "http://0x7f000001/"]
    {
        let Err(NotMeasurable(note)) = run(&context(&[]), &params(url.into())).await else { panic!("{url}") };
        assert!(!note.why.contains("secret"), "{}", note.why);
    }
}
