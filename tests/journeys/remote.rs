use super::world::{World, code, text};
use netsonde_contract::api::fleet::DeliveryState as State;
use netsonde_contract::bundle;
use netsonde_contract::id::OrderId;
use netsonde_tests::certificates::Flaw;
use netsonde_tests::programs::program;
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::Backend;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// What fits runs at once; only this machine itself may be measured, and one address of it not.
pub(super) const ALLOW: &str = r#"version = 1
[orders]
remote = "allow"
[targets]
networks = ["127.0.0.0/8"]
deny_networks = ["127.0.0.9/32"]
"#;

pub(super) fn ask() -> String {
    ALLOW.replace("\"allow\"", "\"ask\"")
}

/// A set with one check that keeps a connection open for so many seconds.
pub(super) fn holding(world: &World, seconds: u32) -> String {
    let set = format!(
        "name = \"hold\"\nversion = 1\nquestion = \"Does a connection stay?\"\nbudget = \"100s\"\ntarget = \"endpoint\"\n\n\
         [[check]]\nid = \"hold\"\nkind = \"tcp\"\nrequired = true\ndeadline = \"90s\"\n\
         with = {{ host = \"{{target.host}}\", port = \"{{target.port}}\", hold_s = {seconds} }}\n"
    );
    let path = world.stage.folder().join(format!("hold-{seconds}.toml"));
    std::fs::write(&path, set).unwrap();
    path.to_string_lossy().into_owned()
}

/// A world with an organisation, and a case that has tickets for these targets.
pub(super) async fn founded(case: &str, targets: &[String]) -> (World, Backend) {
    let world = World::new();
    let backend = Backend::start(&world.stage).await.unwrap();
    remote::found(&world.stage, &backend).await.unwrap();
    if !targets.is_empty() {
        world.stage.ticket(&backend, case, "web", targets).await.unwrap();
    }
    (world, backend)
}

pub(super) async fn machine(world: &World, backend: &Backend, name: &str, policy: &str) -> Agent {
    let mut agent = Agent::enrol(&world.stage, backend, name, policy, Some(&world.root)).await.unwrap();
    agent.start(&world.stage).unwrap();
    agent.until_online(&world.stage, backend).await.unwrap();
    agent
}

/// From the moment the backend had the order to that when the run began, by the two programs' own notes.
async fn delay(world: &World, backend: &Backend, agent: &Agent, id: &OrderId) -> Duration {
    let submitted = remote::order(&world.stage, backend, id).await.unwrap().order.submitted;
    let began = agent.audited(id).into_iter().find(|line| line.what == "run_began").unwrap().at;
    began.duration_since(submitted).unsigned_abs()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_leads_from_the_desk_to_findings_that_are_shown() {
    let (world, backend) = founded("R-1", &[]).await;
    let (bad, _bad) = world.https("127.0.0.1", Flaw::Expired).await;
    world.stage.ticket(&backend, "R-1", "web", std::slice::from_ref(&bad)).await.unwrap();
    let agent = machine(&world, &backend, "oslo", ALLOW).await;
    let key = remote::key(&world.stage).to_string_lossy().into_owned();
    let arguments = ["trigger", "web", "--agent", agent.short(), "--target", &bad, "--case", "R-1", "--key", &key, "--yes"];
    let output = world.stage.desk(&backend, &arguments).await.unwrap();
    let said = text(&output);
    assert_eq!(code(&output), 1, "{said}\n{}", agent.log());
    for words in ["tls.expired", "uploaded", "running", "Signed with SHA256:"] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let id = said.split_whitespace().find_map(OrderId::parse).unwrap();
    let delivery = remote::until(&world.stage, &backend, &id, State::Uploaded).await.unwrap();
    assert!(delivery.checks_done > 0 && delivery.checks_done == delivery.checks_planned, "{delivery:?}");
    eprintln!("trigger to start: {:?}", delay(&world, &backend, &agent, &id).await);

    let shown = world.stage.desk(&backend, &["show", "R-1"]).await.unwrap();
    assert!(text(&shown).contains("tls.expired"), "the bundle is on the case: {}", text(&shown));
    let fetched = world.stage.folder().join("fetched.tar.gz");
    let bundle_id = delivery.bundle.unwrap();
    remote::desk(&world.stage, &backend, &["fetch", bundle_id.as_str(), "--out", &fetched.to_string_lossy()]).await.unwrap();
    let verified = bundle::verify(&std::fs::read(&fetched).unwrap()).unwrap();
    assert_eq!(verified.predicate.order.as_ref(), Some(&id), "the bundle names its order");
    assert_eq!(netsonde_contract::id::AgentId::of(&verified.key), agent.id);
    agent.netsonde(&world.stage, &["audit", "verify"]).await.unwrap();

    let file = world.stage.folder().join("excerpt.jsonl").to_string_lossy().into_owned();
    let data = world.stage.folder().join("backend").to_string_lossy().into_owned();
    let arguments = ["audit", "export", "--agent", agent.short(), &file, "--data", &data];
    let exported = tokio::process::Command::new(program("netsonde-backend").unwrap()).args(arguments).output().await.unwrap();
    assert_eq!(code(&exported), 0, "{}", text(&exported));
    let checked = agent.netsonde(&world.stage, &["audit", "verify", &file]).await.unwrap();
    for words in [format!("{} (this machine)", agent.id), "receipts that it fits: 1".into(), "as the receipts of".into()] {
        assert!(checked.contains(&words), "{words} in {checked}");
    }
    let cut = std::fs::read_to_string(&file).unwrap().trim_end().rsplit_once('\n').unwrap().0.to_owned();
    std::fs::write(&file, cut).unwrap();
    assert!(agent.netsonde(&world.stage, &["audit", "verify", &file]).await.is_err(), "its last line is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_does_not_allow_is_refused_with_its_reason_at_the_desk() {
    let denied = "127.0.0.9:9".to_owned();
    let (world, backend) = founded("R-2", std::slice::from_ref(&denied)).await;
    let agent = machine(&world, &backend, "oslo", ALLOW).await;
    let key = remote::key(&world.stage).to_string_lossy().into_owned();
    let arguments = ["trigger", "port", "--agent", agent.short(), "--target", &denied, "--case", "R-2", "--key", &key, "--yes"];
    let output = world.stage.desk(&backend, &arguments).await.unwrap();
    let said = text(&output);
    assert_eq!(code(&output), 4, "{said}\n{}", agent.log());
    assert!(said.contains("refused") && said.contains("_not_allowed") && said.contains("next:"), "{said}");
    let id = said.split_whitespace().find_map(OrderId::parse).unwrap();
    assert_eq!(agent.runs(&id), 0);

    // A target that the case does not know takes a second engineer, and leaves this desk as a file only.
    let foreign =
        ["trigger", "port", "--agent", agent.short(), "--target", "127.0.0.1:9", "--case", "R-2", "--key", &key, "--yes"];
    let kept = world.stage.folder().join("order.json").to_string_lossy().into_owned();
    let output = world.stage.desk(&backend, &[&foreign[..], &["--output", &kept]].concat()).await.unwrap();
    assert!(text(&output).contains("two engineers must sign"), "{}", text(&output));
    assert!(code(&output) == 3 && text(&output).contains("1 of 2 signatures"), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_at_the_machine_is_asked_and_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let (world, backend) = founded("R-3", std::slice::from_ref(&target)).await;
    let agent = machine(&world, &backend, "oslo", &ask()).await;
    let wanted = ["port", "--label", "name=oslo", "--target", &target, "--case", "R-3", "--reason", "the till is slow"];
    let approved = remote::trigger(&world.stage, &backend, &wanted).await.unwrap();
    remote::until(&world.stage, &backend, &approved, State::Asked).await.unwrap();
    let listed = agent.netsonde(&world.stage, &["orders", "list"]).await.unwrap();
    assert!(listed.contains(approved.short()) && listed.contains("asked"), "{listed}");
    let shown = agent.netsonde(&world.stage, &["orders", "show", approved.short()]).await.unwrap();
    assert!(shown.contains("the till is slow") && shown.contains("engineer@support"), "{shown}");
    agent.netsonde(&world.stage, &["orders", "approve", approved.short()]).await.unwrap();
    remote::until(&world.stage, &backend, &approved, State::Uploaded).await.unwrap();

    let refused = remote::trigger(&world.stage, &backend, &wanted).await.unwrap();
    remote::until(&world.stage, &backend, &refused, State::Asked).await.unwrap();
    agent.netsonde(&world.stage, &["orders", "refuse", refused.short(), "--reason", "not during the sale"]).await.unwrap();
    let delivery = remote::until(&world.stage, &backend, &refused, State::Refused).await.unwrap();
    assert_eq!(delivery.detail.as_deref(), Some("not during the sale"));
    assert_eq!((agent.runs(&approved), agent.runs(&refused)), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_lets_go_within_a_second() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let (world, backend) = founded("R-4", std::slice::from_ref(&target)).await;
    let agent = machine(&world, &backend, "oslo", ALLOW).await;
    let set = holding(&world, 60);
    let wanted = [set.as_str(), "--agent", agent.short(), "--target", &target, "--case", "R-4"];
    let id = remote::trigger(&world.stage, &backend, &wanted).await.unwrap();
    let (mut held, _) = listener.accept().await.unwrap();
    remote::until(&world.stage, &backend, &id, State::Running).await.unwrap();
    eprintln!("trigger to start: {:?}", delay(&world, &backend, &agent, &id).await);
    let mut byte = [0];
    assert_eq!(held.try_read(&mut byte).unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "the connection is held");
    remote::desk(&world.stage, &backend, &["orders", "cancel", id.as_str()]).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(1), held.read(&mut byte)).await.expect("the connection was let go");
    assert!(matches!(closed, Ok(0) | Err(_)));
    remote::until(&world.stage, &backend, &id, State::Cancelled).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_a_way_enrols_by_file_and_a_revoked_one_gets_nothing() {
    let (world, backend) = founded("R-5", &[]).await;
    let mut agent = Agent::on(&world.stage, "oslo", ALLOW, None).unwrap();
    let made = remote::desk(&world.stage, &backend, &["enrol", "--format", "json"]).await.unwrap();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let request = world.stage.folder().join("request.json").to_string_lossy().into_owned();
    let policy = agent.policy().to_string_lossy().into_owned();
    let string = made["enrolment"].as_str().unwrap();
    agent.netsonde(&world.stage, &["enroll", "--yes", string, "--offline", &request, "--policy", &policy]).await.unwrap();
    remote::desk(&world.stage, &backend, &["enrol", "--request", &request, "--yes"]).await.unwrap();
    let answer = request.replace(".json", ".answer.json");
    agent.netsonde(&world.stage, &["enroll", "--answer", &answer]).await.unwrap();
    agent.id = agent.own_id(&world.stage).await.unwrap();
    agent.start(&world.stage).unwrap();
    agent.until_online(&world.stage, &backend).await.unwrap();
    remote::desk(&world.stage, &backend, &["agents", "label", agent.short(), "site=oslo"]).await.unwrap();
    let listed = remote::desk(&world.stage, &backend, &["agents", "--label", "site=oslo"]).await.unwrap();
    assert!(listed.contains(agent.short()), "{listed}");

    remote::desk(&world.stage, &backend, &["agents", "revoke", agent.short(), "--yes"]).await.unwrap();
    agent.until_says("the backend takes nothing from this agent").await.unwrap();
    let key = remote::key(&world.stage).to_string_lossy().into_owned();
    let arguments =
        ["trigger", "port", "--agent", agent.short(), "--target", "127.0.0.1:9", "--case", "R-5", "--key", &key, "--yes"];
    let output = world.stage.desk(&backend, &arguments).await.unwrap();
    assert_eq!(code(&output), 2, "{}", text(&output));
    assert!(text(&output).contains("for no agent that could take it"), "{}", text(&output));
}
