//! The real agent as a service, with schedules, health and spool, beside a real backend, both killed again and again and started anew. The oracle: each target that fails
//! is told in one case, which it opened once, and has one bundle; every bundle is delivered once, byte for byte, and nothing of the agent's state is damaged.

use crate::backlog;
use crate::kills::Chance;
use crate::scheduled::within;
use crate::tally::Tally;
use anyhow::{Context, Result};
use netsonde_agent::load::Clock;
use netsonde_contract::api::CaseSummary;
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::{Backend, Stage};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const POLICY: &str = "version = 1\n[orders]\nremote = \"deny\"\n";
/// Machines side by side: most of a life is waiting for a slot.
const AGENTS: usize = 3;
/// Seconds between the slots of each machine's schedules, so that they come one after the other.
const INTERVALS: [u64; 4] = [10, 11, 12, 13];
/// Before the first slot of a machine there is nothing to meet.
const QUIET: Duration = Duration::from_secs(9);
/// From then on: two slots of each schedule, with what follows from them.
const KILLING: Duration = Duration::from_secs(13);
/// A service that does not come to the step that is aimed at is killed after so long all the same.
const LONGEST_LIFE: Duration = Duration::from_secs(3);
/// After a slot was taken, within this time, a service is killed: what follows from a slot is done by then, mostly.
const AFTER_SLOT_MS: u64 = 900;
/// A backend lives so long at least, so that uploads go on between its kills.
const SHORTEST_BACKEND_MS: u64 = 300;
const LONGEST_BACKEND_MS: u64 = 3_000;
/// A backend that was killed is away for so long at most.
const AWAY_MS: u64 = 1_000;
/// One connection, so that a run is over before the next kill, mostly.
const SET: &str = "name = \"one\"\nquestion = \"Does it answer?\"\ntarget = \"endpoint\"\nbudget = \"5s\"\n[[check]]\nid = \"connect\"\nkind = \"tcp\"\nrequired = true\n[check.with]\nhost = \"{target.host}\"\nport = \"{target.port}\"\n";
/// With other machines each time. The quick share ends with the first after which each step was met.
const ROUNDS: usize = 5;
/// Where service and backend must have been killed.
const STEPS: [&str; 7] = [
    "service, before a failure is noted",
    "service, while a bundle is owed",
    "service, while a bundle waits",
    "service, between two failures",
    "its backend, before a bundle is stored",
    "its backend, while an upload is under way",
    "its backend, between two uploads",
];
/// What was failing when the kills ended is told and delivered within this time, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOK_AT_STEP_EVERY: Duration = Duration::from_millis(2);

pub(crate) async fn run(quick: bool, seed: u64) -> Result<Tally> {
    let mut tally = Tally::default();
    let stage = Arc::new(Stage::new()?);
    let mut backend = Backend::start(&stage).await?;
    remote::found(&stage, &backend).await?;
    let (mut agents, mut chance) = (Vec::new(), Chance(seed));
    for round in 0..ROUNDS {
        let began = Clock::start();
        let mut fresh = Vec::new();
        for number in 0..AGENTS {
            let mut agent = Agent::enrol(&stage, &backend, &format!("killed-{round}-{number}"), POLICY, None).await?;
            std::fs::write(agent.config().with_file_name("one.toml"), SET).context("writing the set")?;
            agent.configure(&schedules()?)?;
            agent.start(&stage)?;
            fresh.push(agent);
        }
        tokio::time::sleep(QUIET.saturating_sub(began.now())).await;
        let of_backend = Chance(chance.below(u64::MAX));
        let (fresh, killed) =
            tokio::try_join!(kill_all(&stage, fresh, &mut chance), kill_backend(&stage, &mut backend, of_backend))?;
        tally.add(killed);
        for (mut agent, killed) in fresh {
            tally.add(killed);
            settle(&mut agent, &mut tally).await?;
            agents.push(agent);
        }
        if quick && STEPS.into_iter().all(|step| tally.kills.contains_key(step)) {
            break;
        }
    }
    cases(&stage, &backend, &agents, &mut tally).await?;
    for agent in &mut agents {
        judge(&stage, agent, &mut tally).await?;
    }
    tally.expect_steps(STEPS);
    backend.kill().await?;
    backlog::verify(&stage, &mut tally).await?;
    Ok(tally)
}

/// Each on a target of its own, where nobody listens.
fn schedules() -> Result<String> {
    let mut text = "version = 1\n".to_owned();
    for every in INTERVALS {
        let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).context("an address")?;
        text.push_str(&format!(
            "[[schedule]]\nname = \"{}\"\nset = \"./one.toml\"\ntargets = [\"{closed}\"]\nevery = \"{every}s\"\nsplay = \"0s\"\nupload = \"now\"\n[schedule.health]\nfailing_after = 1\n",
            name(every)
        ));
    }
    Ok(text)
}

fn name(every: u64) -> String {
    format!("every-{every}")
}

/// Kills the services of all these machines, each by itself.
async fn kill_all(stage: &Arc<Stage>, agents: Vec<Agent>, chance: &mut Chance) -> Result<Vec<(Agent, Tally)>> {
    let mut killing = JoinSet::new();
    for agent in agents {
        killing.spawn(kill(Arc::clone(stage), agent, Chance(chance.below(u64::MAX))));
    }
    let mut killed = Vec::new();
    while let Some(done) = killing.join_next().await {
        killed.push(done.context("one of the machines")??);
    }
    Ok(killed)
}

/// The step at which a service is to die.
#[derive(Clone, Copy)]
enum Aim {
    Slot,
    Owed,
    /// No bundle is owed any more: by then it has to be kept.
    Settled,
    Waiting,
    AfterSlot,
}

/// Kills the service of one machine again and again, each time once it has come to a step, or has lived long enough. The first is a slot that it took.
async fn kill(stage: Arc<Stage>, mut agent: Agent, mut chance: Chance) -> Result<(Agent, Tally)> {
    let (began, mut tally) = (Clock::start(), Tally::default());
    let state = agent.state();
    let modified = |name: &str| std::fs::metadata(state.join(name)).and_then(|file| file.modified()).ok();
    let (taken, owed) = (|| modified("schedules.json"), || modified("owed.json"));
    let mut aim = Aim::Slot;
    while began.now() < KILLING {
        let (before, owed_before, life) = (taken(), owed(), Clock::start());
        let is_there = || match aim {
            Aim::Slot | Aim::AfterSlot => taken() != before,
            Aim::Owed => owes(&state),
            Aim::Settled => owed() != owed_before && !owes(&state),
            Aim::Waiting => has(&state, "ready"),
        };
        while !is_there() && life.now() < LONGEST_LIFE {
            tokio::time::sleep(LOOK_AT_STEP_EVERY).await;
        }
        if matches!(aim, Aim::AfterSlot) {
            tokio::time::sleep(Duration::from_millis(chance.below(AFTER_SLOT_MS))).await;
        }
        agent.kill().await?;
        tally.killed(moment(&state));
        agent.start(&stage)?;
        aim = match chance.below(5) {
            0 => Aim::Slot,
            1 => Aim::Owed,
            2 => Aim::Settled,
            3 => Aim::Waiting,
            _ => Aim::AfterSlot,
        };
    }
    Ok((agent, tally))
}

/// Kills the backend again and again, every other time once it has a part of an upload, and starts it again after a while. It stands at the end.
async fn kill_backend(stage: &Stage, backend: &mut Backend, mut chance: Chance) -> Result<Tally> {
    let (began, mut tally) = (Clock::start(), Tally::default());
    let uploads = stage.folder().join("backend/uploads");
    let mut longest = SHORTEST_BACKEND_MS;
    while began.now() < KILLING {
        let (life, aims_at_upload) = (Clock::start(), chance.below(2) == 0);
        tokio::time::sleep(Duration::from_millis(SHORTEST_BACKEND_MS)).await;
        let is_there = || aims_at_upload && !within(&uploads).is_empty();
        while !is_there() && life.now() < Duration::from_millis(longest) {
            tokio::time::sleep(LOOK_AT_STEP_EVERY).await;
        }
        backend.kill().await?;
        let is_stored = within(&stage.folder().join("backend/blobs/sha256")).iter().any(|folder| !within(folder).is_empty());
        tally.killed(match (within(&uploads).is_empty(), is_stored) {
            (false, _) => "its backend, while an upload is under way",
            (true, false) => "its backend, before a bundle is stored",
            (true, true) => "its backend, between two uploads",
        });
        tokio::time::sleep(Duration::from_millis(chance.below(AWAY_MS))).await;
        backend.restart(stage).await?;
        longest = SHORTEST_BACKEND_MS + chance.below(LONGEST_BACKEND_MS - SHORTEST_BACKEND_MS);
    }
    Ok(tally)
}

fn has(state: &Path, folder: &str) -> bool {
    !within(&state.join("spool").join(folder)).is_empty()
}

fn owes(state: &Path) -> bool {
    std::fs::read(state.join("owed.json")).is_ok_and(|owed| owed != b"[]")
}

/// How far things were, by what lies in the state directory of an agent that was killed.
fn moment(state: &Path) -> &'static str {
    match (has(state, "ready"), owes(state), has(state, "sent")) {
        (true, ..) => "service, while a bundle waits",
        (_, true, _) => "service, while a bundle is owed",
        (_, _, false) => "service, before a failure is noted",
        (..) => "service, between two failures",
    }
}

/// Waits until there is a bundle of each schedule at the backend, and none waits any more.
async fn settle(agent: &mut Agent, tally: &mut Tally) -> Result<()> {
    let wanted: BTreeSet<String> = INTERVALS.into_iter().map(name).collect();
    let began = Clock::start();
    loop {
        let sent: BTreeSet<String> = sent(agent)?.into_iter().map(|sent| sent.schedule).collect();
        if sent == wanted && within(&agent.state().join("spool/ready")).is_empty() {
            return Ok(());
        }
        if began.now() > PATIENCE {
            tally.lost.push(format!("of {wanted:?} only {sent:?} were delivered: {}", agent.log()));
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A delivered bundle, as the agent's spool has it.
struct Sent {
    schedule: String,
    file: PathBuf,
}

fn sent(agent: &Agent) -> Result<Vec<Sent>> {
    let read = |folder: PathBuf| {
        let entry = std::fs::read(folder.join("entry.json")).context("reading an entry")?;
        let entry: serde_json::Value = serde_json::from_slice(&entry).context("reading an entry")?;
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        Ok(Sent { schedule: text("schedule"), file: folder.join(text("file")) })
    };
    within(&agent.state().join("spool/sent")).into_iter().map(read).collect()
}

/// Each failing target has one case, in which it began to fail once.
async fn cases(stage: &Stage, backend: &Backend, agents: &[Agent], tally: &mut Tally) -> Result<()> {
    let wanted = agents.len() * INTERVALS.len();
    let began = Clock::start();
    let found = loop {
        let text = remote::desk(stage, backend, &["cases", "--format", "json"]).await?;
        let cases: Vec<CaseSummary> = serde_json::from_str(&text).context("reading the cases")?;
        let watched: Vec<_> = cases.into_iter().filter_map(|case| case.watched).collect();
        let failing = watched.iter().filter(|watched| watched.state == "failing").count();
        if failing >= wanted || began.now() > PATIENCE {
            break watched;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let subjects: BTreeSet<_> = found.iter().map(|watched| (&watched.agent, &watched.schedule, &watched.target)).collect();
    if subjects.len() < wanted {
        tally.lost.push(format!("{} cases were opened for {wanted} failing targets", subjects.len()));
    }
    if found.len() > subjects.len() {
        tally.duplicated.push(format!("{} cases were opened for {} failing targets", found.len(), subjects.len()));
    }
    for watched in found.iter().filter(|watched| watched.state != "failing" || watched.failures != 1) {
        tally.duplicated.push(format!("{} began to fail {} times and is {}", watched.schedule, watched.failures, watched.state));
    }
    Ok(())
}

/// The agent ends as it should, what it delivered is at the backend, byte for byte, and nothing that it keeps is damaged.
async fn judge(stage: &Stage, agent: &mut Agent, tally: &mut Tally) -> Result<()> {
    if !agent.stop().await?.success() {
        tally.wanting.push(format!("the agent did not end well: {}", agent.log()));
    }
    let mut seen = BTreeSet::new();
    for sent in sent(agent)? {
        tally.acknowledged += 1;
        if !seen.insert(sent.schedule.clone()) {
            tally.duplicated.push(format!(
                "{} became failing once and has a second bundle, {}",
                sent.schedule,
                sent.file.display()
            ));
        }
        let bytes = std::fs::read(&sent.file).context("reading a delivered bundle")?;
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let stored = stage.folder().join("backend/blobs/sha256").join(&digest[..2]).join(&digest);
        if std::fs::read(&stored).ok() != Some(bytes) {
            tally.lost.push(format!("the bundle {} of {} is not at the backend", sent.file.display(), sent.schedule));
        }
    }
    let aside = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "damaged") || path.ends_with("quarantine");
    let state = agent.state();
    let damaged: Vec<PathBuf> = within(&state).into_iter().chain(within(&state.join("spool"))).filter(aside).collect();
    if !damaged.is_empty() {
        tally.lost.push(format!("damaged after kills: {damaged:?}"));
    }
    if agent.log().contains("panicked") {
        tally.wanting.push(agent.log());
    }
    agent.netsonde(stage, &["audit", "verify"]).await.map(drop)
}
