//! How scheduled checks are: what agents tell of them, and what their silence says.

mod hear;
mod tend;

pub(crate) use hear::{hear, tidy};
#[cfg(test)]
pub(crate) use tend::look;
pub(crate) use tend::tend;

use crate::store::HeardRow;
use jiff::Timestamp;

/// Whether the agent's word still counts at `now`. Nothing here rests on somebody having noticed its silence.
pub(crate) fn is_silent(heard: &HeardRow, now: Timestamp) -> bool {
    heard.silent_after <= now
}
