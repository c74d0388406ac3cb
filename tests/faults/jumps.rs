//! Clocks that are set by hours while the agent runs, and a machine that sleeps for eight hours: schedules go on, failures are told, bundles arrive.

use crate::clocks::{Clocks, halt, resume};
use crate::tally::Tally;
use anyhow::{Context, Result, bail};
use netsonde_agent::load::Clock;
use netsonde_contract::history::History;
use netsonde_tests::programs::program;
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::{Backend, Stage};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const HOUR: i64 = 3_600;
const POLICY: &str = "version = 1\n[orders]\nremote = \"deny\"\n";
const INTERVAL: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);
/// A schedule looks at the clocks every half a minute at the least; a machine that does much else is late besides.
const SOON: Duration = Duration::from_secs(75);
/// A bundle whose first try meets a backend that is away waits for the next.
const PATIENCE: Duration = Duration::from_secs(240);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What happens to the agent's clocks. Wall and boot clock, in seconds.
struct Fault {
    /// Of the schedule whose target goes down with it.
    schedule: &'static str,
    what: &'static str,
    wall: i64,
    boot: i64,
}

const FAULTS: [Fault; 4] = [
    Fault { schedule: "forward", what: "a clock that is set forward by five hours", wall: 5 * HOUR, boot: 0 },
    Fault { schedule: "back", what: "a clock that is set back by nine hours", wall: -9 * HOUR, boot: 0 },
    Fault { schedule: "right", what: "a clock that is set right again", wall: 4 * HOUR, boot: 0 },
    Fault { schedule: "asleep", what: "eight hours of sleep", wall: 8 * HOUR, boot: 8 * HOUR },
];

struct World {
    stage: Stage,
    backend: Backend,
    agent: Agent,
}

/// How often the two schedules that never fail have measured.
#[derive(Clone, Copy)]
struct Measured {
    by_interval: usize,
    by_cron: usize,
}

pub(crate) async fn run() -> Result<Tally> {
    let mut tally = Tally::default();
    let stage = Stage::new()?;
    let backend = Backend::start(&stage).await?;
    remote::found(&stage, &backend).await?;
    let agent = Agent::enrol(&stage, &backend, "moved", POLICY, None).await?;
    let mut world = World { stage, backend, agent };
    let steady = Target::serve().await?;
    let mut unsteady = Vec::new();
    for _ in FAULTS {
        unsteady.push(Target::serve().await?);
    }
    world.agent.configure(&schedules(&steady, &unsteady))?;
    world.agent.start(&world.stage)?;
    for fault in &FAULTS {
        world.agent.until_says(&format!("{}: ", fault.schedule)).await?;
    }
    world.agent.until_online(&world.stage, &world.backend).await?;
    let process = world.agent.process_id().context("no agent runs")?;
    let clocks = match Clocks::of(process).await {
        Ok(clocks) => clocks,
        Err(error) => {
            tally.skipped.push(format!("clocks that jump, and sleep: {error:#}"));
            return Ok(tally);
        }
    };
    let (mut wall, mut boot, mut told) = (0, 0, 0);
    for (fault, target) in FAULTS.iter().zip(unsteady) {
        let (before, began) = (world.measured().await?, Clock::start());
        (wall, boot) = (wall + fault.wall, boot + fault.boot);
        halt(process).await?;
        target.fail().await;
        clocks.set(wall, boot)?;
        if fault.boot > 0 {
            world.meanwhile(wall, boot).await?;
        }
        resume(process).await?;
        tally.faults += 1;
        world.expect_schedules(fault, before, began, &mut tally).await?;
        world.agent.until_says(&format!("{}: what was seen of", fault.schedule)).await?;
        tally.acknowledged += 1;
        world.expect_delivered(tally.acknowledged).await.with_context(|| fault.what)?;
        // Asleep, nobody sets a clock.
        told += usize::from(fault.boot == 0);
        let said = world.agent.log().matches("the clock was set by").count();
        if said != told {
            tally.wanting.push(format!("{}: {said} settings of the clock are told, not {told}", fault.what));
        }
    }
    world.judge(&mut tally).await?;
    Ok(tally)
}

/// Something that takes connections, until it fails.
struct Target {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Target {
    async fn serve() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
        let address = listener.local_addr().context("the target's address")?;
        let serving = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        Ok(Self { address, serving })
    }

    /// Nobody listens there any more.
    async fn fail(self) {
        self.serving.abort();
        // It ends as it was told to.
        let _ = self.serving.await;
    }
}

fn schedules(steady: &Target, unsteady: &[Target]) -> String {
    let schedule = |name: &str, when: &str, target: &Target| {
        let target = target.address;
        format!(
            "[[schedule]]\nname = \"{name}\"\nset = \"port\"\ntargets = [\"{target}\"]\n{when}\nsplay = \"1ms\"\nbudget = \"8s\"\nupload = \"now\"\n[schedule.health]\nfailing_after = 1\nok_after = 1\n"
        )
    };
    let mut text = "version = 1\n".to_owned();
    text.push_str(&schedule("interval", "every = \"10s\"", steady));
    text.push_str(&schedule("cron", "cron = \"* * * * *\"\nzone = \"UTC\"", steady));
    for (fault, target) in FAULTS.iter().zip(unsteady) {
        text.push_str(&schedule(fault.schedule, "every = \"10s\"", target));
    }
    text
}

impl World {
    /// While the machine sleeps, time goes on for the backend, and no connection outlives it.
    async fn meanwhile(&mut self, wall: i64, boot: i64) -> Result<()> {
        self.backend.kill().await?;
        self.backend.restart(&self.stage).await?;
        let process = self.backend.process_id().context("no backend runs")?;
        Clocks::of(process).await?.set(wall, boot)
    }

    async fn measured(&self) -> Result<Measured> {
        Ok(Measured { by_interval: self.samples("interval").await?, by_cron: self.samples("cron").await? })
    }

    async fn samples(&self, schedule: &str) -> Result<usize> {
        let arguments = ["history", "--since", "1970-01-01T00:00:00Z", "--schedule", schedule, "--format", "json"];
        let text = self.agent.netsonde(&self.stage, &arguments).await?;
        let history: History = serde_json::from_str(&text).context("reading the history")?;
        Ok(history.checks.iter().filter(|check| check.series.required).map(|check| check.samples.len()).max().unwrap_or_default())
    }

    /// Both kinds go on soon, and make up for what was missed with one run at most.
    async fn expect_schedules(&self, fault: &Fault, before: Measured, began: Clock, tally: &mut Tally) -> Result<()> {
        let now = loop {
            let now = self.measured().await?;
            if now.by_interval >= before.by_interval + 2 && now.by_cron > before.by_cron {
                break now;
            }
            if began.now() > SOON {
                tally.lost.push(format!(
                    "after {} {} runs by interval and {} by cron came within {} s",
                    fault.what,
                    now.by_interval.saturating_sub(before.by_interval),
                    now.by_cron.saturating_sub(before.by_cron),
                    SOON.as_secs()
                ));
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let took = began.now();
        println!(
            "  {}: {} runs by interval and {} by cron within {} s",
            fault.what,
            now.by_interval - before.by_interval,
            now.by_cron - before.by_cron,
            took.as_secs()
        );
        // The slot that was due anyway, and one that makes up.
        let most = |interval: Duration| (took.as_secs() / interval.as_secs()) as usize + 2;
        for (what, came, most) in [
            ("interval", now.by_interval - before.by_interval, most(INTERVAL)),
            ("cron", now.by_cron - before.by_cron, most(MINUTE)),
        ] {
            if came > most {
                tally.duplicated.push(format!("after {} {came} runs by {what} came in {} s", fault.what, took.as_secs()));
            }
        }
        Ok(())
    }

    async fn expect_delivered(&self, wanted: u64) -> Result<()> {
        let began = Clock::start();
        while within(&self.agent.state().join("spool/sent")).len() as u64 != wanted {
            if began.now() > PATIENCE {
                bail!("no bundle was delivered: {}", self.agent.log());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Every bundle is at the backend, once, in a case of its own, and the agent ends as it should.
    async fn judge(mut self, tally: &mut Tally) -> Result<()> {
        let cases = remote::desk(&self.stage, &self.backend, &["cases"]).await?;
        let cases: BTreeSet<&str> = cases.split_whitespace().filter(|word| word.starts_with("auto-")).collect();
        if cases.len() != FAULTS.len() {
            tally.lost.push(format!("{} cases were opened for {} failing targets", cases.len(), FAULTS.len()));
        }
        if !self.agent.stop().await?.success() {
            tally.wanting.push(format!("the agent did not end well: {}", self.agent.log()));
        }
        self.backend.kill().await?;
        let mut verify = tokio::process::Command::new(program("netsonde-backend")?);
        let output = verify.arg("verify").arg("--data").arg(self.stage.folder().join("backend")).output().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let count: Option<u64> = text.lines().find_map(|line| line.split_once(" bundles (")?.0.trim().parse().ok());
        match count.with_context(|| format!("netsonde-backend verify said: {text}"))? {
            count if count < tally.acknowledged => {
                tally.lost.push(format!("{count} of {} bundles are there", tally.acknowledged))
            }
            count if count > tally.acknowledged => tally.duplicated.push(format!("{count} bundles of {}", tally.acknowledged)),
            _ if !output.status.success() => tally.lost.push(format!("netsonde-backend verify: {text}")),
            _ => {}
        }
        Ok(())
    }
}

fn within(folder: &Path) -> Vec<PathBuf> {
    folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
