//! System calls of the agent itself.

/// Memory that an agent which waits does not need.
mod memory;
/// Private keys and folders beyond what modes of files do.
pub(crate) mod private_data;
/// The service control manager of Windows.
#[cfg(windows)]
pub(crate) mod windows_service;

pub(crate) use memory::{give_back, share_one_heap};

/// A text in UTF-16 with the zero that ends it.
#[cfg(windows)]
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().filter(|letter| *letter != 0).chain([0]).collect()
}
