//! The fault lab: real kernels, real packets, real servers, one known fault each, and the real `netsonde` in the middle.
//!
//! A scenario is one file of data in `scenarios/`. For each the lab builds a routed network of namespaces without a way out, asks
//! netsonde over it with the fault off, when nothing may be reported, then injects the fault and asks again, when the cause must be
//! named first. Every question is asked over IPv4 and IPv6, and with and without privileges.
#![expect(clippy::print_stdout, reason = "the table on standard output is what this program is for")]

/// Attacks on the agent by whoever holds its backend.
mod attacks;
/// Links that lose, delay and double what they carry.
mod cable;
/// What scenario files may not leave to chance.
mod certain;
/// Random numbers that can be had again.
mod dice;
/// Networks that nobody thought of.
mod generate;
/// Evidence kept for tests without a network.
mod golden;
/// Networks that stay up after the trial.
mod keep;
/// The links of a network.
mod links;
/// What whoever has no privileges loses.
mod losses;
/// Certificates and statements that openssl alone makes.
mod material;
/// Networks of namespaces: built, broken, taken down.
mod network;
/// Whether findings name the place where the fault lies.
mod placing;
/// Scenario files, checked before anything is built.
mod reading;
/// One scenario as a file writes it.
mod scenario;
/// The servers of one node, as a process of their own in its namespace.
mod serve;
/// Tables of connections that are full.
mod tracking;
/// Running netsonde in a scenario and judging its answer.
mod trial;
/// The client's run held against another one.
mod vantage;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use scenario::Scenario;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use trial::{Stage, Trial};

/// What a command ends with that was not understood, as those of clap do.
const USAGE: u8 = 2;

const EXAMPLES: &str = "Examples:
  cargo lab                                  every scenario
  cargo lab tls --jobs 2                     those with tls in their names
  cargo lab path_routing_loop --show         with what netsonde said where a trial fails
  cargo lab --generate 300                   300 networks that nobody thought of, and how sure netsonde may be
  cargo lab --generate 1 --seed 4017 --show  one of them again, printed as a scenario file
  cargo lab --scenarios my-networks          those of another folder, such as your own
  cargo lab path_routing_loop --keep         leaves the broken network up, and says how to enter it
  cargo lab --clean                          takes down what was kept or left behind";

/// Runs netsonde over broken and healthy networks and checks what it says.
#[derive(Parser)]
#[command(name = "lab", after_help = EXAMPLES)]
struct Arguments {
    /// Only scenarios whose name contains this.
    filter: Option<String>,
    /// Read the scenarios of this folder instead of the lab's own: every file in it that ends in .toml.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["generate", "write_golden"])]
    scenarios: Option<PathBuf>,
    /// Scenarios at a time; each waits most of its time, so that two processors carry twelve.
    #[arg(long, default_value_t = 12)]
    jobs: usize,
    /// Only list the scenarios.
    #[arg(long)]
    list: bool,
    /// Instead of the scenarios, this many networks drawn by dice: topology, oddities, faults and their places.
    #[arg(long, value_name = "N", conflicts_with_all = ["filter", "write_golden"])]
    generate: Option<u64>,
    /// The first network's seed; the next ones follow it. Drawn, and printed, where none is given.
    #[arg(long, value_name = "S", requires = "generate")]
    seed: Option<u64>,
    /// Leave the network of one scenario up as its last trial left it, and print how to enter it.
    #[arg(long)]
    keep: bool,
    /// Take down networks that were kept, or left behind by a lab that was killed, and do nothing else.
    #[arg(long, exclusive = true)]
    clean: bool,
    /// Print what netsonde said in each failed trial, and each generated network as a scenario file.
    #[arg(long)]
    show: bool,
    /// Keep what was seen as golden evidence, with what was found.
    #[arg(long)]
    write_golden: bool,
    #[command(subcommand)]
    other: Option<Other>,
}

#[derive(Subcommand)]
enum Other {
    /// Attacks the real agent from a backend in an attacker's hands; the cases are in tests/attacks.
    Attacks {
        /// Only attacks whose name contains this.
        filter: Option<String>,
        /// Attacks at a time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Only list the attacks.
        #[arg(long)]
        list: bool,
        /// Print what the agent said in each failed case.
        #[arg(long)]
        show: bool,
    },
    /// Runs the servers of one node (used by the lab itself).
    #[command(hide = true)]
    Serve { services: PathBuf, directory: PathBuf },
    /// Fills the table of tracked connections of the namespace it is in (used by the lab itself).
    #[command(hide = true)]
    Track,
    /// Carries the cables of one network (used by the lab itself).
    #[command(hide = true)]
    Cables { list: String },
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.other {
        Some(Other::Attacks { filter, jobs, list, show }) => return attack(filter.as_deref(), jobs, list, show),
        Some(Other::Serve { services, directory }) => {
            return serve::run(&services, &directory).map(|()| ExitCode::SUCCESS);
        }
        Some(Other::Track) => return tracking::fill().map(|()| ExitCode::SUCCESS),
        Some(Other::Cables { list }) => return cable::run(&list).map(|()| ExitCode::SUCCESS),
        None => {}
    }
    if arguments.clean {
        return keep::clean();
    }
    let seed = arguments.seed.unwrap_or_else(drawn_seed);
    let scenarios = match arguments.generate {
        Some(count) => generate::networks(seed, count),
        None => reading::all(arguments.scenarios.as_deref(), arguments.filter.as_deref())?,
    };
    if scenarios.is_empty() {
        return unknown(arguments.scenarios.as_deref(), arguments.filter.as_deref());
    }
    if arguments.generate.is_some() && arguments.show {
        for scenario in &scenarios {
            println!("# {}.toml\n{}", scenario.name, generate::file_of(scenario).context("printing a network")?);
        }
    }
    if arguments.list {
        for scenario in &scenarios {
            println!("{:<36} {}", scenario.name, scenario.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(missing) = network::missing() {
        println!("skipped: the fault lab ({} scenarios): {missing}", scenarios.len());
        println!("0 passed, 0 failed, {} skipped", scenarios.len());
        return Ok(if std::env::var_os("CI").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    if arguments.keep && scenarios.len() > 1 {
        bail!("{} scenarios are called like that; only one network can be kept: give its whole name", scenarios.len());
    }
    if arguments.keep && !keep::is_keeper() {
        return keep::detach();
    }
    network::sweep();
    let stopped = stop_on_signals()?;
    let bench = trial::Bench::new().context("preparing the lab")?;
    if arguments.keep {
        return keep::hold(&scenarios, &bench, &stopped, arguments.show);
    }
    let began = now();
    let abouts = scenarios.iter().map(|scenario| (scenario.name.clone(), scenario.about.clone())).collect();
    let trials = run_all(scenarios, arguments.jobs, &bench, &stopped);
    let complete = !stopped.load(Ordering::Relaxed);
    if arguments.generate.is_some() {
        let (well, broken) = generate::report(&trials, &abouts, seed, arguments.show);
        println!("\ntime {:.1} s", began.elapsed().as_secs_f64());
        println!("{well} passed, {broken} failed, 0 skipped");
        return Ok(if broken == 0 && complete { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    report(&trials, arguments.show);
    if arguments.write_golden {
        let written = golden::write(&trials)?;
        println!("\nwrote the evidence of {written} scenarios");
    }
    let failed = trials.iter().filter(|trial| trial.fault().is_some()).count();
    println!("\ntime {:.1} s", began.elapsed().as_secs_f64());
    println!("{} passed, {failed} failed, 0 skipped", trials.len() - failed);
    Ok(if failed == 0 && complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// No scenario is called like that: a slip of whoever asked, and no failure of the lab's.
fn unknown(folder: Option<&Path>, filter: Option<&str>) -> Result<ExitCode> {
    let shown = folder.unwrap_or(Path::new("tests/lab/scenarios")).display();
    let all = reading::all(folder, None)?;
    let said = match filter {
        _ if all.is_empty() => format!("error: {shown} has no scenario: no file in it ends in .toml"),
        None => format!("error: {shown} has no scenario"),
        Some(filter) => {
            let near = reading::nearest_names(filter, all.iter().map(|scenario| scenario.name.as_str()));
            let hint = match near.is_empty() {
                true => "`cargo lab --list` names them all".to_owned(),
                false => format!("did you mean {}? `cargo lab --list` names them all", near.join(", ")),
            };
            format!("error: no scenario of {shown} has {filter:?} in its name; {hint}")
        }
    };
    writeln!(std::io::stderr(), "{said}").context("saying that there is no such scenario")?;
    Ok(ExitCode::from(USAGE))
}

fn attack(filter: Option<&str>, jobs: usize, list: bool, show: bool) -> Result<ExitCode> {
    if let Some(missing) = network::missing().filter(|_| !list) {
        println!("skipped: the attacks: {missing}");
        println!("0 passed, 0 failed, 1 skipped");
        return Ok(if std::env::var_os("CI").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    network::sweep();
    let stopped = stop_on_signals()?;
    attacks::run(filter, jobs, show, list, &stopped)
}

/// A seed that no earlier run is likely to have had, short enough to be typed.
#[expect(clippy::disallowed_methods, reason = "the time of day is the die that draws a seed")]
fn drawn_seed() -> u64 {
    jiff::Timestamp::now().as_millisecond().unsigned_abs() % 100_000_000
}

/// Sets a flag on Ctrl-C and SIGTERM, so that the jobs end in order and take their networks down.
fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stopped);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting the signal watch")?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
            match terminate {
                Ok(mut terminate) => tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = terminate.recv() => {} },
                Err(_) => drop(tokio::signal::ctrl_c().await),
            }
        });
        flag.store(true, Ordering::Relaxed);
    });
    Ok(stopped)
}

/// So many jobs at a time. What comes before every other program of this machine comes first and alone: programs that are starved so get a share
/// by force, which is a pause for whoever comes before them.
fn run_all(scenarios: Vec<Scenario>, jobs: usize, bench: &trial::Bench, stopped: &AtomicBool) -> Vec<Trial> {
    let (alone, others): (Vec<_>, Vec<_>) = scenarios.into_iter().partition(|scenario| scenario.undisturbed);
    let mut trials = run_beside(alone, 1, bench, stopped);
    trials.extend(run_beside(others, jobs, bench, stopped));
    trials.sort_by_key(Trial::name);
    trials
}

fn run_beside(scenarios: Vec<Scenario>, jobs: usize, bench: &trial::Bench, stopped: &AtomicBool) -> Vec<Trial> {
    let waiting = Mutex::new(VecDeque::from(scenarios));
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !stopped.load(Ordering::Relaxed) {
                    let Some(scenario) = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else { return };
                    let trials = bench.run(&scenario, stopped);
                    done.lock().unwrap_or_else(PoisonError::into_inner).extend(trials);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn report(trials: &[Trial], show: bool) {
    println!("{:<52} {:<28} {:>7}  verdict", "trial", "said first", "time");
    for trial in trials {
        print_row(trial, trial.fault());
    }
    print_confusion(trials);
    losses::print(trials);
    print_times(trials);
    // Behind all tables, where a log that is cut short still has it.
    let failed: Vec<_> = trials.iter().filter_map(|trial| Some((trial, trial.fault()?))).collect();
    if !failed.is_empty() {
        println!("\nwhat failed");
    }
    for (trial, fault) in failed {
        print_row(trial, Some(fault));
        if show {
            println!("{}", trial.transcript);
        }
    }
}

fn print_row(trial: &Trial, fault: Option<String>) {
    let verdict = fault.unwrap_or_else(|| "ok".to_owned());
    println!("{:<52} {:<28} {:>5.1} s  {verdict}", trial.name(), trial.said(), trial.seconds);
}

/// What was wrong and what was said first, and how often.
pub(crate) fn print_confusion(trials: &[Trial]) {
    println!("\nwhat was wrong → what was said first (trials with the fault on)");
    let mut confusion: BTreeMap<(String, String), (u32, bool)> = BTreeMap::new();
    for trial in trials.iter().filter(|trial| trial.stage == Stage::Fault) {
        let said = trial.said();
        let right = trial.expect.as_ref().is_some_and(|expect| expect.cause == said || expect.or.contains(&said));
        confusion.entry((trial.expected_cause().to_owned(), said)).or_insert((0, right)).0 += 1;
    }
    for ((expected, said), (count, right)) in confusion {
        let mark = if right { " " } else { "!" };
        println!("{mark} {expected:<28} → {said:<28} {count}");
    }
}

pub(crate) fn print_times(trials: &[Trial]) {
    let mut times: Vec<f64> = trials.iter().map(|trial| trial.seconds).collect();
    times.sort_by(f64::total_cmp);
    if let (Some(median), Some(longest)) = (times.get(times.len() / 2), times.last()) {
        println!("\ntime to verdict: median {median:.1} s, longest {longest:.1} s");
    }
}

/// The lab times real programs, so it reads the real clock, here only.
#[expect(clippy::disallowed_methods, reason = "the lab measures how long real runs take")]
fn now() -> Instant {
    Instant::now()
}

/// What attackers sign is dated against the real clock, as the agent reads it.
#[expect(clippy::disallowed_methods, reason = "orders are dated against the clock that the agent under test reads")]
fn timestamp() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
