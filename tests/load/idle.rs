use crate::backend::Backend;
use crate::fleet::enrolment;
use crate::machine::{self, Use};
use crate::organisation::Organisation;
use anyhow::{Context, Result, bail};
use netsonde_agent::load::Clock;
use netsonde_tests::programs::program;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// Until an agent that was started holds a request.
const HELD_LIMIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After it holds one: what starting left to do is done then.
const SETTLED: Duration = Duration::from_secs(5);

/// What an agent may take that does nothing but wait for orders.
const MAX_RESIDENT: u64 = 10 << 20;
const MAX_CPU: f64 = 0.001;
/// Of its own memory, however busy the machine and whatever it keeps schedules for: an unoptimised program with five or six schedules holds 3.5 MiB after a minute and 5 MiB for
/// half an hour (docs/load.md, docs/faults.md). What is resident besides are pages of the program's file, of which an unoptimised one has many times as many, and which the kernel
/// keeps as it likes.
const MAX_OWN_BUSY: u64 = 16 << 20;

/// What one idle agent took of its machine.
pub(crate) struct Figures {
    schedules: u32,
    resident: u64,
    /// Of which no other process could use a page: heap, stacks, what was written of the program's data.
    own: u64,
    threads: usize,
    wake_ups_a_minute: f64,
    /// Of one core.
    cpu: f64,
    seconds: f64,
}

/// Lets one real `netsonde agent` wait for orders over TLS, beside so many schedules, and looks at it for so long.
pub(crate) async fn run(folder: &Path, watched: Duration, schedules: u32) -> Result<Figures> {
    let target = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
    let address = target.local_addr().context("the target's address")?;
    tokio::spawn(async move { while target.accept().await.is_ok() {} });
    let schedule =
        |number| format!("[[schedule]]\nname = \"s{number}\"\nset = \"port\"\ntargets = [\"{address}\"]\nevery = \"1m\"\n");
    let text: String = (0..schedules).map(schedule).collect();
    std::fs::write(folder.join("agent.toml"), format!("version = 1\n{text}")).context("writing agent.toml")?;
    let clock = Clock::start();
    let backend = Backend::start(folder, false).await?;
    let organisation = Organisation::new(clock.wall());
    backend.publish(&organisation.documents()).await?;
    let agent = start(&backend, &organisation, folder).await?;
    let process = agent.id().context("the agent has ended")?;
    let held = tokio::time::timeout(HELD_LIMIT, async {
        while backend.online().await?.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok::<_, anyhow::Error>(())
    });
    held.await.context("the agent holds no request")??;
    tokio::time::sleep(SETTLED).await;
    let (before, began) = (Use::of(process)?, clock.now());
    tokio::time::sleep(watched).await;
    let (after, seconds) = (Use::of(process)?, (clock.now() - began).as_secs_f64());
    if backend.online().await?.len() != 1 {
        bail!("the agent held no request at the end");
    }
    Ok(Figures {
        schedules,
        resident: machine::resident(process)?,
        own: machine::own(process)?,
        threads: after.threads,
        wake_ups_a_minute: after.wake_ups.saturating_sub(before.wake_ups) as f64 * 60.0 / seconds,
        cpu: after.cpu.saturating_sub(before.cpu).as_secs_f64() / seconds,
        seconds,
    })
}

async fn start(backend: &Backend, organisation: &Organisation, folder: &Path) -> Result<Child> {
    let policy = folder.join("policy.toml");
    std::fs::write(&policy, "version = 1\n[orders]\nremote = \"allow\"\n").context("writing the policy")?;
    let string = enrolment(backend, organisation, 1).await?.encode();
    let log = std::fs::File::create(folder.join("agent.log")).context("making the agent's log")?;
    let netsonde = |arguments: &[&str]| -> Result<Command> {
        let mut command = Command::new(program("netsonde")?);
        command.args(arguments).arg("--policy").arg(&policy).arg("--state-dir").arg(folder.join("state"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.try_clone()?).kill_on_drop(true);
        Ok(command)
    };
    if !netsonde(&["enroll", "--yes", &string])?.status().await.context("running netsonde enroll")?.success() {
        bail!("netsonde enroll failed:\n{}", std::fs::read_to_string(folder.join("agent.log")).unwrap_or_default());
    }
    let config = folder.join("agent.toml").to_string_lossy().into_owned();
    netsonde(&["agent", "--config", &config])?.spawn().context("starting netsonde agent")
}

impl Figures {
    /// Everything in one line, and whether all of it is as good as it has to be; on a machine that is busy, its own memory alone.
    pub(crate) fn line(&self, busy: bool) -> (String, bool) {
        let is_alone = self.schedules == 0 && !busy;
        let bounds = [
            ("resident memory", is_alone && self.resident >= MAX_RESIDENT),
            ("time on a core", is_alone && self.cpu >= MAX_CPU),
            ("memory of its own", busy && self.own >= MAX_OWN_BUSY),
        ];
        let short: Vec<&str> = bounds.into_iter().filter_map(|(what, is_short)| is_short.then_some(what)).collect();
        let verdict = if short.is_empty() { "ok".to_owned() } else { format!("short of: {}", short.join(", ")) };
        let line = format!(
            "load idle: schedules={} resident={:.1} MiB own={:.1} MiB threads={} wake-ups/min={:.1} cpu={:.4} % over {:.0} s; {verdict}",
            self.schedules,
            mebibytes(self.resident),
            mebibytes(self.own),
            self.threads,
            self.wake_ups_a_minute,
            self.cpu * 100.0,
            self.seconds
        );
        (line, short.is_empty())
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
