//! Bundles of schedules that were to stay here, and that a person has sent all the same: for the agent that runs to take up.

use super::{Entry, Spool};
use crate::disk::{read_json, write_json};
use crate::spool::Tries;
use crate::state::StateDirectory;
use crate::state_names;
use netsonde_contract::agent_config::UploadWhen;
use netsonde_contract::id::BundleId;
use std::io;

const FILE: &str = state_names::RELEASED;

/// The list of them, which stands in the state directory until the agent has read it.
pub(crate) struct Released;

impl Released {
    /// The caller holds the state directory's lock.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(crate) fn add(state: &StateDirectory, bundle: &BundleId) -> io::Result<()> {
        let mut bundles = all(state);
        bundles.retain(|other| other != bundle);
        bundles.push(bundle.clone());
        write_json(&state.path().join(FILE), &bundles)
    }

    /// Those that were released since the last look, as they lie in the spool. Each is told once; an agent that ends meanwhile finds them there when it starts.
    ///
    /// # Errors
    /// Where the list cannot be taken away.
    pub(crate) fn take(state: &StateDirectory) -> io::Result<Vec<Entry>> {
        let path = state.path().join(FILE);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let _lock = state.lock_soon()?;
        let bundles = all(state);
        std::fs::remove_file(&path)?;
        Ok(bundles.iter().filter_map(|bundle| state.spool().find_ready(bundle)).collect())
    }
}

/// Of a list that is damaged nothing is known: its bundles are found with the next start.
fn all(state: &StateDirectory) -> Vec<BundleId> {
    read_json(&state.path().join(FILE)).ok().flatten().unwrap_or_default()
}

impl Spool {
    /// Notes that a bundle which was to stay here is to be sent at once.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(crate) fn release(&self, entry: &Entry) -> io::Result<()> {
        self.tried(&Entry { upload: UploadWhen::Now, ..entry.clone() }, Tries::default())
    }
}
