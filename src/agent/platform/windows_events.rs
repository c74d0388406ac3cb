//! The event log of applications: the service as a source in it.
//!
//! A viewer makes a text of a source's number and words by a message file. Where none is registered it says that the description "cannot be found", and
//! shows the words below that. `EventCreate.exe`, which every Windows has since XP, carries messages for the numbers 1 to 1,000 that are just the words.

use super::wide;
use std::io;
use windows_sys::Win32::Foundation::ERROR_FILE_NOT_FOUND;
use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE, RegisterEventSourceW,
    ReportEventW,
};
use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_LOCAL_MACHINE, KEY_WOW64_64KEY, KEY_WRITE, REG_DWORD, REG_EXPAND_SZ, REG_OPTION_NON_VOLATILE, REG_VALUE_TYPE,
    RegCloseKey, RegCreateKeyExW, RegDeleteKeyExW, RegSetValueExW,
};

/// As `packaging/windows/netsonde.wxs` has it.
const SOURCES: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Application";
const MESSAGES: &str = r"%SystemRoot%\System32\EventCreate.exe";
/// The one message: its words.
const EVENT: u32 = 1;

/// Makes the source known, with the messages that its entries are shown by.
///
/// # Errors
/// The system's own, such as 5 without an administrator's rights.
pub(crate) fn register(source: &str) -> io::Result<()> {
    let (path, mut key) = (wide(&format!(r"{SOURCES}\{source}")), std::ptr::null_mut());
    let rights = KEY_WRITE | KEY_WOW64_64KEY;
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the path ends in a zero; null stands for no class, no list of its own, and no interest in whether it was there.
    let error = unsafe {
        let (none, kept) = (std::ptr::null(), REG_OPTION_NON_VOLATILE);
        RegCreateKeyExW(
            HKEY_LOCAL_MACHINE,
            path.as_ptr(),
            0,
            none,
            kept,
            rights,
            std::ptr::null(),
            &raw mut key,
            std::ptr::null_mut(),
        )
    };
    of(error)?;
    let key = Key(key);
    let messages: Vec<u8> = wide(MESSAGES).into_iter().flat_map(u16::to_le_bytes).collect();
    let types = u32::from(EVENTLOG_ERROR_TYPE | EVENTLOG_WARNING_TYPE | EVENTLOG_INFORMATION_TYPE);
    key.set("EventMessageFile", REG_EXPAND_SZ, &messages)?;
    key.set("TypesSupported", REG_DWORD, &types.to_le_bytes())
}

/// Takes the source away; entries that it left stay in the log.
///
/// # Errors
/// The system's own.
pub(crate) fn forget(source: &str) -> io::Result<()> {
    let path = wide(&format!(r"{SOURCES}\{source}"));
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the path ends in a zero.
    let error = unsafe { RegDeleteKeyExW(HKEY_LOCAL_MACHINE, path.as_ptr(), KEY_WOW64_64KEY, 0) };
    if error == ERROR_FILE_NOT_FOUND { Ok(()) } else { of(error) }
}

/// What an entry is shown as.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Information,
    Warning,
    Error,
}

/// Leaves one entry in the log.
pub(crate) fn write(source: &str, kind: Kind, message: &str) {
    let kind = match kind {
        Kind::Information => EVENTLOG_INFORMATION_TYPE,
        Kind::Warning => EVENTLOG_WARNING_TYPE,
        Kind::Error => EVENTLOG_ERROR_TYPE,
    };
    let (source, message) = (wide(source), wide(message));
    let texts = [message.as_ptr()];
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the texts end in a zero and outlive the call; the handle is closed here.
    unsafe {
        let log = RegisterEventSourceW(std::ptr::null(), source.as_ptr());
        if !log.is_null() {
            let (no_user, no_data) = (std::ptr::null_mut(), std::ptr::null());
            ReportEventW(log, kind, 0, EVENT, no_user, 1, 0, texts.as_ptr(), no_data);
            DeregisterEventSource(log);
        }
    }
}

struct Key(HKEY);

impl Key {
    fn set(&self, name: &str, kind: REG_VALUE_TYPE, bytes: &[u8]) -> io::Result<()> {
        let (name, length) = (wide(name), u32::try_from(bytes.len()).map_err(io::Error::other)?);
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the key is open, the name ends in a zero; the system reads as many bytes as there are.
        of(unsafe { RegSetValueExW(self.0, name.as_ptr(), 0, kind, bytes.as_ptr(), length) })
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the key was opened for this structure, which alone closes it.
        unsafe {
            RegCloseKey(self.0);
        }
    }
}

fn of(error: u32) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error.cast_signed())) }
}
