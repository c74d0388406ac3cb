//! Bundles that piled up while a machine was alone, delivered by the real agent: all of them, each once, in bounded memory, and the last ones as cheaply as
//! the first.

use crate::tally::Tally;
use anyhow::{Context, Result, bail};
use netsonde_agent::faults::multiply;
use netsonde_agent::load::Clock;
use netsonde_tests::programs::program;
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::{Backend, Stage};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;

const POLICY: &str = "version = 1\n[orders]\nremote = \"deny\"\n";
/// What the backend takes of one agent in a day: more than wait.
const A_DAY: &str = "16384";
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Where none arrives for so long, something hangs.
const STANDSTILL: Duration = Duration::from_secs(180);
/// However many wait: a program without optimisation takes 55 MiB, and the queue some hundred bytes for each.
const MOST_KIB: u64 = 128 << 10;
const MOST_DESCRIPTORS: u64 = 64;
/// The bundle that the others are made of.
const MODEL: u64 = 1;
/// In so many shares of them it is looked what one costs.
const SHARES: usize = 4;
/// By how much one of the last share may cost more than one of the first. What grows with all that wait, or with all that are there, costs twenty times as much.
const MOST_DEARER: f64 = 2.0;

pub(crate) async fn run(count: u64) -> Result<Tally> {
    let mut tally = Tally::default();
    // In memory where there is such a place: what is measured are the programs, not the disk's patience.
    let place =
        ["/dev/shm", "/tmp"].into_iter().map(Path::new).find(|place| place.is_dir()).context("no folder for temporary files")?;
    let stage = Stage::within(place)?;
    let mut backend = Backend::start_with(&stage, &["--scheduled-bundles", A_DAY]).await?;
    remote::found(&stage, &backend).await?;
    let mut agent = Agent::enrol(&stage, &backend, "crowded", POLICY, None).await?;
    let mut files = waiting(&stage, &mut agent, count).await?;
    agent.start(&stage)?;
    let clock = Clock::start();
    let mut most = [Held::default(), Held::default()];
    let mut bills: Vec<Bill> = Vec::new();
    let (mut left, mut since) = (files.len(), clock.now());
    while left > 0 {
        tokio::time::sleep(LOOK_EVERY).await;
        let processes = [agent.process_id(), backend.process_id()];
        for (most, process) in most.iter_mut().zip(processes) {
            *most = most.and(Held::by(process.context("a program ended")?).context("a program ended")?);
        }
        let now = within(&agent.state().join("spool/ready")).len();
        let delivered = files.len() - now;
        // What the agent's start costs is before the first of them.
        if delivered > 0 && delivered * SHARES >= files.len() * bills.len() {
            bills.push(Bill::after(delivered, processes).context("a program ended")?);
        }
        if now < left {
            (left, since) = (now, clock.now());
        } else if clock.now().saturating_sub(since) > STANDSTILL {
            bail!("{left} bundles wait and none is delivered: {}", agent.log());
        }
    }
    let took = clock.now().as_secs_f64();
    let [agents, backends] = most;
    println!(
        "  {} bundles in {}: delivered in {took:.0} s; the agent: {agents}; the backend: {backends}",
        files.len(),
        place.display()
    );
    let costs = costs(&bills);
    println!("  each cost, share by share, of a processor: {}", costs.iter().map(Cost::to_string).collect::<Vec<_>>().join("; "));
    if let [first, .., last] = &costs[..]
        && last.sum() > first.sum() * MOST_DEARER
    {
        tally.wanting.push(format!("of {count} bundles one of the last cost {last}, one of the first {first}"));
    }
    if !agent.stop().await?.success() {
        tally.wanting.push(format!("the agent did not end well: {}", agent.log()));
    }
    if agents.memory_kib > MOST_KIB || agents.descriptors > MOST_DESCRIPTORS {
        tally.wanting.push(format!("{count} bundles cost the agent {agents}"));
    }
    backend.kill().await?;
    tally.faults += 1;
    tally.acknowledged += files.len() as u64;
    let blobs = stage.folder().join("backend/blobs/sha256");
    for stored in within(&blobs).iter().flat_map(|folder| within(folder)) {
        let bytes = std::fs::read(&stored).context("reading a stored bundle")?;
        files.remove(&digest(&bytes));
    }
    tally.lost.extend(files.iter().map(|digest| format!("the bundle {digest} is not at the backend")));
    expect_once(&agent, tally.acknowledged, &mut tally)?;
    verify(&stage, &mut tally).await?;
    Ok(tally)
}

/// An agent's spool with so many bundles, by the digests of their files. Nothing of it was sent.
async fn waiting(stage: &Stage, agent: &mut Agent, count: u64) -> Result<BTreeSet<String>> {
    let closed = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
    let target = closed.local_addr().context("the target's address")?;
    drop(closed);
    // Sent by hand alone, until the others are there.
    let file = |upload: &str| {
        format!(
            "version = 1\n[[schedule]]\nname = \"shop\"\nset = \"port\"\ntargets = [\"{target}\"]\nevery = \"10s\"\nsplay = \"1ms\"\nbudget = \"8s\"\nupload = \"{upload}\"\n[schedule.health]\nfailing_after = 1\n"
        )
    };
    agent.configure(&format!("{}[upload]\nmetered = \"always\"\n", file("later")))?;
    agent.start(stage)?;
    agent.until_says("is in the bundle").await?;
    agent.stop().await?;
    let state = agent.state();
    let model = within(&state.join("spool/ready"));
    let model = model.first().context("there is no bundle")?;
    let bytes = within(model).into_iter().find(|path| path.to_string_lossy().ends_with(".tar.gz")).context("no file")?;
    let model = digest(&std::fs::read(bytes).context("reading the bundle")?);
    let made = tokio::task::spawn_blocking(move || multiply(&state, count - MODEL)).await.context("making bundles")?;
    let made = made.map_err(anyhow::Error::msg)?;
    // Nothing new is measured while these go, and the line costs nothing.
    agent.configure("version = 1\n[upload]\nmetered = \"never\"\n")?;
    Ok(made.into_iter().chain([model]).collect())
}

/// The agent's own log tells of each delivery, and of each bundle once.
fn expect_once(agent: &Agent, expected: u64, tally: &mut Tally) -> Result<()> {
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    let mut logs: Vec<PathBuf> = within(&agent.state());
    logs.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("audit.") && name != "audit.lock"));
    for log in logs {
        let text = std::fs::read_to_string(log).context("reading the audit log")?;
        for line in text.lines().filter(|line| line.contains("\"uploaded\"")) {
            let line: serde_json::Value = serde_json::from_str(line).context("reading a line of the audit log")?;
            *told.entry(line["decision"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    tally.duplicated.extend(told.iter().filter(|(_, times)| **times > 1).map(|(what, times)| format!("{times} times: {what}")));
    if told.len() as u64 != expected {
        tally.lost.push(format!("the audit log tells of {} deliveries of {expected}", told.len()));
    }
    Ok(())
}

/// The backend has as many bundles as were acknowledged, and its store is in order.
pub(crate) async fn verify(stage: &Stage, tally: &mut Tally) -> Result<()> {
    let mut verify = tokio::process::Command::new(program("netsonde-backend")?);
    let output = verify.arg("verify").arg("--data").arg(stage.folder().join("backend")).output().await?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let count: Option<u64> = text.lines().find_map(|line| line.split_once(" bundles (")?.0.trim().parse().ok());
    let count = count.with_context(|| format!("netsonde-backend verify said: {text}"))?;
    if !output.status.success() || count < tally.acknowledged {
        tally.lost.push(format!("the backend has {count} bundles of {}: {text}", tally.acknowledged));
    } else if count > tally.acknowledged {
        tally.duplicated.push(format!("the backend has {count} bundles of {}", tally.acknowledged));
    }
    Ok(())
}

/// What agent and backend had spent once so many were delivered.
#[derive(Clone, Copy, Debug)]
struct Bill {
    delivered: usize,
    spent_ms: [f64; 2],
}

impl Bill {
    fn after(delivered: usize, processes: [Option<u32>; 2]) -> Result<Self> {
        let [agent, backend] = processes.map(|process| spent_ms(process.context("no process")?));
        Ok(Self { delivered, spent_ms: [agent?, backend?] })
    }
}

/// Milliseconds on a core since the process began: utime and stime, fields 14 and 15, in hundredths of a second (proc_pid_stat(5)).
fn spent_ms(process: u32) -> Result<f64> {
    const TICK_MS: f64 = 10.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).context("reading the process's times")?;
    // The name may hold anything; what follows its closing bracket does not.
    let fields = stat.rsplit_once(')').context("reading the process's times")?.1.split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() * TICK_MS)
}

/// What one bundle cost agent and backend, in milliseconds on a core.
#[derive(Clone, Copy, Debug)]
struct Cost([f64; 2]);

impl Cost {
    fn sum(&self) -> f64 {
        self.0.iter().sum()
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([agent, backend]) = self;
        write!(formatter, "{agent:.1} ms at the agent and {backend:.1} ms at the backend")
    }
}

/// From one bill to the next.
fn costs(bills: &[Bill]) -> Vec<Cost> {
    let between = bills.iter().zip(bills.iter().skip(1));
    let cost = |(before, after): (&Bill, &Bill)| {
        let bundles = after.delivered.saturating_sub(before.delivered).max(1) as f64;
        Cost([0, 1].map(|program| (after.spent_ms[program] - before.spent_ms[program]) / bundles))
    };
    between.map(cost).collect()
}

/// The most that a process held.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    memory_kib: u64,
    descriptors: u64,
}

impl Held {
    /// What it holds now; its own memory alone, as the rest is the kernel's choice.
    fn by(process: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).context("reading the process's status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no memory in its status")?;
        let memory_kib = line.split_whitespace().next().and_then(|word| word.parse().ok()).context("its memory")?;
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).context("counting its descriptors")?.count();
        Ok(Self { memory_kib, descriptors: descriptors as u64 })
    }

    fn and(self, other: Self) -> Self {
        Self { memory_kib: self.memory_kib.max(other.memory_kib), descriptors: self.descriptors.max(other.descriptors) }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} KiB and {} descriptors at most", self.memory_kib, self.descriptors)
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn within(folder: &Path) -> Vec<PathBuf> {
    folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
