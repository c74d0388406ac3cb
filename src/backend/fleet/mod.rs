//! Enrolled agents: who asks, who listens, what waits for them.
//!
//! Nothing here decides whether an agent runs anything: an order is signed at an engineer's desk and verified at the agent, and this program
//! carries it from one to the other. What it does decide is whose request it answers: `signed` holds every one of an agent's requests against the
//! key that the agent introduced. `presence` knows who is listening at this moment and rings for them, and `twins`
//! notices where two do with one identity; `register` looks up and `notebook`
//! keeps what comes often, for many agents at a time.

mod enrol;
mod link;
mod notebook;
mod presence;
mod register;
mod seats;
mod signed;
mod submit;
mod tend;
mod together;
mod trust;
mod twins;

pub(crate) use enrol::{Entry, enter, hand_in};
pub(crate) use notebook::Notebook;
pub(crate) use presence::{Listening, Presence};
pub(crate) use register::Register;
pub(crate) use seats::{AgentPlace, Seats};
pub(crate) use signed::{FromAgent, check_enrolled, check_served, check_single, identity_twice, unknown_agent};
pub(crate) use submit::{submit, unknown_order};
pub(crate) use tend::{flush_seen, tend};
pub(crate) use together::Together;
pub(crate) use trust::{Trust, publish};
pub(crate) use twins::Asker;

use sha2::{Digest, Sha256};

/// What is kept of a link.
pub(crate) fn link_digest(link: &str) -> [u8; 32] {
    Sha256::digest(link).into()
}
