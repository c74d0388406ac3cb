//! Folders by the system's own word, which no variable of the environment changes.

use std::path::PathBuf;

/// For programs, and for data of programs that are the machine's; where the system does not tell, the usual ones.
pub(crate) fn programs_and_data() -> (PathBuf, PathBuf) {
    let [programs, data] = system::known();
    (programs.unwrap_or_else(|| r"C:\Program Files".into()), data.unwrap_or_else(|| r"C:\ProgramData".into()))
}

#[cfg(not(windows))]
mod system {
    use std::path::PathBuf;

    pub(super) fn known() -> [Option<PathBuf>; 2] {
        [None, None]
    }
}

#[cfg(windows)]
mod system {
    use std::ffi::OsString;
    use std::os::windows::ffi::OsStringExt;
    use std::path::PathBuf;
    use windows_sys::Win32::System::Com::CoTaskMemFree;
    use windows_sys::Win32::UI::Shell::{FOLDERID_ProgramData, FOLDERID_ProgramFiles, SHGetKnownFolderPath};

    /// Letters of a path ("Maximum Path Length Limitation" of the Windows documentation).
    const MAX_LETTERS: usize = 32_767;

    pub(super) fn known() -> [Option<PathBuf>; 2] {
        [FOLDERID_ProgramFiles, FOLDERID_ProgramData].map(|folder| {
            let mut letters = std::ptr::null_mut();
            #[expect(unsafe_code, reason = "the interface is one of C")]
            // SAFETY: no token stands for who runs this program; the text ends in a zero, and is given back here, also where there is none.
            unsafe {
                let told = SHGetKnownFolderPath(&raw const folder, 0, std::ptr::null_mut(), &raw mut letters);
                let found = (told >= 0 && !letters.is_null()).then(|| {
                    let length = (0..MAX_LETTERS).take_while(|at| *letters.add(*at) != 0).count();
                    PathBuf::from(OsString::from_wide(std::slice::from_raw_parts(letters, length)))
                });
                CoTaskMemFree(letters.cast());
                found
            }
        })
    }
}
