/// Folders that no environment names.
mod known_folders;

pub(crate) use known_folders::programs_and_data;

/// What was encrypted to a certificate of this machine (CMS, RFC 5652), whose private key only the system may use.
///
/// # Errors
/// Where the certificate is not there, or the bytes are not for it.
pub(crate) fn decrypt(thumbprint: &str, sealed: &[u8]) -> Result<Vec<u8>, crate::Failure> {
    system::decrypt(sealed).map_err(|error| {
        crate::Failure::Unusable(format!("the protected settings cannot be decrypted with certificate {thumbprint}: {error}"))
    })
}

#[cfg(not(windows))]
mod system {
    use std::io;

    pub(super) fn decrypt(_sealed: &[u8]) -> io::Result<Vec<u8>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "the certificates of a VM with Windows are on Windows alone"))
    }
}

#[cfg(windows)]
mod system {
    use std::io;
    use windows_sys::Win32::Security::Cryptography::{
        CERT_STORE_OPEN_EXISTING_FLAG, CERT_STORE_PROV_SYSTEM_W, CERT_STORE_READONLY_FLAG, CERT_SYSTEM_STORE_LOCAL_MACHINE,
        CRYPT_DECRYPT_MESSAGE_PARA, CertCloseStore, CertOpenStore, CryptDecryptMessage, HCERTSTORE, PKCS_7_ASN_ENCODING,
        X509_ASN_ENCODING,
    };

    /// Settings have some kilobytes; whatever is longer is none.
    const MAX_BYTES: usize = 1 << 20;

    pub(super) fn decrypt(sealed: &[u8]) -> io::Result<Vec<u8>> {
        let length = u32::try_from(sealed.len()).ok().filter(|_| sealed.len() <= MAX_BYTES).ok_or(io::ErrorKind::InvalidData)?;
        let store = Store::of_this_machine()?;
        let stores = [store.0];
        let how = CRYPT_DECRYPT_MESSAGE_PARA {
            cbSize: size_of::<CRYPT_DECRYPT_MESSAGE_PARA>() as u32,
            dwMsgAndCertEncodingType: X509_ASN_ENCODING | PKCS_7_ASN_ENCODING,
            cCertStore: 1,
            rghCertStore: stores.as_ptr().cast_mut(),
        };
        // What was encrypted is never longer than its envelope.
        let mut opened = vec![0; sealed.len()];
        let mut count = length;
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: all pointers are to values that outlive the call, with the lengths that are given; the store is open.
        let done = unsafe {
            CryptDecryptMessage(
                &raw const how,
                sealed.as_ptr(),
                length,
                opened.as_mut_ptr(),
                &raw mut count,
                std::ptr::null_mut(),
            )
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        opened.truncate(count as usize);
        Ok(opened)
    }

    struct Store(HCERTSTORE);

    impl Store {
        /// Where the guest agent puts the certificates of the extensions.
        fn of_this_machine() -> io::Result<Self> {
            let name: Vec<u16> = "MY".encode_utf16().chain([0]).collect();
            let flags = CERT_SYSTEM_STORE_LOCAL_MACHINE | CERT_STORE_OPEN_EXISTING_FLAG | CERT_STORE_READONLY_FLAG;
            #[expect(unsafe_code, reason = "the interface is one of C")]
            // SAFETY: the name ends in a zero and outlives the call; zero stands for the default provider.
            let store = unsafe { CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0, flags, name.as_ptr().cast()) };
            if store.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(store)) }
        }
    }

    impl Drop for Store {
        fn drop(&mut self) {
            #[expect(unsafe_code, reason = "the interface is one of C")]
            // SAFETY: the store was opened for this structure, which alone closes it.
            unsafe {
                CertCloseStore(self.0, 0);
            }
        }
    }
}
