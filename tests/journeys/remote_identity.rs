use super::remote::{ALLOW, founded, machine};
use super::world::text;
use netsonde_contract::api::fleet::{AgentSummary, DeliveryState as State};
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::{Backend, Stage};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::net::TcpListener;

/// A check-in follows a change within seconds.
const PATIENCE: Duration = Duration::from_secs(90);

fn copy(from: &Path, to: &Path) {
    let output = Command::new("cp").arg("-a").arg(from).arg(to).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

async fn listed(stage: &Stage, backend: &Backend, agent: &Agent) -> AgentSummary {
    let agents = remote::desk(stage, backend, &["agents", "--format", "json"]).await.unwrap();
    let agents: Vec<AgentSummary> = serde_json::from_str(&agents).unwrap();
    agents.into_iter().find(|one| one.id == agent.id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_machine_is_noticed_gets_no_order_and_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let (world, backend) = founded("C-1", std::slice::from_ref(&target)).await;
    let stage = &world.stage;
    let mut original = machine(&world, &backend, "oslo", ALLOW).await;
    original.kill().await.unwrap();
    copy(&stage.folder().join("oslo"), &stage.folder().join("copy"));
    let mut copied = Agent::on(stage, "copy", ALLOW, Some(&world.root)).unwrap();
    copied.id = original.id.clone();
    // Each start is a check-in: of two machines with one link, the second but one shows a link that was given away.
    let noticed = async {
        loop {
            for agent in [&mut original, &mut copied] {
                agent.start(stage).unwrap();
                tokio::time::sleep(Duration::from_millis(700)).await;
                agent.kill().await.unwrap();
            }
            if listed(stage, &backend, &original).await.cloned {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, noticed).await.expect("the copy is noticed");
    let key = remote::key(stage).to_string_lossy().into_owned();
    let name = original.short().to_owned();
    let wanted = ["port", "--agent", &name, "--target", &target, "--case", "C-1"];
    let output =
        stage.desk(&backend, &[&["trigger"][..], &wanted, &["--key", &key, "--yes", "--no-follow"]].concat()).await.unwrap();
    assert!(!output.status.success() && text(&output).contains("for no agent that could take it"), "{}", text(&output));

    // The copy forgets whose it was and enrols anew; support says that one is left.
    copied.netsonde(stage, &["identity", "forget", "--copy"]).await.unwrap();
    remote::desk(stage, &backend, &["agents", "single", &name]).await.unwrap();
    original.start(stage).unwrap();
    original.until_online(stage, &backend).await.unwrap();
    let id = remote::trigger(stage, &backend, &wanted).await.unwrap();
    remote::until(stage, &backend, &id, State::Uploaded).await.unwrap();
    let made = remote::desk(stage, &backend, &["enrol", "--format", "json"]).await.unwrap();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let policy = copied.policy().to_string_lossy().into_owned();
    copied.netsonde(stage, &["enroll", "--yes", made["enrolment"].as_str().unwrap(), "--policy", &policy]).await.unwrap();
    copied.id = copied.own_id(stage).await.unwrap();
    assert_ne!(copied.id, original.id);
    copied.start(stage).unwrap();
    copied.until_online(stage, &backend).await.unwrap();
    assert!(!listed(stage, &backend, &original).await.cloned && !listed(stage, &backend, &copied).await.cloned);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_runs_beside_the_original_is_noticed_within_a_minute() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let (world, backend) = founded("C-3", std::slice::from_ref(&target)).await;
    let stage = &world.stage;
    let mut original = machine(&world, &backend, "oslo", ALLOW).await;
    // Restarts alone make no copy of a machine.
    for _ in 0..4 {
        original.kill().await.unwrap();
        original.start(stage).unwrap();
        original.until_online(stage, &backend).await.unwrap();
    }
    assert!(!listed(stage, &backend, &original).await.cloned, "{}", original.log());
    copy(&stage.folder().join("oslo"), &stage.folder().join("copy"));
    let mut copied = Agent::on(stage, "copy", ALLOW, Some(&world.root)).unwrap();
    copied.start(stage).unwrap();
    let noticed = async {
        while !listed(stage, &backend, &original).await.cloned {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), noticed).await.expect("the copy is noticed");
    for agent in [&original, &copied] {
        agent.until_says("Another machine uses this agent's identity").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_from_an_older_backup_takes_no_agent_for_a_copy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let (world, mut backend) = founded("C-2", std::slice::from_ref(&target)).await;
    let stage = &world.stage;
    let mut agent = machine(&world, &backend, "oslo", ALLOW).await;
    agent.kill().await.unwrap();
    backend.kill().await.unwrap();
    let (live, backup) = (stage.folder().join("backend"), stage.folder().join("backup"));
    copy(&live, &backup);
    backend.restart(stage).await.unwrap();
    // Two more links, of which the backup knows nothing.
    for _ in 0..2 {
        agent.start(stage).unwrap();
        agent.until_online(stage, &backend).await.unwrap();
        agent.kill().await.unwrap();
    }
    backend.kill().await.unwrap();
    std::fs::remove_dir_all(&live).unwrap();
    copy(&backup, &live);
    backend.restart(stage).await.unwrap();
    agent.start(stage).unwrap();
    agent.until_online(stage, &backend).await.unwrap();
    assert!(!listed(stage, &backend, &agent).await.cloned, "{}", agent.log());
    let wanted = ["port", "--agent", agent.short(), "--target", &target, "--case", "C-2"];
    let id = remote::trigger(stage, &backend, &wanted).await.unwrap();
    remote::until(stage, &backend, &id, State::Uploaded).await.unwrap();
}
