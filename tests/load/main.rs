//! Thousands of the agent's own transports in one process against the real backend, everything on loopback: how many it holds, what each costs, how
//! fast an order comes, and what a crash does.
#![expect(clippy::print_stdout, reason = "what the generator prints is what it is for")]

/// The real backend as a process, and the desk's requests.
mod backend;
/// The agents, and what they hear.
mod fleet;
/// One real agent that waits.
mod idle;
/// Memory, time on a core, descriptors.
mod machine;
/// Keys, lists and orders.
mod organisation;
/// Proxies and slow paths.
mod path;
/// Figures as people and programs read them.
mod report;
/// What is done and measured, step by step.
mod scenario;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use fleet::Mix;
use scenario::Wanted;
use std::process::ExitCode;
use std::time::Duration;

/// For the backend's listener, its database, and the desk.
const DESCRIPTORS_BESIDES: u64 = 200;

/// Puts load on the real backend, on this machine alone.
#[derive(Parser)]
#[command(
    name = "load",
    after_help = "Examples:\n  cargo load agents --optimised --tls --mixed\n  cargo load agents --agents 500 --slow 5 --skewed 5\n  cargo load idle --schedules 5"
)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// With optimised programs, which are built first (Cargo's profile `load`)
    #[arg(long, global = true)]
    optimised: bool,
}

/// Cargo's profile of optimised programs for measuring, and the folder that they are built into.
const OPTIMISED: &str = "load";

#[derive(Subcommand)]
enum What {
    /// Enrols agents, holds them, sends orders to one and to all, kills the backend
    Agents(Agents),
    /// Lets one real agent wait for orders, and says what that costs its machine
    Idle(Idle),
}

#[derive(Args)]
struct Idle {
    /// For how many seconds it is watched
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How many schedules it keeps beside, each of one connection a minute to this machine; what they cost is told, and bounded by nothing without --busy
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=64))]
    schedules: u32,
    /// Fail only where its own memory is beyond a bound that holds for unoptimised programs with schedules, too: for a machine that does other things as well
    #[arg(long)]
    busy: bool,
}

#[derive(Args)]
struct Agents {
    /// How many agents
    #[arg(long, default_value_t = 10_000)]
    agents: usize,
    /// How many orders to one agent each
    #[arg(long, default_value_t = 200)]
    triggers: u32,
    /// Over TLS too, beside plain HTTP
    #[arg(long)]
    tls: bool,
    /// Fail where something was lost or somebody left behind, not where it was slow: for a machine that does other things as well
    #[arg(long)]
    busy: bool,
    /// How many percent of the agents have a path of 2.5 kB/s with long delays
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100))]
    slow: u32,
    /// How many percent have a clock that is wrong by an hour
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100))]
    skewed: u32,
    /// How many percent are behind an HTTP proxy
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100))]
    proxied: u32,
    /// How many percent are of an older version, which names none
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100))]
    old: u32,
    /// A mixed fleet too, beside the other: 5 percent each slow, with a wrong clock, behind a proxy, and of an older version
    #[arg(long)]
    mixed: bool,
}

const MIXED: Mix = Mix { slow: 5, skewed: 5, proxied: 5, old: 5 };

impl Agents {
    /// What is done one after the other; only the first, of like agents over plain HTTP, has to be fast.
    fn wanted(&self) -> Vec<Wanted> {
        let mix = Mix { slow: self.slow, skewed: self.skewed, proxied: self.proxied, old: self.old };
        let wanted = |name, plain, mix| Wanted { name, agents: self.agents, triggers: self.triggers, mix, plain };
        let mut all = vec![wanted("plain", true, mix)];
        if self.tls {
            all.push(wanted("TLS", false, mix));
        }
        if self.mixed {
            all.push(wanted("plain, mixed", true, MIXED));
        }
        all
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    // `cargo load -- agents` and `cargo load agents` mean the same: the alias ends in `--` already.
    let arguments =
        Arguments::parse_from(std::env::args().enumerate().filter(|(i, text)| *i != 1 || text != "--").map(|(_, text)| text));
    if arguments.optimised && profile()? != OPTIMISED {
        return again_optimised().await;
    }
    build().await?;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let measuring = async {
        match &arguments.what {
            What::Agents(agents) => load(agents).await,
            What::Idle(watched) => idle(watched).await,
        }
    };
    tokio::select! {
        done = measuring => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

async fn idle(Idle { seconds, schedules, busy }: &Idle) -> Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("netsonde-load-").tempdir().context("making a folder")?;
    let (line, is_good) = idle::run(folder.path(), Duration::from_secs(*seconds), *schedules).await?.line(*busy);
    println!("load average at the end: {}\n{line}", machine::load_average());
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn load(agents: &Agents) -> Result<ExitCode> {
    let limit = machine::raise_descriptors()?;
    let all = agents.wanted();
    let most = all.iter().map(|one| one.mix.slow + one.mix.proxied).max().unwrap_or_default();
    let proxied = agents.agents as u64 * u64::from(most) / 100;
    // A proxy here has both ends of what passes it.
    let needed = agents.agents as u64 + 2 * proxied + DESCRIPTORS_BESIDES;
    println!(
        "programs: profile {}; descriptors: this process may open {limit} and needs about {needed}; cores: {}; load average: {}",
        profile()?,
        std::thread::available_parallelism().map_or(0, usize::from),
        machine::load_average()
    );
    if needed > limit {
        bail!(
            "{needed} descriptors are needed and {limit} is this process's hard limit: run with fewer agents, or raise it (ulimit -Hn {needed}, as root)"
        );
    }
    let mut figures = Vec::new();
    for wanted in &all {
        let folder = tempfile::Builder::new().prefix("netsonde-load-").tempdir().context("making a folder")?;
        println!("{}: {} agents", wanted.name, wanted.agents);
        let ran = scenario::run(wanted, folder.path(), say).await;
        if ran.is_err() {
            let log = std::fs::read_to_string(folder.path().join("backend.log")).unwrap_or_default();
            let start = log.len().saturating_sub(2000);
            println!("the end of the backend's log:\n{}", log.get(start..).unwrap_or_default());
        }
        figures.push(ran?);
    }
    println!("{}\nload average at the end: {}", report::table(&figures, agents.busy), machine::load_average());
    let (line, is_good) = report::line(&figures, agents.busy);
    println!("{line}");
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Speed is worth nothing without what else the machine did.
fn say(words: &str) {
    println!("{words} (load average {})", machine::load_average());
}

/// Which of Cargo's profiles this program was built by.
fn profile() -> Result<String> {
    let own = std::env::current_exe().context("finding this program's own path")?;
    // The folder is called like the profile, but for that of the profile dev.
    let folder = own.parent().and_then(std::path::Path::file_name).and_then(std::ffi::OsStr::to_str).unwrap_or("debug");
    Ok(if folder == "debug" { "dev" } else { folder }.to_owned())
}

fn cargo() -> tokio::process::Command {
    let mut command = tokio::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command
}

/// Does the same by the optimised program.
async fn again_optimised() -> Result<ExitCode> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--profile", OPTIMISED, "--package", "netsonde-tests", "--bin", "load", "--"]);
    command.args(std::env::args_os().skip(1)).env_remove("NETSONDE_BIN_DIR");
    println!("building optimised programs, which takes minutes the first time");
    let done = command.status().await.context("running cargo")?;
    Ok(done.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Builds backend and agent as this program was built, unless the programs are named.
async fn build() -> Result<()> {
    if std::env::var_os("NETSONDE_BIN_DIR").is_some() {
        return Ok(());
    }
    let mut command = cargo();
    let profile = profile()?;
    command.args([
        "build",
        "--quiet",
        "--package",
        "netsonde-backend",
        "--package",
        "netsonde-agent",
        "--bins",
        "--profile",
        &profile,
    ]);
    if !command.status().await.context("running cargo build")?.success() {
        bail!("cargo build failed; its messages are above");
    }
    Ok(())
}
