use super::{answering, exchanges, handshakes, head, params, probe, reply};
use crate::context::Ending;
use crate::http::run;
use crate::tls::servers::{Authority, LOOPBACK, context, listen, listen_tls};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::kind::{HttpMethod, HttpParams};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

#[tokio::test]
async fn a_good_answer_is_recorded_with_its_phases_on_both_families() {
    for address in [LOOPBACK, "[::1]:0"] {
        let address = answering(address, b"HTTP/1.1 200 OK\r\nX-One: a\r\nx-one: b\r\nContent-Length: 5\r\n\r\nhello").await;
        let (ending, exchanges) = probe(format!("http://{address}/a?b=c#d")).await;
        assert_eq!(ending, Ending::AsExpected);
        let [exchange] = exchanges.as_slice() else { panic!("{exchanges:?}") };
        assert_eq!((exchange.url.as_str(), exchange.method.as_str()), (format!("http://{address}/a?b=c").as_str(), "GET"));
        assert_eq!((exchange.address, exchange.status, exchange.expected), (Some(address), Some(200), true));
        assert_eq!(exchange.version.as_deref(), Some("HTTP/1.1"));
        let ones: Vec<&str> =
            exchange.headers.iter().filter(|header| header.name == "x-one").map(|header| header.value.as_str()).collect();
        assert_eq!(ones, ["a", "b"]);
        assert_eq!((exchange.body_bytes, exchange.body_cut), (5, false));
        assert_eq!(exchange.body_sha256, Some(hexadecimal(&Sha256::digest(b"hello"))));
        let phases = exchange.phases;
        assert!(
            phases.connect_us.is_some() && phases.send_us.is_some() && phases.first_byte_us.is_some() && phases.body_us.is_some()
        );
        assert!(phases.tls_us.is_none() && phases.resolve_us.is_none(), "an address needs no resolving");
    }
}

#[tokio::test]
async fn the_request_names_its_sender_and_nothing_else() {
    let seen = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&seen);
    let address = listen(LOOPBACK, move |mut stream| {
        let kept = Arc::clone(&kept);
        async move {
            *kept.lock().unwrap() = head(&mut stream).await;
            reply(&mut stream, b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let mut params = params(format!("http://{address}/x"));
    params.method = HttpMethod::Head;
    assert_eq!(run(&context(&[]), &params).await, Ok(Ending::AsExpected));
    let expected = format!(
        "HEAD /x HTTP/1.1\r\nhost: {address}\r\nuser-agent: netsonde/{}\r\naccept: */*\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_status_that_was_not_expected_fails_the_check() {
    let address = answering(LOOPBACK, b"HTTP/1.1 503 Service Unavailable\r\nServer: edge\r\nContent-Length: 0\r\n\r\n").await;
    let (ending, exchanges) = probe(format!("http://{address}/")).await;
    assert_eq!(ending, Ending::Failed);
    assert_eq!((exchanges[0].status, exchanges[0].expected, exchanges[0].header("Server")), (Some(503), false, Some("edge")));
    assert!(exchanges[0].failure.is_none());
}

#[tokio::test]
async fn the_time_before_the_first_byte_is_told_from_the_body() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (server_asked, server_go) = (Arc::clone(&asked), Arc::clone(&go));
    let address = listen(LOOPBACK, move |mut stream| {
        let (asked, go) = (Arc::clone(&server_asked), Arc::clone(&server_go));
        async move {
            head(&mut stream).await;
            asked.notify_one();
            go.notified().await;
            reply(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let context = context(&[]);
    let params = params(format!("http://{address}/"));
    let watch = async {
        asked.notified().await;
        let before = context.clock.now();
        while context.clock.now() - before < Duration::from_millis(50) {
            tokio::task::yield_now().await;
        }
        go.notify_one();
    };
    let (ending, ()) = tokio::join!(run(&context, &params), watch);
    assert_eq!(ending, Ok(Ending::AsExpected));
    let phases = exchanges(&context)[0].phases;
    assert!(phases.first_byte_us.unwrap() >= 50_000, "{phases:?}");
    assert!(phases.body_us.unwrap() < 50_000 && phases.send_us.unwrap() < 50_000, "{phases:?}");
}

#[tokio::test]
async fn a_server_that_agrees_on_http_2_is_spoken_to_in_it() {
    let authority = Authority::new("own");
    let mut config = authority.issue(&["127.0.0.1"]).config();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = listen_tls(LOOPBACK, config, |stream| async move {
        let answer = |request: http::Request<hyper::body::Incoming>| async move {
            let text = format!("{} {}", request.uri(), request.headers()["user-agent"].to_str().unwrap());
            Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(Bytes::from(text))))
        };
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer)).await;
    })
    .await;
    let context = context(&[&authority]);
    let url = format!("https://{address}/two");
    assert_eq!(run(&context, &params(url.clone())).await, Ok(Ending::AsExpected));
    let exchange = &exchanges(&context)[0];
    assert_eq!((exchange.version.as_deref(), exchange.status), (Some("HTTP/2"), Some(200)));
    let text = format!("{url} netsonde/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(exchange.body_sha256, Some(hexadecimal(&Sha256::digest(text.as_bytes()))));
    assert!(exchange.phases.send_us.is_some() && exchange.phases.first_byte_us.is_some());
    assert_eq!(handshakes(&context)[0].alpn.as_deref(), Some("h2"));
}

#[tokio::test]
async fn the_server_hears_that_the_connection_ends_and_not_that_it_breaks_off() {
    let authority = Authority::new("own");
    let (heard, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let address = listen_tls(LOOPBACK, authority.issue(&["127.0.0.1"]).config(), move |mut stream| {
        let heard = heard.clone();
        async move {
            let body = if head(&mut stream).await.starts_with("GET") { "ok" } else { "" };
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes()).await;
            let end = stream.read(&mut [0; 16]).await;
            let _ = heard.send(end.map_err(|error| error.kind()));
        }
    })
    .await;
    for method in [HttpMethod::Get, HttpMethod::Head] {
        let params = HttpParams { method, ..params(format!("https://{address}/")) };
        assert_eq!(run(&context(&[&authority]), &params).await, Ok(Ending::AsExpected));
        assert_eq!(ends.recv().await, Some(Ok(0)), "close_notify is an end, anything else an error ({method:?})");
    }
}

#[tokio::test]
async fn a_chunked_body_is_put_together_and_one_beyond_the_bound_is_cut() {
    let address =
        answering(LOOPBACK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n").await;
    let (_, exchanges) = probe(format!("http://{address}/")).await;
    assert_eq!((exchanges[0].body_bytes, exchanges[0].body_cut), (7, false));
    assert_eq!(exchanges[0].body_sha256, Some(hexadecimal(&Sha256::digest(b"abcdefg"))));

    let context = context(&[]);
    let mut params = params(format!("http://{address}/"));
    params.max_body_bytes = 5;
    assert_eq!(run(&context, &params).await, Ok(Ending::AsExpected));
    let exchange = &super::exchanges(&context)[0];
    assert_eq!((exchange.body_bytes, exchange.body_cut), (5, true));
    assert_eq!(exchange.body_sha256, Some(hexadecimal(&Sha256::digest(b"abcde"))));
}
