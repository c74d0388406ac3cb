use crate::changes::Untold;
use crate::health::HealthBook;
use crate::history::{Ring, place, samples};
use crate::identity::Home;
use crate::state::StateDirectory;
use crate::{health, terminal};
use jiff::Timestamp;
use netsonde_contract::agent_config::AgentConfig;
use netsonde_contract::api::health::NumberedChange;
use netsonde_contract::document::Document;
use netsonde_contract::history::{Change, Sample, Series};
use std::io;

/// A change as it was noted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Noted {
    pub(crate) change: Change,
    /// As the backend is to hear of it, where the machine is enrolled.
    pub(crate) numbered: Option<NumberedChange>,
}

/// Notes the result of a schedule's run and tells what changed by it. It waits for the disk, after the run and never during it.
///
/// # Errors
/// Where the states of health cannot be read or written. A history that cannot be written is said and costs nothing else.
pub(crate) fn record(
    state: &StateDirectory,
    config: &AgentConfig,
    schedule: &str,
    document: &Document,
) -> io::Result<Vec<Noted>> {
    let targets: Vec<String> = document.run.targets.iter().map(place).collect();
    note(state, config, &samples(schedule, document), document.run.began, |book| book.retain_targets(schedule, &targets))
}

/// Notes that time has passed: a check that nobody measured lately is unknown.
///
/// # Errors
/// As [`record`].
pub(crate) fn tick(state: &StateDirectory, config: &AgentConfig, now: Timestamp) -> io::Result<Vec<Noted>> {
    note(state, config, &[], now, |_| ())
}

fn note(
    state: &StateDirectory,
    config: &AgentConfig,
    samples: &[(Series, Sample)],
    now: Timestamp,
    forget: impl FnOnce(&mut HealthBook),
) -> io::Result<Vec<Noted>> {
    let _lock = state.lock()?;
    let before = health::load(state)?;
    let mut book = before.clone();
    let mut changes: Vec<Change> = samples.iter().flat_map(|(series, sample)| book.observe(config, series, sample)).collect();
    changes.extend(book.tick(config, now));
    book.retain(config);
    forget(&mut book);
    if !samples.is_empty() || !changes.is_empty() {
        match Ring::at(state.path()).append(samples, &changes) {
            Ok(None) => {}
            Ok(Some(cause)) => terminal::say(&format!("netsonde: the history was damaged and begins anew ({cause})")),
            Err(error) => terminal::say(&format!("netsonde: this run is not in the history: {error}")),
        }
    }
    // A crash between the two files tells a change twice and never not at all.
    let noted = number(state, changes)?;
    if book != before {
        health::save(state, &book)?;
    }
    Ok(noted)
}

fn number(state: &StateDirectory, changes: Vec<Change>) -> io::Result<Vec<Noted>> {
    // An identity that cannot be read is said by whoever asks the backend with it.
    let identity = if changes.is_empty() { None } else { Home::of(state).identity().ok().flatten() };
    let Some(identity) = identity else {
        return Ok(changes.into_iter().map(|change| Noted { change, numbered: None }).collect());
    };
    let mut untold = Untold::load(state, &identity.agent)?;
    let numbered = untold.add(changes);
    untold.save(state)?;
    Ok(numbered.into_iter().map(|numbered| Noted { change: numbered.change.clone(), numbered: Some(numbered) }).collect())
}
