//! Networks that stay up after their trial. A process of its own holds one: the servers and cables are its children, and all goes
//! down in order when it is told to end. `cargo lab --clean` tells it.

use super::network::{self, Network};
use super::scenario::Scenario;
use super::trial::Bench;
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Set in the environment of the process that holds the network.
const KEEPER: &str = "NETSONDE_LAB_KEEPER";
/// One file for each network that is kept, named by the process that holds it.
const FOLDER: &str = "/run/netsonde-lab";
/// The holder's last line: everything is said, and its exit code.
const HELD: &str = "held with exit code ";
/// How long a holder may take to take everything down.
const TAKE_DOWN: Duration = Duration::from_secs(10);

/// This process is the one that holds a network.
pub(crate) fn is_keeper() -> bool {
    std::env::var_os(KEEPER).is_some()
}

/// Starts the same command again as a process that outlives this one, and passes on what it says until the network is up.
pub(crate) fn detach() -> Result<ExitCode> {
    let own = std::env::current_exe().context("finding the lab's own program")?;
    // Whoever holds the network, and its servers, would keep a pipe open that others wait at the end of.
    let mut said = tempfile::tempfile().context("making a file for what the holder says on standard error")?;
    let errors = said.try_clone().context("handing that file to the holder")?;
    let mut command = Command::new(own);
    command.args(std::env::args_os().skip(1)).env(KEEPER, "1").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    let code = pass_on(&mut command);
    said.rewind().context("reading what the holder said on standard error")?;
    std::io::copy(&mut said, &mut std::io::stderr()).context("passing on what the holder said")?;
    code
}

fn pass_on(command: &mut Command) -> Result<ExitCode> {
    let mut child = command.spawn().context("starting the process that holds the network")?;
    let output = child.stdout.take().context("the process that holds the network has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("reading what the lab says")?;
        match line.strip_prefix(HELD) {
            Some(code) => return Ok(ExitCode::from(code.trim().parse::<u8>().unwrap_or(1))),
            None => println!("{line}"),
        }
    }
    // It ended by itself, and has said why on standard error.
    child.wait().context("waiting for the process that holds the network")?;
    Ok(ExitCode::FAILURE)
}

/// Runs the trials of the one scenario, says how to enter its network, and holds it until a signal comes.
pub(crate) fn hold(scenarios: &[Scenario], bench: &Bench, stopped: &AtomicBool, show: bool) -> Result<ExitCode> {
    let scenario = scenarios.first().context("no scenario to keep")?;
    let (trials, network) = bench.run_and_keep(scenario, stopped);
    super::report(&trials, show);
    let network = network.context("the network could not be built")?;
    let marker = Path::new(FOLDER).join(std::process::id().to_string());
    fs::create_dir_all(FOLDER).with_context(|| format!("making {FOLDER}"))?;
    fs::write(&marker, &scenario.name).with_context(|| format!("writing {}", marker.display()))?;
    print_ways_in(scenario, &network, bench);
    let failed = trials.iter().any(|trial| trial.fault().is_some());
    println!("{HELD}{}", i32::from(failed));
    std::io::stdout().flush().context("saying that the network is up")?;
    while !stopped.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(network);
    fs::remove_file(&marker).with_context(|| format!("removing {}", marker.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn print_ways_in(scenario: &Scenario, network: &Network, bench: &Bench) {
    println!("\nThe network of {} stays up. Its nodes, from the client to the server:", scenario.name);
    for node in network.nodes() {
        println!("  ip netns exec {} bash", network.namespace(node));
    }
    println!("netsonde again, as the last trial asked:");
    println!("  ip netns exec {} {}", network.namespace("c"), bench.question(scenario));
    println!("Take it down: cargo lab --clean");
}

/// Ends every process that holds a network, and removes what labs that were killed have left behind.
pub(crate) fn clean() -> Result<ExitCode> {
    let mut ended = 0;
    for (pid, marker) in holders() {
        // One that is gone has left no more than its marker and namespaces, which the sweep below removes.
        if is_lab(pid) && kill(Pid::from_raw(pid), Signal::SIGTERM).is_ok() {
            wait_for(&marker);
            ended += 1;
        }
        let _ = fs::remove_file(&marker);
    }
    network::sweep();
    println!("{ended} networks were kept, and are taken down");
    Ok(ExitCode::SUCCESS)
}

fn holders() -> Vec<(i32, PathBuf)> {
    let entries = fs::read_dir(FOLDER).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path()))).collect()
}

/// The number may long be another program's.
fn is_lab(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "lab")
}

fn wait_for(marker: &Path) {
    const STEP: Duration = Duration::from_millis(50);
    for _ in 0..(TAKE_DOWN.as_millis() / STEP.as_millis()) {
        if !marker.exists() {
            return;
        }
        std::thread::sleep(STEP);
    }
}
