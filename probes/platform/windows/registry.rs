//! The registry of the machine, read only and within bounds.

use super::wide::{text, wide};
use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_LOCAL_MACHINE, KEY_READ, KEY_WOW64_64KEY, REG_DWORD, REG_EXPAND_SZ, REG_MULTI_SZ, REG_SZ, RegCloseKey,
    RegEnumKeyExW, RegOpenKeyExW, RegQueryValueExW,
};

/// Keys below one that are listed.
const MAX_KEYS: u32 = 512;
/// A key's name (documentation of the registry's limits), with the zero that ends it.
const MAX_NAME: usize = 256;
/// Bytes of a value that are read.
const MAX_VALUE: usize = 16 << 10;

/// An open key of `HKEY_LOCAL_MACHINE`.
pub(crate) struct Key(HKEY);

impl Key {
    /// None where there is no such key, or it may not be read.
    pub(crate) fn open(path: &str) -> Option<Self> {
        let (path, mut key) = (wide(path), std::ptr::null_mut());
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the path ends in a zero; both outlive the call.
        let error = unsafe { RegOpenKeyExW(HKEY_LOCAL_MACHINE, path.as_ptr(), 0, KEY_READ | KEY_WOW64_64KEY, &raw mut key) };
        (error == 0).then_some(Self(key))
    }

    /// The names of the keys below this one.
    pub(crate) fn below(&self) -> Vec<String> {
        let mut names = Vec::new();
        for index in 0..MAX_KEYS {
            let (mut name, mut length) = ([0_u16; MAX_NAME], MAX_NAME as u32);
            #[expect(unsafe_code, reason = "the interface is one of C")]
            // SAFETY: the key is open; the system writes at most `length` letters into `name`.
            let error = unsafe {
                let (none, no_time) = (std::ptr::null_mut(), std::ptr::null_mut());
                let letters = name.as_mut_ptr();
                RegEnumKeyExW(self.0, index, letters, &raw mut length, std::ptr::null(), none, std::ptr::null_mut(), no_time)
            };
            if error != 0 {
                break;
            }
            names.push(text(&name));
        }
        names
    }

    fn value(&self, name: &str) -> Option<(u32, Vec<u8>)> {
        let (name, mut kind, mut length) = (wide(name), 0, MAX_VALUE as u32);
        let mut bytes = vec![0_u8; MAX_VALUE];
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the key is open, the name ends in a zero; the system writes at most `length` bytes into `bytes`.
        let error = unsafe {
            RegQueryValueExW(self.0, name.as_ptr(), std::ptr::null(), &raw mut kind, bytes.as_mut_ptr(), &raw mut length)
        };
        bytes.truncate(usize::try_from(length).ok()?);
        (error == 0).then_some((kind, bytes))
    }

    /// A text, trimmed; none where there is none, or it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let (kind, bytes) = self.value(name)?;
        let found = text(&letters(&bytes)).trim().to_owned();
        (matches!(kind, REG_SZ | REG_EXPAND_SZ) && !found.is_empty()).then_some(found)
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some((REG_MULTI_SZ, bytes)) => {
                let letters = letters(&bytes);
                letters.split(|letter| *letter == 0).filter(|each| !each.is_empty()).map(String::from_utf16_lossy).collect()
            }
            Some((REG_SZ | REG_EXPAND_SZ, bytes)) => vec![text(&letters(&bytes))],
            _ => Vec::new(),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        let (kind, bytes) = self.value(name)?;
        (kind == REG_DWORD).then(|| bytes.first_chunk().map(|four| u32::from_ne_bytes(*four)))?
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the key was opened by this structure, which alone closes it.
        unsafe {
            RegCloseKey(self.0);
        }
    }
}

fn letters(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect()
}
