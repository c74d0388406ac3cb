//! The flight recorder: what scheduled checks measured lately, in a ring on disk that never grows beyond its bound.

/// From a run's outcomes to compact measurements.
mod compact;
/// The ring on disk.
mod ring;
/// The ring's file, over the steps of a disk.
mod storage;

pub(crate) use compact::{place, samples};
pub(crate) use ring::{Recorded, Ring, Wanted};
