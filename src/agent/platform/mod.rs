//! System calls of the agent itself.

/// Whom access lists of Windows let change something, and whether netsonde may build on it.
#[cfg(any(windows, test))]
pub(crate) mod access;
/// Memory that an agent which waits does not need.
mod memory;
/// Private keys and folders beyond what modes of files do.
pub(crate) mod private_data;
/// Owners and access lists of Windows.
#[cfg(windows)]
pub(crate) mod windows_access;
/// The event log of Windows.
#[cfg(windows)]
pub(crate) mod windows_events;
/// Folders of Windows that no environment names.
#[cfg(windows)]
pub(crate) mod windows_folders;
/// The package for Windows that is installed here.
#[cfg(windows)]
pub(crate) mod windows_package;
/// The service control manager of Windows.
#[cfg(windows)]
pub(crate) mod windows_service;

pub(crate) use memory::{give_back, share_one_heap};

/// A text in UTF-16 with the zero that ends it.
#[cfg(windows)]
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().filter(|letter| *letter != 0).chain([0]).collect()
}
