//! System calls that only one system offers.

/// Memory that an agent which waits does not need.
mod memory;

pub(crate) use memory::give_back;
