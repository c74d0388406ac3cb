//! Orders on this machine: from the bytes that came to a decision, and what became of each.
//!
//! An order is first held against what was signed ([`netsonde_contract::order::verify`]), then against the machine's policy
//! ([`netsonde_contract::policy::Policy::judge`]). It is noted as taken, on the disk, before anything else is done about it, so that it runs
//! at most once whatever happens to the process.

/// The answers of a person at the machine.
mod answer;
/// Every order that came, and its state, on the disk.
mod book;
/// What is to become of an order.
mod intake;
/// How much an order may send, and where to.
mod limits;
/// Ids of orders that were taken.
mod taken;

pub(crate) use answer::{Answer, Answers};
pub(crate) use book::{About, Book, MAX_WAITING, Record};
pub(crate) use intake::{Here, Judgement, Machine, decide, judge, place};
pub(crate) use limits::{Turn, bounds_for};
pub(crate) use taken::Taken;
