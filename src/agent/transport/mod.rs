//! An enrolled agent's way to its backend.
//!
//! One request for work is held open at a time. When to ask, how long to let it be held and how long to rest after a failure is decided by
//! [`machine`], which is pure; [`client`] makes the requests and says what came of them, which [`judging`] puts as the machine wants it. A
//! connection that died without a word is noticed by the kernel (`upload::Backend`), and sooner by [`whereabouts`], where the machine itself is why.

/// The requests themselves.
mod client;
/// What a request that failed means to the pace.
mod judging;
/// What came of the last request in, what to do next out.
mod machine;
/// Whether the machine slept, or stands in another network.
mod whereabouts;

pub(crate) use client::{Asker, Client, Fault};
pub(crate) use judging::event_of;
pub(crate) use machine::{Event, Machine, Next};
pub(crate) use whereabouts::Whereabouts;
