//! TLS facts against openssl, which offers what the library's own servers do not: old versions, chosen suites, a responder's answers.

use netsonde_contract::document::Document;
use netsonde_contract::observation::{Fact, OcspStatus};
use netsonde_tests::programs::program;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// An openssl server, ended with the test.
struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")]).args(arguments).current_dir(folder);
        let process = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { process, port };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("openssl s_server does not listen on {port}");
    }
}

fn shell(folder: &Path, commands: &str) {
    let output = Command::new("sh").args(["-e", "-c", commands]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and a certificate of its for 127.0.0.1.
fn certificates(folder: &Path) {
    shell(
        folder,
        r#"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 -subj "/CN=Test Authority"
           openssl req -newkey rsa:2048 -nodes -keyout key.pem -out leaf.csr -subj "/CN=shop.test"
           printf 'subjectAltName=IP:127.0.0.1' > leaf.ext
           openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -extfile leaf.ext -out leaf.pem"#,
    );
}

fn probe(folder: &Path, server: &Server, arguments: &[&str]) -> Vec<Fact> {
    let mut command = Command::new(program("netsonde").unwrap());
    command.args(["probe", "tls", "127.0.0.1", "--port", &server.port.to_string(), "--trust", "ca.pem", "--format", "json"]);
    command.args(["--redact", "none"]);
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    let document: Document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    document.outcomes.into_iter().flat_map(|outcome| outcome.observations).map(|observation| observation.fact).collect()
}

#[test]
fn the_versions_and_suites_that_openssl_was_told_to_accept_are_found_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let suites = "ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA256:ECDHE-RSA-AES256-SHA:AES128-SHA:@SECLEVEL=0";
    let arguments = ["-cert", "leaf.pem", "-key", "key.pem", "-min_protocol", "TLSv1.1", "-serverpref", "-cipher", suites];
    let server = Server::start(folder.path(), &[&arguments[..], &["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"]].concat());
    let facts = probe(folder.path(), &server, &["--versions", "--ciphers"]);
    let support = facts.iter().find_map(|fact| if let Fact::TlsSupport(support) = fact { Some(support) } else { None }).unwrap();
    let found: Vec<(&str, Vec<&str>)> = support
        .versions
        .iter()
        .filter(|version| version.accepted)
        .map(|version| (version.protocol.as_str(), version.ciphers.iter().map(String::as_str).collect()))
        .collect();
    let old = ["TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"];
    let new = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_256_CBC_SHA256"];
    let expected =
        [("TLSv1.1", old.to_vec()), ("TLSv1.2", [new, old].concat()), ("TLSv1.3", vec!["TLS_CHACHA20_POLY1305_SHA256"])];
    assert_eq!(found, expected, "{support:?}");
    assert_eq!(support.versions[2].server_order, Some(true));
    assert!(!support.versions[0].accepted && support.versions[0].failure.is_some());
}

#[test]
fn what_openssls_responder_signed_is_read_as_it_meant_it() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    for (index, status) in
        [("V\\t401231000000Z\\t", OcspStatus::Good), ("R\\t401231000000Z\\t251101000000Z,keyCompromise", OcspStatus::Revoked)]
    {
        shell(
            folder.path(),
            &format!(
                r#"serial=$(openssl x509 -in leaf.pem -noout -serial | cut -d= -f2)
                   printf '{index}\t%s\tunknown\t/CN=shop.test\n' "$serial" > index.txt
                   openssl ocsp -index index.txt -CA ca.pem -rsigner ca.pem -rkey ca.key -issuer ca.pem -cert leaf.pem -ndays 7 -respout answer.der"#
            ),
        );
        let arguments = ["-cert", "leaf.pem", "-cert_chain", "ca.pem", "-key", "key.pem", "-status_file", "answer.der"];
        let server = Server::start(folder.path(), &arguments);
        let facts = probe(folder.path(), &server, &[]);
        let Some(Fact::Handshake(handshake)) = facts.first() else { panic!("{facts:?}") };
        let ocsp = handshake.ocsp.as_ref().unwrap();
        assert_eq!((ocsp.status, ocsp.about_leaf, ocsp.signature_valid), (status, true, Some(true)));
        assert_eq!(ocsp.revocation_reason, (status == OcspStatus::Revoked).then_some(1));
        assert!(ocsp.next_update > ocsp.this_update);
    }
}
