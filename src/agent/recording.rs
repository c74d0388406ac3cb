use crate::changes::Untold;
use crate::health::HealthBook;
use crate::history::{Ring, planned, samples};
use crate::identity::Home;
use crate::state::{Locked, StateDirectory};
use crate::{health, terminal};
use jiff::Timestamp;
use netsonde_contract::agent_config::AgentConfig;
use netsonde_contract::api::health::NumberedChange;
use netsonde_contract::document::Document;
use netsonde_contract::history::{Change, Sample, Series};
use std::io;
use std::time::Duration;

/// A change as it was noted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Noted {
    pub(crate) change: Change,
    /// As the backend is to hear of it, where the machine is enrolled.
    pub(crate) numbered: Option<NumberedChange>,
}

/// Notes the result of a schedule's run, which might take `budget`, and tells what changed by it. It waits for the disk, after the run and never during
/// it. What follows from the changes, `owe` has on the disk before they count.
///
/// # Errors
/// Where the states of health cannot be read or written, or with what `owe` gives. A history that cannot be written is said and costs nothing else.
pub(crate) fn record(
    state: &StateDirectory,
    config: &AgentConfig,
    (schedule, budget): (&str, Duration),
    document: &Document,
    owe: impl FnOnce(&[Noted]) -> io::Result<()>,
) -> io::Result<Vec<Noted>> {
    let planned = planned(schedule, document);
    let lock = state.lock()?;
    let now = document.run.began;
    let follow = |book: &mut HealthBook| book.follow(config, (schedule, &planned, budget), now);
    note(&lock, state, config, &samples(schedule, document), now, follow, owe)
}

/// Notes that time has passed: a check that nobody measured lately is unknown, and one that failed during a silence that is over is told.
///
/// # Errors
/// As [`record`].
pub(crate) fn tick(
    state: &StateDirectory,
    config: &AgentConfig,
    now: Timestamp,
    owe: impl FnOnce(&[Noted]) -> io::Result<()>,
) -> io::Result<Vec<Noted>> {
    let lock = state.lock_soon()?;
    let follow = |book: &mut HealthBook| {
        book.forget_the_future(now);
        Vec::new()
    };
    note(&lock, state, config, &[], now, follow, owe)
}

/// Keeps what a person's own run of a schedule measured, and leaves what follows from it to the agent that runs.
///
/// # Errors
/// Where the history cannot be written.
pub(crate) fn remember(state: &StateDirectory, schedule: &str, document: &Document) -> io::Result<()> {
    let _lock = state.lock()?;
    Ring::at(state.path()).append(&samples(schedule, document), &[]).map(drop).map_err(io::Error::other)
}

fn note(
    _lock: &Locked<'_>,
    state: &StateDirectory,
    config: &AgentConfig,
    samples: &[(Series, Sample)],
    now: Timestamp,
    follow: impl FnOnce(&mut HealthBook) -> Vec<Change>,
    owe: impl FnOnce(&[Noted]) -> io::Result<()>,
) -> io::Result<Vec<Noted>> {
    let before = health::load(state)?;
    let mut book = before.clone();
    let mut changes: Vec<Change> = samples.iter().flat_map(|(series, sample)| book.observe(config, series, sample)).collect();
    changes.extend(book.retain(config, now));
    changes.extend(follow(&mut book));
    changes.extend(book.tick(config, now));
    if !samples.is_empty() || !changes.is_empty() {
        match Ring::at(state.path()).append(samples, &changes) {
            Ok(None) => {}
            Ok(Some(cause)) => terminal::warn(&format!("netsonde: the history was damaged and begins anew ({cause})")),
            Err(error) => terminal::warn(&format!("netsonde: this run is not in the history: {error}")),
        }
    }
    // A crash between the two files tells a change twice and never not at all.
    let noted = number(state, changes)?;
    owe(&noted)?;
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
