use super::{Files, named, scheduler, unreadable};
use crate::command::{block_on, sets};
use crate::exit::{self, BundleFate};
use crate::format::{self, Format};
use crate::interruption::Interruption;
use crate::measurement::{Bounds, Measured, Settings, measure};
use crate::proxied::proxies;
use crate::recording::record;
use crate::redaction::Printed;
use crate::schedule::{Noticed, Reading, save};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{agent_file, terminal};
use netsonde_contract::agent_config::{AgentConfig, Schedule};
use netsonde_contract::history::Change;
use netsonde_contract::set::{Plan, Request};
use netsonde_probes::Trust;
use netsonde_probes::context::ProxyChoice;
use netsonde_probes::origins::Origins;
use netsonde_report::text::Depth;
use std::path::Path;
use std::sync::Arc;

/// Runs a schedule now, whether or not it is due, and prints its report.
pub(super) fn run_one(name: &str, files: &Files) -> Result<u8, Stop> {
    let config = files.load()?;
    let schedule = named(&config, name)?;
    let state = StateDirectory::open(files.state.path())?;
    let plan = plan(&files.path(), schedule, &schedule.set)?;
    let measured = block_on(run_plan(&plan))?;
    let changes = note(&state, &config, schedule, &measured)?;
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
        match plan(&files.path(), schedule, &schedule.set).and_then(|plan| block_on(run_plan(&plan))) {
            Ok(measured) => {
                tell(&note(&state, &config, schedule, &measured)?);
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

/// # Errors
/// Where the set cannot be read, or its targets and parameters do not fit it.
pub(super) fn plan(config: &Path, schedule: &Schedule, set: &str) -> Result<Plan, Stop> {
    let place = |stop: Stop| Stop {
        message: format!("{}:{}: schedule `{}`: {}", config.display(), schedule.line, schedule.name, stop.message),
        ..stop
    };
    let set = sets::load(&agent_file::set_name(config, set)).map_err(place)?;
    // Another set than the schedule's own has parameters of its own.
    let own = |name: &String| set.parameters.iter().any(|parameter| parameter.name == *name);
    let parameters = schedule.parameters.iter().filter(|(name, _)| set.name == schedule.set || own(name));
    let request = Request {
        proxies: proxies(&set, &schedule.targets, &ProxyChoice::default()),
        targets: schedule.targets.clone(),
        parameters: parameters.map(|(name, value)| (name.clone(), value.clone())).collect(),
        ..Request::default()
    };
    let wrong = |error: netsonde_contract::set::PlanError| {
        place(Stop::usage(error.to_string()).next(format!("netsonde sets show {} tells what the set wants", set.name)))
    };
    let mut plan = set.plan(&request).map_err(wrong)?;
    if let Some(budget) = schedule.budget {
        plan.budget = plan.budget.min(budget);
        for check in &mut plan.checks {
            check.deadline = check.deadline.min(budget);
        }
    }
    Ok(plan)
}

async fn run_plan(plan: &Plan) -> Result<Measured, Stop> {
    let settings = Settings {
        trust: Arc::new(Trust::default()),
        proxy: ProxyChoice::default(),
        origins: Origins::default(),
        format: Format::Human,
        // Nothing is printed.
        printed: Printed::Whole,
        case: None,
        ticket: None,
        capture: false,
        // A schedule measures the same each time, or its history could not be compared.
        follow_up: false,
        bounds: Bounds::PERSON,
        watcher: None,
    };
    measure(plan, &settings, &Interruption::listen()).await
}

fn note(state: &StateDirectory, config: &AgentConfig, schedule: &Schedule, measured: &Measured) -> Result<Vec<Change>, Stop> {
    record(state, config, &schedule.name, &measured.document).map_err(|error| unreadable(state, &error))
}

fn tell(changes: &[Change]) {
    for change in changes.iter().filter(|change| !change.silenced) {
        terminal::say(&format!("{}: {}", change.series.schedule, change.sentence));
    }
}
