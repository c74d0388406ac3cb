use super::*;
use crate::clock::Clock;
use crate::gate::Limits;
use flow::Flow;
use netsonde_contract::id::CheckId;
use std::net::{SocketAddr, UdpSocket};

fn exchange(gate: Option<&Gate>, server: &UdpSocket) -> SocketAddr {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let remote = server.local_addr().unwrap();
    if let Some(gate) = gate {
        gate.address(remote.ip()).unwrap();
        let local_port = client.local_addr().unwrap().port();
        gate.flows().note(Flow::Udp { local_port, remote }, &CheckId::new("ask"));
    }
    client.send_to(b"the question is secret", remote).unwrap();
    let mut buffer = [0; 64];
    let (_, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(b"the answer is secret", from).unwrap();
    client.recv_from(&mut buffer).unwrap();
    from
}

/// Real packets on loopback: the run's own are kept, another program's to the same server are not, and no payload is.
#[test]
fn only_the_runs_own_flows_and_only_their_headers_are_kept() {
    let gate = Arc::new(Gate::new(Limits::PERSON, Clock::start()));
    let capture = match Capture::begin(&gate) {
        Ok(capture) => capture,
        Err(reason) => {
            println!("skipped: capture: {reason}");
            return;
        }
    };
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let own = exchange(Some(&gate), &server);
    let other = exchange(None, &server);
    let captured = capture.finish();
    assert_eq!((captured.packets, captured.lost), (2, 0));
    let holds = |bytes: &[u8]| captured.file.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(&own.port().to_be_bytes()));
    let named = captured.file.windows(9).filter(|window| window == b"check ask").count();
    assert_eq!(named, 2, "every packet has the name of its check");
    assert!(!holds(b"secret"), "a payload was kept");
    let remote_and = |port: u16| [port.to_be_bytes(), server.local_addr().unwrap().port().to_be_bytes()].concat();
    assert!(holds(&remote_and(own.port())) && !holds(&remote_and(other.port())), "another program's packet was kept");
}
