use super::run;
use crate::context::{Context, Ending};
use crate::tls::servers::{LOOPBACK, context, listen};
use netsonde_contract::kind::{Kind, LoadDirection, LoadParams, Params};
use netsonde_contract::observation::{Fact, Load, TransferEnd};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn params(mut with: Value) -> LoadParams {
    with["idle_s"] = json!(1);
    with["interval_ms"] = json!(20);
    with["timeout_ms"] = json!(1_000);
    let Params::Load(params) = Params::parse(Kind::Load, with).unwrap() else { panic!() };
    params
}

fn fact(context: &Context) -> Load {
    let mut observations = context.recorder.observations();
    let Some(Fact::Load(load)) = observations.pop().map(|observation| observation.fact) else { panic!("no load") };
    assert!(observations.is_empty(), "requests of the load are part of its fact: {observations:?}");
    *load
}

/// Answers every GET with a body that does not end, and every POST, once it has come whole. It wants to know a body's length before it
/// comes, and takes none that is larger than `largest`.
async fn server(posted: Arc<AtomicU64>, largest: u64) -> SocketAddr {
    listen(LOOPBACK, move |mut stream| {
        let posted = Arc::clone(&posted);
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            if head.starts_with(b"GET") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while stream.write_all(&[7; 16_384]).await.is_ok() {}
                return;
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let Some(length) = length.and_then(|length| length.parse::<u64>().ok()) else {
                let _ = stream.write_all(b"HTTP/1.1 411 Length Required\r\nConnection: close\r\n\r\n").await;
                return;
            };
            if length > largest {
                let _ = stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n").await;
                return;
            }
            let mut left = length;
            let mut buffer = vec![0; 16_384];
            while left > 0 {
                let count = stream.read(&mut buffer).await.unwrap_or_default() as u64;
                if count == 0 {
                    return;
                }
                posted.fetch_add(count, Ordering::Relaxed);
                left = left.saturating_sub(count);
            }
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_directions_keep_to_their_bytes_and_are_measured_beside_the_idle_path() {
    let posted = Arc::new(AtomicU64::new(0));
    let address = server(Arc::clone(&posted), u64::MAX).await;
    let context = context(&[]);
    let params = params(json!({"url": format!("http://{address}/"), "direction": "both", "max_bytes": 6_000_000, "load_s": 5}));
    let ending = run(&context, &params).await;
    let load = fact(&context);
    assert_eq!(ending, Ok(Ending::AsExpected), "{load:?}");
    assert_eq!((load.address, load.bytes), (Some(address), 6_000_000));
    let idle = load.idle.unwrap();
    assert!(idle.sent >= 40 && idle.answered == idle.sent, "a second at 20 ms: {idle:?}");
    assert!(idle.rtt.unwrap().min_us < 50_000 && idle.timer_late.is_some() && idle.loopback.is_some());
    assert_eq!(
        load.loaded.iter().map(|phase| phase.direction).collect::<Vec<_>>(),
        [LoadDirection::Download, LoadDirection::Upload]
    );
    for phase in &load.loaded {
        assert_eq!((phase.transfer.bytes, phase.transfer.ended), (3_000_000, TransferEnd::ByteLimit), "{phase:?}");
        assert!(phase.failure.is_none() && phase.latency.answered > 0 && phase.increase_us.is_some(), "{phase:?}");
        assert!(
            phase.transfer.rate.is_some() == (phase.transfer.took_us - phase.transfer.waiting_us >= 5_000)
                && (1..=8).contains(&phase.requests),
            "{phase:?}"
        );
    }
    if cfg!(target_os = "linux") {
        let received: u64 = load.loaded[0].at_close.iter().filter_map(|state| state.bytes_received).sum();
        assert!(received >= 3_000_000, "the kernel counted the download too: {received}");
    }
    assert!(posted.load(Ordering::Relaxed) >= 3_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_large_bodies_is_loaded_with_small_ones() {
    let posted = Arc::new(AtomicU64::new(0));
    let address = server(Arc::clone(&posted), 1 << 20).await;
    let context = context(&[]);
    let given = json!({"url": format!("http://{address}/"), "direction": "upload", "max_bytes": 6_000_000, "load_s": 5, "connections": 1});
    let ending = run(&context, &params(given)).await;
    let load = fact(&context);
    assert_eq!(ending, Ok(Ending::AsExpected), "{load:?}");
    let phase = &load.loaded[0];
    assert_eq!((phase.transfer.bytes, phase.transfer.ended), (6_000_000, TransferEnd::ByteLimit), "{phase:?}");
    assert!(phase.requests >= 5 && phase.failure.is_none(), "{phase:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_bodies_at_all_is_told() {
    let address = server(Arc::default(), 0).await;
    let context = context(&[]);
    let given = json!({"url": format!("http://{address}/"), "direction": "upload", "max_bytes": 6_000_000, "load_s": 5});
    assert_eq!(run(&context, &params(given)).await, Ok(Ending::Failed));
    assert!(fact(&context).loaded[0].failure.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_without_an_end_stops_at_its_time() {
    let address = listen(LOOPBACK, |mut stream| async move {
        let mut buffer = [0; 1_024];
        if stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nsome").await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    let context = context(&[]);
    let mut params = params(json!({"url": format!("http://{address}/"), "load_s": 1}));
    params.timeout_ms = 5_000;
    assert_eq!(run(&context, &params).await, Ok(Ending::AsExpected));
    let phase = &fact(&context).loaded[0];
    assert_eq!((phase.transfer.ended, phase.transfer.bytes), (TransferEnd::TimeLimit, 8));
    assert!((950_000..3_000_000).contains(&phase.transfer.took_us), "{phase:?}");
    assert!(phase.latency.sent >= 40, "{phase:?}");
}

/// Both addresses of the name lead to this machine, and the first of them drops every connection: each request that raced them again
/// would wait a quarter of a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn the_load_goes_to_the_address_that_was_connected_to_and_races_no_other_again() {
    use socket2::{Domain, Socket, Type};
    let body = "x".repeat(200_000);
    let address = listen(LOOPBACK, move |mut stream| {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        async move {
            if stream.read(&mut [0; 1_024]).await.is_ok_and(|count| count > 0) {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    })
    .await;
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 2], address.port())).into()).unwrap();
    full.listen(0).unwrap();
    let _filling = std::net::TcpStream::connect(("127.0.0.2", address.port())).unwrap();
    let mut context = context(&[]);
    context.names = Arc::new(crate::names::Names::knowing("two.test", &["127.0.0.2".parse().unwrap(), address.ip()]));
    let params = params(json!({"url": format!("http://two.test:{}/", address.port()), "load_s": 2}));
    assert_eq!(run(&context, &params).await, Ok(Ending::AsExpected));
    let load = fact(&context);
    assert_eq!((load.address, load.attempts.len()), (Some(address), 2), "{:?}", load.attempts);
    assert!(load.connect_us.unwrap() >= 250_000, "the wait for the first address is part of the connection's time");
    let phase = &load.loaded[0];
    assert!(phase.requests > 30, "two connections that wait a quarter of a second each time make 16: {phase:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_whose_time_is_over_keeps_what_was_measured_and_claims_no_silence() {
    let address = server(Arc::default(), u64::MAX).await;
    for (over_after_ms, time_is_over) in [(1_800, true), (1_800, false), (500, true)] {
        let context = context(&[]);
        let params = params(json!({"url": format!("http://{address}/"), "load_s": 10}));
        let cut = tokio::time::timeout(std::time::Duration::from_millis(over_after_ms), async { run(&context, &params).await });
        let waiting = async {
            tokio::time::sleep(std::time::Duration::from_millis(over_after_ms - 50)).await;
            if time_is_over {
                context.recorder.time_is_over();
            }
        };
        assert!(tokio::join!(cut, waiting).0.is_err());
        let load = fact(&context);
        let idle = load.idle.unwrap();
        assert!(idle.sent > 10 && idle.answered == idle.sent && idle.rtt.is_some(), "{idle:?}");
        assert_eq!(load.failure.is_none(), time_is_over, "only an interruption is told as one: {:?}", load.failure);
        if over_after_ms < 1_000 {
            assert!(load.loaded.is_empty() && load.bytes == 0);
            continue;
        }
        let phase = &load.loaded[0];
        assert_eq!(phase.transfer.ended, TransferEnd::CutOff, "{phase:?}");
        assert!(phase.transfer.bytes > 100_000 && load.bytes == phase.transfer.bytes && phase.transfer.rate.is_some());
        assert!(phase.latency.answered > 5 && phase.requests == 2, "{phase:?}");
    }
}

/// The server answers with a few bytes and closes, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_files_load_the_path_until_its_time_and_not_until_a_count() {
    let address = listen(LOOPBACK, |mut stream| async move {
        if stream.read(&mut [0; 1_024]).await.is_ok_and(|count| count > 0) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsome").await;
        }
    })
    .await;
    let context = context(&[]);
    let params = params(json!({"url": format!("http://{address}/"), "load_s": 2}));
    assert_eq!(run(&context, &params).await, Ok(Ending::AsExpected));
    let phase = &fact(&context).loaded[0];
    assert_eq!(phase.transfer.ended, TransferEnd::TimeLimit, "{phase:?}");
    assert!((1_900_000..4_000_000).contains(&phase.transfer.took_us) && phase.requests > 256, "{phase:?}");
}

#[test]
fn the_default_leaves_the_time_to_end_the_load_and_no_parameter_passes_the_hard_maxima() {
    let params = params(json!({"url": "http://a.test/"}));
    assert_eq!(params.max_bytes / params.load_s, 125_000_000, "1 Gbit/s for its whole time");
    let beyond = Params::parse(Kind::Load, json!({"url": "http://a.test/", "max_bytes": 40_000_000_001_u64})).unwrap_err();
    assert!(beyond.to_string().contains("at most 40000000000"), "{beyond}");
    let in_the_longest_time = 31 * u64::from(crate::gate::Limits::PERSON.per_target_rate);
    assert!(u64::from(LoadParams::MAX_REQUESTS) > in_the_longest_time);
}

#[tokio::test]
async fn a_url_that_carries_no_load_says_what_to_do() {
    for (answer, code, words) in [
        (&b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..], "unexpected_status", "large file"),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "unexpected_status", "name that one"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "empty_body", "large file"),
    ] {
        let address = listen(LOOPBACK, move |mut stream| async move {
            if stream.read(&mut [0; 1_024]).await.is_ok_and(|count| count > 0) {
                let _ = stream.write_all(answer).await;
            }
        })
        .await;
        let context = context(&[]);
        assert_eq!(run(&context, &params(json!({"url": format!("http://{address}/")}))).await, Ok(Ending::Failed));
        let failure = fact(&context).loaded[0].failure.clone().unwrap();
        let got = serde_json::to_value(&failure.code).unwrap();
        assert!(got == json!(code) && failure.text.contains(words), "{failure:?}");
    }
}

#[tokio::test]
async fn a_closed_port_is_a_failure_and_no_load_is_tried() {
    let address = std::net::TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let context = context(&[]);
    assert_eq!(run(&context, &params(json!({"url": format!("http://{address}/")}))).await, Ok(Ending::Failed));
    let load = fact(&context);
    assert!(load.failure.is_some() && load.idle.is_none() && load.bytes == 0);
    assert_eq!(context.gate.sent(), 1);
}

#[tokio::test]
async fn a_run_that_may_not_probe_private_addresses_loads_none() {
    let mut context = context(&[]);
    context.gate = Arc::new(crate::gate::closed(context.clock));
    assert!(run(&context, &params(json!({"url": "http://127.0.0.1:9/"}))).await.is_err());
    assert_eq!(context.gate.sent(), 0);
}
