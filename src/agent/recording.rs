use crate::history::{Ring, samples};
use crate::state::StateDirectory;
use crate::{health, terminal};
use netsonde_contract::agent_config::AgentConfig;
use netsonde_contract::document::Document;
use netsonde_contract::history::Change;
use std::io;

/// Notes the result of a schedule's run and tells what changed by it. It waits for the disk, after the run and never during it.
///
/// # Errors
/// Where the states of health cannot be read or written. A history that cannot be written is said and costs nothing else.
pub(crate) fn record(
    state: &StateDirectory,
    config: &AgentConfig,
    schedule: &str,
    document: &Document,
) -> io::Result<Vec<Change>> {
    let samples = samples(schedule, document);
    let _lock = state.lock()?;
    let mut book = health::load(state)?;
    let mut changes: Vec<Change> = samples.iter().flat_map(|(series, sample)| book.observe(config, series, sample)).collect();
    changes.extend(book.tick(config, document.run.began));
    book.retain(config);
    match Ring::at(state.path()).append(&samples, &changes) {
        Ok(None) => {}
        Ok(Some(cause)) => terminal::say(&format!("netsonde: the history was damaged and begins anew ({cause})")),
        Err(error) => terminal::say(&format!("netsonde: this run is not in the history: {error}")),
    }
    health::save(state, &book)?;
    Ok(changes)
}
