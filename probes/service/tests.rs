use super::protocol::{Asking, Heard, PROTOCOLS};
use super::run;
use crate::context::{Context, Ending};
use crate::tls::servers::{Authority, LOOPBACK, context, listen};
use futures_util::future::join_all;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::kind::{ServiceParams, ServiceProtocol, ServiceTransport};
use netsonde_contract::observation::{Fact, Service, ServiceReach};
use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that says each of these in turn, the first at once where it greets, and after each question the next.
async fn server(greets: bool, says: &'static [&'static [u8]]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0_u8; 1_024];
            for (at, words) in says.iter().enumerate() {
                if (at > 0 || !greets) && !matches!(stream.read(&mut buffer).await, Ok(1..)) {
                    break;
                }
                let _ = stream.write_all(words).await;
            }
            while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
        }
    });
    address
}

fn params(address: SocketAddr, protocol: ServiceProtocol) -> ServiceParams {
    let host = address.ip().to_string();
    ServiceParams { host, protocol, port: address.port(), timeout_ms: 300, tls: true }
}

async fn ask(address: SocketAddr, protocol: ServiceProtocol) -> (Ending, Service) {
    let context: Context = context(&[]);
    let ending = run(&context, &params(address, protocol)).await.unwrap();
    let observations = context.recorder.observations();
    let [observation] = observations.as_slice() else { panic!("{observations:?}") };
    let Fact::Service(service) = &observation.fact else { panic!("{observation:?}") };
    (ending, service.as_ref().clone())
}

#[test]
fn every_protocol_of_the_parameter_is_spoken_and_stands_once() {
    let spoken: Vec<ServiceProtocol> = PROTOCOLS.iter().map(|protocol| protocol.name).collect();
    assert_eq!(spoken, ServiceProtocol::ALL);
    for protocol in PROTOCOLS {
        assert!(!protocol.steps.is_empty() && protocol.steps[0].read.is_some(), "{:?}", protocol.name);
        assert_eq!(protocol.local_port.is_some(), protocol.name == ServiceProtocol::Dhcp);
    }
}

/// Every question of every protocol, as its own specification writes it: none signs in, none names a user, none changes anything.
#[test]
fn no_question_carries_a_user_or_a_credential_or_changes_anything() {
    // What the last steps of LDAP and of NFS wait for.
    let further = Heard { tls_offered: Some(true), tls_too_early: true, version: Some("4".into()), ..Heard::default() };
    let states = [None, Some(false), Some(true)].map(|tls_offered| Heard { tls_offered, ..Heard::default() });
    let numbers = |call: &[u8], from: usize| -> Vec<u32> {
        call[from..].chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect()
    };
    for protocol in PROTOCOLS {
        let asked = |heard: &Heard, tls: bool| -> Vec<Vec<u8>> {
            let asking = Asking { heard, random: &[7; 64], port: 1, tls };
            protocol.steps.iter().filter_map(|step| (step.ask)(&asking)).filter(|question| !question.is_empty()).collect()
        };
        let questions: BTreeSet<Vec<u8>> =
            states.iter().chain([&further]).flat_map(|heard| [asked(heard, true), asked(heard, false)]).flatten().collect();
        for question in
            questions.iter().map(Vec::as_slice).chain([protocol.farewell].into_iter().filter(|words| !words.is_empty()))
        {
            let is_harmless = match protocol.name {
                ServiceProtocol::Ssh => question == b"SSH-2.0-netsonde\r\n",
                ServiceProtocol::Ftp => [&b"FEAT\r\n"[..], b"AUTH TLS\r\n", b"QUIT\r\n"].contains(&question),
                ServiceProtocol::Smtp => [&b"EHLO netsonde.invalid\r\n"[..], b"STARTTLS\r\n", b"QUIT\r\n"].contains(&question),
                ServiceProtocol::Redis => {
                    let info = b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n";
                    [&b"*1\r\n$4\r\nPING\r\n"[..], info, b"*1\r\n$4\r\nQUIT\r\n"].contains(&question)
                }
                // A search (3) or an extended operation (23), which is StartTLS: no bind (0), no change (6, 8, 10, 12). A message's number stands before.
                ServiceProtocol::Ldap => {
                    let operation = question.windows(3).position(|three| three[..2] == [2, 1]).map(|at| question[at + 3]);
                    let is_start_tls = question.windows(22).any(|part| part == b"1.3.6.1.4.1.1466.20037");
                    operation == Some(0x63) || operation == Some(0x77) && is_start_tls
                }
                // The command NEGOTIATE (0), behind four bytes of length and twelve of the header.
                ServiceProtocol::Smb => question[4..8] == *b"\xfeSMB" && question[16..18] == [0, 0],
                // A call (0) of version 2 of RPC, without credentials and verifier; a procedure that lists (4) or does nothing (0).
                ServiceProtocol::Rpcbind => numbers(question, 8)[..] == [0, 2, 100_000, 2, 4, 0, 0, 0, 0],
                ServiceProtocol::Nfs => {
                    let call = numbers(question, 8);
                    call[..3] == [0, 2, 100_003] && call[4..] == [0; 5]
                }
                // A connection request without a cookie, which would name a user.
                ServiceProtocol::Rdp => question.len() == 19 && question[5] == 0xe0 && question[11] == 1,
                // The request for TLS, and a start in a version that nobody has, with no parameter.
                ServiceProtocol::Postgres => {
                    [&[0, 0, 0, 8, 4, 210, 22, 47][..], &[0, 0, 0, 9, 0, 255, 0, 0, 0]].contains(&question)
                }
                // The request for TLS ends where the sign-in would begin.
                ServiceProtocol::Mysql => question.len() == 36 && question[13..] == [0; 23],
                // PRELOGIN.
                ServiceProtocol::Mssql => question[0] == 0x12,
                // IKE_SA_INIT (34); IKE_AUTH (35) would sign in.
                ServiceProtocol::Ike => question[18] == 34,
                // The option for the message's type (53) says DISCOVER (1); REQUEST (3) would take an address.
                ServiceProtocol::Dhcp => question[240..].starts_with(&[53, 1, 1]),
            };
            assert!(is_harmless, "{:?}: {question:?}", protocol.name);
        }
        assert!(!questions.is_empty(), "{:?}", protocol.name);
    }
}

#[tokio::test]
async fn a_living_mail_server_is_known_with_the_time_of_each_step() {
    let address = server(true, &[b"220 mx.test ESMTP Postfix\r\n", b"250-mx.test\r\n250 SIZE 9\r\n"]).await;
    let (ending, service) = ask(address, ServiceProtocol::Smtp).await;
    assert_eq!((ending, service.reached, service.failure.is_none()), (Ending::AsExpected, ServiceReach::Understood, true));
    assert_eq!(service.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["greeting", "EHLO"]);
    assert!(service.first_byte_us.is_some() && service.product.as_deref() == Some("Postfix"));
    assert!(!service.tls_upgrade.unwrap().offered);
    if cfg!(target_os = "linux") {
        let state = service.at_close.unwrap();
        assert!(
            state.bytes_received.is_none_or(|bytes| bytes == 52) && state.rtt_us > 0,
            "all that it said was received: {state:?}"
        );
    }
}

#[tokio::test]
async fn tls_that_is_offered_and_then_refused_fails_in_the_services_own_words() {
    let smtp: &'static [&'static [u8]] =
        &[b"220 mx.test ESMTP\r\n", b"250-mx.test\r\n250 STARTTLS\r\n", b"454 TLS not available\r\n"];
    let ftp: &'static [&'static [u8]] =
        &[b"220 (vsFTPd 3.0.3)\r\n", b"211-Features:\r\n AUTH TLS\r\n211 End\r\n", b"431 no such mechanism\r\n"];
    for (protocol, says, words) in
        [(ServiceProtocol::Smtp, smtp, "454 TLS not available"), (ServiceProtocol::Ftp, ftp, "431 no such mechanism")]
    {
        let (ending, service) = ask(server(true, says).await, protocol).await;
        assert_eq!((ending, service.reached), (Ending::Failed, ServiceReach::Understood), "{service:?}");
        let upgrade = service.tls_upgrade.unwrap();
        assert!(upgrade.offered && upgrade.failure.unwrap().text.contains(words), "{protocol:?}");
        assert_eq!(service.failure.unwrap().code, FailureCode::Other("starttls_refused".into()));
    }
}

/// A mail server that agrees to TLS, makes it where it `can`, and then ends the connection.
async fn agreeing_mail_server(can: bool) -> SocketAddr {
    let config = std::sync::Arc::new(Authority::new("own").issue(&["127.0.0.1"]).config());
    listen(LOOPBACK, move |mut stream| {
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::clone(&config));
        async move {
            let mut buffer = [0_u8; 1_024];
            for words in [&b"220 mx.test ESMTP\r\n"[..], b"250-mx.test\r\n250 STARTTLS\r\n", b"220 go ahead\r\n"] {
                let _ = stream.write_all(words).await;
                if !words.starts_with(b"220 go") {
                    let _ = stream.read(&mut buffer).await;
                }
            }
            if can {
                drop(acceptor.accept(stream).await);
            }
        }
    })
    .await
}

#[tokio::test]
async fn tls_that_is_agreed_to_and_then_not_made_or_ended_at_once_is_no_living_service() {
    for can in [false, true] {
        let (ending, service) = ask(agreeing_mail_server(can).await, ServiceProtocol::Smtp).await;
        assert_eq!((ending, service.reached), (Ending::Failed, ServiceReach::Understood), "{service:?}");
        let upgrade = service.tls_upgrade.unwrap();
        assert_eq!((upgrade.version.is_some(), upgrade.failure.as_ref()), (can, service.failure.as_ref()), "{upgrade:?}");
        assert!(upgrade.failure.is_some());
    }
}

#[tokio::test]
async fn a_file_server_that_never_offered_tls_and_has_none_is_well() {
    let address = server(true, &[b"220 (vsFTPd 3.0.3)\r\n", b"530 Please login\r\n", b"530 Please login\r\n"]).await;
    let (ending, service) = ask(address, ServiceProtocol::Ftp).await;
    assert_eq!(
        (ending, service.failure, service.tls_upgrade.map(|upgrade| upgrade.offered)),
        (Ending::AsExpected, None, Some(false))
    );
}

#[tokio::test]
async fn a_port_that_only_listens_is_no_living_service() {
    let tcp = ServiceProtocol::ALL.iter().filter(|protocol| protocol.transport() == ServiceTransport::Tcp);
    let asked = tcp.map(|protocol| async move { (protocol, ask(server(false, &[]).await, *protocol).await) });
    for (protocol, (ending, service)) in join_all(asked).await {
        assert_eq!(
            (ending, service.reached, service.received_bytes),
            (Ending::Failed, ServiceReach::Connected, 0),
            "{protocol:?}"
        );
        assert_eq!(service.failure.unwrap().code, FailureCode::TimedOut);
        assert_eq!(service.spoke, None);
    }
}

#[tokio::test]
async fn whoever_greets_in_another_protocol_is_named_in_each() {
    for protocol in ServiceProtocol::ALL.iter().filter(|protocol| protocol.transport() == ServiceTransport::Tcp) {
        let (says, name): (&'static [&'static [u8]], _) = match protocol {
            ServiceProtocol::Ssh => (&[b"220 mx.test ESMTP\r\n"], "SMTP"),
            _ => (&[b"SSH-2.0-OpenSSH_9.2p1\r\n"], "SSH"),
        };
        let (ending, service) = ask(server(true, says).await, *protocol).await;
        assert_eq!((ending, service.spoke.as_deref()), (Ending::Failed, Some(name)), "{protocol:?} {service:?}");
    }
}

#[tokio::test]
async fn a_web_server_that_waits_to_be_asked_is_found_after_the_silence() {
    let (_, service) = ask(server(false, &[b"HTTP/1.1 400 Bad Request\r\n\r\n"]).await, ServiceProtocol::Smtp).await;
    assert_eq!(service.spoke.as_deref(), Some("HTTP"));
}

#[tokio::test]
async fn a_refusal_is_kept_in_the_services_own_words() {
    let (ending, service) = ask(server(true, &[b"554 5.7.1 you are on a list\r\n"]).await, ServiceProtocol::Smtp).await;
    let refusal = service.refusal.unwrap();
    assert_eq!((ending, refusal.code.as_str(), refusal.text.as_str()), (Ending::Failed, "554", "5.7.1 you are on a list"));
}

#[tokio::test]
async fn a_service_that_greets_and_then_hangs_is_not_well() {
    let (ending, service) = ask(server(true, &[b"220 mx.test ESMTP\r\n"]).await, ServiceProtocol::Smtp).await;
    assert_eq!((ending, service.reached), (Ending::Failed, ServiceReach::Understood));
    assert!(service.failure.unwrap().text.contains("EHLO"));
}

#[tokio::test]
async fn a_closed_port_is_refused_over_both_transports() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for protocol in [ServiceProtocol::Ssh, ServiceProtocol::Ike] {
        let (ending, service) = ask(closed, protocol).await;
        assert_eq!((ending, service.failure.unwrap().code), (Ending::Failed, FailureCode::Refused));
    }
}

#[tokio::test]
async fn a_datagram_of_another_protocol_is_not_taken_for_an_answer() {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0_u8; 2_048];
        let (_, from) = socket.recv_from(&mut buffer).await.unwrap();
        socket.send_to(b"something else", from).await.unwrap();
    });
    let (ending, service) = ask(address, ServiceProtocol::Ike).await;
    assert_eq!((ending, service.failure.unwrap().code), (Ending::Failed, FailureCode::ProtocolError));
}
