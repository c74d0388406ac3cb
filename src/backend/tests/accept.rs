use super::server::{Options, Server, client, client_of_http2};
use crate::limits::Limits;
use netsonde_contract::api::path;
use netsonde_contract::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SHORT: Duration = Duration::from_millis(150);
/// Far longer than any time-out of these tests: a connection that outlives it was not cut.
const PATIENCE: Duration = Duration::from_secs(20);

async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is as good an end as a close.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the connection is cut");
    rest
}

#[tokio::test]
async fn headers_that_drip_in_for_ever_are_cut_off() {
    let limits = Limits { headers: SHORT, ..Limits::default() };
    let server = Server::with(Options { limits, ..Options::default() }).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let drip = async {
        writing.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await?;
        let mut pause = tokio::time::interval(SHORT / 10);
        loop {
            pause.tick().await;
            writing.write_all(b"X: y\r\n").await?;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        ended = tokio::time::timeout(PATIENCE, reading.read_to_end(&mut answer)) => { let _ = ended.expect("the connection is cut"); }
        broken = drip => { let broken: std::io::Result<()> = broken; assert!(broken.is_err()); }
    }
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(server.get(path::HEALTH).send().await.unwrap().status(), 200, "others are served meanwhile");
}

#[tokio::test]
async fn a_silent_peer_is_cut_before_and_after_the_handshake() {
    let limits = Limits { handshake: SHORT, headers: PATIENCE, idle: SHORT, ..Limits::default() };
    let tls = Server::with(Options { limits: limits.clone(), plain: false, ..Options::default() }).await;
    until_closed(&mut TcpStream::connect(tls.address).await.unwrap()).await;
    let plain = Server::with(Options { limits, ..Options::default() }).await;
    let mut stream = TcpStream::connect(plain.address).await.unwrap();
    stream.write_all(b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab").await.unwrap();
    until_closed(&mut stream).await;
}

#[tokio::test]
async fn only_the_pinned_key_is_spoken_to_over_tls() {
    let server = Server::with(Options { plain: false, ..Options::default() }).await;
    assert!(server.url.starts_with("https://127.0.0.1:"));
    let answer = server.get(path::HEALTH).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let stranger = client(Some(&Pin::of_public_key_info(b"another")));
    assert!(stranger.get(format!("{}{}", server.url, path::HEALTH)).send().await.is_err());
    let plain = server.url.replace("https", "http");
    assert!(client(None).get(plain).send().await.is_err());
    let (_, ticket) = server.ticket("web").await;
    assert_eq!(ticket.tls_pin, server.app.place.tls_pin);
    assert!(ticket.tls_pin.is_some());
}

#[tokio::test]
async fn a_connection_of_http2_that_asks_for_nothing_is_told_to_go_and_the_next_request_takes_another() {
    let limits = Limits { idle: SHORT, connections: 1, ..Limits::default() };
    let server = Server::with(Options { limits, plain: false, ..Options::default() }).await;
    let client = client_of_http2(server.app.place.tls_pin.as_ref().unwrap());
    let health = format!("{}{}", server.url, path::HEALTH);
    assert_eq!(client.get(&health).send().await.unwrap().version(), reqwest::Version::HTTP_2);
    // There is room for one connection: another one is served only when the first is gone.
    let another = client_of_http2(server.app.place.tls_pin.as_ref().unwrap());
    let answer = tokio::time::timeout(PATIENCE, another.get(&health).send()).await.expect("the place is given back");
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test]
async fn too_many_connections_wait_in_the_queue_and_are_served_in_turn() {
    let limits = Limits { connections: 1, headers: SHORT, ..Limits::default() };
    let server = Server::with(Options { limits, ..Options::default() }).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let _silent_too = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(server.get(path::HEALTH).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let limits = Limits { connections_per_address: 1, handshake: PATIENCE, ..Limits::default() };
    let server = Server::with(Options { limits, plain: false, ..Options::default() }).await;
    let first = TcpStream::connect(server.address).await.unwrap();
    until_closed(&mut TcpStream::connect(server.address).await.unwrap()).await;
    drop(first);
    while server.get(path::HEALTH).send().await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stop_cuts_what_does_not_end_by_itself() {
    let limits = Limits { drain: SHORT, ..Limits::default() };
    let server = Server::with(Options { limits, ..Options::default() }).await;
    let mut hanging = TcpStream::connect(server.address).await.unwrap();
    hanging.write_all(b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab").await.unwrap();
    tokio::time::timeout(PATIENCE, server.stop()).await.expect("the drain is bounded");
}
