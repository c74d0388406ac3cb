use super::run;
use crate::context::{Context, Ending};
use crate::tls::servers::context;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::kind::NtpParams;
use netsonde_contract::observation::{Fact, TimeOffset};
use std::net::{SocketAddr, UdpSocket};

/// A server whose clock is off by this much, answering each question as `change` has it.
fn server(clock: crate::clock::Clock, off_us: i64, change: impl Fn(&mut [u8]) + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut question = [0_u8; 512];
        while let Ok((_, from)) = socket.recv_from(&mut question) {
            let us = u64::try_from(clock.wall().as_microsecond() + off_us + 2_208_988_800_000_000).unwrap();
            let time = ((us / 1_000_000) << 32) | (((us % 1_000_000) << 32) / 1_000_000);
            let mut answer = [&[0x24, 2, 6, 0xec], &[0; 8][..], b"LAB ", &time.to_be_bytes()].concat();
            answer.extend_from_slice(&question[40..48]);
            answer.extend_from_slice(&time.to_be_bytes());
            answer.extend_from_slice(&time.to_be_bytes());
            change(&mut answer);
            socket.send_to(&answer, from).unwrap();
        }
    });
    address
}

fn params(address: SocketAddr, samples: u8) -> NtpParams {
    let value = serde_json::json!({"host": address.ip().to_string(), "port": address.port(), "samples": samples, "interval_ms": 100, "timeout_ms": 300});
    serde_json::from_value(value).unwrap()
}

fn recorded(context: &Context) -> TimeOffset {
    let observations = context.recorder.observations();
    let [observation] = observations.as_slice() else { panic!("{observations:?}") };
    let Fact::TimeOffset(offset) = &observation.fact else { panic!("{observation:?}") };
    offset.as_ref().clone()
}

#[tokio::test]
async fn a_clock_that_is_off_is_measured_with_its_sign_and_bound() {
    for off_us in [0, 90_000_000, -3_600_000_000] {
        let context = context(&[]);
        let ending = run(&context, &params(server(context.clock, off_us, |_| {}), 2)).await.unwrap();
        let offset = recorded(&context);
        let error = offset.offset_us.unwrap().abs_diff(off_us);
        // The fraction of the wire's format is coarser than a microsecond by itself.
        assert!(error <= offset.delay_us.unwrap() / 2 + 2, "{offset:?}");
        assert_eq!((offset.sent, offset.samples.len(), context.gate.sent()), (2, 2, 2));
        assert_eq!(ending == Ending::AsExpected, off_us == 0);
        assert!(offset.failure.is_none());
    }
}

#[tokio::test]
async fn a_server_that_refuses_is_not_asked_again_and_its_time_is_not_used() {
    let context = context(&[]);
    let address = server(context.clock, 0, |answer| {
        answer[1] = 0;
        answer[12..16].copy_from_slice(b"RATE");
    });
    assert_eq!(run(&context, &params(address, 3)).await.unwrap(), Ending::Failed);
    let offset = recorded(&context);
    assert_eq!((offset.sent, offset.offset_us), (1, None));
    assert_eq!(offset.server.unwrap().kiss.as_deref(), Some("RATE"));
    assert_eq!(offset.failure.unwrap().code, FailureCode::Other("kiss_of_death".into()));
}

#[tokio::test]
async fn a_server_without_a_source_of_its_own_gives_no_offset() {
    let context = context(&[]);
    let address = server(context.clock, 0, |answer| answer[0] = 0xe4);
    assert_eq!(run(&context, &params(address, 1)).await.unwrap(), Ending::Failed);
    let offset = recorded(&context);
    assert_eq!((offset.offset_us, offset.failure.unwrap().code), (None, FailureCode::Other("server_unsynchronised".into())));
}

#[tokio::test]
async fn a_forged_answer_is_waited_out() {
    let context = context(&[]);
    let address = server(context.clock, 0, |answer| answer[24] ^= 1);
    assert_eq!(run(&context, &params(address, 1)).await.unwrap(), Ending::Failed);
    let offset = recorded(&context);
    let failure = offset.failure.unwrap();
    assert_eq!(failure.code, FailureCode::TimedOut);
    assert!(failure.text.contains("48 bytes came, and it answers another question"), "{}", failure.text);
    assert_eq!(offset.others[0].why, "it answers another question");
}

#[tokio::test]
async fn an_answer_that_is_cut_is_kept_as_what_it_is() {
    let context = context(&[]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut question = [0_u8; 512];
        while let Ok((_, from)) = socket.recv_from(&mut question) {
            for _ in 0..2 * TimeOffset::MAX_OTHERS {
                socket.send_to(&question[..20], from).unwrap();
            }
        }
    });
    assert_eq!(run(&context, &params(address, 1)).await.unwrap(), Ending::Failed);
    let offset = recorded(&context);
    assert_eq!((offset.others.len(), offset.others[0].size_bytes), (TimeOffset::MAX_OTHERS, 20));
    assert_eq!(offset.others[0].why, "it is shorter than 48 bytes");
}

#[tokio::test]
async fn a_port_without_a_server_is_refused_and_told_by_whom() {
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let context = context(&[]);
    assert_eq!(run(&context, &params(address, 1)).await.unwrap(), Ending::Failed);
    let failure = recorded(&context).failure.unwrap();
    assert_eq!(failure.code, FailureCode::Refused);
    if cfg!(target_os = "linux") {
        assert_eq!(failure.icmp.unwrap().words(), "port unreachable");
    }
}
