use super::super::machine::Answer;
use super::*;

async fn first_answer(wire: &mut RawWire, clock: &Clock) -> (ProbeNumber, Answer) {
    loop {
        let _ = wire.ready().await;
        for heard in wire.hear(clock) {
            if let Heard::Answer { probe, answer, .. } = heard {
                return (probe, answer);
            }
        }
    }
}

#[tokio::test]
async fn every_protocol_arrives_on_this_machine_and_its_quote_is_as_it_was_sent() {
    for loopback in ["127.0.0.1", "::1"] {
        let clock = Clock::start();
        let target: IpAddr = loopback.parse().unwrap();
        let closed = std::net::TcpListener::bind((target, 0)).unwrap().local_addr().unwrap().port();
        for protocol in [TraceProtocol::Icmp, TraceProtocol::Udp, TraceProtocol::Tcp] {
            let manner = Manner { protocol, target, port: closed, each_flow: false, class: 0x2a };
            let mut wire = match open(manner, target, None) {
                Ok(wire) => wire,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    eprintln!("skipped: crafted probes on loopback: they need raw sockets");
                    return;
                }
                Err(error) => panic!("{error}"),
            };
            wire.send(Packet { probe: ProbeNumber(700), ttl: 1, flow: 0, size: 0 }).unwrap();
            let (probe, answer) = first_answer(&mut wire, &clock).await;
            assert_eq!((probe, answer.from), (ProbeNumber(700), target), "{protocol:?}");
            if let Some(quoted) = answer.quoted {
                assert_eq!((quoted.ttl, quoted.dscp, quoted.ecn), (1, 10, 2), "{protocol:?}");
                assert!(!quoted.is_rewritten(), "{protocol:?} {quoted:?}");
            }
        }
    }
}
