use super::{exchanges, head, params, reply};
use crate::context::{Context, Ending, ProxyChoice};
use crate::http::run;
use crate::tls::servers::{Authority, LOOPBACK, context, listen, listen_tls};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A proxy that notes each request's head and connects, or answers with `refusal`.
async fn proxy(refusal: Option<&'static [u8]>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    let address = listen(LOOPBACK, move |mut stream| {
        let kept = Arc::clone(&kept);
        async move {
            let request = head(&mut stream).await;
            kept.lock().unwrap().push(request.clone());
            if let Some(refusal) = refusal {
                return reply(&mut stream, refusal).await;
            }
            let to = request.split(' ').nth(1).unwrap().to_owned();
            let mut onward = TcpStream::connect(to).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await;
    (address, heads)
}

fn behind(proxy: SocketAddr, given: &[&Authority]) -> Context {
    Context { proxy: ProxyChoice::Url(format!("http://user:secret@{proxy}")), ..context(given) }
}

#[tokio::test]
async fn https_goes_through_a_proxy_by_connect() {
    let authority = Authority::new("own");
    let server = listen_tls("[::1]:0", authority.issue(&["::1"]).config(), |mut stream| async move {
        let request = head(&mut stream).await;
        assert!(request.starts_with("GET /in HTTP/1.1\r\n") && !request.contains("proxy-authorization"), "{request}");
        reply(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let (proxy, heads) = proxy(None).await;
    let context = behind(proxy, &[&authority]);
    assert_eq!(run(&context, &params(format!("https://{server}/in"))).await, Ok(Ending::AsExpected));
    let exchanges = exchanges(&context);
    let seen: Vec<_> = exchanges.iter().map(|exchange| (exchange.method.as_str(), exchange.status, exchange.expected)).collect();
    assert_eq!(seen, [("CONNECT", Some(200), true), ("GET", Some(200), true)]);
    assert!(
        exchanges.iter().all(|exchange| exchange.proxy == Some(format!("http://{proxy}")) && exchange.address == Some(proxy))
    );
    assert!(exchanges[0].phases.connect_us.is_some() && exchanges[1].phases.connect_us.is_none());
    let head = heads.lock().unwrap()[0].to_lowercase();
    assert!(
        head.starts_with(&format!("connect {server} http/1.1\r\n"))
            && head.contains("proxy-authorization: basic dxnlcjpzzwnyzxq="),
        "{head}"
    );
    let facts = serde_json::to_string(&context.recorder.observations()).unwrap();
    assert!(!facts.contains("secret") && !facts.to_lowercase().contains("dxnlcjpzzwnyzxq"), "{facts}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_the_end_and_its_status_is_kept() {
    let (proxy, _) =
        proxy(Some(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"))
            .await;
    let context = behind(proxy, &[]);
    assert_eq!(run(&context, &params("https://203.0.113.1/".into())).await, Ok(Ending::Failed));
    let exchanges = exchanges(&context);
    let [exchange] = exchanges.as_slice() else { panic!("{exchanges:?}") };
    assert_eq!((exchange.method.as_str(), exchange.status, exchange.expected), ("CONNECT", Some(407), false));
    assert_eq!(exchange.header("proxy-authenticate"), Some("Basic"));
}

#[tokio::test]
async fn plain_http_goes_to_a_proxy_as_a_whole_url() {
    let (proxy, heads) = proxy(Some(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await;
    let context = behind(proxy, &[]);
    assert_eq!(run(&context, &params("http://shop.test:8080/pay?x=1".into())).await, Ok(Ending::AsExpected));
    let head = heads.lock().unwrap()[0].clone();
    assert!(
        head.starts_with("GET http://shop.test:8080/pay?x=1 HTTP/1.1\r\nhost: shop.test:8080\r\nproxy-authorization: "),
        "{head}"
    );
    assert_eq!(exchanges(&context)[0].address, Some(proxy));
}
