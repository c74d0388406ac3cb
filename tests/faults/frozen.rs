//! A process that the kernel freezes in the middle of an upload, and the way to the backend that has forgotten its connections when it goes on: the upload goes on where it
//! was, schedules make up once, and nothing is there twice. Once while time goes on for the process, as in a container that is paused, and once for eight hours of sleep.

use crate::clocks::Clocks;
use crate::freezer::Freezer;
use crate::scheduled::Scheduled;
use crate::tally::Tally;
use anyhow::{Context, Result, bail};
use netsonde_agent::load::Clock;
use netsonde_tests::stage::{Backend, Stage};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Three slots of an interval are missed.
const FROZEN: Duration = Duration::from_secs(35);
/// A bundle of twenty-some kilobytes is sent in parts of ten seconds' worth: there is time between the first and the last.
const UPLOAD: &str = "[upload]\nmax_rate = \"1kB/s\"\n";
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PANIC: &str = "panicked at";

/// How a process is frozen.
struct Fault {
    /// Of the schedule whose bundle is on its way.
    schedule: &'static str,
    what: &'static str,
    /// So much more than really went by, in seconds, for agent and backend.
    asleep: i64,
}

const FAULTS: [Fault; 2] = [
    Fault { schedule: "paused", what: "frozen while time goes on", asleep: 0 },
    Fault { schedule: "asleep", what: "frozen for eight hours", asleep: 8 * 3_600 },
];

/// Both faults, or `quick` the longer sleep alone.
pub(crate) async fn run(quick: bool) -> Result<Tally> {
    let faults = &FAULTS[usize::from(quick)..];
    let mut tally = Tally::default();
    let stage = Stage::new()?;
    let way = Way::open().await?;
    let backend = Backend::start_reached_at(&stage, way.far, &format!("https://{}", way.near)).await?;
    let (world, unsteady) =
        Scheduled::start(stage, backend, &faults.iter().map(|fault| fault.schedule).collect::<Vec<_>>(), UPLOAD).await?;
    let process = world.process()?;
    let freezer = Freezer::around(process);
    println!("  held by {freezer}");
    for (fault, target) in faults.iter().zip(unsteady) {
        let clocks = match clocks(&world, fault).await {
            Ok(clocks) => clocks,
            Err(error) => {
                tally.skipped.push(format!("{}: {error:#}", fault.what));
                continue;
            }
        };
        target.fail().await;
        let mut uploads = Uploads::of(&world);
        uploads.until_begun().await.with_context(|| world.agent.log())?;
        let (began, before) = (Clock::start(), world.measured().await?);
        freezer.freeze().await?;
        uploads.look();
        let (kept, said) = (uploads.clone(), world.agent.log().len());
        way.forget();
        for clocks in clocks {
            clocks.set(fault.asleep, fault.asleep)?;
        }
        tokio::time::sleep(FROZEN).await;
        uploads.look();
        if uploads != kept || world.agent.log().len() != said {
            tally.wanting.push(format!("{}: the agent went on meanwhile", fault.what));
        }
        freezer.thaw().await?;
        tally.faults += 1;
        tally.acknowledged += 1;
        let expected = tally.acknowledged;
        let delivered = async { world.expect_delivered(expected).await.map(|()| began.now().saturating_sub(FROZEN)) };
        let (delivered, went_on) =
            tokio::join!(uploads.until(delivered), world.expect_schedules(fault.what, (before, began), FROZEN, &mut tally));
        went_on?;
        let took = delivered.with_context(|| fault.what)?;
        let parts: Vec<u64> = kept.seen.into_values().collect();
        println!("  {}: the upload, of which {parts:?} bytes were there, ended within {} s", fault.what, took.as_secs());
        if uploads.seen.len() > 1 {
            tally.wanting.push(format!("{}: the upload began anew: {:?}", fault.what, uploads.seen));
        }
    }
    let log = world.agent.log();
    for (words, what) in [(PANIC, "something panicked"), ("the clock was set by", "sleep is told as a clock that was set")] {
        if log.contains(words) {
            tally.wanting.push(format!("{what}: {log}"));
        }
    }
    world.judge(&mut tally).await?;
    Ok(tally)
}

/// The clocks of agent and backend, where they are to show another time.
async fn clocks(world: &Scheduled, fault: &Fault) -> Result<Vec<Clocks>> {
    if fault.asleep == 0 {
        return Ok(Vec::new());
    }
    let backend = world.backend.process_id().context("no backend runs")?;
    Ok(vec![Clocks::of(world.process()?).await?, Clocks::of(backend).await?])
}

/// The parts of uploads that lie at the backend: by their names, the most bytes that were seen of each.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Uploads {
    folder: PathBuf,
    seen: BTreeMap<OsString, u64>,
}

impl Uploads {
    fn of(world: &Scheduled) -> Self {
        Self { folder: world.stage.folder().join("backend/uploads"), seen: BTreeMap::new() }
    }

    fn look(&mut self) {
        for file in self.folder.read_dir().into_iter().flatten().flatten() {
            // The last part may have come between the two.
            let Ok(about) = file.metadata() else { continue };
            let most = self.seen.entry(file.file_name()).or_default();
            *most = about.len().max(*most);
        }
    }

    /// The first part of one is there.
    async fn until_begun(&mut self) -> Result<()> {
        let began = Clock::start();
        while self.seen.values().all(|length| *length == 0) {
            if began.now() > PATIENCE {
                bail!("no upload began");
            }
            tokio::time::sleep(LOOK_EVERY).await;
            self.look();
        }
        Ok(())
    }

    /// Looks on until something else is done.
    async fn until<T>(&mut self, done: impl Future<Output = T>) -> T {
        let mut done = pin!(done);
        loop {
            tokio::select! {
                done = &mut done => return done,
                () = tokio::time::sleep(LOOK_EVERY) => self.look(),
            }
        }
    }
}

/// The way from the agent to the backend.
struct Way {
    /// Where agents knock.
    near: SocketAddr,
    /// Where the backend listens.
    far: SocketAddr,
    forgotten: watch::Sender<()>,
}

impl Way {
    async fn open() -> Result<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
        let far = free.local_addr().context("the free port has no address")?;
        drop(free);
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
        let near = listener.local_addr().context("the way's address")?;
        let forgotten = watch::Sender::new(());
        let forgets = forgotten.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, far, forgets.subscribe()));
            }
        });
        Ok(Self { near, far, forgotten })
    }

    /// As a router that has no more room for connections of which it heard nothing for so long: what still comes of them goes nowhere, and neither end is told.
    fn forget(&self) {
        self.forgotten.send_replace(());
    }
}

async fn carry(mut near: TcpStream, far: SocketAddr, mut forgotten: watch::Receiver<()>) {
    // Where no backend is, the connection ends.
    let Ok(mut far) = TcpStream::connect(far).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = forgotten.changed() => std::future::pending().await,
    }
}
