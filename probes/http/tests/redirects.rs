use super::{answering, exchanges, handshakes, head, params, probe, reply};
use crate::context::Ending;
use crate::http::run;
use crate::tls::servers::{Authority, LOOPBACK, context, listen, listen_tls};

#[tokio::test]
async fn a_redirect_loop_is_followed_once_around() {
    let address = answering(LOOPBACK, b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n").await;
    let (ending, exchanges) = probe(format!("http://{address}/loop")).await;
    assert_eq!((ending, exchanges.len()), (Ending::Failed, 1));
    assert_eq!(exchanges[0].redirect_stopped.as_deref(), Some("loop"));
    assert_eq!(exchanges[0].location, Some(format!("http://{address}/loop")));
}

#[tokio::test]
async fn a_relative_redirect_is_an_exchange_of_its_own() {
    let address = listen(LOOPBACK, |mut stream| async move {
        let request = head(&mut stream).await;
        match request.starts_with("GET /shop/b ") {
            true => reply(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await,
            false => reply(&mut stream, b"HTTP/1.1 307 Temporary Redirect\r\nLocation: b\r\nContent-Length: 0\r\n\r\n").await,
        }
    })
    .await;
    let (ending, exchanges) = probe(format!("http://{address}/shop/a")).await;
    assert_eq!(ending, Ending::AsExpected);
    let seen: Vec<_> =
        exchanges.iter().map(|exchange| (exchange.redirect, exchange.status.unwrap(), exchange.url.clone())).collect();
    assert_eq!(seen, [(0, 307, format!("http://{address}/shop/a")), (1, 200, format!("http://{address}/shop/b"))]);
}

#[tokio::test]
async fn a_redirect_from_tls_to_plain_is_seen_and_the_certificate_that_is_not_trusted_fails_the_check() {
    let plain = answering(LOOPBACK, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let authority = Authority::new("own");
    let secure = listen_tls(LOOPBACK, authority.issue(&["127.0.0.1"]).config(), move |mut stream| async move {
        head(&mut stream).await;
        let answer = format!("HTTP/1.1 301 Moved\r\nLocation: http://{plain}/\r\nContent-Length: 0\r\n\r\n");
        reply(&mut stream, answer.as_bytes()).await;
    })
    .await;
    for (given, ending) in [(vec![&authority], Ending::AsExpected), (vec![], Ending::Failed)] {
        let context = context(&given);
        assert_eq!(run(&context, &params(format!("https://{secure}/"))).await, Ok(ending));
        let exchanges = exchanges(&context);
        assert_eq!((exchanges[0].status, exchanges[1].status), (Some(301), Some(200)));
        assert!(exchanges[0].phases.tls_us.is_some() && exchanges[1].phases.tls_us.is_none());
        assert_eq!(handshakes(&context)[0].address, secure);
    }
}
