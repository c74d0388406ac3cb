//! The real agent's service and the real backend for a while, with schedules that run, fail, recover and send. Memory, descriptors and threads of both are
//! sampled; what grows is a failure. On loopback alone.
#![expect(clippy::print_stdout, reason = "what the command prints is what it is for")]

/// What a process holds, over time.
mod held;

use anyhow::{Context, Result};
use clap::Parser;
use held::{Held, Series};
use netsonde_agent::load::Clock;
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::{Backend, Stage};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Runs agent and backend and holds what they hold against what they held.
#[derive(Parser)]
#[command(name = "soak", after_help = "Examples:\n  cargo soak\n  cargo soak --minutes 5")]
struct Arguments {
    /// How long, at least 2
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..=1_440))]
    minutes: u64,
}

const BETWEEN_SAMPLES: Duration = Duration::from_secs(2);
/// A target that goes down and comes up again: each time is a change, a deep run and a bundle.
const UP_OR_DOWN: Duration = Duration::from_secs(35);
const POLICY: &str = "version = 1\n[orders]\nremote = \"deny\"\n";
const STEADY: usize = 5;

fn main() -> ExitCode {
    // Cargo hands on the `--` that separates its own arguments.
    let arguments = std::env::args().enumerate().filter(|(place, text)| *place != 1 || text != "--").map(|(_, text)| text);
    let arguments = Arguments::parse_from(arguments);
    let outcome = tokio::runtime::Runtime::new()
        .context("starting the runtime")
        .and_then(|runtime| runtime.block_on(run(Duration::from_secs(arguments.minutes * 60))));
    match outcome {
        Ok(is_flat) if is_flat => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("the soak could not be run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(long: Duration) -> Result<bool> {
    let stage = Stage::new()?;
    let backend = Backend::start(&stage).await?;
    remote::found(&stage, &backend).await?;
    let steady = Target::serve().await?;
    let unsteady = Target::serve().await?;
    let mut agent = Agent::enrol(&stage, &backend, "soaked", POLICY, None).await?;
    let metrics = free_port()?;
    agent.configure(&schedules(&steady.address, &unsteady.address, metrics))?;
    agent.start(&stage)?;
    agent.until_says("is ok").await?;
    let processes = [agent.process_id().context("no agent")?, backend.process_id().context("no backend")?];
    let (clock, mut series) = (Clock::start(), [Series::of("agent"), Series::of("backend")]);
    while clock.now() < long {
        tokio::time::sleep(BETWEEN_SAMPLES).await;
        unsteady.set_up((clock.now().as_secs() / UP_OR_DOWN.as_secs()).is_multiple_of(2));
        scrape(metrics).await.context("the agent's metrics do not answer")?;
        for (series, process) in series.iter_mut().zip(processes) {
            series.add(clock.now(), Held::by(process).with_context(|| format!("the {} ended", series.name()))?);
        }
    }
    let spool = agent.netsonde(&stage, &["spool", "list"]).await?;
    let delivered = spool.matches("delivered").count();
    let ended = agent.stop().await?;
    let growths: Vec<String> = series.iter().flat_map(Series::growths).collect();
    growths.iter().for_each(|growth| println!("GROWS  {growth}"));
    if delivered == 0 {
        println!("WRONG  no bundle was delivered: {}", agent.log());
    }
    println!(
        "{} minutes, {} connections measured, {delivered} bundles delivered; {}; {}; {} grow",
        long.as_secs() / 60,
        steady.taken() + unsteady.taken(),
        series[0],
        series[1],
        growths.len()
    );
    Ok(growths.is_empty() && delivered > 0 && ended.success())
}

/// As often as a file may have it.
fn schedules(steady: &str, unsteady: &str, metrics: u16) -> String {
    let schedule = |name: &str, target: &str, more: &str| {
        format!(
            "[[schedule]]\nname = \"{name}\"\nset = \"port\"\ntargets = [\"{target}\"]\nevery = \"10s\"\nbudget = \"8s\"\n{more}[schedule.health]\nfailing_after = 1\nok_after = 1\n"
        )
    };
    let mut text = format!("version = 1\n[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n");
    (0..STEADY).for_each(|number| text.push_str(&schedule(&format!("steady{number}"), steady, "")));
    text.push_str(&schedule("unsteady", unsteady, "upload = \"now\"\ndeep = \"port\"\n"));
    text
}

fn free_port() -> Result<u16> {
    let free = std::net::TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(free.local_addr().context("the free port has no address")?.port())
}

async fn scrape(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.context("connecting")?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.context("asking")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.context("reading")?;
    anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// Something that takes connections, or refuses to say a word to them.
struct Target {
    address: String,
    is_up: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
}

impl Target {
    async fn serve() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
        let socket = listener.local_addr().context("the target's address")?;
        let (is_up, taken) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let (up, count) = (Arc::clone(&is_up), Arc::clone(&taken));
        tokio::spawn(async move {
            let mut listener = Some(listener);
            loop {
                match (&listener, up.load(Ordering::SeqCst)) {
                    (Some(open), true) => {
                        if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(200), open.accept()).await {
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    (Some(_), false) => listener = None,
                    (None, true) => listener = TcpListener::bind(socket).await.ok(),
                    (None, false) => tokio::time::sleep(Duration::from_millis(200)).await,
                }
            }
        });
        Ok(Self { address: socket.to_string(), is_up, taken })
    }

    fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::SeqCst);
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }
}
