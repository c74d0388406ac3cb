//! From observations to the root cause, with its evidence.
//!
//! [`diagnose`] takes what the checks of a run observed and names what is wrong, why that is believed, what was ruled out, and
//! what nobody can explain. It is pure: it opens nothing, waits for nothing and reads no clock, so that a stored bundle can be
//! diagnosed again anywhere. Every time it speaks of was written down by a probe.
//!
//! Each target is looked at on its own. [`RULES`] look at its evidence and propose candidates; the engine drops what follows
//! from a fault further up and what a narrower cause refines, merges what is the same at several addresses, and ranks the rest.

/// The page of the knowledge base for each cause.
mod article;
/// What one rule proposes.
mod candidate;
/// Another run beside the one that is diagnosed: what differs, and what follows from it.
mod control;
/// Rules to findings: suppression, refinement, merging, ranking, and what stays unexplained.
mod engine;
/// The indexed view that rules read.
mod evidence;
/// Which question to ask next.
mod follow_up;
/// The order in which an exchange passes through the network.
mod layer;
/// What a rule states about itself.
mod rule;
/// The rules, one file each, and their list.
mod rules;
/// Builds observations for tests.
#[cfg(test)]
mod scene;
/// Which causes remain possible beside one that was found.
mod separation;
/// The part of the network that a fault or a symptom is about.
mod spot;
/// From when on a figure counts as a fault.
mod threshold;
/// Dates, durations and lists in words.
mod wording;

pub use article::{ARTICLES, article};
pub use control::{Machine, Vantage, diagnose_against, relation};
pub use engine::diagnose;
pub use follow_up::{Cost, FollowUp, follow_ups};
pub use layer::Layer;
pub use rule::Rule;
pub use rules::RULES;
