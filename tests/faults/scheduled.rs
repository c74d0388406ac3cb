//! The real agent as a service that keeps schedules beside a real backend: whether it goes on, makes up once for what was missed, tells of what failed, and delivers.

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

const POLICY: &str = "version = 1\n[orders]\nremote = \"deny\"\n";
const INTERVAL: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);
/// A schedule looks at the clocks every half a minute at the least; a machine that does much else is late besides.
const SOON: Duration = Duration::from_secs(75);
/// A bundle whose first try meets a backend that is away waits for the next.
const PATIENCE: Duration = Duration::from_secs(240);
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(crate) struct Scheduled {
    pub(crate) stage: Stage,
    pub(crate) backend: Backend,
    pub(crate) agent: Agent,
}

/// How often the two schedules that never fail have measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    by_interval: usize,
    by_cron: usize,
}

/// Something that takes connections, until it fails.
pub(crate) struct Target {
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
    pub(crate) async fn fail(self) {
        self.serving.abort();
        // It ends as it was told to.
        let _ = self.serving.await;
    }
}

impl Scheduled {
    /// Agent and backend, with two schedules whose target stays and one for each of these names, whose target is given back. `further` goes into `agent.toml` beside
    /// them; all of them have measured when this returns.
    pub(crate) async fn start(stage: Stage, backend: Backend, names: &[&str], further: &str) -> Result<(Self, Vec<Target>)> {
        remote::found(&stage, &backend).await?;
        let agent = Agent::enrol(&stage, &backend, "scheduled", POLICY, None).await?;
        let mut world = Self { stage, backend, agent };
        let steady = Target::serve().await?;
        let mut unsteady = Vec::new();
        for _ in names {
            unsteady.push(Target::serve().await?);
        }
        world.agent.configure(&format!("{}{further}", schedules(&steady, names, &unsteady)))?;
        world.agent.start(&world.stage)?;
        for name in names {
            world.agent.until_says(&format!("{name}: ")).await?;
        }
        world.agent.until_online(&world.stage, &world.backend).await?;
        Ok((world, unsteady))
    }

    /// The agent's process.
    ///
    /// # Errors
    /// Where it ended.
    pub(crate) fn process(&self) -> Result<u32> {
        self.agent.process_id().context("no agent runs")
    }

    /// How often the steady ones have measured so far.
    ///
    /// # Errors
    /// Where the history cannot be read.
    pub(crate) async fn measured(&self) -> Result<Measured> {
        Ok(Measured { by_interval: self.samples("interval").await?, by_cron: self.samples("cron").await? })
    }

    async fn samples(&self, schedule: &str) -> Result<usize> {
        let arguments = ["history", "--since", "1970-01-01T00:00:00Z", "--schedule", schedule, "--format", "json"];
        let text = self.agent.netsonde(&self.stage, &arguments).await?;
        let history: History = serde_json::from_str(&text).context("reading the history")?;
        Ok(history.checks.iter().filter(|check| check.series.required).map(|check| check.samples.len()).max().unwrap_or_default())
    }

    /// Both kinds go on soon, and make up for what was missed with one run at most. Since `began`, when they had measured so often, nothing could run for as long as
    /// `held`.
    pub(crate) async fn expect_schedules(
        &self,
        what: &str,
        (before, began): (Measured, Clock),
        held: Duration,
        tally: &mut Tally,
    ) -> Result<()> {
        let elapsed = || began.now().saturating_sub(held);
        let now = loop {
            let now = self.measured().await?;
            if now.by_interval >= before.by_interval + 2 && now.by_cron > before.by_cron {
                break now;
            }
            if elapsed() > SOON {
                tally.lost.push(format!(
                    "after {what} {} runs by interval and {} by cron came within {} s",
                    now.by_interval.saturating_sub(before.by_interval),
                    now.by_cron.saturating_sub(before.by_cron),
                    SOON.as_secs()
                ));
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let took = elapsed();
        println!(
            "  {what}: {} runs by interval and {} by cron within {} s",
            now.by_interval - before.by_interval,
            now.by_cron - before.by_cron,
            took.as_secs()
        );
        // The slot that was due anyway, and one that makes up.
        let most = |interval: Duration| (took.as_secs() / interval.as_secs()) as usize + 2;
        for (by, came, most) in [
            ("interval", now.by_interval - before.by_interval, most(INTERVAL)),
            ("cron", now.by_cron - before.by_cron, most(MINUTE)),
        ] {
            if came > most {
                tally.duplicated.push(format!("after {what} {came} runs by {by} came in {} s", took.as_secs()));
            }
        }
        Ok(())
    }

    /// So many bundles were delivered, of all that there ever were.
    ///
    /// # Errors
    /// Where they are not.
    pub(crate) async fn expect_delivered(&self, wanted: u64) -> Result<()> {
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
    pub(crate) async fn judge(mut self, tally: &mut Tally) -> Result<()> {
        let cases = remote::desk(&self.stage, &self.backend, &["cases"]).await?;
        let cases: BTreeSet<&str> = cases.split_whitespace().filter(|word| word.starts_with("auto-")).collect();
        if cases.len() as u64 != tally.acknowledged {
            tally.lost.push(format!("{} cases were opened for {} failing targets", cases.len(), tally.acknowledged));
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

fn schedules(steady: &Target, names: &[&str], unsteady: &[Target]) -> String {
    let schedule = |name: &str, when: &str, target: &Target| {
        let target = target.address;
        format!(
            "[[schedule]]\nname = \"{name}\"\nset = \"port\"\ntargets = [\"{target}\"]\n{when}\nsplay = \"1ms\"\nbudget = \"8s\"\nupload = \"now\"\n[schedule.health]\nfailing_after = 1\nok_after = 1\n"
        )
    };
    let mut text = "version = 1\n".to_owned();
    text.push_str(&schedule("interval", "every = \"10s\"", steady));
    text.push_str(&schedule("cron", "cron = \"* * * * *\"\nzone = \"UTC\"", steady));
    for (name, target) in names.iter().zip(unsteady) {
        text.push_str(&schedule(name, "every = \"10s\"", target));
    }
    text
}

pub(crate) fn within(folder: &Path) -> Vec<PathBuf> {
    folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
