use super::*;
use crate::tls::servers::{Authority, Identity, context};
use netsonde_contract::observation::TrustReason;
use quinn::crypto::rustls::QuicServerConfig;
use std::sync::Arc;

const NAME: &str = "localhost";

/// A server on loopback that speaks these protocols; `retry` has every client prove its address first.
fn serve(identity: Identity, alpn: &[&str], retry: bool, loopback: &str) -> (quinn::Endpoint, SocketAddr) {
    let mut config = identity.config_with(&[&rustls::version::TLS13], Arc::new(rustls::server::NoClientAuth));
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.max_early_data_size = u32::MAX;
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config).unwrap()));
    let endpoint = quinn::Endpoint::server(config, loopback.parse().unwrap()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let accepting = endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            if retry && !incoming.remote_address_validated() {
                incoming.retry().unwrap();
                continue;
            }
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    connection.closed().await;
                }
            });
        }
    });
    (endpoint, address)
}

async fn probe(context: &Context, address: SocketAddr, timeout_ms: u64) -> (Ending, Quic) {
    let params = QuicParams {
        host: address.ip().to_string(),
        port: address.port(),
        server_name: Some(NAME.into()),
        alpn: vec!["h3".into()],
        timeout_ms,
        versions: true,
    };
    let ending = run(context, &params).await.unwrap();
    let observations = context.recorder.observations();
    assert_eq!(observations.len(), 1, "{observations:?}");
    let Fact::Quic(quic) = observations[0].fact.clone() else { panic!("{observations:?}") };
    (ending, *quic)
}

#[tokio::test]
async fn a_handshake_is_told_with_everything_that_was_agreed() {
    let authority = Authority::new("root");
    for loopback in ["127.0.0.1:0", "[::1]:0"] {
        let (_server, address) = serve(authority.issue(&[NAME]), &["h3"], false, loopback);
        let context = context(&[&authority]);
        let (ending, quic) = probe(&context, address, 5_000).await;
        assert_eq!((ending, &quic.failure), (Ending::AsExpected, &None), "{quic:?}");
        assert_eq!((quic.version.as_deref(), quic.retry, quic.packets_lost), (Some("1"), false, 0));
        assert!(quic.first_reply_us.unwrap() > 0 && quic.took_us >= quic.first_reply_us.unwrap());
        assert!(quic.server_versions.as_ref().unwrap().contains(&"1".to_owned()), "{:?}", quic.server_versions);
        let tls = quic.tls.as_ref().unwrap();
        assert_eq!((tls.alpn.as_deref(), tls.group.as_deref()), (Some("h3"), Some("X25519MLKEM768")));
        assert!(tls.cipher.as_ref().unwrap().starts_with("TLS_"), "{:?}", tls.cipher);
        let tickets = tls.tickets.as_ref().unwrap();
        assert!(tickets.count > 0 && tickets.max_early_data_bytes == u32::MAX, "{tickets:?}");
        let parameters = quic.parameters.as_ref().unwrap();
        assert!(parameters.initial_max_data_bytes > 0 && parameters.initial_max_streams_bidi == 100, "{parameters:?}");
        assert_eq!(u64::from(quic.packets_sent), context.gate.sent(), "every packet passed the gate");
        if cfg!(target_os = "linux") {
            assert_eq!(quic.ecn, Some(true));
            assert!(quic.largest_payload_bytes.unwrap() > 1_400, "{:?}", quic.largest_payload_bytes);
        }
    }
}

#[tokio::test]
async fn a_server_that_has_the_address_proven_first_is_told() {
    let authority = Authority::new("root");
    let (_server, address) = serve(authority.issue(&[NAME]), &["h3"], true, "127.0.0.1:0");
    let (ending, quic) = probe(&context(&[&authority]), address, 5_000).await;
    assert_eq!((ending, quic.retry, quic.failure), (Ending::AsExpected, true, None));
}

#[tokio::test]
async fn a_server_of_another_protocol_refuses_by_name() {
    let authority = Authority::new("root");
    let (_server, address) = serve(authority.issue(&[NAME]), &["doq"], false, "127.0.0.1:0");
    let (ending, quic) = probe(&context(&[&authority]), address, 5_000).await;
    assert_eq!(ending, Ending::Failed);
    let failure = quic.failure.unwrap();
    assert_eq!(failure.code, FailureCode::TlsAlert);
    assert!(failure.text.contains("no_application_protocol (120)"), "{}", failure.text);
    let close = quic.close.unwrap();
    assert_eq!((close.application, close.code), (false, 0x178));
    assert_eq!(close.name.as_deref(), Some("CRYPTO_ERROR no_application_protocol (120)"));
}

#[tokio::test]
async fn an_expired_certificate_completes_and_is_judged() {
    let authority = Authority::new("root");
    let (_server, address) = serve(authority.issue_for_years(&[NAME], 2020, 2021), &["h3"], false, "127.0.0.1:0");
    let (ending, quic) = probe(&context(&[&authority]), address, 5_000).await;
    assert_eq!((ending, quic.failure), (Ending::Failed, None));
    let tls = quic.tls.unwrap();
    assert_eq!((tls.chain.len(), tls.deciding_verdict().unwrap().reason), (1, Some(TrustReason::Expired)));
}

#[tokio::test]
async fn a_closed_port_is_refused_with_its_icmp_error_and_not_asked_again() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let context = context(&[]);
    let (ending, quic) = probe(&context, free, 5_000).await;
    let failure = quic.failure.unwrap();
    assert_eq!((ending, failure.code), (Ending::Failed, FailureCode::Refused));
    assert!(quic.packets_sent <= 2, "the hello takes two packets; {} were sent", quic.packets_sent);
    if cfg!(target_os = "linux") {
        assert_eq!(failure.icmp.unwrap().code, 3);
    }
    assert!(context.clock.now() < Duration::from_secs(2), "a refusal is not waited out");
}

#[tokio::test]
async fn a_silent_port_is_a_time_out_without_any_reply() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let context = context(&[]);
    let (ending, quic) = probe(&context, silent.local_addr().unwrap(), 60).await;
    assert_eq!((ending, quic.failure.unwrap().code), (Ending::Failed, FailureCode::TimedOut));
    assert_eq!((quic.first_reply_us, quic.server_versions, quic.packets_received), (None, None, 0));
    assert!(quic.packets_sent > 1 && u64::from(quic.packets_sent) == context.gate.sent(), "{}", quic.packets_sent);
}

#[tokio::test]
async fn a_server_that_speaks_no_version_of_ours_says_which_it_does() {
    let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(async move {
        let mut packet = [0_u8; 2_000];
        while let Ok((size, from)) = server.recv_from(&mut packet).await {
            let packet = &packet[..size];
            let to = usize::from(packet[5]);
            let (to, rest) = (&packet[6..6 + to], &packet[6 + to..]);
            let own = &rest[..=usize::from(rest[0])];
            let versions = [0x6b33_43cf_u32, 0x2a3a_4a5a].map(u32::to_be_bytes).concat();
            let answer = [&[0x80, 0, 0, 0, 0], own, &[u8::try_from(to.len()).unwrap()], to, &versions].concat();
            server.send_to(&answer, from).await.unwrap();
        }
    });
    let (ending, quic) = probe(&context(&[]), address, 5_000).await;
    assert_eq!((ending, quic.failure.unwrap().code), (Ending::Failed, FailureCode::Other("version_mismatch".into())));
    assert_eq!(quic.server_versions.unwrap(), ["0x6b3343cf"]);
    assert!(quic.first_reply_us.is_some() && quic.version.is_none());
}
