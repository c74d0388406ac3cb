//! What Windows is asked of a certificate chain, and what its answers mean. Pure, so that it is tested wherever tests run.

use rustls::{CertificateError, Error};
use std::io;

/// A chain as a server sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// The server's own certificate, as DER.
    pub(crate) leaf: &'a [u8],
    pub(crate) others: &'a [&'a [u8]],
    /// The stapled OCSP response; may be empty.
    pub(crate) ocsp: &'a [u8],
    /// Name or address that the certificate has to be for.
    pub(crate) server: &'a str,
    /// Seconds since 1970.
    pub(crate) at: u64,
}

/// Why the system does not trust a chain.
#[derive(Debug)]
pub(crate) enum ChainFault {
    Said {
        /// An `HRESULT` of <winerror.h>.
        code: u32,
        /// The server's certificate is not valid yet: of dates the system says only that they are wrong.
        is_too_early: bool,
    },
    Unasked(io::Error),
}

/// `CERT_CHAIN_CACHE_ONLY_URL_RETRIEVAL`: nothing is fetched to complete the chain.
const FETCH_NOTHING: u32 = 0x4;
/// `CERT_CHAIN_DISABLE_AUTH_ROOT_AUTO_UPDATE`: no roots from Windows Update.
const UPDATE_NO_ROOTS: u32 = 0x100;
/// `CERT_CHAIN_REVOCATION_CHECK_END_CERT`: of the server's own certificate alone, as browsers do.
const LOOK_AT_REVOCATION: u32 = 0x1000_0000;
/// `CERT_CHAIN_REVOCATION_CHECK_CACHE_ONLY`: the first flag does not count for lists and answers of revocation.
const FETCH_NO_REVOCATION: u32 = 0x8000_0000;

/// What the system may do to build a chain.
pub(crate) const FLAGS: u32 = FETCH_NOTHING | UPDATE_NO_ROOTS | LOOK_AT_REVOCATION | FETCH_NO_REVOCATION;

/// `CERT_TRUST_IS_REVOKED`, `CERT_TRUST_IS_UNTRUSTED_ROOT` and `CERT_TRUST_IS_PARTIAL_CHAIN`: bits of a chain's own state.
const IS_REVOKED: u32 = 0x4;
const IS_UNTRUSTED_ROOT: u32 = 0x20;
const IS_WITHOUT_ROOT: u32 = 0x1_0000;

const CRYPT_E_REVOKED: u32 = 0x8009_2010;
const CERT_E_UNTRUSTEDROOT: u32 = 0x800B_0109;
const CERT_E_CHAINING: u32 = 0x800B_010A;
const TRUST_E_CERT_SIGNATURE: u32 = 0x8009_6004;

/// What speaks most against a chain: the policy for servers tells the first thing that it comes upon, and may come upon dates, or upon a revocation
/// that nobody knows of, before it says that nobody vouches for the whole. Zero for nothing.
pub(crate) fn gravest(state: u32, of_policy: u32) -> u32 {
    match of_policy {
        TRUST_E_CERT_SIGNATURE => of_policy,
        _ if state & IS_REVOKED != 0 => CRYPT_E_REVOKED,
        _ if state & IS_UNTRUSTED_ROOT != 0 => CERT_E_UNTRUSTEDROOT,
        _ if state & IS_WITHOUT_ROOT != 0 => CERT_E_CHAINING,
        _ => of_policy,
    }
}

/// Seconds from 1601, where `FILETIME` begins, to 1970.
const FROM_1601: u64 = 11_644_473_600;
/// A `FILETIME` counts tenths of microseconds.
const TICKS_PER_SECOND: u64 = 10_000_000;

/// Seconds since 1970 as a `FILETIME`.
pub(crate) fn file_time(seconds: u64) -> u64 {
    seconds.saturating_add(FROM_1601).saturating_mul(TICKS_PER_SECOND)
}

impl From<ChainFault> for Error {
    fn from(fault: ChainFault) -> Self {
        let (code, is_too_early) = match fault {
            ChainFault::Said { code, is_too_early } => (code, is_too_early),
            ChainFault::Unasked(error) => return Self::General(format!("Windows could not be asked: {error}")),
        };
        // In the order of <winerror.h>: TRUST_E_*, CRYPT_E_*, CERT_E_*.
        let meant = match code {
            TRUST_E_CERT_SIGNATURE => CertificateError::BadSignature,
            CRYPT_E_REVOKED | 0x800B_010C => CertificateError::Revoked,
            0x800B_0101 if is_too_early => CertificateError::NotValidYet,
            0x800B_0101 => CertificateError::Expired,
            CERT_E_UNTRUSTEDROOT | CERT_E_CHAINING | 0x800B_0112 => CertificateError::UnknownIssuer,
            0x800B_010F | 0x800B_0114 => CertificateError::NotValidForName,
            0x800B_0110 => CertificateError::InvalidPurpose,
            code => {
                let words = io::Error::from_raw_os_error(code.cast_signed());
                return Self::General(format!("Windows refuses the chain: {code:#010x}, {words}"));
            }
        };
        Self::InvalidCertificate(meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(code: u32, is_too_early: bool) -> Error {
        ChainFault::Said { code, is_too_early }.into()
    }

    #[test]
    fn windows_may_fetch_neither_issuers_nor_revocation_lists_nor_roots() {
        for flag in [0x4, 0x100, 0x8000_0000] {
            assert_eq!(FLAGS & flag, flag, "{flag:#x}");
        }
    }

    #[test]
    fn what_windows_says_of_a_chain_is_what_the_other_stores_would_say() {
        use CertificateError as E;
        for (code, wanted) in [
            (0x800B_0109, E::UnknownIssuer),
            (0x800B_010A, E::UnknownIssuer),
            (0x800B_0101, E::Expired),
            (0x800B_010F, E::NotValidForName),
            (0x8009_2010, E::Revoked),
            (0x8009_6004, E::BadSignature),
        ] {
            assert_eq!(meant(code, false), Error::InvalidCertificate(wanted), "{code:#x}");
        }
        assert_eq!(meant(0x800B_0101, true), Error::InvalidCertificate(E::NotValidYet));
        assert!(meant(0x800B_0111, false).to_string().contains("0x800b0111"));
        assert!(Error::from(ChainFault::Unasked(io::Error::other("no store"))).to_string().contains("no store"));
    }

    #[test]
    fn a_chain_that_nobody_vouches_for_is_that_before_it_is_expired_or_of_unknown_revocation() {
        const EXPIRED: u32 = 0x800B_0101;
        const REVOCATION_FAILURE: u32 = 0x800B_010E;
        for of_policy in [0, EXPIRED, REVOCATION_FAILURE] {
            assert_eq!(gravest(0x1_0000, of_policy), CERT_E_CHAINING, "{of_policy:#x}");
            assert_eq!(gravest(0x20, of_policy), CERT_E_UNTRUSTEDROOT, "{of_policy:#x}");
            assert_eq!(gravest(0x1_0024, of_policy), CRYPT_E_REVOKED, "{of_policy:#x}");
            // NOT_TIME_VALID and REVOCATION_STATUS_UNKNOWN alone are the policy's to judge.
            assert_eq!(gravest(0x41, of_policy), of_policy);
        }
        assert_eq!(gravest(0x20, TRUST_E_CERT_SIGNATURE), TRUST_E_CERT_SIGNATURE);
    }

    #[test]
    fn time_is_counted_from_1601() {
        // 2000-01-01T00:00:00Z.
        assert_eq!(file_time(946_684_800), 125_911_584_000_000_000);
        assert_eq!(file_time(0), 116_444_736_000_000_000);
    }
}
