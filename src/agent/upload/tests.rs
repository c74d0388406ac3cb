use super::*;
use crate::ticket::tests::sample;
use ed25519_dalek::SigningKey;
use netsonde_contract::agent_config::Rate;
use netsonde_contract::id::CaseId;
use netsonde_contract::receipt;
use netsonde_probes::clock::Clock;
use netsonde_probes::context::ProxyChoice;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as the scripted backend saw it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    line: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|line| line.split_once(": ").filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value))
    }
}

/// Answers one request after the other with what the script says; an empty answer cuts the connection.
fn backend(script: Vec<Vec<u8>>) -> (String, Arc<Mutex<Vec<Seen>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        let mut script = script.into_iter();
        while let Ok((stream, _)) = listener.accept() {
            let Some(answer) = script.next() else { return };
            let request = read_request(&stream);
            log.lock().unwrap().push(request);
            let _ = (&stream).write_all(&answer);
        }
    });
    (base, seen)
}

fn read_request(stream: &TcpStream) -> Seen {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut seen = Seen { line: lines.remove(0), headers: lines, body: Vec::new() };
    let length: u64 = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    reader.take(length).read_to_end(&mut seen.body).unwrap();
    seen
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn signed_receipt(signer: &SigningKey, ticket: &Ticket, bundle: &BundleId, bytes: &[u8]) -> Vec<u8> {
    let receipt = Receipt {
        bundle: bundle.clone(),
        file_sha256: hexadecimal(&Sha256::digest(bytes)),
        size_bytes: u64::try_from(bytes.len()).unwrap(),
        ticket: Some(ticket.id.clone()),
        case: CaseId::parse("4711"),
        received: jiff::Timestamp::UNIX_EPOCH,
        case_url: Some("https://support.example/cases/4711".into()),
        audit: None,
    };
    let head = format!("200 OK\r\nContent-Type: {}", receipt::MEDIA_TYPE);
    answer(&head, &receipt.sign(signer).to_json())
}

struct Scene {
    ticket: Ticket,
    bundle: BundleId,
    agent: SigningKey,
    pace: Pace,
}

const BYTES: &[u8] = b"a small bundle";

impl Scene {
    fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let ticket = sample(&SigningKey::from_bytes(&[1; 32]));
        Self { ticket, bundle: BundleId::new("ab".repeat(32)), agent: SigningKey::from_bytes(&[2; 32]), pace: Pace::FREE }
    }

    fn receipt_by(&self, signer: u8) -> Vec<u8> {
        signed_receipt(&SigningKey::from_bytes(&[signer; 32]), &self.ticket, &self.bundle, BYTES)
    }

    async fn send(&mut self, script: Vec<Vec<u8>>) -> (Result<Delivered, NotDelivered>, Vec<Seen>) {
        let (base, seen) = backend(script);
        self.ticket.backend = base;
        let backend = Backend::new(&self.ticket, TlsTrust::Ticket, &ProxyChoice::None).unwrap();
        let parcel = Parcel {
            errand: Errand::Ticket(&self.ticket),
            bundle: &self.bundle,
            bytes: Bytes::from_static(BYTES),
            key: self.agent.verifying_key(),
        };
        let sent = drive(&backend, &parcel, &self.pace).await;
        let seen = seen.lock().unwrap().clone();
        (sent, seen)
    }
}

fn created() -> Vec<u8> {
    answer("201 Created\r\nLocation: /v1/uploads/u1\r\nUpload-Offset: 0\r\nUpload-Limit: max-size=99, max-append-size=10", b"")
}

#[tokio::test]
async fn a_bundle_goes_in_bounded_parts_with_digests_and_proof() {
    let mut scene = Scene::new();
    let script = vec![created(), answer("204 No Content\r\nUpload-Offset: 10", b""), scene.receipt_by(1)];
    let (sent, seen) = scene.send(script).await;
    let delivered = sent.unwrap();
    assert_eq!(delivered.receipt.case_url.as_deref(), Some("https://support.example/cases/4711"));
    let lines: Vec<&str> = seen.iter().map(|request| request.line.as_str()).collect();
    assert_eq!(lines, ["POST /v1/uploads HTTP/1.1", "PATCH /v1/uploads/u1 HTTP/1.1", "PATCH /v1/uploads/u1 HTTP/1.1"]);
    let proof = seen[0].header(header::PROOF).unwrap();
    let proof_key = scene.ticket.proof_key();
    assert!(proof_key.verify(&scene.ticket.id, &scene.agent.verifying_key(), &scene.ticket.receipt_key, proof));
    assert_eq!(seen[0].header(header::UPLOAD_LENGTH), Some("14"));
    assert_eq!((seen[1].body.as_slice(), seen[1].header(header::UPLOAD_COMPLETE)), (&BYTES[..10], Some("?0")));
    assert_eq!((seen[2].body.as_slice(), seen[2].header(header::UPLOAD_COMPLETE)), (&BYTES[10..], Some("?1")));
    let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&BYTES[10..])));
    assert_eq!(seen[2].header(header::CONTENT_DIGEST), Some(digest.as_str()));
}

#[tokio::test]
async fn a_receipt_by_another_key_does_not_count_as_delivery() {
    let mut scene = Scene::new();
    let script = vec![scene.receipt_by(9)];
    let (sent, _) = scene.send(script).await;
    assert!(matches!(sent, Err(NotDelivered::Failed(Failure::Receipt(_)))), "{sent:?}");
}

#[tokio::test]
async fn a_receipt_for_another_file_does_not_count_as_delivery() {
    let mut scene = Scene::new();
    let other = signed_receipt(&SigningKey::from_bytes(&[1; 32]), &scene.ticket, &scene.bundle, b"another");
    let (sent, _) = scene.send(vec![other]).await;
    assert!(matches!(sent, Err(NotDelivered::Failed(Failure::Receipt(_)))), "{sent:?}");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_backends_words() {
    let mut scene = Scene::new();
    let problem = api::Problem::new(api::ProblemCode::TicketUsed, "used on Monday");
    let head = format!("409 Conflict\r\nContent-Type: {}", api::PROBLEM_MEDIA_TYPE);
    let (sent, seen) = scene.send(vec![answer(&head, &serde_json::to_vec(&problem).unwrap())]).await;
    let Err(NotDelivered::Failed(failure)) = sent else { panic!("{sent:?}") };
    assert_eq!(failure.to_string(), "the backend refused it: used on Monday (ticket_used)");
    assert_eq!(seen.len(), 1, "a refusal is not tried again");
}

#[tokio::test]
async fn a_capped_bundle_goes_piece_by_piece_with_its_length_and_digest_said_before() {
    let mut scene = Scene::new();
    scene.pace = Pace::of(Rate::new(1_000), Clock::start());
    let script = vec![created(), answer("204 No Content\r\nUpload-Offset: 10", b""), scene.receipt_by(1)];
    let (sent, seen) = scene.send(script).await;
    sent.unwrap();
    assert_eq!((seen[1].body.as_slice(), seen[1].header("content-length")), (&BYTES[..10], Some("10")));
    assert_eq!((seen[2].body.as_slice(), seen[2].header("transfer-encoding")), (&BYTES[10..], None));
    let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&BYTES[10..])));
    assert_eq!(seen[2].header(header::CONTENT_DIGEST), Some(digest.as_str()));
}

#[tokio::test]
async fn an_answer_that_drips_in_for_ever_is_left() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                use tokio::io::AsyncWriteExt;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await;
                let mut drip = tokio::time::interval(std::time::Duration::from_millis(20));
                while stream.write_all(b".").await.is_ok() {
                    drip.tick().await;
                }
            });
        }
    });
    let backend = Backend::at(&base, None, &ProxyChoice::None).unwrap().hurried(std::time::Duration::from_millis(300));
    let asked = backend.answer(backend.request(Method::POST, api::path::UPLOADS).body(Bytes::new())).await;
    assert!(matches!(asked, Err(NoAnswer::Cut(_))), "{asked:?}");
}

#[tokio::test]
async fn a_redirect_takes_no_bundle_elsewhere() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let to = elsewhere.local_addr().unwrap();
    for status in ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let redirect = || answer(&format!("{status}\r\nLocation: http://{to}/v1/uploads"), b"");
        // In place of the upload's beginning, and of what takes its first part.
        for script in [vec![redirect()], vec![created(), redirect()]] {
            let requests = script.len();
            let (sent, seen) = Scene::new().send(script).await;
            assert!(matches!(sent, Err(NotDelivered::Failed(Failure::Unexpected(_)))), "{status}: {sent:?}");
            assert_eq!(seen.len(), requests, "{status}");
        }
        let created_there = answer(&format!("201 Created\r\nLocation: http://{to}/v1/uploads/u1\r\nUpload-Offset: 0"), b"");
        let (sent, _) = Scene::new().send(vec![created_there]).await;
        assert!(matches!(sent, Err(NotDelivered::Failed(Failure::Unexpected(_)))), "{sent:?}");
        assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "{status}: the other place was asked");
    }
}

/// Versions in the extension `supported_versions` of a TLS ClientHello (RFC 8446 section 4.2.1), from a record's first byte on.
fn offered_versions(record: &[u8]) -> Vec<u16> {
    let number = |at: usize| usize::from(u16::from_be_bytes([record[at], record[at + 1]]));
    // Record, handshake, version and random; session, ciphers, compressions.
    let session = 5 + 4 + 2 + 32;
    let ciphers = session + 1 + usize::from(record[session]);
    let compressions = ciphers + 2 + number(ciphers);
    let mut at = compressions + 1 + usize::from(record[compressions]) + 2;
    while number(at) != 43 {
        at += 4 + number(at + 2);
    }
    let listed = &record[at + 5..at + 5 + usize::from(record[at + 4])];
    listed.chunks(2).map(|version| u16::from_be_bytes([version[0], version[1]])).collect()
}

/// By a pinned key and by the platform's trust.
#[tokio::test]
async fn less_than_tls_1_2_is_neither_offered_nor_taken() {
    const TLS_1_1: [u8; 2] = [3, 2];
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    for pin in [Some(netsonde_contract::pin::Pin::of_public_key_info(b"a key")), None] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 5];
            stream.read_exact(&mut head).unwrap();
            let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            stream.read_exact(&mut hello).unwrap();
            // A ServerHello of TLS 1.1: its random, no session, a cipher of that time, no compression.
            let answer = [&TLS_1_1[..], &[7; 32], &[0], &[0xc0, 0x13], &[0]].concat();
            let record = [&[22], &TLS_1_1[..], &[0, answer.len() as u8 + 4, 2, 0, 0, answer.len() as u8], &answer].concat();
            stream.write_all(&record).unwrap();
            let mut reply = Vec::new();
            let _ = stream.read_to_end(&mut reply);
            ([&head[..], &hello].concat(), reply)
        });
        let backend = Backend::at(&base, pin.as_ref(), &ProxyChoice::None).unwrap();
        let asked = backend.answer(backend.request(Method::POST, api::path::UPLOADS).body(Bytes::new())).await;
        assert!(matches!(asked, Err(NoAnswer::Unreachable(_))), "{asked:?}");
        let (hello, reply) = server.join().unwrap();
        assert_eq!(offered_versions(&hello), [0x0304, 0x0303], "TLS 1.3 and 1.2");
        // A fatal alert (21, 2) and nothing else.
        assert!(reply.len() == 7 && reply[0] == 21 && reply[5] == 2, "{reply:?}");
    }
}
