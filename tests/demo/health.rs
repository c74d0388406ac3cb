//! `--health`: a machine measures a service by itself; the service goes bad; the state changes, and the evidence arrives.

use anyhow::{Context, Result, bail};
use netsonde_agent::load::Clock;
use netsonde_contract::bundle;
use netsonde_contract::history::History;
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::{Backend, Stage};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;

/// The shortest that a schedule may have.
const INTERVAL: Duration = Duration::from_secs(10);
const FAILING_AFTER: u32 = 2;
/// For the run itself, on a machine that builds something beside it.
const SLACK: Duration = Duration::from_secs(15);
const POLICY: &str = "version = 1\n[orders]\nremote = \"deny\"\n";

/// What is up while the demo is shown.
pub(crate) struct Watched {
    pub(crate) backend: Backend,
    _agent: Agent,
    _stage: Stage,
}

/// Lets a service go bad and shows what becomes of it.
pub(crate) async fn show() -> Result<Watched> {
    let stage = Stage::new()?;
    let backend = Backend::start(&stage).await?;
    println!("Started a support backend: {}", backend.url);
    remote::found(&stage, &backend).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await.context("starting a service")?;
    let target = listener.local_addr().context("the service's address")?.to_string();
    let service = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    println!("Started a service: {target}");
    let mut agent = Agent::enrol(&stage, &backend, "oslo", POLICY, None).await?;
    agent.configure(&format!(
        "version = 1\n[[schedule]]\nname = \"shop\"\nset = \"port\"\ntargets = [\"{target}\"]\nevery = \"{}s\"\nsplay = \"1ms\"\nbudget = \"8s\"\nupload = \"now\"\ndeep = \"port\"\n[schedule.health]\nfailing_after = {FAILING_AFTER}\nok_after = 1\n",
        INTERVAL.as_secs()
    ))?;
    agent.start(&stage)?;
    println!("\nOslo measures it every {} s; its policy takes no order.", INTERVAL.as_secs());
    agent.until_says("is ok").await?;
    println!("{}", last_line(&agent, "is ok"));
    service.abort();
    let bad = Clock::start();
    println!("\nThe service is stopped.");
    agent.until_says("is failing").await?;
    let took = bad.now();
    println!("{}", last_line(&agent, "is failing"));
    println!("From the fault to the change of state: {:.1} s", took.as_secs_f64());
    if took > INTERVAL * FAILING_AFTER + SLACK {
        bail!("the state changed {took:?} after the fault, later than {FAILING_AFTER} intervals of {INTERVAL:?}");
    }
    agent.until_says("is in the bundle").await?;
    println!("{}", last_line(&agent, "is in the bundle"));
    delivered(&stage, &agent).await?;
    println!("From the fault to the receipt of the backend: {:.1} s", bad.now().as_secs_f64());
    evidence(&stage, &agent).await?;
    println!("\n{}", agent.netsonde(&stage, &["history"]).await?);
    println!("The case was opened by the change itself: {}/cases", backend.url);
    Ok(Watched { backend, _agent: agent, _stage: stage })
}

fn last_line(agent: &Agent, words: &str) -> String {
    agent.log().lines().rfind(|line| line.contains(words)).unwrap_or_default().to_owned()
}

/// Waits until the backend has given its receipt.
async fn delivered(stage: &Stage, agent: &Agent) -> Result<()> {
    for _ in 0..300 {
        if agent.netsonde(stage, &["spool", "list"]).await?.contains("delivered") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bail!("the bundle was not delivered; the agent said:\n{}", agent.log());
}

/// Looks into the bundle as it was sent.
async fn evidence(stage: &Stage, agent: &Agent) -> Result<()> {
    let folder: PathBuf = stage.folder().join("exported");
    std::fs::create_dir_all(&folder).context("making a folder")?;
    // `--all` is what waits; this one was delivered.
    let listed = agent.netsonde(stage, &["spool", "list"]).await?;
    let line = listed.lines().find(|line| line.contains("delivered")).context("the bundle is not on the list")?;
    let bundle = line.split_whitespace().next().context("the line names no bundle")?;
    agent.netsonde(stage, &["spool", "export", bundle, "--to", &folder.to_string_lossy()]).await?;
    let file = std::fs::read_dir(&folder).context("reading the folder")?.flatten().next().context("nothing was exported")?.path();
    let sent = bundle::verify(&std::fs::read(&file).context("reading the bundle")?).context("the bundle is not intact")?;
    let scheduled = sent.predicate.scheduled.context("the bundle does not say why it was made")?;
    let history: History =
        serde_json::from_slice(sent.files.get(bundle::file_name::HISTORY).context("the bundle has no history")?)?;
    let samples: usize = history.checks.iter().map(|check| check.samples.len()).sum();
    println!(
        "\nThe bundle says why it was made ({:?} of {} in schedule {}), and carries {samples} measurements before it:",
        scheduled.why,
        scheduled.target.unwrap_or_default(),
        scheduled.schedule
    );
    for sentence in netsonde_report::past::began(&history) {
        println!("  {sentence}");
    }
    if samples == 0 || history.changes.is_empty() {
        bail!("the bundle's history is empty");
    }
    Ok(())
}
