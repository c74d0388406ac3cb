use super::remote::ALLOW;
use super::world::World;
use netsonde_contract::api::fleet::DeliveryState as State;
use netsonde_contract::enrolment::Enrolment;
use netsonde_contract::pin::Pin;
use netsonde_contract::ticket::Ticket;
use netsonde_tests::certificates::Flaw;
use netsonde_tests::programs::program;
use netsonde_tests::remote;
use netsonde_tests::servers::{Seen, Server, serve_inspecting_proxy, server_config};
use netsonde_tests::stage::Backend;
use reqwest::Version;
use std::process::Stdio;
use tokio::net::TcpListener;
use tokio::process::Command;

/// A name that only the proxy knows.
const HOST: &str = "support.example";

/// A backend behind a certificate of an authority, and the proxy through which alone it is reached.
async fn office() -> (World, Backend, Server, Seen) {
    let world = World::new();
    let backend = Backend::start_behind(&world.stage, &format!("https://{HOST}")).await.unwrap();
    remote::found(&world.stage, &backend).await.unwrap();
    let identity = server_config(world.pki.identity(&[HOST.to_owned()], Flaw::None).unwrap()).unwrap();
    let address = backend.listens.parse().unwrap();
    let (proxy, seen) = serve_inspecting_proxy("127.0.0.1:0".parse().unwrap(), "asha:s3cret", identity, address).await.unwrap();
    (world, backend, proxy, seen)
}

/// `netsonde` on a machine that has nothing but this proxy, and trusts the authority that the proxy signs with.
fn netsonde(world: &World, proxy: &str, arguments: &[&str]) -> Command {
    by_policy(world, proxy, ALLOW, arguments)
}

/// The same with a policy of its own.
fn by_policy(world: &World, proxy: &str, text: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("netsonde").unwrap());
    let policy = world.stage.folder().join("policy.toml");
    std::fs::write(&policy, text).unwrap();
    command.args(arguments).arg("--policy").arg(policy).arg("--state-dir").arg(world.stage.folder().join("state"));
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "HTTPS_PROXY"] {
        command.env_remove(variable);
    }
    command.env("HOME", world.stage.folder()).env("https_proxy", proxy).env("SSL_CERT_FILE", &world.root);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn string(world: &World, backend: &Backend) -> String {
    let made = remote::desk(&world.stage, backend, &["enrol", "--label", "name=oslo", "--format", "json"]).await.unwrap();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let enrolment = Enrolment::parse(made["enrolment"].as_str().unwrap()).unwrap();
    // The desk knows the backend by its own way to it; this machine has another.
    Enrolment { backend: backend.url.clone(), ..enrolment }.encode().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_behind_a_proxy_that_asks_for_a_sign_in_and_looks_into_tls_gets_its_order() {
    let (world, backend, proxy, seen) = office().await;
    let proxy = format!("http://asha:s3cret@{}", proxy.address);
    let string = string(&world, &backend).await;
    let enrolled = netsonde(&world, &proxy, &["enroll", "--yes", &string]).output().await.unwrap();
    assert!(enrolled.status.success(), "{}", remote::said(&enrolled));
    let mut agent = netsonde(&world, &proxy, &["agent"]);
    let _agent = agent.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    world.stage.ticket(&backend, "R-9", "port", std::slice::from_ref(&target)).await.unwrap();
    let wanted = ["port", "--label", "name=oslo", "--target", &target, "--case", "R-9"];
    let id = remote::trigger(&world.stage, &backend, &wanted).await.unwrap();
    remote::until(&world.stage, &backend, &id, State::Uploaded).await.unwrap();
    let seen = seen.lock().unwrap().clone();
    for path in ["/v1/agents", "/v1/work?", "/v1/work/", "/v1/uploads"] {
        assert!(seen.iter().any(|(_, asked)| asked.starts_with(path)), "{path} in {seen:?}");
    }
    assert!(seen.iter().all(|(version, _)| *version == Version::HTTP_2), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_sign_in_at_the_proxy_is_said_and_so_is_an_authority_that_is_not_trusted() {
    let (world, backend, proxy, seen) = office().await;
    let string = string(&world, &backend).await;
    let stranger = format!("http://asha:wrong@{}", proxy.address);
    let refused = netsonde(&world, &stranger, &["enroll", "--yes", &string]).output().await.unwrap();
    let said = remote::said(&refused);
    assert!(!refused.status.success() && said.to_lowercase().contains("proxy"), "{said}");
    let known = format!("http://asha:s3cret@{}", proxy.address);
    let nobody = world.stage.folder().join("nobody.pem");
    std::fs::write(&nobody, netsonde_tests::certificates::Pki::new().unwrap().root_pem()).unwrap();
    let refused = netsonde(&world, &known, &["enroll", "--yes", &string]).env("SSL_CERT_FILE", nobody).output().await.unwrap();
    let said = remote::said(&refused);
    assert!(!refused.status.success() && said.contains("next:"), "{said}");
    assert!(seen.lock().unwrap().is_empty(), "nothing was asked of whom the agent does not trust");
}

/// The backend has a key of its own, which the enrolment names; the proxy shows another.
#[tokio::test(flavor = "multi_thread")]
async fn whether_a_proxy_may_stand_in_for_the_backends_own_key_is_for_the_policy() {
    let (world, backend, proxy, seen) = office().await;
    let pin = Pin::of_public_key_info(b"the backend's own");
    let plain = Enrolment::parse(&string(&world, &backend).await).unwrap();
    let pinned = Enrolment { tls_pin: Some(pin.clone()), ..plain }.encode().to_string();
    let proxy = format!("http://asha:s3cret@{}", proxy.address);
    let refused = netsonde(&world, &proxy, &["enroll", "--yes", &pinned]).output().await.unwrap();
    let said = remote::said(&refused);
    assert!(!refused.status.success() && said.contains("upload.accept_inspection = true"), "{said}");
    assert!(seen.lock().unwrap().is_empty(), "nothing was asked of whom the enrolment does not name");

    let accepts = format!("{ALLOW}[upload]\naccept_inspection = true\n");
    let enrolled = by_policy(&world, &proxy, &accepts, &["enroll", "--yes", &pinned]).output().await.unwrap();
    assert!(enrolled.status.success(), "{}", remote::said(&enrolled));
    let mut agent = by_policy(&world, &proxy, &accepts, &["agent"]);
    let mut agent = agent.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    world.stage.ticket(&backend, "R-9", "port", std::slice::from_ref(&target)).await.unwrap();
    let wanted = ["port", "--label", "name=oslo", "--target", &target, "--case", "R-9"];
    let id = remote::trigger(&world.stage, &backend, &wanted).await.unwrap();
    remote::until(&world.stage, &backend, &id, State::Uploaded).await.unwrap();

    let audit = std::fs::read_to_string(world.stage.folder().join("state/audit.jsonl")).unwrap();
    let line = |what: &str| audit.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {audit}"));
    assert!(line("\"enrolled\"").contains(&pin.to_string()), "{audit}");
    assert!(line("inspection_accepted").contains("upload.accept_inspection"), "{audit}");
    agent.kill().await.unwrap();
    // Without the key it asks nobody: the pin was kept.
    let before = seen.lock().unwrap().len();
    let rotated = netsonde(&world, &proxy, &["identity", "rotate"]).output().await.unwrap();
    assert!(!rotated.status.success(), "{}", remote::said(&rotated));
    assert!(seen.lock().unwrap()[before..].iter().all(|(_, asked)| !asked.starts_with("/v1/agents/self")));
}

/// The machine trusts the proxy's authority, and nobody is there to be asked: `--yes` is no word about the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_names_the_backends_own_key_sends_nothing_by_a_proxy_that_shows_another() {
    let (world, backend, proxy, seen) = office().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let issued = world.stage.ticket(&backend, "R-10", "port", std::slice::from_ref(&target)).await.unwrap();
    // The desk knows the backend by its own way to it; this machine has another.
    let to = |tls_pin: Option<Pin>| {
        let plain = Ticket::parse(&issued.ticket).unwrap();
        Ticket { backend: backend.url.clone(), tls_pin, ..plain }.encode()
    };
    let proxy = format!("http://asha:s3cret@{}", proxy.address);
    let run = |ticket: &str| {
        let arguments = ["run", "--ticket", ticket, "--yes"];
        let mut command = Command::new(program("netsonde").unwrap());
        command.args(arguments).arg("--state-dir").arg(world.stage.folder().join("state"));
        command.env("HOME", world.stage.folder()).env("https_proxy", &proxy).env("SSL_CERT_FILE", &world.root);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    };
    let kept = run(&to(Some(Pin::of_public_key_info(b"the backend's own")))).output().await.unwrap();
    assert_eq!(kept.status.code(), Some(5), "{}", remote::said(&kept));
    assert!(remote::said(&kept).contains("does not have the key that the ticket names"), "{}", remote::said(&kept));
    assert!(seen.lock().unwrap().is_empty(), "{seen:?}");
    // The same without a key is sent by it.
    let sent = run(&to(None)).output().await.unwrap();
    assert_eq!(sent.status.code(), Some(0), "{}", remote::said(&sent));
    assert!(seen.lock().unwrap().iter().any(|(_, asked)| asked.starts_with("/v1/uploads")), "{seen:?}");
}
