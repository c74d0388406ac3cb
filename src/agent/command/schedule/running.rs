use super::{Files, named, scheduler, unreadable};
use crate::command::block_on;
use crate::command::policy::PolicyOption;
use crate::exit::{self, BundleFate};
use crate::format::{self, Format};
use crate::interruption::Interruption;
use crate::measurement::{Measured, measure};
use crate::recording::{Noted, remember};
use crate::rounds::{self, ByHand, plan};
use crate::schedule::{Noticed, Reading, save};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{policy_file, service, terminal};
use netsonde_contract::agent_config::Schedule;
use netsonde_contract::set::Plan;
use netsonde_report::text::Depth;
use std::sync::Arc;

/// Runs a schedule now, whether or not it is due, and prints its report. Beside an agent that runs it is a person's look: the history has it, and what follows from
/// it stays the agent's to say.
pub(super) fn run_one(name: &str, files: &Files, policy: &PolicyOption) -> Result<u8, Stop> {
    let config = files.load()?;
    let schedule = named(&config, name)?;
    let state = StateDirectory::open(files.state.path())?;
    let plan = plan(&files.path(), schedule, &schedule.set)?;
    let measured = block_on(run_plan(&plan))?;
    let document = measured.document.clone();
    let changes = if document.run.interrupted {
        Vec::new()
    } else if service::is_running(&state) {
        remember(&state, name, &document)
            .map_err(|error| Stop::usage(format!("what was measured is not in the history: {error}")))?;
        terminal::say(&format!(
            "{name}: an agent runs here: the history has this run; what it means for the target's health, the agent's own runs say"
        ));
        Vec::new()
    } else {
        note(&by_hand(&state, files, policy)?, schedule, plan, measured)?
    };
    terminal::output(&format::render(&document, Format::Human, Depth::default()))?;
    tell(&changes);
    Ok(exit::code(&document, BundleFate::InPlace))
}

/// Takes the slots that are due, notes that on the disk, and runs them.
pub(super) fn run_due(files: &Files, policy: &PolicyOption) -> Result<u8, Stop> {
    let config = files.load()?;
    let state = StateDirectory::open(files.state.path())?;
    if service::is_running(&state) {
        terminal::say("netsonde: an agent runs here and takes what is due by itself; nothing was run");
        return Ok(exit::AS_EXPECTED);
    }
    state.signing_key()?;
    let polled = {
        let _lock = state.lock().map_err(|error| unreadable(&state, &error))?;
        let now = Reading::now();
        let mut scheduler = scheduler(&config, Some(&state), &now)?;
        let polled = scheduler.poll(&now, |_| false);
        save(&state, &scheduler.persisted()).map_err(|error| unreadable(&state, &error))?;
        polled
    };
    for noticed in &polled.noticed {
        if let Noticed::ClockSet(by) = noticed {
            terminal::say(&format!("netsonde: since the last look the clock was set by {by:#}"));
        }
    }
    let by_hand = by_hand(&state, files, policy)?;
    let mut worst = exit::AS_EXPECTED;
    for (name, slot) in &polled.due {
        let schedule = named(&config, name)?;
        let missed = if slot.missed > 0 { format!(" (and for {} that were missed)", slot.missed) } else { String::new() };
        terminal::say(&format!("{name}: running{missed}"));
        // What is wrong with one schedule costs the others nothing.
        match plan(&files.path(), schedule, &schedule.set).and_then(|plan| Ok((block_on(run_plan(&plan))?, plan))) {
            Ok((measured, plan)) => {
                worst = worst.max(exit::code(&measured.document, BundleFate::InPlace));
                if !measured.document.run.interrupted {
                    tell(&note(&by_hand, schedule, plan, measured)?);
                }
            }
            Err(stop) => {
                terminal::say_stop(&stop);
                worst = worst.max(stop.exit);
            }
        }
    }
    Ok(worst)
}

async fn run_plan(plan: &Plan) -> Result<Measured, Stop> {
    measure(plan, &rounds::settings(), &Interruption::listen()).await
}

/// By the schedules that engineers signed, too: their states stay as they are.
fn by_hand<'a>(state: &'a StateDirectory, files: &Files, policy: &PolicyOption) -> Result<ByHand<'a>, Stop> {
    let files_of_run = rounds::Files { config: files.path(), policy: policy_file::path(policy.path()) };
    Ok(ByHand { state, files: files_of_run, config: Arc::new(files.load_all(Some(state))?) })
}

/// Notes what was measured, and looks closer at each target that became failing by it. What is wrong with such a look costs the others nothing.
fn note(by_hand: &ByHand<'_>, schedule: &Schedule, plan: Plan, measured: Measured) -> Result<Vec<Noted>, Stop> {
    let (noted, faults) = by_hand.note(schedule, plan, measured)?;
    for fault in faults {
        let looked = by_hand.closer(schedule, &fault).and_then(|plan| {
            let measured = block_on(run_plan(&plan))?;
            if measured.document.run.interrupted { Ok(()) } else { by_hand.pack(schedule, plan, fault, measured) }
        });
        if let Err(stop) = looked {
            terminal::say_stop(&stop);
        }
    }
    Ok(noted)
}

fn tell(noted: &[Noted]) {
    for Noted { change, .. } in noted.iter().filter(|noted| !noted.change.silenced) {
        terminal::say(&format!("{}: {}", change.series.schedule, change.sentence));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::schedule::ScheduleCommand;
    use crate::history::{Ring, Wanted};
    use clap::Parser;
    use netsonde_contract::history::Health;
    use std::net::TcpListener;
    use std::path::Path;

    #[derive(Parser)]
    struct Asked {
        #[command(subcommand)]
        what: ScheduleCommand,
    }

    /// A state directory, and a file with two schedules on targets where nobody listens; the second has a deep set.
    fn place(folder: &Path) -> StateDirectory {
        let closed = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let one = |name: &str, deep: &str| {
            format!(
                "[[schedule]]\nname = \"{name}\"\nset = \"port\"\n{deep}targets = [\"{}\", \"{}\"]\nevery = \"24h\"\n[schedule.health]\nfailing_after = 1\n",
                closed(),
                closed()
            )
        };
        std::fs::write(folder.join("agent.toml"), one("plain", "") + &one("deep", "deep = \"port\"\n")).unwrap();
        StateDirectory::open(Some(&folder.join("state"))).unwrap()
    }

    fn run(folder: &Path, name: &str) -> Result<u8, Stop> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (config, policy, state) = (folder.join("agent.toml"), folder.join("policy.toml"), folder.join("state"));
        let paths = [config, policy, state].map(|path| path.to_string_lossy().into_owned());
        let [config, policy, state] = &paths;
        let asked = ["schedule", "run", name, "--config", config, "--policy", policy, "--state-dir", state].map(str::to_owned);
        Asked::parse_from(asked).what.execute()
    }

    fn bundles(state: &StateDirectory) -> usize {
        state.spool().scan(crate::spool::Depth::Bytes).ready.len()
    }

    #[test]
    fn what_becomes_failing_by_a_run_by_hand_is_packed_target_by_target() {
        let folder = tempfile::tempdir().unwrap();
        let state = place(folder.path());
        run(folder.path(), "plain").unwrap();
        assert_eq!(bundles(&state), 2, "without an agent nobody else would");
        run(folder.path(), "plain").unwrap();
        assert_eq!(bundles(&state), 2, "it fails still");
        run(folder.path(), "deep").unwrap();
        assert_eq!(bundles(&state), 4);
    }

    #[test]
    fn a_run_by_hand_takes_no_change_away_from_the_agent_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let state = place(folder.path());
        let agent = netsonde_disk::open_private(&state.path().join("agent.lock")).unwrap();
        agent.try_lock().unwrap();
        run(folder.path(), "plain").unwrap();
        assert_eq!((bundles(&state), crate::health::load(&state).unwrap().target("plain", None)), (0, Health::Unknown));
        assert_eq!(crate::health::load(&state).unwrap().checks().count(), 0, "the agent's own run turns it");
        assert!(!Ring::at(state.path()).read(&Wanted::default()).unwrap().checks.is_empty(), "the history has it");
    }
}
