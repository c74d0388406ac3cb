//! What the package for Windows notes of itself in the registry, where only administrators write (`packaging/windows/netsonde.wxs`).

use super::wide;
use std::path::PathBuf;
use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_SZ, RRF_SUBKEY_WOW6464KEY, RegGetValueW};

const KEY: &str = r"SOFTWARE\netsonde";
/// Letters of a value: a path or a product's code.
const MAX_LETTERS: usize = 1_024;

/// A package that is installed here.
pub(crate) struct Installed {
    /// The program that it brought.
    pub(crate) program: PathBuf,
    /// What the installer knows it by: `{…}`.
    pub(crate) product: String,
}

/// None where no package is installed.
pub(crate) fn installed() -> Option<Installed> {
    Some(Installed { program: value("Program")?.into(), product: value("Product")? })
}

fn value(name: &str) -> Option<String> {
    let (key, name) = (wide(KEY), wide(name));
    let mut letters = [0_u16; MAX_LETTERS];
    let mut length = size_of_val(&letters) as u32;
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: key and name end in a zero; the system writes at most `length` bytes, and a text that ends in a zero.
    let error = unsafe {
        let (no_kind, to) = (std::ptr::null_mut(), letters.as_mut_ptr().cast());
        let flags = RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY;
        RegGetValueW(HKEY_LOCAL_MACHINE, key.as_ptr(), name.as_ptr(), flags, no_kind, to, &raw mut length)
    };
    let text = String::from_utf16_lossy(letters.split(|letter| *letter == 0).next().unwrap_or_default());
    (error == 0 && !text.is_empty()).then_some(text)
}
