use super::run;
use crate::context::Ending;
use crate::platform::raw_sockets;
use crate::tls::servers::context;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::kind::MtuParams;
use netsonde_contract::observation::{Fact, Mtu, MtuAnswer, MtuLimit, MtuTransport};
use std::io::Write;
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};

/// A port with nothing behind it, and the parameters that begin there.
fn params(address: &str) -> MtuParams {
    let address: IpAddr = address.parse().unwrap();
    let port = UdpSocket::bind((address, 0)).unwrap().local_addr().unwrap().port();
    let value = serde_json::json!({"host": address.to_string(), "port": port, "timeout_ms": 300, "max_bytes": 9_000});
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn loopback_passes_the_largest_that_is_tried_in_both_families() {
    for address in ["127.0.0.1", "::1"] {
        let context = context(&[]);
        let ending = run(&context, &params(address)).await.unwrap();
        let observations = context.recorder.observations();
        let Fact::Mtu(mtu) = &observations[0].fact else { panic!("{observations:?}") };
        let Mtu { passed_bytes, stopped_bytes, limit, ref probes, .. } = **mtu;
        assert_eq!((passed_bytes, stopped_bytes, limit), (Some(9_000), None, MtuLimit::None), "{mtu:?}");
        assert_eq!((ending, probes.len(), context.gate.sent()), (Ending::AsExpected, 2, 2));
        assert!(probes.iter().all(|probe| probe.answer == MtuAnswer::Passed && probe.took_us.is_some()));
    }
}

#[tokio::test]
async fn a_port_that_swallows_everything_tells_nothing_of_sizes() {
    // Both tries go to ports that somebody holds and never reads.
    let neighbours = || {
        let first = UdpSocket::bind(("127.0.0.3", 0)).ok()?;
        let port = first.local_addr().ok()?.port();
        let second = UdpSocket::bind(("127.0.0.3", port.checked_add(1)?)).ok()?;
        Some((first, second, port))
    };
    let (_first, _second, port) = (0..100).find_map(|_| neighbours()).expect("two free ports side by side");
    let value = serde_json::json!({"host": "127.0.0.3", "port": port, "timeout_ms": 50});
    let context = context(&[]);
    let ending = run(&context, &serde_json::from_value(value).unwrap()).await.unwrap();
    let observations = context.recorder.observations();
    let Fact::Mtu(mtu) = &observations[0].fact else { panic!("{observations:?}") };
    assert_eq!((ending, mtu.limit, mtu.passed_bytes), (Ending::Failed, MtuLimit::Unknown, None));
    assert!(mtu.failure.as_ref().unwrap().text.contains("no packet"));
}

/// Measures over TCP, from a server that does this with each connection.
async fn over_tcp(address: &str, serve: fn(TcpStream)) -> Option<(Ending, Mtu)> {
    if !raw_sockets() {
        eprintln!("skipped: sizes within a connection: they need raw sockets");
        return None;
    }
    let address: IpAddr = address.parse().unwrap();
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    let value =
        serde_json::json!({"host": address.to_string(), "transport": "tcp", "port": port, "timeout_ms": 300, "max_bytes": 9_000});
    let context = context(&[]);
    let ending = run(&context, &serde_json::from_value(value).unwrap()).await.unwrap();
    let observations = context.recorder.observations();
    let Fact::Mtu(mtu) = &observations[0].fact else { panic!("{observations:?}") };
    assert_eq!((mtu.transport, mtu.port), (MtuTransport::Tcp, Some(port)));
    Some((ending, Mtu::clone(mtu)))
}

#[tokio::test]
async fn a_server_that_greets_acknowledges_large_segments_in_both_families() {
    for address in ["127.0.0.1", "::1"] {
        let greet = |mut stream: TcpStream| {
            stream.write_all(b"220 ready\r\n").unwrap();
            std::mem::forget(stream);
        };
        let Some((ending, mtu)) = over_tcp(address, greet).await else { return };
        assert_eq!((mtu.passed_bytes, mtu.stopped_bytes, mtu.limit), (Some(9_000), None, MtuLimit::None), "{mtu:?}");
        assert_eq!((ending, mtu.probes.len()), (Ending::AsExpected, 2));
        assert!(mtu.announced_bytes().unwrap() > 9_000, "loopback takes 65535: {mtu:?}");
    }
}

#[tokio::test]
async fn a_server_that_ends_every_connection_says_so_and_is_not_asked_for_ever() {
    // With a lingering time of none the end is a reset.
    let end = |stream: TcpStream| socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    let Some((ending, mtu)) = over_tcp("127.0.0.1", end).await else { return };
    // It may have answered before it ended; then there is nothing to complain of.
    let ended = mtu.failure.as_ref().is_some_and(|failure| matches!(failure.code, FailureCode::Closed | FailureCode::Reset));
    assert_eq!(ending, if ended { Ending::Failed } else { Ending::AsExpected }, "{mtu:?}");
    assert!(ended || mtu.limit == MtuLimit::None, "{mtu:?}");
    assert!(mtu.probes.len() <= MtuParams::MAX_PACKETS as usize, "{}", mtu.probes.len());
}

#[tokio::test]
async fn a_port_where_nothing_listens_refuses() {
    if !raw_sockets() {
        eprintln!("skipped: sizes within a connection: they need raw sockets");
        return;
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let value = serde_json::json!({"host": "127.0.0.1", "transport": "tcp", "port": closed});
    let context = context(&[]);
    let ending = run(&context, &serde_json::from_value(value).unwrap()).await.unwrap();
    let observations = context.recorder.observations();
    let Fact::Mtu(mtu) = &observations[0].fact else { panic!("{observations:?}") };
    assert_eq!((ending, &mtu.failure.as_ref().unwrap().code), (Ending::Failed, &FailureCode::Refused));
    assert!(mtu.probes.is_empty() && mtu.passed_bytes.is_none());
}
