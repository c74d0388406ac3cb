use super::run;
use super::servers::{Authority, Identity, LOOPBACK, context, listen, listen_tls, stay};
use crate::context::{Context, Ending};
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::kind::TlsParams;
use netsonde_contract::observation::{Fact, Handshake, TrustReason, TrustStore, TrustVerdict};
use rustls::crypto::{CryptoProvider, GetRandomFailed, SecureRandom};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn params(address: SocketAddr, server_name: Option<&str>) -> TlsParams {
    let value = serde_json::json!({"host": address.ip().to_string(), "port": address.port(), "server_name": server_name, "timeout_ms": 2_000});
    serde_json::from_value(value).unwrap()
}

fn recorded(context: &Context) -> Handshake {
    let observations = context.recorder.observations();
    let [observation] = observations.as_slice() else { panic!("{observations:?}") };
    let Fact::Handshake(handshake) = &observation.fact else { panic!("{observation:?}") };
    handshake.as_ref().clone()
}

async fn probe(context: &Context, params: &TlsParams) -> (Ending, Handshake) {
    let ending = run(context, params).await.unwrap();
    (ending, recorded(context))
}

/// The handshake with a server of this identity, asked for by the name.
async fn against(identity: Identity, name: Option<&str>, given: &[&Authority]) -> (Ending, Handshake) {
    let address = listen_tls(LOOPBACK, identity.config(), stay).await;
    probe(&context(given), &params(address, name)).await
}

fn verdict(handshake: &Handshake, store: TrustStore) -> &TrustVerdict {
    handshake.trust.iter().find(|verdict| verdict.store == store).unwrap()
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_given_and_only_then() {
    let authority = Authority::new("own");
    let (ending, handshake) = against(authority.issue(&["shop.test"]), Some("shop.test"), &[&authority]).await;
    assert_eq!(ending, Ending::AsExpected, "{handshake:?}");
    assert_eq!(handshake.server_name.as_deref(), Some("shop.test"));
    assert_eq!(handshake.protocol.as_deref(), Some("TLSv1.3"));
    assert_eq!(handshake.cipher.as_deref(), Some("TLS_AES_256_GCM_SHA384"));
    assert_eq!(handshake.group.as_deref(), Some("X25519MLKEM768"));
    assert!(handshake.took_us > 0 && handshake.verified_at.is_some());
    assert_eq!(verdict(&handshake, TrustStore::Mozilla).reason, Some(TrustReason::UnknownIssuer));
    assert_eq!(verdict(&handshake, TrustStore::Platform).reason, Some(TrustReason::UnknownIssuer));

    let (ending, handshake) = against(authority.issue(&["shop.test"]), Some("shop.test"), &[]).await;
    assert_eq!(ending, Ending::Failed);
    assert_eq!(handshake.deciding_verdict().unwrap().reason, Some(TrustReason::UnknownIssuer));
    assert!(handshake.failure.is_none() && !handshake.chain[0].self_signed);
}

/// Random numbers that keep every caller waiting, as the first ones of a process do, and count how often they were asked for.
#[derive(Debug)]
struct SlowRandom(AtomicU32);

/// Long beside a handshake on loopback, short beside a test's patience.
const WAIT_FOR_RANDOM: Duration = Duration::from_millis(400);

static SLOW_RANDOM: SlowRandom = SlowRandom(AtomicU32::new(0));

impl SecureRandom for SlowRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        std::thread::sleep(WAIT_FOR_RANDOM);
        self.0.fetch_add(1, Ordering::SeqCst);
        rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(buffer)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_start_of_our_own_is_neither_the_handshakes_time_nor_a_wait_of_the_server() {
    let authority = Authority::new("own");
    let config = Arc::new(authority.issue(&["127.0.0.1"]).config());
    let drawn_before = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&drawn_before);
    let address = listen(LOOPBACK, move |stream| {
        seen.store(SLOW_RANDOM.0.load(Ordering::SeqCst), Ordering::SeqCst);
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&config));
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                stay(stream).await;
            }
        }
    })
    .await;
    let provider = CryptoProvider { secure_random: &SLOW_RANDOM, ..rustls::crypto::aws_lc_rs::default_provider() };
    let mut context = context(&[]);
    context.trust = Arc::new(super::trust::Trust::with_provider(provider));
    let mut params = params(address, None);
    params.timeout_ms = 10_000;
    let (_, handshake) = probe(&context, &params).await;
    assert!(handshake.failure.is_none(), "{handshake:?}");
    assert!(handshake.took_us < 400_000, "the hello took two draws at least, and the handshake none: {}", handshake.took_us);
    assert!(drawn_before.load(Ordering::SeqCst) > 0, "the first draw came before the connection");
}

#[tokio::test]
async fn the_connection_ends_with_a_word_and_without_a_reset() {
    let authority = Authority::new("own");
    let (sender, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let address = listen_tls(LOOPBACK, authority.issue(&["127.0.0.1"]).config(), move |mut stream| {
        let sender = sender.clone();
        async move {
            // A server that greets at once: the greeting stays unread.
            let _ = stream.write_all(b"220 hello\r\n").await;
            let end = stream.read(&mut [0; 16]).await.map_err(|error| error.kind());
            let _ = sender.send(end);
            let _ = stream.shutdown().await;
        }
    })
    .await;
    let (ending, _) = probe(&context(&[&authority]), &params(address, None)).await;
    assert_eq!((ending, ends.recv().await), (Ending::AsExpected, Some(Ok(0))), "close_notify is an end, anything else an error");
}

/// A port that says nothing where a protocol comes before TLS: no hello was sent.
#[tokio::test]
async fn silence_before_tls_is_no_silence_of_a_handshake() {
    let address = listen(LOOPBACK, |mut stream| async move {
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or_default(), 0, "the server has the first word");
    })
    .await;
    let mut params = params(address, None);
    (params.starttls, params.timeout_ms) = (netsonde_contract::kind::StartTlsProtocol::Smtp, 200);
    let (_, handshake) = probe(&context(&[]), &params).await;
    let failure = handshake.failure.unwrap();
    assert_eq!((failure.code, failure.during), (FailureCode::TimedOut, Step::Receive));
    let talk = handshake.starttls.unwrap();
    assert!(talk.received_bytes == Some(0) && !talk.agreed && talk.took_us >= 200_000 && handshake.took_us == 0, "{talk:?}");
}

#[tokio::test]
async fn the_version_before_is_spoken_too() {
    let authority = Authority::new("own");
    let config = authority.issue(&["127.0.0.1"]).config_with(&[&rustls::version::TLS12], Arc::new(rustls::server::NoClientAuth));
    let address = listen_tls(LOOPBACK, config, stay).await;
    let (ending, handshake) = probe(&context(&[&authority]), &params(address, None)).await;
    assert_eq!((ending, handshake.protocol.as_deref()), (Ending::AsExpected, Some("TLSv1.2")));
    assert_eq!(handshake.cipher.as_deref(), Some("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"));
}

#[tokio::test]
async fn rubbish_in_the_chain_is_kept_and_does_not_hide_the_rest() {
    let authority = Authority::new("own");
    let identity = authority.issue(&["127.0.0.1"]).followed_by(b"rubbish");
    let (_, handshake) = against(identity, None, &[&authority]).await;
    assert_eq!(handshake.failure, None);
    assert_eq!(handshake.chain[0].names, ["127.0.0.1"]);
    assert!(handshake.chain[1].subject.starts_with("(not readable"));
    assert_eq!(handshake.trust.len(), 3);
}

#[tokio::test]
async fn an_expired_certificate_shows_its_dates_whoever_issued_it() {
    let authority = Authority::new("own");
    let expired = || authority.issue_for_years(&["shop.test"], 2020, 2021);
    let (ending, handshake) = against(expired(), Some("shop.test"), &[&authority]).await;
    assert_eq!(ending, Ending::Failed);
    assert_eq!(handshake.deciding_verdict().unwrap().reason, Some(TrustReason::Expired));
    assert!(handshake.chain[0].not_after < handshake.verified_at.unwrap());

    let (_, handshake) = against(expired(), Some("shop.test"), &[]).await;
    let verdict = handshake.deciding_verdict().unwrap();
    assert_eq!(verdict.reason, Some(TrustReason::UnknownIssuer), "the issuer is judged apart from the dates");
    assert!(verdict.text.as_ref().unwrap().contains("expired"), "{verdict:?}");
    assert!(handshake.chain[0].not_after < handshake.verified_at.unwrap());
}

#[tokio::test]
async fn a_certificate_of_the_future_is_not_yet_valid() {
    let authority = Authority::new("own");
    let (_, handshake) = against(authority.issue_for_years(&["shop.test"], 2080, 2090), Some("shop.test"), &[&authority]).await;
    assert_eq!(handshake.deciding_verdict().unwrap().reason, Some(TrustReason::NotYetValid));
}

#[tokio::test]
async fn a_wrong_name_is_told_apart_from_trust() {
    let authority = Authority::new("own");
    let (ending, handshake) = against(authority.issue(&["other.test"]), Some("shop.test"), &[&authority]).await;
    assert_eq!(ending, Ending::Failed);
    let name = handshake.name.clone().unwrap();
    assert!(!name.fits && name.wanted == "shop.test");
    assert_eq!(handshake.deciding_verdict().unwrap().reason, Some(TrustReason::NameMismatch));
    assert_eq!(handshake.chain[0].names, ["other.test"]);
}

#[tokio::test]
async fn an_address_is_looked_for_among_the_addresses_and_not_sent_as_a_name() {
    let authority = Authority::new("own");
    for (listen_at, name) in [(LOOPBACK, "127.0.0.1"), ("[::1]:0", "::1")] {
        let address = listen_tls(listen_at, authority.issue(&[name]).config(), stay).await;
        let (ending, handshake) = probe(&context(&[&authority]), &params(address, None)).await;
        assert_eq!(ending, Ending::AsExpected, "{handshake:?}");
        assert_eq!((handshake.server_name, handshake.address), (None, address));
    }
    let (ending, handshake) = against(authority.issue(&["127.0.0.9"]), None, &[&authority]).await;
    assert_eq!((ending, handshake.name.unwrap().fits), (Ending::Failed, false));
}

#[tokio::test]
async fn a_self_signed_certificate_is_unknown_until_it_is_given_itself() {
    for calls_itself_authority in [false, true] {
        let (identity, pem) = Identity::self_signed(&["shop.test"], calls_itself_authority);
        let address = listen_tls(LOOPBACK, identity.config(), stay).await;
        let (ending, handshake) = probe(&context(&[]), &params(address, Some("shop.test"))).await;
        assert_eq!(ending, Ending::Failed);
        assert!(handshake.chain[0].self_signed);
        assert_eq!(handshake.deciding_verdict().unwrap().reason, Some(TrustReason::UnknownIssuer), "{handshake:?}");

        let mut trusting = context(&[]);
        trusting.trust = Arc::new(super::trust::Trust::new(vec![pem.into_bytes()]).unwrap());
        let (ending, handshake) = probe(&trusting, &params(address, Some("shop.test"))).await;
        assert_eq!(ending, Ending::AsExpected, "{handshake:?}");
    }
}

#[tokio::test]
async fn a_reply_that_is_not_tls_is_shown() {
    let banner = listen(LOOPBACK, |mut stream| async move {
        stream.write_all(b"SSH-2.0-Example\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let web = listen(LOOPBACK, |mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    for (address, begin) in [(banner.await, "SSH-2.0-Example.."), (web.await, "HTTP/1.1 400 Bad Request")] {
        let (ending, handshake) = probe(&context(&[]), &params(address, None)).await;
        assert_eq!(ending, Ending::Failed);
        let failure = handshake.failure.unwrap();
        assert_eq!((failure.code, failure.during), (FailureCode::NotTls, Step::Handshake));
        assert!(handshake.plain_reply.unwrap().starts_with(begin));
    }
}

#[tokio::test]
async fn silence_after_the_hello_is_a_time_out_of_the_handshake() {
    let address = listen(LOOPBACK, |mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut params = params(address, None);
    params.timeout_ms = 100;
    let (_, handshake) = probe(&context(&[]), &params).await;
    let failure = handshake.failure.unwrap();
    assert_eq!((failure.code, failure.during), (FailureCode::TimedOut, Step::Handshake));
    assert!(handshake.took_us >= 100_000 && handshake.connect_us < 100_000);
}

#[tokio::test]
async fn a_deadline_keeps_the_handshake_that_it_cut_off() {
    let address = listen(LOOPBACK, |mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let context = context(&[]);
    context.recorder.time_is_over();
    tokio::time::timeout(Duration::from_millis(100), run(&context, &params(address, None))).await.unwrap_err();
    let failure = recorded(&context).failure.unwrap();
    assert_eq!((failure.code, failure.during), (FailureCode::TimedOut, Step::Handshake));
}

#[tokio::test]
async fn closing_and_resetting_within_the_handshake_have_codes_of_their_own() {
    let closing = listen(LOOPBACK, |mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    let resetting = listen(LOOPBACK, |mut stream| async move {
        let _ = stream.read(&mut [0; 16]).await;
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    })
    .await;
    for (address, code) in [(closing, FailureCode::Closed), (resetting, FailureCode::Reset)] {
        let (_, handshake) = probe(&context(&[]), &params(address, None)).await;
        assert_eq!(handshake.failure.unwrap().code, code);
    }
}

#[tokio::test]
async fn an_alert_is_named() {
    let mut config = Authority::new("own").issue(&["shop.test"]).config();
    config.alpn_protocols = vec![b"other".to_vec()];
    let address = listen_tls(LOOPBACK, config, stay).await;
    let (_, handshake) = probe(&context(&[]), &params(address, Some("shop.test"))).await;
    let failure = handshake.failure.unwrap();
    assert_eq!(failure.code, FailureCode::TlsAlert);
    assert!(failure.text.contains("no_application_protocol (120)"), "{}", failure.text);
}

#[tokio::test]
async fn a_server_that_ends_the_connection_with_the_handshake_is_not_well() {
    use tokio::io::AsyncWriteExt;
    let authority = Authority::new("own");
    for says_farewell in [false, true] {
        let config = authority.issue(&["shop.test"]).config();
        let address = listen_tls(LOOPBACK, config, move |mut stream| async move {
            if says_farewell {
                let _ = stream.shutdown().await;
            }
        });
        let (ending, handshake) = probe(&context(&[&authority]), &params(address.await, Some("shop.test"))).await;
        let failure = handshake.failure.unwrap();
        assert_eq!((ending, failure.code, failure.during), (Ending::Failed, FailureCode::Closed, Step::Receive));
        assert!(failure.text.contains("before anything was asked"), "{}", failure.text);
        assert!(handshake.protocol.is_some() && handshake.trust[0].trusted, "what was agreed on stays");
    }
}

#[tokio::test]
async fn a_server_that_insists_on_a_client_certificate_is_heard_after_the_handshake() {
    let authority = Authority::new("own");
    let identity = authority.issue(&["shop.test"]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::pem::PemObject::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let config = identity.config_with(rustls::ALL_VERSIONS, verifier);
    let address = listen_tls(LOOPBACK, config, stay).await;
    let (ending, handshake) = probe(&context(&[&authority]), &params(address, Some("shop.test"))).await;
    assert_eq!(ending, Ending::Failed);
    assert!(handshake.failure.unwrap().text.contains("certificate_required (116)"));
    assert!(handshake.trust[0].trusted);
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_refused_during_connect() {
    let address = {
        let listener = tokio::net::TcpListener::bind(LOOPBACK).await.unwrap();
        listener.local_addr().unwrap()
    };
    let (_, handshake) = probe(&context(&[]), &params(address, None)).await;
    let failure = handshake.failure.unwrap();
    assert_eq!((failure.code, failure.during), (FailureCode::Refused, Step::Connect));
    assert!(handshake.chain.is_empty() && handshake.name.is_none());
}

#[tokio::test]
async fn the_gate_is_asked_before_the_first_packet() {
    let address: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let mut context = context(&[]);
    let limits = crate::gate::Limits { packets: 0, ..crate::gate::Limits::PERSON };
    context.gate = Arc::new(crate::gate::Gate::new(limits, context.clock));
    let (_, handshake) = probe(&context, &params(address, None)).await;
    assert_eq!(handshake.failure.unwrap().code, FailureCode::BudgetExhausted);
}
