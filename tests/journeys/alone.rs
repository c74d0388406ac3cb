use super::world::{World, code, document, text};
use netsonde_contract::finding::State;
use netsonde_tests::certificates::Flaw;
use std::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_endpoint_is_as_expected_over_both_families() {
    let world = World::new();
    for address in ["127.0.0.1", "::1"] {
        let (url, _server) = world.https(address, Flaw::None).await;
        let output = world.run(&["run", "web", "--target", &url, "--format", "json", "--no-upload"]).await;
        assert_eq!(code(&output), 0, "{}", text(&output));
        let document = document(&output);
        assert_eq!(document.state, State::AsExpected, "{}", text(&output));
        assert!(document.bundle.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_is_refused() {
    let world = World::new();
    // A port that was free a moment ago: bound and let go again.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("https://127.0.0.1:{port}");
    let output = world.run(&["run", "web", "--target", &url, "--format", "json", "--no-upload"]).await;
    assert_eq!(code(&output), 1, "{}", text(&output));
    assert_eq!(document(&output).findings[0].cause, "tcp.refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_certificate_is_named() {
    let world = World::new();
    for (flaw, cause) in [
        (Flaw::Expired, "tls.expired"),
        (Flaw::NotYetValid, "tls.not_yet_valid"),
        (Flaw::SelfSigned, "tls.self_signed"),
        (Flaw::UnknownIssuer, "tls.unknown_issuer"),
    ] {
        let (url, _server) = world.https("127.0.0.1", flaw).await;
        let output = world.run(&["run", "web", "--target", &url, "--format", "json", "--no-upload"]).await;
        assert_eq!(code(&output), 1, "{}", text(&output));
        assert_eq!(document(&output).findings[0].cause, cause, "{}", text(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_names_the_cause_on_standard_output_alone() {
    let world = World::new();
    let (url, _server) = world.https("127.0.0.1", Flaw::Expired).await;
    for format in ["human", "json", "jsonl", "markdown", "html"] {
        let output = world.run(&["run", "web", "--target", &url, "--format", format, "--no-upload"]).await;
        assert_eq!(code(&output), 1, "{format}: {}", text(&output));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("tls.expired"), "{format}: {}", text(&output));
        assert!(!said.contains('\u{1b}'), "{format} has colours although nobody asked for them");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_probe_prints_its_document() {
    let world = World::new();
    let (_, server) = world.https("127.0.0.1", Flaw::None).await;
    let port = server.address.port().to_string();
    let output = world.stage.netsonde(&["probe", "tcp", "127.0.0.1", &port, "--format", "json"]).await.unwrap();
    assert_eq!(code(&output), 0, "{}", text(&output));
    let document = document(&output);
    assert!(document.bundle.is_none());
    assert_eq!(document.outcomes.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_of_one_machine_form_a_chain_and_verify() {
    let world = World::new();
    let (url, _server) = world.https("127.0.0.1", Flaw::None).await;
    let mut previous = None;
    for sequence in 1..=2 {
        let file = world.stage.folder().join(format!("{sequence}.tar.gz"));
        let output = world.run(&["run", "web", "--target", &url, "--no-upload", "--out", &file.to_string_lossy()]).await;
        assert_eq!(code(&output), 0, "{}", text(&output));
        let bundle = netsonde_contract::bundle::verify(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(bundle.predicate.sequence, sequence);
        assert_eq!(bundle.predicate.previous, previous);
        previous = Some(bundle.id.clone());
        let verified = world.stage.netsonde(&["bundle", "verify", &file.to_string_lossy()]).await.unwrap();
        assert_eq!(code(&verified), 0, "{}", text(&verified));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_a_place_to_write_is_measured_all_the_same() {
    let world = World::new();
    let (url, _server) = world.https("127.0.0.1", Flaw::None).await;
    let file = world.stage.folder().join("file");
    std::fs::write(&file, "").unwrap();
    let nowhere = file.join("state");
    let arguments = ["run", "web", "--target", &url, "--format", "json", "--state-dir", &nowhere.to_string_lossy()];
    let output = world.run(&arguments).await;
    assert_eq!(code(&output), 0, "{}", text(&output));
    assert!(document(&output).bundle.is_none() && text(&output).contains("nothing is kept"), "{}", text(&output));

    let out = world.stage.folder().join("kept.tar.gz");
    let output = world.run(&[&arguments[..], &["--out", &out.to_string_lossy()]].concat()).await;
    assert_eq!(code(&output), 0, "{}", text(&output));
    let bundle = netsonde_contract::bundle::verify(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(document(&output).bundle.unwrap().id, bundle.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_key_is_told_before_anything_is_measured() {
    let world = World::new();
    let (url, _server) = world.https("127.0.0.1", Flaw::None).await;
    let state = world.stage.folder().join("damaged");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("agent.key"), "damaged").unwrap();
    let output = world.run(&["run", "web", "--target", &url, "--state-dir", &state.to_string_lossy()]).await;
    assert_eq!(code(&output), 2, "{}", text(&output));
    assert!(output.stdout.is_empty() && text(&output).contains("agent.key"), "{}", text(&output));
}
