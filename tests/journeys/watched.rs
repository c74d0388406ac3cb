use super::remote::founded;
use super::world::text;
use netsonde_contract::bundle::{self, ScheduledFor};
use netsonde_contract::history::History;
use netsonde_tests::programs::program;
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::Stage;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::net::TcpListener;

/// Offers are at least a minute apart.
const PATIENCE: Duration = Duration::from_secs(150);
const POLICY: &str = "version = 1\n[orders]\nremote = \"deny\"\n";

fn schedule(target: &str) -> String {
    format!(
        "version = 1\n[upload]\nmax_rate = \"8kB/s\"\nmetered = \"never\"\n[[schedule]]\nname = \"shop\"\nset = \"port\"\ntargets = [\"{target}\"]\nevery = \"10s\"\nsplay = \"1ms\"\nbudget = \"8s\"\nupload = \"later\"\ndeep = \"port\"\n[schedule.health]\nfailing_after = 1\nok_after = 1\n"
    )
}

/// The bundles' files in the backend's store.
fn stored(stage: &Stage) -> Vec<Vec<u8>> {
    let within =
        |folder: &Path| -> Vec<PathBuf> { folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect() };
    let folders = within(&stage.folder().join("backend/blobs/sha256"));
    let files = folders.iter().flat_map(|folder| within(folder)).filter(|file| !file.to_string_lossy().ends_with(".new"));
    files.filter_map(|file| std::fs::read(file).ok()).collect()
}

async fn until_stored(stage: &Stage, agent: &Agent) -> Vec<u8> {
    let waiting = async {
        loop {
            if let Some(bytes) = stored(stage).pop() {
                return bytes;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("nothing was stored: {}", agent.log()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_schedule_reaches_the_backend_with_its_past_and_once_more_where_the_backend_lost_it() {
    let (world, mut backend) = founded("W-1", &[]).await;
    let stage = &world.stage;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let mut agent = Agent::on(stage, "oslo", POLICY, None).unwrap();
    agent.configure(&schedule(&target)).unwrap();
    agent.start(stage).unwrap();
    agent.until_says("is ok").await.unwrap();

    // The agent runs already, and takes the enrolment up by itself.
    let made = remote::desk(stage, &backend, &["enrol", "--format", "json"]).await.unwrap();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let policy = agent.policy().to_string_lossy().into_owned();
    agent.netsonde(stage, &["enroll", "--yes", made["enrolment"].as_str().unwrap(), "--policy", &policy]).await.unwrap();
    agent.id = agent.own_id(stage).await.unwrap();
    agent.until_says("of Contoso support, at").await.unwrap();
    agent.until_online(stage, &backend).await.unwrap();

    let (live, backup) = (stage.folder().join("backend"), stage.folder().join("backup"));
    let copy = |from: &Path, to: &Path| {
        let output = Command::new("cp").arg("-a").arg(from).arg(to).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    };
    backend.kill().await.unwrap();
    copy(&live, &backup);
    backend.restart(stage).await.unwrap();

    drop(listener);
    agent.until_says("is in the bundle").await.unwrap();
    let sent = until_stored(stage, &agent).await;
    let read = bundle::verify(&sent).unwrap();
    let why = read.predicate.scheduled.unwrap();
    assert_eq!((why.schedule.as_str(), why.why, why.target.as_deref()), ("shop", ScheduledFor::Failing, Some(target.as_str())));
    let past: History = serde_json::from_slice(&read.files[bundle::file_name::HISTORY]).unwrap();
    assert!(past.checks.iter().any(|check| check.samples.len() >= 2), "what came before is in it: {past:?}");
    let delivered = async {
        while !agent.netsonde(stage, &["spool", "list"]).await.unwrap().contains("delivered") {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, delivered).await.unwrap();
    let cases = remote::desk(stage, &backend, &["cases"]).await.unwrap();
    assert!(cases.contains("auto-"), "{cases}");

    // Put back to what it was before any of this, rows and files.
    backend.kill().await.unwrap();
    std::fs::remove_dir_all(&live).unwrap();
    copy(&backup, &live);
    assert!(stored(stage).is_empty());
    backend.restart(stage).await.unwrap();
    let again = until_stored(stage, &agent).await;
    assert_eq!(again, sent, "the very same bundle");
    assert!(agent.log().contains("the backend lost 1 of the bundles"), "{}", agent.log());
    let spool = agent.netsonde(stage, &["spool", "list"]).await.unwrap();
    assert!(spool.contains("delivered"), "{spool}");
    // It ends what it is about to acknowledge.
    assert!(backend.stop().await.unwrap().success());
    let verified = Command::new(program("netsonde-backend").unwrap()).arg("verify").arg("--data").arg(&live).output().unwrap();
    assert!(verified.status.success() && text(&verified).contains("1 bundles ("), "{}", text(&verified));
}
