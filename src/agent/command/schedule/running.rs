use super::{Files, named, scheduler, unreadable};
use crate::command::block_on;
use crate::exit::{self, BundleFate};
use crate::format::{self, Format};
use crate::interruption::Interruption;
use crate::measurement::{Measured, measure};
use crate::recording::{Noted, record};
use crate::rounds::{self, plan};
use crate::schedule::{Noticed, Reading, save};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::terminal;
use netsonde_contract::agent_config::{AgentConfig, Schedule};
use netsonde_contract::set::Plan;
use netsonde_report::text::Depth;

/// Runs a schedule now, whether or not it is due, and prints its report.
pub(super) fn run_one(name: &str, files: &Files) -> Result<u8, Stop> {
    let config = files.load()?;
    let schedule = named(&config, name)?;
    let state = StateDirectory::open(files.state.path())?;
    let plan = plan(&files.path(), schedule, &schedule.set)?;
    let measured = block_on(run_plan(&plan))?;
    let changes = note(&state, &config, (schedule, &plan), &measured)?;
    terminal::output(&format::render(&measured.document, Format::Human, Depth::default()))?;
    tell(&changes);
    Ok(exit::code(&measured.document, BundleFate::InPlace))
}

/// Takes the slots that are due, notes that on the disk, and runs them.
pub(super) fn run_due(files: &Files) -> Result<u8, Stop> {
    let config = files.load()?;
    let state = StateDirectory::open(files.state.path())?;
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
    let mut worst = exit::AS_EXPECTED;
    for (name, slot) in &polled.due {
        let schedule = named(&config, name)?;
        let missed = if slot.missed > 0 { format!(" (and for {} that were missed)", slot.missed) } else { String::new() };
        terminal::say(&format!("{name}: running{missed}"));
        // What is wrong with one schedule costs the others nothing.
        match plan(&files.path(), schedule, &schedule.set).and_then(|plan| Ok((block_on(run_plan(&plan))?, plan))) {
            Ok((measured, plan)) => {
                tell(&note(&state, &config, (schedule, &plan), &measured)?);
                worst = worst.max(exit::code(&measured.document, BundleFate::InPlace));
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

fn note(
    state: &StateDirectory,
    config: &AgentConfig,
    (schedule, plan): (&Schedule, &Plan),
    measured: &Measured,
) -> Result<Vec<Noted>, Stop> {
    record(state, config, (&schedule.name, plan.budget), &measured.document, |_| Ok(()))
        .map_err(|error| unreadable(state, &error))
}

fn tell(noted: &[Noted]) {
    for Noted { change, .. } in noted.iter().filter(|noted| !noted.change.silenced) {
        terminal::say(&format!("{}: {}", change.series.schedule, change.sentence));
    }
}
