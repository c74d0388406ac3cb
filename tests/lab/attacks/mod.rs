//! The attack corpus: the real agent against a hostile backend, one attack a file of data in `tests/attacks/NAME/case.toml`.
//!
//! The backend is this process, and stands for the whole database in an attacker's hands: it holds every envelope that was ever signed, alters,
//! replays, swaps and withholds, and answers as it likes. The agent is the real daemon in a namespace whose only way out is a link to a
//! server; every packet that leaves is seen. For each attack the agent must say the refusal that the file names and send no packet that
//! the policy does not let out, and the same order unaltered must run.

/// One case from start to verdict.
mod attempt;
/// What the backend does, over the wire.
mod backend;
/// Every packet that leaves the agent's machine.
mod capture;
/// One case from its file.
mod case;
/// Orders: made, signed, altered.
mod forgery;
/// Where the agent and its target are.
mod ground;
/// The agent's own folder and process.
mod machine;
/// Names and answers of servers that an attacker runs.
mod servers;
/// Signatures, put beside a payload that they may not fit.
mod tampering;
/// The organisation, its keys, and what could be put in their place.
mod trust;

use super::now;
use anyhow::{Context, Result, bail};
use attempt::attempt;
use case::Case;
use ground::Ground;
use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// What came of one case.
struct Verdict {
    name: String,
    expected: String,
    seconds: f64,
    /// Why the attack counts as accepted or the control as not run; none where all is as it should be.
    fault: Option<String>,
    transcript: String,
}

/// Runs the cases whose name contains `filter`, `jobs` at a time, and prints what came of each.
///
/// # Errors
/// Where a case cannot be read or the ground cannot be built.
pub(crate) fn run(filter: Option<&str>, jobs: usize, show: bool, list: bool, stopped: &AtomicBool) -> Result<ExitCode> {
    let cases = Case::all(filter)?;
    if cases.is_empty() {
        bail!("no attack is called like that; they are in tests/attacks");
    }
    if list {
        for case in &cases {
            println!("{:<36} {:<30} {}", case.name, case.expect, case.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let began = now();
    let count = cases.len();
    let waiting = Mutex::new(VecDeque::from(cases));
    let done = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        let mut ground = Ground::new().context("building the ground of the attacks")?;
        while !stopped.load(Ordering::Relaxed) {
            let Some(case) = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else { break };
            let verdict = judge(&case, &mut ground);
            done.lock().unwrap_or_else(PoisonError::into_inner).push(verdict);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.clamp(1, count)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")))
    })?;
    let mut verdicts = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    verdicts.sort_by(|a, b| a.name.cmp(&b.name));
    let failed = report(&verdicts, show);
    println!("\ntime {:.1} s", began.elapsed().as_secs_f64());
    println!("{} attacks tried, accepted {failed}", verdicts.len());
    println!("{} passed, {failed} failed, 0 skipped", verdicts.len() - failed);
    Ok(if failed == 0 && verdicts.len() == count { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn judge(case: &Case, ground: &mut Ground) -> Verdict {
    let began = now();
    let mut transcript = String::new();
    let fault = attempt(case, ground, &mut transcript).err().map(|error| format!("{error:#}"));
    let seconds = began.elapsed().as_secs_f64();
    Verdict { name: case.name.clone(), expected: case.expect.to_string(), seconds, fault, transcript }
}

fn report(verdicts: &[Verdict], show: bool) -> usize {
    println!("{:<36} {:<30} {:>7}  verdict", "attack", "must be", "time");
    for verdict in verdicts {
        let said = verdict.fault.as_deref().unwrap_or("ok");
        println!("{:<36} {:<30} {:>5.1} s  {said}", verdict.name, verdict.expected, verdict.seconds);
        if show && verdict.fault.is_some() {
            println!("{}", verdict.transcript);
        }
    }
    verdicts.iter().filter(|verdict| verdict.fault.is_some()).count()
}
