//! Faults of disks, processes, networks and clocks against the product's own code and its real programs. The last line counts what was done and what was
//! lost; anything lost, twice there, or not tried is a failure.
#![expect(clippy::print_stdout, reason = "what the suite prints is what it is for")]

/// The agent's audit log on a disk that is cut at every step.
mod audited;
/// Ten thousand bundles that wait, delivered by the real agent.
mod backlog;
/// A machine whose names do not resolve when it starts.
mod boot;
/// The clocks of a process that runs, moved for it alone.
mod clocks;
/// Two machines with one identity.
mod cloned;
/// Ten thousand bundles that wait.
mod crowd;
/// What writes to a disk, cut at each of its steps.
mod cutting;
/// Files whose bytes changed where they lay.
mod damage;
/// Disks that are full, or read-only.
mod disks;
/// A process that the kernel holds as it holds those of a machine that goes to sleep.
mod freezer;
/// An agent that is frozen in the middle of an upload.
mod frozen;
/// The backend on a disk that becomes full.
mod full;
/// Clocks that jump, and a machine that sleeps.
mod jumps;
/// The real programs, killed at random times.
mod kills;
/// The agent's spool on a disk that is cut at every step.
mod model;
/// What the agent owes of failures, on a disk that is cut at every step.
mod owed;
/// Paths that are cut, and answers that are no backend's.
mod paths;
/// Proxies that turn tunnels away, or answer in the backend's place.
mod proxies;
/// A backend that is asked to end while uploads are under way.
mod restarts;
/// The agent's flight recorder on a disk that is cut at every step.
mod ring;
/// A real agent that keeps schedules, and whether it still does.
mod scheduled;
/// The agent as a service, killed at random times.
mod service;
/// Peers that send a byte a second, on either side.
mod slow;
/// What was done, and what came of it.
mod tally;
/// The backend's blobs and staged parts on a disk that is cut at every step.
mod vault;
/// A real backend, and bundles that wait for it.
mod world;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tally::Tally;

/// Injects faults on this machine alone.
#[derive(Parser)]
#[command(name = "faults", after_help = "Examples:\n  cargo faults\n  cargo faults model\n  cargo faults --quick")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// A share of everything
    #[arg(long, global = true)]
    quick: bool,
    /// How many times a process is killed; 1000, and 60 in the quick share
    #[arg(long, global = true)]
    kills: Option<u64>,
    /// How many bundles wait; 10000, and 500 in the quick share
    #[arg(long, global = true, value_parser = clap::value_parser!(u64).range(1..16_384))]
    bundles: Option<u64>,
    /// Of the moments at which processes are killed
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Subcommand)]
enum Part {
    /// Spool, flight recorder, audit log, bundles of failures, blobs and staged parts on a simulated disk: every step cut and refused, each sync taken away
    Model,
    /// Agent and backend as real processes, killed at random times
    Kills,
    /// Connections cut at every KiB, answers that are no backend's, and proxies that turn the real agent away
    Paths,
    /// Peers that send a byte a second, before the real backend and in its place
    Slow,
    /// A machine that was copied with a bundle that waits: both with one identity, both delivering
    Cloned,
    /// A full disk and a read-only one under the real agent, and a full one under the real backend
    Disks,
    /// A damaged database, bundle and flight recorder
    Damage,
    /// A name server that is dead when the agent starts
    Boot,
    /// Ten thousand bundles that wait
    Crowd,
    /// Ten thousand bundles that wait, delivered by the real agent to the real backend
    Backlog,
    /// Clocks that are set by hours, and eight hours of sleep, under the real agent
    Jumps,
    /// The real agent frozen by the kernel in the middle of an upload, once while its clocks go on and once for eight hours of sleep
    Frozen,
    /// A real backend that is asked to end while uploads are under way
    Restarts,
    /// The real agent as a service with schedules, health and spool, killed at random times
    Service,
}

fn main() -> ExitCode {
    // Cargo hands on the `--` that separates its own arguments.
    let arguments = std::env::args().enumerate().filter(|(place, text)| *place != 1 || text != "--").map(|(_, text)| text);
    let arguments = Arguments::parse_from(arguments);
    let tally = match run(&arguments) {
        Ok(tally) => tally,
        Err(error) => {
            println!("the suite could not be run: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    for line in tally.lost.iter().chain(&tally.duplicated).chain(&tally.wanting).take(40) {
        println!("WRONG  {line}");
    }
    for line in &tally.skipped {
        println!("skipped {line}");
    }
    println!("{tally}");
    if tally.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(arguments: &Arguments) -> Result<Tally> {
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    let mut tally = Tally::default();
    if matches!(arguments.part, None | Some(Part::Model)) {
        tally.add(model(arguments.quick));
    }
    if matches!(arguments.part, None | Some(Part::Crowd)) {
        tally.add(crowd::run()?);
    }
    if matches!(arguments.part, None | Some(Part::Paths)) {
        let every = if arguments.quick { 6 } else { 1 };
        let (paths, proxies) = runtime.block_on(async { tokio::try_join!(paths::run(every), proxies::run()) })?;
        println!("cut paths and wrong answers: {paths}");
        println!("proxies that turn tunnels away: {proxies}");
        tally.add(paths);
        tally.add(proxies);
    }
    if matches!(arguments.part, None | Some(Part::Slow)) {
        let slow = runtime.block_on(slow::run())?;
        println!("peers that send a byte a second: {slow}");
        tally.add(slow);
    }
    if matches!(arguments.part, None | Some(Part::Cloned)) {
        let cloned = runtime.block_on(cloned::run())?;
        println!("two machines with one identity: {cloned}");
        tally.add(cloned);
    }
    if matches!(arguments.part, None | Some(Part::Disks)) {
        let disks = runtime.block_on(disks::run())?;
        println!("full and read-only disks: {disks}");
        tally.add(disks);
        let full = runtime.block_on(full::run(arguments.quick))?;
        println!("a backend whose disk becomes full: {full}");
        tally.add(full);
    }
    if matches!(arguments.part, None | Some(Part::Damage)) {
        let damage = runtime.block_on(damage::run())?;
        println!("damaged files: {damage}");
        tally.add(damage);
    }
    if matches!(arguments.part, None | Some(Part::Boot)) {
        let boot = runtime.block_on(boot::run())?;
        println!("a name server that is dead at boot: {boot}");
        tally.add(boot);
    }
    if matches!(arguments.part, None | Some(Part::Restarts)) {
        let restarts = runtime.block_on(restarts::run())?;
        println!("a backend that is asked to end: {restarts}");
        tally.add(restarts);
    }
    if matches!(arguments.part, None | Some(Part::Service)) {
        let service = runtime.block_on(service::run(arguments.quick, arguments.seed))?;
        println!("a service that is killed: {service}");
        for (moment, count) in &service.kills {
            println!("  {count} x {moment}");
        }
        tally.add(service);
    }
    if matches!(arguments.part, None | Some(Part::Jumps)) {
        let jumps = runtime.block_on(jumps::run())?;
        println!("clocks that jump, and sleep: {jumps}");
        tally.add(jumps);
    }
    if matches!(arguments.part, None | Some(Part::Frozen)) {
        let frozen = runtime.block_on(frozen::run(arguments.quick))?;
        println!("frozen in the middle of an upload: {frozen}");
        tally.add(frozen);
    }
    if matches!(arguments.part, None | Some(Part::Backlog)) {
        let bundles = arguments.bundles.unwrap_or(if arguments.quick { 500 } else { 10_000 });
        let backlog = runtime.block_on(backlog::run(bundles))?;
        println!("a backlog: {backlog}");
        tally.add(backlog);
    }
    if matches!(arguments.part, None | Some(Part::Kills)) {
        let wanted = arguments.kills.unwrap_or(if arguments.quick { 60 } else { 1_000 });
        let kills = runtime.block_on(kills::run(wanted, arguments.seed))?;
        println!("real processes: {kills}");
        for (moment, count) in &kills.kills {
            println!("  {count} x {moment}");
        }
        tally.add(kills);
    }
    Ok(tally)
}

fn model(quick: bool) -> Tally {
    let (mut tally, needed) = model::exhaustive();
    println!("spool on a simulated disk: {tally}");
    for sync in &needed {
        println!("  without `{sync}` something is lost");
    }
    // What the flight recorder's library says of damaged pages is caught where it is used; hundreds of traces would hide the rest.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let ring = cutting::exhaustive::<ring::Ring>(&[]);
    std::panic::set_hook(usual);
    let parts = [
        ("flight recorder", ring),
        ("audit log", cutting::exhaustive::<audited::Log>(&[])),
        ("blobs and staged parts", cutting::exhaustive::<vault::Vault>(&[])),
        ("bundles of failures", cutting::exhaustive::<owed::Owed>(&["sync state/.number.json.*.new"])),
    ];
    for (what, (part, needed)) in parts {
        println!("{what} on a simulated disk: {part}");
        for sync in &needed {
            println!("  without `{sync}` something is lost");
        }
        tally.add(part);
    }
    let random = model::random(if quick { 500 } else { 10_000 });
    println!("any deeds, any crash: {random}");
    tally.add(random);
    tally
}
