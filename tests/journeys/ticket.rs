use super::world::{World, code, text};
use netsonde_contract::bundle;
use netsonde_tests::certificates::Flaw;
use netsonde_tests::stage::Backend;

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_leads_from_the_desk_to_a_verified_case() {
    let world = World::new();
    let backend = Backend::start(&world.stage).await.unwrap();
    let (good, _good) = world.https("127.0.0.1", Flaw::None).await;
    let (bad, _bad) = world.https("127.0.0.1", Flaw::Expired).await;
    let ticket = world.stage.ticket(&backend, "4711", "web", &[good.clone(), bad.clone()]).await.unwrap();

    let preview = world.run(&["run", "--ticket", &ticket.ticket, "--preview"]).await;
    assert_eq!(code(&preview), 0, "{}", text(&preview));
    assert!(text(&preview).contains(&bad), "{}", text(&preview));

    let file = world.stage.folder().join("bundle.tar.gz");
    let output =
        world.run(&["run", "--ticket", &ticket.ticket, "--yes", "--format", "json", "--out", &file.to_string_lossy()]).await;
    assert_eq!(code(&output), 1, "{}", text(&output));
    let document = super::world::document(&output);
    assert_eq!(document.findings[0].cause, "tls.expired");
    assert_eq!(document.findings[0].target.as_deref(), Some(bad.as_str()));
    assert!(document.findings.iter().all(|finding| finding.target.as_deref() != Some(good.as_str())));

    let shown = world.stage.desk(&backend, &["show", "4711"]).await.unwrap();
    assert_eq!(code(&shown), 0, "{}", text(&shown));
    assert!(text(&shown).contains("tls.expired"), "{}", text(&shown));

    let id = document.bundle.unwrap().id;
    let fetched = world.stage.folder().join("fetched.tar.gz");
    let fetch = world.stage.desk(&backend, &["fetch", id.as_str(), "--out", &fetched.to_string_lossy()]).await.unwrap();
    assert_eq!(code(&fetch), 0, "{}", text(&fetch));
    let bytes = std::fs::read(&fetched).unwrap();
    assert_eq!(bytes, std::fs::read(&file).unwrap(), "the backend hands out what it was given");
    let verified = bundle::verify(&bytes).unwrap();
    assert_eq!(verified.id, id);
    assert!(!verified.files.contains_key(bundle::file_name::CAPTURE), "nobody asked for a capture");

    let again = world.run(&["run", "--ticket", &ticket.ticket, "--yes"]).await;
    assert!(text(&again).contains("ticket_used"), "a second use is refused in words: {}", text(&again));
    assert_ne!(code(&again), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_run_leaves_nothing_behind() {
    let world = World::new();
    let backend = Backend::start(&world.stage).await.unwrap();
    let (good, _good) = world.https("127.0.0.1", Flaw::None).await;
    let ticket = world.stage.ticket(&backend, "4712", "web", &[good]).await.unwrap();
    let state = world.stage.folder().join("agent-state");
    let output = world.run(&["run", "--ticket", &ticket.ticket, "--yes", "--state-dir", &state.to_string_lossy()]).await;
    assert_eq!(code(&output), 0, "{}", text(&output));
    let left: Vec<_> =
        std::fs::read_dir(&state).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_backend_costs_the_upload_and_not_the_bundle() {
    let world = World::new();
    let mut backend = Backend::start(&world.stage).await.unwrap();
    let (good, _good) = world.https("127.0.0.1", Flaw::None).await;
    let ticket = world.stage.ticket(&backend, "4713", "web", &[good]).await.unwrap();
    backend.kill().await.unwrap();
    let output = world.run(&["run", "--ticket", &ticket.ticket, "--yes", "--format", "json"]).await;
    assert_eq!(code(&output), 5, "{}", text(&output));
    let place = super::world::document(&output).bundle.unwrap();
    let path = place.path.expect("the bundle was kept");
    assert_eq!(bundle::verify(&std::fs::read(path).unwrap()).unwrap().id, place.id);
    assert!(text(&output).contains("/t/"), "the message names the page that takes the file: {}", text(&output));

    // Where nothing can be written either, it is neither here nor there.
    let file = world.stage.folder().join("a-file");
    std::fs::write(&file, "").unwrap();
    let nowhere = file.join("state").to_string_lossy().into_owned();
    let lost = world.run(&["run", "--ticket", &ticket.ticket, "--yes", "--state-dir", &nowhere]).await;
    assert_eq!(code(&lost), 2, "{}", text(&lost));
    assert!(text(&lost).contains("it is not kept") || text(&lost).contains("nothing is kept"), "{}", text(&lost));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_ticket_is_refused_before_anything_is_measured() {
    let world = World::new();
    let backend = Backend::start(&world.stage).await.unwrap();
    let (good, _good) = world.https("127.0.0.1", Flaw::None).await;
    let ticket = world.stage.ticket(&backend, "4714", "web", &[good]).await.unwrap();
    let revoked = world.stage.desk(&backend, &["ticket", "revoke", ticket.id.as_str()]).await.unwrap();
    assert_eq!(code(&revoked), 0, "{}", text(&revoked));
    let output = world.run(&["run", "--ticket", &ticket.ticket, "--yes"]).await;
    assert_ne!(code(&output), 0);
    assert!(text(&output).contains("ticket_revoked"), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_alone_sends_nothing_where_nobody_can_be_asked_and_the_kept_bundle_can_be_sent_later() {
    let world = World::new();
    let backend = Backend::start(&world.stage).await.unwrap();
    let (good, _good) = world.https("127.0.0.1", Flaw::None).await;
    let ticket = world.stage.ticket(&backend, "4715", "web", std::slice::from_ref(&good)).await.unwrap();
    let output = world.run(&["run", "--ticket", &ticket.ticket, "--format", "json"]).await;
    assert_eq!(code(&output), 5, "{}", text(&output));
    assert!(text(&output).contains("bundle send") && text(&output).contains("/t/"), "{}", text(&output));
    let path = super::world::document(&output).bundle.unwrap().path.expect("the bundle was kept");
    let shown = world.stage.desk(&backend, &["show", "4715"]).await.unwrap();
    assert!(!text(&shown).contains("as_expected"), "nothing was sent: {}", text(&shown));

    let send = |ticket: String, more: &'static [&'static str]| {
        let arguments = [&["bundle", "send", &path, "--ticket", &ticket], more].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let stage = &world.stage;
        async move { stage.netsonde(&arguments).await.unwrap() }
    };
    let unagreed = send(ticket.ticket.clone(), &[]).await;
    assert_eq!(code(&unagreed), 2, "{}", text(&unagreed));
    let another = world.stage.ticket(&backend, "4716", "web", &[good]).await.unwrap();
    let refused = send(another.ticket, &["--yes"]).await;
    assert_eq!(code(&refused), 2, "{}", text(&refused));
    let kept = send(ticket.ticket.clone(), &["--yes"]).await;
    assert_eq!(code(&kept), 0, "{}", text(&kept));
    assert!(!std::path::Path::new(&path).exists(), "a delivered bundle leaves nothing behind");
    let state = world.stage.desk(&backend, &["show", "4715"]).await.unwrap();
    assert_eq!(code(&state), 0, "{}", text(&state));
}

/// In the backend's place stands somebody who would see the first packet.
#[tokio::test(flavor = "multi_thread")]
async fn with_no_upload_a_ticket_that_was_agreed_to_asks_nothing_of_the_backend() {
    let world = World::new();
    let mut backend = Backend::start(&world.stage).await.unwrap();
    let (good, _good) = world.https("127.0.0.1", Flaw::None).await;
    let ticket = world.stage.ticket(&backend, "4717", "web", &[good]).await.unwrap();
    backend.kill().await.unwrap();
    let in_its_place = std::net::TcpListener::bind(&backend.listens).unwrap();
    in_its_place.set_nonblocking(true).unwrap();
    let output = world.run(&["run", "--ticket", &ticket.ticket, "--yes", "--no-upload", "--format", "json"]).await;
    let place = super::world::document(&output).bundle.unwrap();
    assert!(std::path::Path::new(&place.path.expect("the bundle was kept")).is_file());
    assert_eq!(in_its_place.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "{}", text(&output));
    // Without the word it is asked.
    world.run(&["run", "--ticket", &ticket.ticket, "--yes"]).await;
    assert!(in_its_place.accept().is_ok());
}
