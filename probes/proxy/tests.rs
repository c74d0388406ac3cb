use super::run;
use crate::context::{Context, Ending, ProxyChoice};
use crate::tls::servers::{Authority, LOOPBACK, context, listen, listen_tls};
use netsonde_contract::failure::FailureCode;
use netsonde_contract::kind::ProxyParams;
use netsonde_contract::observation::{Exchange, ExchangePurpose, Fact, Proxy};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const TARGET: &str = "https://203.0.113.1/";
const BASIC: &str = "proxy-authorization: basic dxnlcjpzzwnyzxq=";

fn params(url: &str) -> ProxyParams {
    serde_json::from_value(serde_json::json!({"url": url, "timeout_ms": 2_000})).unwrap()
}

fn behind(proxy: String) -> Context {
    Context { proxy: ProxyChoice::Url(proxy), ..context(&[]) }
}

fn facts(context: &Context) -> (Vec<Proxy>, Vec<Exchange>) {
    let (mut proxies, mut exchanges) = (Vec::new(), Vec::new());
    for observation in context.recorder.observations() {
        match observation.fact {
            Fact::Proxy(proxy) => proxies.push(*proxy),
            Fact::Exchange(exchange) => exchanges.push(*exchange),
            other => panic!("{other:?}"),
        }
    }
    (proxies, exchanges)
}

async fn asked(context: &Context, params: &ProxyParams) -> (Ending, Proxy) {
    let ending = run(context, params).await.unwrap();
    let (mut proxies, _) = facts(context);
    (ending, proxies.remove(0))
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { break };
        text.push(byte);
    }
    String::from_utf8(text).unwrap().to_lowercase()
}

/// Asks for a sign-in, and connects whoever has the right one.
async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let request = head(&mut stream).await;
    let answer: &[u8] = if request.contains(BASIC) {
        b"HTTP/1.1 200 Connected\r\nVia: 1.1 gate (squid/6.1)\r\n\r\n"
    } else {
        b"HTTP/1.1 407 No\r\nServer: squid/6.1\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: Basic realm=\"office\"\r\nContent-Length: 0\r\n\r\n"
    };
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
}

async fn guarded() -> SocketAddr {
    listen(LOOPBACK, converse).await
}

#[tokio::test]
async fn a_sign_in_that_is_wanted_and_missing_is_told_with_its_ways() {
    let proxy = guarded().await;
    let (ending, fact) = asked(&behind(format!("http://{proxy}")), &params(TARGET)).await;
    assert_eq!((ending, fact.lets_in_anybody, fact.signed_in), (Ending::Failed, Some(false), false));
    let methods: Vec<_> = fact.methods.iter().map(|method| (method.name.as_str(), method.realm.as_deref())).collect();
    assert_eq!(methods, [("Negotiate", None), ("Basic", Some("office"))]);
    let connect = fact.connect.unwrap();
    assert_eq!((connect.status, connect.asked.as_str(), fact.product.as_deref()), (Some(407), "203.0.113.1:443", Some("Squid")));
}

#[tokio::test]
async fn a_sign_in_of_the_setting_is_sent_only_when_asked_for_and_never_kept() {
    let proxy = guarded().await;
    let context = behind(format!("http://user:secret@{proxy}"));
    let (ending, fact) = asked(&context, &params(TARGET)).await;
    assert_eq!((ending, fact.signed_in, fact.lets_in_anybody), (Ending::AsExpected, true, Some(false)));
    assert_eq!(fact.connect.unwrap().via.as_deref(), Some("1.1 gate (squid/6.1)"));
    assert_eq!(context.gate.sent(), 2);
    let text = serde_json::to_string(&context.recorder.observations()).unwrap();
    assert!(!text.contains("secret") && !text.to_lowercase().contains("dxnlcj"), "{text}");
}

#[tokio::test]
async fn an_https_proxy_is_asked_within_tls_and_gets_no_password_where_it_is_not_trusted() {
    let authority = Authority::new("own");
    let proxy = listen_tls(LOOPBACK, authority.issue(&["127.0.0.1"]).config(), converse).await;
    let url = format!("https://user:secret@{proxy}");
    let trusting = Context { proxy: ProxyChoice::Url(url.clone()), ..context(&[&authority]) };
    let (ending, fact) = asked(&trusting, &params(TARGET)).await;
    assert_eq!((ending, fact.signed_in), (Ending::AsExpected, true));
    assert_eq!(fact.tls.unwrap().protocol.as_deref(), Some("TLSv1.3"));
    let (ending, fact) = asked(&behind(url), &params(TARGET)).await;
    assert_eq!((ending, fact.connect.unwrap().status), (Ending::Failed, None));
    assert_eq!(fact.failure.unwrap().code, FailureCode::Other("proxy_untrusted".into()));
}

#[tokio::test]
async fn plain_http_that_the_proxy_hands_on_counts_as_let_out() {
    let proxy = listen(LOOPBACK, |mut stream| async move {
        assert!(head(&mut stream).await.starts_with("get http://shop.test/x http/1.1\r\n"));
        let _ = stream.write_all(b"HTTP/1.1 404 No\r\nVia: 1.1 tinyproxy (tinyproxy/1.11)\r\nContent-Length: 0\r\n\r\n").await;
    })
    .await;
    let (ending, fact) = asked(&behind(format!("http://{proxy}")), &params("http://shop.test/x")).await;
    assert_eq!((ending, fact.lets_in_anybody, fact.connect), (Ending::AsExpected, Some(true), None));
    assert_eq!((fact.get.unwrap().status, fact.product.as_deref()), (Some(404), Some("Tinyproxy")));
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_the_facts_failure() {
    let proxy = tokio::net::TcpListener::bind(LOOPBACK).await.unwrap().local_addr().unwrap();
    let (ending, fact) = asked(&behind(format!("http://{proxy}")), &params(TARGET)).await;
    assert_eq!((ending, fact.failure.unwrap().code, fact.address), (Ending::Failed, FailureCode::Refused, Some(proxy)));
}

#[tokio::test]
async fn without_a_proxy_there_is_nothing_to_measure_but_the_script() {
    let error = run(&context(&[]), &params(TARGET)).await.unwrap_err();
    assert!(error.0.grant.is_some(), "{error:?}");
    let server = listen(LOOPBACK, |mut stream| async move {
        head(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ns-proxy-autoconfig\r\nContent-Length: 8\r\n\r\nfunction";
        let _ = stream.write_all(answer).await;
    })
    .await;
    let context = context(&[]);
    let with_script = ProxyParams { script_url: format!("http://{server}/proxy.pac"), ..params(TARGET) };
    assert_eq!(run(&context, &with_script).await, Ok(Ending::AsExpected));
    let (_, exchanges) = facts(&context);
    assert_eq!((exchanges[0].purpose, exchanges[0].body_bytes), (ExchangePurpose::ProxyScript, 8));
    assert!(exchanges[0].body_sha256.is_some());
}

/// A SOCKS 5 proxy that takes `method` only, and replies so.
async fn socks(method: u8, reply: u8) -> SocketAddr {
    listen(LOOPBACK, move |mut stream| async move {
        let count = [stream.read_u8().await.unwrap(), stream.read_u8().await.unwrap()][1];
        let mut offered = vec![0; usize::from(count)];
        stream.read_exact(&mut offered).await.unwrap();
        let chosen = if offered.contains(&method) { method } else { 255 };
        stream.write_all(&[5, chosen]).await.unwrap();
        if chosen == 2 {
            let mut sign_in = [0; 13];
            if stream.read_exact(&mut sign_in).await.is_err() {
                return;
            }
            assert_eq!(&sign_in, b"\x01\x04user\x06secret");
            stream.write_all(&[1, 0]).await.unwrap();
        }
        let mut request = [0; 10];
        if chosen != 255 && stream.read_exact(&mut request).await.is_ok() {
            assert_eq!(request, [5, 1, 0, 1, 203, 0, 113, 1, 1, 187]);
            let _ = stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_socks_proxy_tells_its_ways_to_sign_in_and_what_it_says_to_connect() {
    let open = socks(0, 0).await;
    let (ending, fact) = asked(&behind(format!("socks5h://{open}")), &params(TARGET)).await;
    assert_eq!((ending, fact.lets_in_anybody, fact.methods.len()), (Ending::AsExpected, Some(true), 0));
    assert_eq!(fact.socks.unwrap().granted(), Some(true));
    let denying = socks(0, 2).await;
    let (ending, fact) = asked(&behind(format!("socks5://{denying}")), &params(TARGET)).await;
    assert!(ending == Ending::Failed && fact.failure.is_none() && fact.socks.unwrap().is_denied());
}

#[tokio::test]
async fn a_socks_proxy_that_wants_a_password_gets_it_from_the_setting_only() {
    let guarded = socks(2, 0).await;
    let (ending, fact) = asked(&behind(format!("socks5h://{guarded}")), &params(TARGET)).await;
    assert_eq!((ending, fact.lets_in_anybody, fact.methods[0].name.as_str()), (Ending::Failed, Some(false), "password"));
    assert!(fact.socks.unwrap().wants_sign_in());
    let context = behind(format!("socks5h://user:secret@{guarded}"));
    let (ending, fact) = asked(&context, &params(TARGET)).await;
    assert_eq!((ending, fact.signed_in), (Ending::AsExpected, true));
    assert!(!serde_json::to_string(&context.recorder.observations()).unwrap().contains("secret"));
}

#[tokio::test]
async fn version_4a_has_the_proxy_find_the_address() {
    let proxy = listen(LOOPBACK, |mut stream| async move {
        let mut request = [0; 19];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(&request, b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00shop.test\x00");
        let _ = stream.write_all(&[0, 90, 0, 0, 0, 0, 0, 0]).await;
    })
    .await;
    let (ending, fact) = asked(&behind(format!("socks4a://{proxy}")), &params("https://shop.test./")).await;
    assert_eq!((ending, fact.socks.and_then(|socks| socks.reply)), (Ending::AsExpected, Some(90)));
}
