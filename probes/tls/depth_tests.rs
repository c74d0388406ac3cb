//! What a check shows beyond one plain handshake, against servers on loopback.

use super::ocsp::tests::{response, revoked};
use super::run;
use super::servers::{Authority, LOOPBACK, NUMBER, context, listen, listen_tls, stay};
use crate::context::{Context, Ending};
use crate::gate::{Gate, Limits};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::kind::TlsParams;
use netsonde_contract::observation::{
    Fact, FetchedIssuer, Handshake, HandshakeVariant, OcspStatus, Revocation, RevocationSource, TlsSupport, TrustReason, Variant,
};
use netsonde_contract::pin::Pin;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// Parameters of a check of this server, asked for as shop.test, with these beside.
fn params(address: SocketAddr, more: Value) -> TlsParams {
    let mut value =
        json!({"host": address.ip().to_string(), "port": address.port(), "server_name": "shop.test", "timeout_ms": 2_000});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(value).unwrap()
}

/// Everything that was recorded, by its type.
#[derive(Default)]
struct Facts {
    handshakes: Vec<Handshake>,
    variants: Vec<HandshakeVariant>,
    supports: Vec<TlsSupport>,
    fetched: Vec<FetchedIssuer>,
    revocations: Vec<Revocation>,
}

fn facts(context: &Context) -> Facts {
    let mut facts = Facts::default();
    for observation in context.recorder.observations() {
        match observation.fact {
            Fact::Handshake(fact) => facts.handshakes.push(*fact),
            Fact::HandshakeVariant(fact) => facts.variants.push(*fact),
            Fact::TlsSupport(fact) => facts.supports.push(*fact),
            Fact::FetchedIssuer(fact) => facts.fetched.push(*fact),
            Fact::Revocation(fact) => facts.revocations.push(*fact),
            other => panic!("{other:?}"),
        }
    }
    facts
}

#[tokio::test]
async fn a_plain_check_makes_one_connection_and_one_fact() {
    let authority = Authority::new("own");
    let address = listen_tls(LOOPBACK, authority.issue(&["shop.test"]).config(), stay).await;
    let context = context(&[&authority]);
    run(&context, &params(address, json!({}))).await.unwrap();
    assert_eq!((context.gate.sent(), context.recorder.observations().len()), (1, 1));
    let handshake = facts(&context).handshakes.remove(0);
    assert_eq!((handshake.tickets, handshake.starttls, handshake.pin), (None, None, None));
}

#[tokio::test]
async fn the_hello_of_classic_groups_is_compared_even_where_the_other_is_swallowed() {
    let authority = Authority::new("own");
    let acceptor = TlsAcceptor::from(Arc::new(authority.issue(&["shop.test"]).config()));
    // As a middlebox does that has never seen a hello of more than one packet.
    let address = listen(LOOPBACK, move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut peeked = [0_u8; 4096];
            let count = stream.peek(&mut peeked).await.unwrap();
            if count > 1_000 {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            } else {
                let _ = acceptor.accept(stream).await;
            }
        }
    })
    .await;
    let context = context(&[&authority]);
    let params = params(address, json!({"compare_groups": true, "timeout_ms": 300}));
    assert_eq!(run(&context, &params).await.unwrap(), Ending::Failed);
    let facts = facts(&context);
    assert_eq!(facts.handshakes[0].failure.as_ref().unwrap().code, FailureCode::TimedOut);
    let classic = &facts.variants[0];
    assert_eq!((classic.variant, &classic.failure, classic.group.as_deref()), (Variant::ClassicGroups, &None, Some("X25519")));
}

#[tokio::test]
async fn a_session_that_can_be_resumed_is_resumed_in_both_versions() {
    let authority = Authority::new("own");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut config = authority.issue(&["shop.test"]).config_with(&[version], Arc::new(rustls::server::NoClientAuth));
        config.max_early_data_size = 4_096;
        let address = listen_tls(LOOPBACK, config, |mut stream| async move {
            let _ = stream.read(&mut [0; 16]).await;
        })
        .await;
        let context = context(&[&authority]);
        run(&context, &params(address, json!({"resumption": true}))).await.unwrap();
        let facts = facts(&context);
        let tickets = facts.handshakes[0].tickets.clone().unwrap();
        let is_13 = version.version == rustls::ProtocolVersion::TLSv1_3;
        assert!(tickets.count > 0, "{tickets:?}");
        assert_eq!(tickets.max_early_data_bytes, if is_13 { 4_096 } else { 0 });
        assert!(facts.variants[0].resumed && facts.variants[0].variant == Variant::Resumption, "{:?}", facts.variants);
    }
}

#[tokio::test]
async fn a_server_without_sessions_gives_no_ticket_and_gets_no_second_handshake() {
    let authority = Authority::new("own");
    let mut config = authority.issue(&["shop.test"]).config();
    config.send_tls13_tickets = 0;
    let address = listen_tls(LOOPBACK, config, stay).await;
    let context = context(&[&authority]);
    run(&context, &params(address, json!({"resumption": true}))).await.unwrap();
    let facts = facts(&context);
    assert_eq!((facts.handshakes[0].tickets.clone().unwrap().count, facts.variants.len()), (0, 0));
}

#[tokio::test]
async fn another_name_and_no_name_are_asked_for_beside_the_own() {
    let authority = Authority::new("own");
    let address = listen_tls(LOOPBACK, authority.issue(&["shop.test"]).config(), stay).await;
    let context = context(&[&authority]);
    run(&context, &params(address, json!({"compare_names": ["other.test", "none"]}))).await.unwrap();
    let facts = facts(&context);
    let names: Vec<_> = facts.variants.iter().map(|fact| (fact.variant, fact.server_name.as_deref())).collect();
    assert_eq!(names, [(Variant::ServerName, Some("other.test")), (Variant::ServerName, None)]);
    let own = Some(facts.handshakes[0].chain[0].sha256.clone());
    assert!(facts.variants.iter().all(|fact| fact.leaf_sha256 == own && fact.failure.is_none()));
}

#[tokio::test]
async fn versions_and_suites_are_found_one_by_one() {
    let authority = Authority::new("own");
    let address = listen_tls(LOOPBACK, authority.issue(&["shop.test"]).config(), stay).await;
    let context = context(&[&authority]);
    run(&context, &params(address, json!({"versions": true, "ciphers": true}))).await.unwrap();
    let support = facts(&context).supports.remove(0);
    assert_eq!(support.failure, None);
    let seen: Vec<_> =
        support.versions.iter().map(|version| (version.protocol.as_str(), version.accepted, version.ciphers.len())).collect();
    // The library's server has an elliptic curve's key, and so of its six suites of 1.2 three.
    assert_eq!(seen, [("TLSv1.0", false, 0), ("TLSv1.1", false, 0), ("TLSv1.2", true, 3), ("TLSv1.3", true, 3)]);
    assert_eq!(support.versions[0].failure.as_ref().unwrap().code, FailureCode::TlsAlert);
    assert_eq!(support.versions[3].ciphers[0], "TLS_AES_256_GCM_SHA384");
    assert_eq!(u64::from(support.connections) + 1, context.gate.sent(), "every connection passed the gate");
}

#[tokio::test]
async fn a_budget_ends_the_questions_and_keeps_what_was_learnt() {
    let authority = Authority::new("own");
    let address = listen_tls(LOOPBACK, authority.issue(&["shop.test"]).config(), stay).await;
    let mut context = context(&[&authority]);
    context.gate = Arc::new(Gate::new(Limits { packets: 4, ..Limits::PERSON }, context.clock));
    run(&context, &params(address, json!({"ciphers": true}))).await.unwrap();
    let support = facts(&context).supports.remove(0);
    assert_eq!(support.failure.unwrap().code, FailureCode::BudgetExhausted);
    assert_eq!((support.connections, support.versions[2].ciphers.len()), (3, 1));
}

#[tokio::test]
async fn a_stapled_revocation_is_read_beside_a_chain_that_is_trusted() {
    let authority = Authority::new("own");
    let identity = authority.issue(&["shop.test"]);
    let serial = x509_parser::parse_x509_certificate(identity.leaf()).unwrap().1.raw_serial().to_vec();
    let stapled = response(&serial, &revoked(), authority.key(), None);
    let identity = identity.stapling(stapled).followed_by(&authority.der);
    let address = listen_tls(LOOPBACK, identity.config(), stay).await;
    let context = context(&[&authority]);
    run(&context, &params(address, json!({}))).await.unwrap();
    let handshake = facts(&context).handshakes.remove(0);
    let ocsp = handshake.ocsp.unwrap();
    assert_eq!((ocsp.status, ocsp.about_leaf, ocsp.signature_valid), (OcspStatus::Revoked, true, Some(true)));
    assert!(handshake.ocsp_stapled && handshake.trust[0].trusted);
    assert_eq!(handshake.built.unwrap().path, [0, 1]);
}

/// Serves one body over HTTP.
async fn web(body: Vec<u8>) -> SocketAddr {
    listen(LOOPBACK, move |mut stream| {
        let body = body.clone();
        async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_missing_intermediate_is_fetched_only_where_that_is_allowed_and_then_the_chain_is_judged_again() {
    let root = Authority::new("root");
    let middle = root.subordinate("middle");
    let place = web(middle.der.to_vec()).await;
    let url = format!("http://{place}/middle.der");
    let address = listen_tls(LOOPBACK, middle.issue_naming(&["shop.test"], &url).config(), stay).await;
    for allowed in [false, true] {
        let context = context(&[&root]);
        let ending = run(&context, &params(address, json!({"fetch_issuers": allowed}))).await.unwrap();
        assert_eq!(ending, Ending::Failed, "clients that fetch nothing fail all the same");
        let facts = facts(&context);
        let handshake = &facts.handshakes[0];
        assert_eq!(handshake.deciding_verdict().unwrap().reason, Some(TrustReason::UnknownIssuer));
        let built = handshake.built.as_ref().unwrap();
        assert!(built.missing_issuer.as_ref().unwrap().contains("CN=middle"), "{built:?}");
        assert_eq!(built.issuer_url.as_deref(), Some(url.as_str()));
        assert_eq!((facts.fetched.len(), context.gate.sent()), if allowed { (1, 2) } else { (0, 1) });
        if let Some(fetched) = facts.fetched.first() {
            assert_eq!((fetched.fits, &fetched.failure, fetched.address), (true, &None, Some(place)));
            assert!(fetched.trust[0].trusted, "{fetched:?}");
        }
    }
}

#[tokio::test]
async fn an_address_that_a_certificate_names_passes_the_gate_like_any_other() {
    let root = Authority::new("root");
    let middle = root.subordinate("middle");
    let identity = middle.issue_naming(&["shop.test"], "http://127.0.0.1:9/middle.der");
    let address = listen_tls(LOOPBACK, identity.config(), stay).await;
    let mut context = context(&[&root]);
    context.gate = Arc::new(Gate::new(Limits { packets: 1, ..Limits::PERSON }, context.clock));
    run(&context, &params(address, json!({"fetch_issuers": true}))).await.unwrap();
    assert_eq!(facts(&context).fetched.remove(0).failure.unwrap().code, FailureCode::BudgetExhausted);
}

#[tokio::test]
async fn what_is_no_certificate_and_what_is_another_one_are_not_taken_for_the_issuer() {
    let root = Authority::new("root");
    let middle = root.subordinate("middle");
    for body in [vec![b'x'; 100_000], b"rubbish".to_vec(), Authority::new("middle").der.to_vec()] {
        let place = web(body).await;
        let url = format!("http://{place}/");
        let address = listen_tls(LOOPBACK, middle.issue_naming(&["shop.test"], &url).config(), stay).await;
        let context = context(&[&root]);
        run(&context, &params(address, json!({"fetch_issuers": true}))).await.unwrap();
        let fetched = facts(&context).fetched.remove(0);
        assert!(!fetched.fits && (fetched.failure.is_some() || fetched.certificate.is_some()), "{fetched:?}");
        assert!(fetched.trust.iter().all(|verdict| !verdict.trusted));
    }
}

/// A server whose certificate names this place for its revocation; the issuer's certificate is sent along.
async fn naming(root: &Authority, responder: Option<&str>, list: Option<&str>) -> SocketAddr {
    let identity = root.issue_with_places(&["shop.test"], responder, list);
    listen_tls(LOOPBACK, identity.config(), stay).await
}

#[tokio::test]
async fn the_responder_is_asked_only_where_that_is_allowed_and_what_it_says_is_kept() {
    let root = Authority::new("root");
    for allowed in [false, true] {
        let place = web(response(&NUMBER, &revoked(), root.key(), None)).await;
        let address = naming(&root, Some(&format!("http://{place}/ask")), None).await;
        let context = context(&[&root]);
        let ending = run(&context, &params(address, json!({"revocation": allowed}))).await.unwrap();
        assert_eq!(ending, Ending::AsExpected, "what comes of it decides no check");
        let asked = facts(&context).revocations;
        assert_eq!((asked.len(), context.gate.sent()), if allowed { (1, 2) } else { (0, 1) });
        if let Some(asked) = asked.first() {
            let said = asked.statement.as_ref().unwrap();
            assert_eq!((asked.by, asked.address, &asked.failure), (RevocationSource::Ocsp, Some(place), &None));
            assert_eq!((said.status, said.about_leaf, said.signature_valid), (OcspStatus::Revoked, true, Some(true)));
        }
    }
}

#[tokio::test]
async fn where_the_responder_gives_no_statement_the_list_is_fetched() {
    let root = Authority::new("root");
    for (is_revoked, status) in [(false, OcspStatus::Good), (true, OcspStatus::Revoked)] {
        let place = web(root.list(is_revoked)).await;
        let address = naming(&root, Some("http://127.0.0.1:9/"), Some(&format!("http://{place}/list.crl"))).await;
        let context = context(&[&root]);
        run(&context, &params(address, json!({"revocation": true}))).await.unwrap();
        let asked = facts(&context).revocations;
        assert_eq!(asked[0].failure.as_ref().unwrap().code, FailureCode::Refused);
        let said = asked[1].statement.as_ref().unwrap();
        assert_eq!((said.status, said.about_leaf, said.signature_valid), (status, true, Some(true)));
        assert_eq!((asked[1].by, said.revocation_reason), (RevocationSource::Crl, is_revoked.then_some(1)));
    }
}

#[tokio::test]
async fn a_responder_passes_the_gate_like_any_other_address() {
    let root = Authority::new("root");
    let address = naming(&root, Some("http://127.0.0.1:9/"), None).await;
    let mut context = context(&[&root]);
    context.gate = Arc::new(Gate::new(Limits { packets: 1, ..Limits::PERSON }, context.clock));
    run(&context, &params(address, json!({"revocation": true}))).await.unwrap();
    assert_eq!(facts(&context).revocations.remove(0).failure.unwrap().code, FailureCode::BudgetExhausted);
}

#[tokio::test]
async fn a_certificate_other_than_the_expected_one_fails_however_trusted() {
    let authority = Authority::new("own");
    let identity = authority.issue(&["shop.test"]);
    let (right, key) = (hexadecimal(&Sha256::digest(identity.leaf())), Pin::of_certificate(identity.leaf()).unwrap());
    let address = listen_tls(LOOPBACK, identity.config(), stay).await;
    for (pin, fits) in [(right, true), (key.to_string(), true), ("ab".repeat(32), false)] {
        let context = context(&[&authority]);
        let ending = run(&context, &params(address, json!({"pin": pin}))).await.unwrap();
        assert_eq!(ending == Ending::AsExpected, fits);
        let verdict = facts(&context).handshakes.remove(0).pin.unwrap();
        assert_eq!((verdict.fits, verdict.wanted, verdict.key_sha256.len()), (fits, pin, 64));
    }
    assert!(run(&context(&[]), &params(address, json!({"pin": "abc"}))).await.is_err());
}

#[tokio::test]
async fn the_authorities_that_a_server_accepts_of_clients_are_listed() {
    let authority = Authority::new("clients of the shop");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = verifier.allow_unauthenticated().build().unwrap();
    let config = authority.issue(&["shop.test"]).config_with(rustls::ALL_VERSIONS, verifier);
    let address = listen_tls(LOOPBACK, config, stay).await;
    let context = context(&[&authority]);
    run(&context, &params(address, json!({}))).await.unwrap();
    let request = facts(&context).handshakes.remove(0).certificate_request.unwrap();
    assert_eq!(request.authorities, ["CN=clients of the shop"]);
}

#[tokio::test]
async fn a_mail_server_is_led_to_tls_and_one_that_refuses_is_told_from_a_broken_one() {
    let authority = Authority::new("own");
    let acceptor = TlsAcceptor::from(Arc::new(authority.issue(&["shop.test"]).config()));
    let mail = listen(LOOPBACK, move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut said = [0_u8; 256];
            stream.write_all(b"220 mail.test ESMTP\r\n").await.unwrap();
            let _ = stream.read(&mut said).await;
            stream.write_all(b"250-mail.test\r\n250 STARTTLS\r\n").await.unwrap();
            let _ = stream.read(&mut said).await;
            stream.write_all(b"220 go ahead\r\n").await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                stay(stream).await;
            }
        }
    })
    .await;
    let context = context(&[&authority]);
    let ending = run(&context, &params(mail, json!({"starttls": "smtp", "versions": true}))).await.unwrap();
    let facts = facts(&context);
    let handshake = &facts.handshakes[0];
    let talk = handshake.starttls.as_ref().unwrap();
    assert_eq!((ending, talk.agreed, talk.greeting.as_str()), (Ending::AsExpected, true, "220 mail.test ESMTP"));
    assert!(facts.supports[0].versions[3].accepted, "{:?}", facts.supports);
}

#[tokio::test]
async fn what_stands_in_the_way_of_starttls_has_a_code_of_its_own() {
    let refusing: &[u8] = b"220 mail\r\n250 mail\r\n";
    let cases: [(&[u8], FailureCode); 3] = [
        (refusing, FailureCode::Other("starttls_refused".into())),
        (b"SSH-2.0-x\r\n", FailureCode::ProtocolError),
        (b"", FailureCode::Closed),
    ];
    for (says, code) in cases {
        let address = listen(LOOPBACK, move |mut stream| async move {
            for line in says.split_inclusive(|byte| *byte == b'\n') {
                let _ = stream.write_all(line).await;
                let _ = stream.read(&mut [0; 256]).await;
            }
        })
        .await;
        let context = context(&[]);
        assert_eq!(run(&context, &params(address, json!({"starttls": "smtp"}))).await.unwrap(), Ending::Failed);
        let handshake = facts(&context).handshakes.remove(0);
        assert_eq!(handshake.failure.unwrap().code, code);
        assert!(!handshake.starttls.unwrap().agreed && handshake.chain.is_empty());
    }
}
