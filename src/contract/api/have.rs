//! How a backend that was put back to an older backup gets again what it had acknowledged since.
//!
//! An agent keeps delivered bundles for seven days. Where the backend's database is older than a receipt that the agent holds, the backend has lost
//! that bundle: the agent tells which ones it still has, after each introduction and once a day, and sends those that are wanted once more, as it
//! sends any bundle.

use crate::id::BundleId;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// So many ids in one request; an agent that has more asks again with the next. Each id is 67 bytes of JSON, so all fit
/// [`super::fleet::MAX_AGENT_BODY`] many times.
pub const MAX_IDS: usize = 512;

/// `POST /v1/have`, by an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Have {
    /// Bundles that were delivered and are still there, the newest first.
    pub bundles: Vec<BundleId>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wanted {
    /// Those that the backend does not have, in the order in which they were told.
    pub bundles: Vec<BundleId>,
    pub server_time: Timestamp,
}
