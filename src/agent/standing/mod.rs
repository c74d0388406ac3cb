//! Orders that this machine repeats: schedules that engineers signed.
//!
//! Whoever takes orders ([`crate::daemon`]) puts one on the [`Shelf`] once everything about it is seen to be right; whoever keeps schedules
//! ([`crate::rounds`]) runs it from there, puts every run before the machine's policy anew, and says when it is [`Over`]. The shelf is a
//! folder with a file for each, so that both sides, a restart and a person at the machine see the same.

/// One of them: what it asks for, and how long.
mod held;
/// Their place on the disk.
mod shelf;

pub(crate) use held::{End, Held, Weighed};
pub(crate) use netsonde_contract::order::schedule_name as name_of;
pub(crate) use shelf::{MAX_HELD, Shelf, Shelved};

use netsonde_contract::id::OrderId;

/// An order that is repeated no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Over {
    pub(crate) id: OrderId,
    pub(crate) end: End,
}
