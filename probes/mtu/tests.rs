use super::run;
use crate::context::Ending;
use crate::tls::servers::context;
use netsonde_contract::kind::MtuParams;
use netsonde_contract::observation::{Fact, Mtu, MtuAnswer, MtuLimit};
use std::net::{IpAddr, UdpSocket};

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
