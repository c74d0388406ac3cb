//! What Windows says of a certificate chain, out of what the machine has: nothing is fetched from anywhere.
//!
//! By itself the system would fetch missing issuers, revocation lists and roots that Microsoft vouches for, from addresses that certificates name.
//! Those packets would pass no gate of netsonde's. What it fetched for other programs before, and keeps, counts.

use super::wide::wide;
use crate::platform::chain_fault::{ChainFault, FLAGS, Question, file_time, gravest};
use std::ffi::{CStr, c_void};
use std::io;
use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::Security::Cryptography::{
    AUTHTYPE_SERVER, CERT_CHAIN_CACHE_ONLY_URL_RETRIEVAL, CERT_CHAIN_CONTEXT, CERT_CHAIN_DISABLE_AUTH_ROOT_AUTO_UPDATE,
    CERT_CHAIN_PARA, CERT_CHAIN_POLICY_IGNORE_ALL_REV_UNKNOWN_FLAGS, CERT_CHAIN_POLICY_PARA, CERT_CHAIN_POLICY_SSL,
    CERT_CHAIN_POLICY_STATUS, CERT_CHAIN_REVOCATION_CHECK_CACHE_ONLY, CERT_CHAIN_REVOCATION_CHECK_END_CERT, CERT_CONTEXT,
    CERT_OCSP_RESPONSE_PROP_ID, CERT_SET_PROPERTY_IGNORE_PERSIST_ERROR_FLAG, CERT_STORE_ADD_ALWAYS,
    CERT_STORE_DEFER_CLOSE_UNTIL_LAST_FREE_FLAG, CERT_STORE_PROV_MEMORY, CERT_USAGE_MATCH, CRYPT_INTEGER_BLOB, CTL_USAGE,
    CertAddEncodedCertificateToStore, CertCloseStore, CertFreeCertificateChain, CertFreeCertificateContext,
    CertGetCertificateChain, CertOpenStore, CertSetCertificateContextProperty, CertVerifyCertificateChainPolicy,
    CertVerifyTimeValidity, HCERTSTORE, HTTPSPolicyCallbackData, HTTPSPolicyCallbackData_0, USAGE_MATCH_TYPE_AND,
    X509_ASN_ENCODING,
};

/// `id-kp-serverAuth` (RFC 5280 section 4.2.1.12).
const FOR_SERVERS: &CStr = c"1.3.6.1.5.5.7.3.1";

const _: () = assert!(
    FLAGS
        == CERT_CHAIN_CACHE_ONLY_URL_RETRIEVAL
            | CERT_CHAIN_DISABLE_AUTH_ROOT_AUTO_UPDATE
            | CERT_CHAIN_REVOCATION_CHECK_END_CERT
            | CERT_CHAIN_REVOCATION_CHECK_CACHE_ONLY
);

/// Asks the system whether it trusts the chain as a server's.
///
/// # Errors
/// What it finds wrong with it, or that it could not be asked.
pub(crate) fn ask(question: &Question<'_>) -> Result<(), ChainFault> {
    let store = Store::new().map_err(ChainFault::Unasked)?;
    let leaf = store.add(question.leaf).map_err(ChainFault::Unasked)?;
    for certificate in question.others {
        // What the system cannot read, it builds the chain without.
        let _ = store.add(certificate);
    }
    leaf.staple(question.ocsp);
    let at = file_time(question.at);
    let at = FILETIME { dwLowDateTime: (at & u64::from(u32::MAX)) as u32, dwHighDateTime: (at >> 32) as u32 };
    let chain = Chain::build(&leaf, &store, &at).map_err(ChainFault::Unasked)?;
    match chain.fault_for(question.server).map_err(ChainFault::Unasked)? {
        0 => Ok(()),
        code => Err(ChainFault::Said { code, is_too_early: leaf.is_too_early(&at) }),
    }
}

/// Certificates of one question, in memory.
struct Store(HCERTSTORE);

impl Store {
    fn new() -> io::Result<Self> {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: a store in memory takes nothing else.
        let store =
            unsafe { CertOpenStore(CERT_STORE_PROV_MEMORY, 0, 0, CERT_STORE_DEFER_CLOSE_UNTIL_LAST_FREE_FLAG, std::ptr::null()) };
        if store.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(store)) }
    }

    fn add(&self, der: &[u8]) -> io::Result<Certificate> {
        let (length, mut found) = (u32::try_from(der.len()).map_err(io::Error::other)?, std::ptr::null_mut());
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the store is open; the system reads as many bytes as there are, and copies them.
        let added = unsafe {
            let how = (X509_ASN_ENCODING, CERT_STORE_ADD_ALWAYS);
            CertAddEncodedCertificateToStore(self.0, how.0, der.as_ptr(), length, how.1, &raw mut found)
        };
        if added == 0 || found.is_null() { Err(io::Error::last_os_error()) } else { Ok(Certificate(found)) }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the store was opened by this structure, which alone closes it; it stays for what still refers to it.
        unsafe {
            CertCloseStore(self.0, 0);
        }
    }
}

struct Certificate(*mut CERT_CONTEXT);

impl Certificate {
    /// Notes the revocation answer that the server sent along.
    fn staple(&self, ocsp: &[u8]) {
        let Some(length) = u32::try_from(ocsp.len()).ok().filter(|length| *length > 0) else { return };
        let blob = CRYPT_INTEGER_BLOB { cbData: length, pbData: ocsp.as_ptr().cast_mut() };
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the property takes such a structure, of which the system keeps a copy. Without it the chain is judged as if nothing had been sent.
        unsafe {
            let how = CERT_SET_PROPERTY_IGNORE_PERSIST_ERROR_FLAG;
            CertSetCertificateContextProperty(self.0, CERT_OCSP_RESPONSE_PROP_ID, how, (&raw const blob).cast());
        }
    }

    fn is_too_early(&self, at: &FILETIME) -> bool {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the certificate is the system's, with all that it points at.
        unsafe {
            CertVerifyTimeValidity(at, (*self.0).pCertInfo) < 0
        }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the system counts who refers to it; this structure did once.
        unsafe {
            CertFreeCertificateContext(self.0);
        }
    }
}

struct Chain(*mut CERT_CHAIN_CONTEXT);

impl Chain {
    fn build(leaf: &Certificate, store: &Store, at: &FILETIME) -> io::Result<Self> {
        let mut usages = [FOR_SERVERS.as_ptr().cast_mut().cast::<u8>()];
        let usage = CTL_USAGE { cUsageIdentifier: usages.len() as u32, rgpszUsageIdentifier: usages.as_mut_ptr() };
        let wanted = CERT_CHAIN_PARA {
            cbSize: size_of::<CERT_CHAIN_PARA>() as u32,
            RequestedUsage: CERT_USAGE_MATCH { dwType: USAGE_MATCH_TYPE_AND, Usage: usage },
            ..Default::default()
        };
        let mut found = std::ptr::null_mut();
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: all structures outlive the call; null stands for the machine's usual engine.
        let built = unsafe {
            let (engine, none) = (std::ptr::null_mut(), std::ptr::null());
            CertGetCertificateChain(engine, leaf.0, at, store.0, &raw const wanted, FLAGS, none, &raw mut found)
        };
        if built == 0 || found.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(found)) }
    }

    /// What speaks against the chain as that of this server; zero for nothing.
    fn fault_for(&self, server: &str) -> io::Result<u32> {
        let mut server = wide(server);
        let mut of_tls = HTTPSPolicyCallbackData {
            Anonymous: HTTPSPolicyCallbackData_0 { cbSize: size_of::<HTTPSPolicyCallbackData>() as u32 },
            dwAuthType: AUTHTYPE_SERVER,
            fdwChecks: 0,
            pwszServerName: server.as_mut_ptr(),
        };
        let wanted = CERT_CHAIN_POLICY_PARA {
            cbSize: size_of::<CERT_CHAIN_POLICY_PARA>() as u32,
            // Of most certificates nothing is kept that tells whether they were revoked.
            dwFlags: CERT_CHAIN_POLICY_IGNORE_ALL_REV_UNKNOWN_FLAGS,
            pvExtraPolicyPara: (&raw mut of_tls).cast::<c_void>(),
        };
        let mut status = CERT_CHAIN_POLICY_STATUS { cbSize: size_of::<CERT_CHAIN_POLICY_STATUS>() as u32, ..Default::default() };
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the chain is the system's; all structures and the name outlive the call.
        let told = unsafe { CertVerifyCertificateChainPolicy(CERT_CHAIN_POLICY_SSL, self.0, &raw const wanted, &raw mut status) };
        if told == 0 {
            return Err(io::Error::last_os_error());
        }
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the chain is the system's, and lives as long as this structure.
        let state = unsafe { (*self.0).TrustStatus.dwErrorStatus };
        Ok(gravest(state, status.dwError))
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the system made it for this structure, which alone gives it back.
        unsafe {
            CertFreeCertificateChain(self.0);
        }
    }
}
