use super::{answering, exchanges, handshakes, head, params, reply};
use crate::context::{Context, Ending, ProxyChoice};
use crate::http::run;
use crate::tls::servers::{Authority, LOOPBACK, context, listen, listen_tls};
use netsonde_contract::kind::HttpParams;
use netsonde_contract::observation::{Comparison, Exchange, ExchangePurpose, Fact};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn of(context: &Context, purpose: ExchangePurpose) -> Vec<Exchange> {
    exchanges(context).into_iter().filter(|exchange| exchange.purpose == purpose).collect()
}

fn comparison(context: &Context) -> Comparison {
    let fact = |fact| if let Fact::Comparison(comparison) = fact { Some(*comparison) } else { None };
    context.recorder.observations().into_iter().find_map(|observation| fact(observation.fact)).unwrap()
}

/// A proxy that answers plain requests itself, with a page of its own.
async fn meddling_proxy() -> SocketAddr {
    answering(LOOPBACK, b"HTTP/1.1 200 OK\r\nVia: 1.1 proxy\r\nContent-Length: 7\r\n\r\nblocked").await
}

#[tokio::test]
async fn a_proxy_that_answers_with_a_page_of_its_own_is_seen_by_comparing() {
    let (server, proxy) = (answering(LOOPBACK, OK).await, meddling_proxy().await);
    let context = Context { proxy: ProxyChoice::Url(format!("http://{proxy}")), ..context(&[]) };
    let params = HttpParams { compare: true, ..params(format!("http://{server}/")) };
    assert_eq!(run(&context, &params).await, Ok(Ending::AsExpected));
    assert_eq!(of(&context, ExchangePurpose::Question)[0].address, Some(proxy));
    assert_eq!(of(&context, ExchangePurpose::Compared)[0].address, Some(server));
    let found = comparison(&context);
    assert_eq!((found.same_status, found.same_body, found.same_certificate), (true, Some(false), None));
    assert_eq!((found.headers_proxied_only, found.headers_changed), (vec!["via".to_owned()], vec!["content-length".to_owned()]));
    assert_eq!((found.proxied.body_bytes, found.direct.body_bytes), (7, 2));
}

#[tokio::test]
async fn a_proxy_that_inspects_tls_is_seen_by_its_certificate() {
    let (own, theirs) = (Authority::new("own"), Authority::new("inspection"));
    let serve = |mut stream| async move {
        head(&mut stream).await;
        reply(&mut stream, OK).await;
    };
    let server = listen_tls(LOOPBACK, own.issue(&["127.0.0.1"]).config(), serve).await;
    let inspector = listen_tls(LOOPBACK, theirs.issue(&["127.0.0.1"]).config(), serve).await;
    let proxy = listen(LOOPBACK, move |mut stream| async move {
        head(&mut stream).await;
        let mut onward = TcpStream::connect(inspector).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
    })
    .await;
    let context = Context { proxy: ProxyChoice::Url(format!("http://{proxy}")), ..context(&[&own, &theirs]) };
    let params = HttpParams { compare: true, ..params(format!("https://{server}/")) };
    assert_eq!(run(&context, &params).await, Ok(Ending::AsExpected));
    let found = comparison(&context);
    assert_eq!((found.same_body, found.same_certificate), (Some(true), Some(false)));
    assert_eq!(handshakes(&context).len(), 1, "only the question's handshake is a fact of its own");
    assert!(of(&context, ExchangePurpose::Compared)[0].tls.is_some());
}

#[tokio::test]
async fn without_a_proxy_there_is_nothing_to_compare_and_nothing_is_sent() {
    let context = context(&[]);
    let params = HttpParams { compare: true, ..params("http://127.0.0.1:9/".into()) };
    assert!(run(&context, &params).await.is_err_and(|reason| reason.0.grant.is_some()));
    assert_eq!(context.gate.sent(), 0);
}

#[tokio::test]
async fn a_captive_portal_is_seen_by_an_answer_that_is_not_the_known_one() {
    let server = answering(LOOPBACK, OK).await;
    let portal = answering(LOOPBACK, b"HTTP/1.1 302 Found\r\nLocation: http://portal.test/\r\nContent-Length: 0\r\n\r\n").await;
    let free = answering(LOOPBACK, b"HTTP/1.1 204 No Content\r\n\r\n").await;
    for (known, ending) in [(portal, Ending::Failed), (free, Ending::AsExpected)] {
        let context = context(&[]);
        let params = HttpParams { known_url: Some(format!("http://{known}/")), ..params(format!("http://{server}/")) };
        assert_eq!(run(&context, &params).await, Ok(ending));
        let asked = of(&context, ExchangePurpose::KnownAnswer);
        assert_eq!((asked.len(), asked[0].expected), (1, ending == Ending::AsExpected), "its redirect is not followed");
        assert_eq!(asked[0].location.is_some(), ending == Ending::Failed);
    }
}

#[tokio::test]
async fn a_known_body_is_compared_as_a_whole() {
    let server = answering(LOOPBACK, OK).await;
    for (body, ending) in [(" ok\n", Ending::AsExpected), ("o", Ending::Failed)] {
        let context = context(&[]);
        let mut params = params(format!("http://{server}/"));
        (params.known_url, params.known_status, params.known_body) = (Some(format!("http://{server}/k")), 200, Some(body.into()));
        assert_eq!(run(&context, &params).await, Ok(ending), "{body}");
        assert_eq!(of(&context, ExchangePurpose::KnownAnswer)[0].unmet().count(), usize::from(ending == Ending::Failed));
    }
}

/// A server that answers with the request's head, changed on the way by `meddle`.
async fn echo(meddle: fn(String) -> String) -> SocketAddr {
    listen(LOOPBACK, move |mut stream| async move {
        let body = meddle(head(&mut stream).await);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        reply(&mut stream, answer.as_bytes()).await;
    })
    .await
}

#[tokio::test]
async fn a_request_that_is_changed_on_the_way_is_seen_by_its_echo() {
    let untouched = echo(|head| head).await;
    let changed =
        echo(|head| head.replace("cache-control: no-cache\r\n", "via: 1.1 proxy\r\n").replace("netsonde/", "other/")).await;
    let page = echo(|_| "<html></html>".into()).await;
    for (url, ending, changes) in [
        (untouched, Ending::AsExpected, Some((0, 0, 0))),
        (changed, Ending::Failed, Some((1, 1, 1))),
        (page, Ending::Failed, None),
    ] {
        let context = context(&[]);
        let params = HttpParams { echo_url: Some(format!("http://{url}/")), ..params(format!("http://{url}/")) };
        assert_eq!(run(&context, &params).await, Ok(ending));
        let asked = of(&context, ExchangePurpose::HeaderEcho).remove(0);
        assert_eq!(asked.failure.is_some(), changes.is_none());
        let got = asked.echoed.map(|echoed| (echoed.lost.len(), echoed.changed.len(), echoed.added.len()));
        assert_eq!(got, changes);
    }
}

#[tokio::test]
async fn a_server_that_ignores_ranges_is_told_from_one_that_honours_them() {
    let honest = listen(LOOPBACK, |mut stream| async move {
        let answer: &[u8] = match head(&mut stream).await.contains("range: bytes=1-3\r\n") {
            true => b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-3/5\r\nContent-Length: 3\r\n\r\nell",
            false => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        };
        reply(&mut stream, answer).await;
    })
    .await;
    let deaf = answering(LOOPBACK, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhellohell").await;
    for (server, honoured, bytes) in [(honest, true, 3), (deaf, false, 4)] {
        let context = context(&[]);
        let params = HttpParams { range: Some("1-3".into()), ..params(format!("http://{server}/")) };
        assert_eq!(run(&context, &params).await, Ok(Ending::AsExpected));
        let part = of(&context, ExchangePurpose::Range).remove(0);
        assert_eq!((part.range.unwrap().honoured, part.body_bytes), (honoured, bytes), "no more than one byte too many is read");
    }
}

#[tokio::test]
async fn an_upload_sends_what_was_asked_for_and_is_rated() {
    const BYTES: u64 = 3_000_000;
    let server = listen(LOOPBACK, |mut stream| async move {
        let request = head(&mut stream).await;
        let mut left = if request.starts_with("POST") { BYTES } else { 0 };
        assert!(left == 0 || request.contains("content-length: 3000000\r\n"), "{request}");
        let mut buffer = vec![0; 65_536];
        while left > 0 {
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0);
            left -= count as u64;
        }
        reply(&mut stream, OK).await;
    })
    .await;
    let context = context(&[]);
    let params = HttpParams { upload_bytes: BYTES, ..params(format!("http://{server}/")) };
    assert_eq!(run(&context, &params).await, Ok(Ending::AsExpected));
    let upload = of(&context, ExchangePurpose::Upload).remove(0);
    let transfer = upload.transfer.unwrap();
    assert_eq!((upload.method.as_str(), upload.status, transfer.bytes), ("POST", Some(200), BYTES));
    assert!(upload.request_bytes.unwrap() > BYTES);
    assert_eq!(upload.at_close.map_or(BYTES, |state| state.bytes_sent.unwrap_or(BYTES)).min(BYTES), BYTES);
}

#[tokio::test]
async fn an_upload_that_nobody_takes_ends_at_its_time() {
    let server = listen(LOOPBACK, |mut stream| async move {
        if head(&mut stream).await.starts_with("GET") {
            return reply(&mut stream, OK).await;
        }
        std::future::pending::<()>().await;
    })
    .await;
    let context = context(&[]);
    let params = HttpParams { upload_bytes: 60_000_000, max_body_s: 1, timeout_ms: 500, ..params(format!("http://{server}/")) };
    assert_eq!(run(&context, &params).await, Ok(Ending::Failed));
    let upload = of(&context, ExchangePurpose::Upload).remove(0);
    assert!(upload.failure.is_some() && upload.transfer.as_ref().unwrap().bytes < 60_000_000, "{upload:?}");
}
