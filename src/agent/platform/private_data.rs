//! What keeps secrets from others where files have no modes. On Windows: the access list of the machine's own folder, and the encryption of
//! keys by the system (DPAPI). Elsewhere modes do it, and nothing here changes anything.

use std::io;
use std::path::Path;

/// The key as it is written to a file. What stands in the machine's own folder is for this machine, where the folder's access list says who
/// may read it; elsewhere it is for the user alone.
///
/// # Errors
/// The system's own.
pub(crate) fn sealed(secret: &[u8], path: &Path) -> io::Result<Vec<u8>> {
    system::sealed(secret, path)
}

/// What [`sealed`] made, or a key that was written without it.
///
/// # Errors
/// The system's own: another machine or another user sealed it.
pub(crate) fn opened(stored: Vec<u8>) -> io::Result<Vec<u8>> {
    system::opened(stored)
}

/// Makes the machine's own folder and keeps others out of it, before anything secret is there.
///
/// # Errors
/// As [`super::windows_access::keep`].
#[cfg(windows)]
pub(crate) fn keep_machine_folder() -> io::Result<()> {
    super::windows_access::keep(&crate::service_control::machine_folder(), &service_identity())
}

/// The service's own identity, which it has whoever it runs as.
#[cfg(windows)]
pub(crate) fn service_identity() -> String {
    system::service_sid(crate::service_control::NAME)
}

#[cfg(not(windows))]
mod system {
    use std::io;
    use std::path::Path;

    pub(super) fn sealed(secret: &[u8], _path: &Path) -> io::Result<Vec<u8>> {
        Ok(secret.to_vec())
    }

    pub(super) fn opened(stored: Vec<u8>) -> io::Result<Vec<u8>> {
        Ok(stored)
    }
}

#[cfg(windows)]
mod system {
    use sha1::{Digest, Sha1};
    use std::io;
    use std::path::Path;
    use windows_sys::Win32::Foundation::LocalFree;
    use windows_sys::Win32::Security::Cryptography::{
        CRYPT_INTEGER_BLOB, CRYPTPROTECT_LOCAL_MACHINE, CRYPTPROTECT_UI_FORBIDDEN, CryptProtectData, CryptUnprotectData,
    };

    /// Begins what was sealed: files of versions that did not seal, and of copies for other systems, are told apart by it.
    const MARK: &[u8] = b"netsonde-dpapi-1\n";
    /// Keys have some hundred bytes; whatever is longer is none.
    const MAX_BYTES: usize = 64 << 10;

    pub(super) fn sealed(secret: &[u8], path: &Path) -> io::Result<Vec<u8>> {
        let of_machine = path.starts_with(crate::service_control::machine_folder());
        let flags = CRYPTPROTECT_UI_FORBIDDEN | if of_machine { CRYPTPROTECT_LOCAL_MACHINE } else { 0 };
        Ok([MARK, &converted(secret, |given, made| protect(given, made, flags))?].concat())
    }

    pub(super) fn opened(stored: Vec<u8>) -> io::Result<Vec<u8>> {
        match stored.strip_prefix(MARK) {
            Some(sealed) => converted(sealed, unprotect),
            None => Ok(stored),
        }
    }

    fn converted(bytes: &[u8], convert: impl Fn(&CRYPT_INTEGER_BLOB, &mut CRYPT_INTEGER_BLOB) -> bool) -> io::Result<Vec<u8>> {
        let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= MAX_BYTES).ok_or(io::ErrorKind::InvalidData)?;
        let given = CRYPT_INTEGER_BLOB { cbData: length, pbData: bytes.as_ptr().cast_mut() };
        let mut made = CRYPT_INTEGER_BLOB::default();
        if !convert(&given, &mut made) {
            return Err(io::Error::last_os_error());
        }
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the system allotted as many bytes, which are given back here and nowhere else.
        let found = unsafe {
            let found = std::slice::from_raw_parts(made.pbData, made.cbData as usize).to_vec();
            LocalFree(made.pbData.cast());
            found
        };
        Ok(found)
    }

    fn protect(given: &CRYPT_INTEGER_BLOB, made: &mut CRYPT_INTEGER_BLOB, flags: u32) -> bool {
        let (none, no_prompt) = (std::ptr::null(), std::ptr::null());
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: what is given outlives the call and is only read; the system fills in the result.
        unsafe {
            CryptProtectData(given, none, std::ptr::null(), std::ptr::null(), no_prompt, flags, made) != 0
        }
    }

    fn unprotect(given: &CRYPT_INTEGER_BLOB, made: &mut CRYPT_INTEGER_BLOB) -> bool {
        let (none, no_prompt) = (std::ptr::null_mut(), std::ptr::null());
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: as above.
        unsafe {
            CryptUnprotectData(given, none, std::ptr::null(), std::ptr::null(), no_prompt, CRYPTPROTECT_UI_FORBIDDEN, made) != 0
        }
    }

    /// The account that a service's own rights are given to, whoever it runs as: `S-1-5-80-` and the SHA-1 of its name in capitals
    /// ([MS-DTYP] section 2.4.2.4).
    pub(super) fn service_sid(name: &str) -> String {
        let bytes: Vec<u8> = name.to_uppercase().encode_utf16().flat_map(u16::to_le_bytes).collect();
        let digest = Sha1::digest(&bytes);
        let parts = digest.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]).to_string());
        format!("S-1-5-80-{}", parts.collect::<Vec<_>>().join("-"))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// As `sc showsid TrustedInstaller` prints it.
        #[test]
        fn the_services_account_is_the_one_that_the_system_means() {
            let known = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
            assert_eq!(service_sid("TrustedInstaller"), known);
        }

        #[test]
        fn a_sealed_key_is_not_legible_and_opens_again() {
            let sealed = sealed(b"secret words", Path::new(r"C:\elsewhere\key")).unwrap();
            assert!(!sealed.windows(6).any(|part| part == b"secret"));
            assert_eq!(opened(sealed).unwrap(), b"secret words");
            assert_eq!(opened(b"-----BEGIN".to_vec()).unwrap(), b"-----BEGIN");
        }
    }
}
