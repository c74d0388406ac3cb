//! Folders by the system's own word. A variable of the environment is each user's to set, for what they start as administrator too.

use std::ffi::OsString;
use std::os::windows::ffi::OsStringExt;
use std::path::PathBuf;
use windows_sys::Win32::System::Com::CoTaskMemFree;
use windows_sys::Win32::UI::Shell::{FOLDERID_LocalAppData, FOLDERID_ProgramData, SHGetKnownFolderPath};
use windows_sys::core::GUID;

/// Letters of a path ("Maximum Path Length Limitation" of the Windows documentation).
const MAX_LETTERS: usize = 32_767;

/// For data of programs that are the machine's: `C:\ProgramData`, where the system does not tell.
pub(crate) fn program_data() -> PathBuf {
    known(&FOLDERID_ProgramData).unwrap_or_else(|| PathBuf::from(r"C:\ProgramData"))
}

/// For data of programs that are the user's, on this machine alone; none where the system does not tell.
pub(crate) fn local_app_data() -> Option<PathBuf> {
    known(&FOLDERID_LocalAppData)
}

fn known(folder: &GUID) -> Option<PathBuf> {
    let mut letters = std::ptr::null_mut();
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: no token stands for who runs this program; the text ends in a zero, and is given back here, also where there is none.
    unsafe {
        let told = SHGetKnownFolderPath(folder, 0, std::ptr::null_mut(), &raw mut letters);
        let found = (told >= 0 && !letters.is_null()).then(|| {
            let length = (0..MAX_LETTERS).take_while(|at| *letters.add(*at) != 0).count();
            PathBuf::from(OsString::from_wide(std::slice::from_raw_parts(letters, length)))
        });
        CoTaskMemFree(letters.cast());
        found
    }
}
