use super::world::World;
use netsonde_agent::load::Clock;
use netsonde_contract::bundle;
use netsonde_contract::observation::{Fact, Sockets};
use netsonde_tests::remote::Agent;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;

/// As often as a file may have it: the journey takes some forty seconds.
fn schedules(target: &str) -> String {
    format!(
        "[[schedule]]\nname = \"shop\"\nset = \"port\"\ntargets = [\"{target}\"]\nevery = \"10s\"\nsplay = \"1ms\"\nbudget = \"8s\"\n[schedule.health]\nfailing_after = 1\nok_after = 1\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_not_enrolled_measures_by_itself_and_keeps_the_evidence() {
    let world = World::new();
    let stage = &world.stage;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let mut agent = Agent::on(stage, "lone", "version = 1\n", None).unwrap();

    // Neither enrolled nor asked for anything: it says so, and what to do.
    agent.start(stage).unwrap();
    agent.until_says("there is nothing to do").await.unwrap();
    assert!(agent.log().contains("netsonde enroll") && agent.log().contains("schedule template"), "{}", agent.log());

    agent.configure(&schedules(&target)).unwrap();
    agent.start(stage).unwrap();
    agent.until_says("is ok").await.unwrap();
    let status = agent.netsonde(stage, &["agent", "status", "--config", &agent.config().to_string_lossy()]).await.unwrap();
    assert!(status.contains("the agent runs") && status.contains(&format!("ok        {target}")), "{status}");

    // A file that is wrong is said, and changes nothing.
    agent.configure("[[schedule]]\nname = \"Shop\"\n").unwrap();
    agent.signal("HUP").await.unwrap();
    agent.until_says("what was read before stays in force").await.unwrap();

    // A crash costs nothing that was noted.
    agent.configure(&schedules(&target)).unwrap();
    agent.kill().await.unwrap();
    drop(listener);
    agent.start(stage).unwrap();
    agent.until_says("is in the bundle").await.unwrap();
    let history = agent.netsonde(stage, &["history"]).await.unwrap();
    assert!(history.contains("is ok") && history.contains("is failing") && history.contains('×'), "{history}");
    let spool = agent.netsonde(stage, &["spool", "list"]).await.unwrap();
    assert!(spool.contains("schedule shop"), "{spool}");

    // The service looks into no other process, and its bundle says so where sockets are listed.
    let Sockets { unseen, .. } = sockets(&agent);
    let unseen = unseen.map(|note| (note.why, note.grant.unwrap_or_default()));
    let is_said =
        |(why, grant): &(String, String)| why.contains("owns a socket") && grant.contains("netsonde agent --socket-owners");
    assert!(unseen.as_ref().is_some_and(is_said), "{unseen:?}");

    let clock = Clock::start();
    let ended = agent.stop().await.unwrap();
    assert!(ended.success(), "{ended}: {}", agent.log());
    assert!(clock.now() < Duration::from_secs(5), "{:?}", clock.now());
}

/// As the bundle that waits in the agent's spool has them.
fn sockets(agent: &Agent) -> Sockets {
    let entries = |folder: &Path| folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let bundle = entries(&agent.state().join("spool/ready"))
        .iter()
        .flat_map(|folder| entries(folder))
        .find(|path| path.to_string_lossy().ends_with(".tar.gz"));
    let document = bundle::verify(&std::fs::read(bundle.unwrap()).unwrap()).unwrap().document().unwrap();
    let facts = document.outcomes.into_iter().flat_map(|outcome| outcome.observations).map(|observation| observation.fact);
    let mut sockets = facts.filter_map(|fact| if let Fact::Sockets(sockets) = fact { Some(*sockets) } else { None });
    sockets.next_back().unwrap()
}
