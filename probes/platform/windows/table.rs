//! Tables that IP Helper allots: a count, and behind it the rows.

use std::ffi::c_void;
use std::io;
use windows_sys::Win32::NetworkManagement::IpHelper::FreeMibTable;

/// Larger tables are cut: a router on the open Internet has a million routes, which no question here is about.
const MAX_ROWS: usize = 65_536;

/// The rows of a table, which is given back.
///
/// # Safety
/// `table` is null, or a table that IP Helper allotted and that nobody else gives back; it has `count` rows from `first` on.
///
/// # Errors
/// The system's own number, where it is not zero.
#[expect(unsafe_code, reason = "the system gives tables by pointers")]
pub(super) unsafe fn rows<Row: Copy>(error: u32, table: *const c_void, count: u32, first: *const Row) -> io::Result<Vec<Row>> {
    let count = usize::try_from(count).unwrap_or_default().min(MAX_ROWS);
    let rows = if error == 0 && !table.is_null() {
        // SAFETY: the caller vouches for as many rows.
        (0..count).map(|row| unsafe { first.add(row).read_unaligned() }).collect()
    } else {
        Vec::new()
    };
    if !table.is_null() {
        // SAFETY: the caller vouches that this is the table's only end.
        unsafe { FreeMibTable(table) };
    }
    if error == 0 { Ok(rows) } else { Err(io::Error::from_raw_os_error(error.cast_signed())) }
}
