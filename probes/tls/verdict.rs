//! What one store says of a chain.
//!
//! Verifiers stop at the first fault they meet, and dates are what they look at first. A certificate that has expired *and* comes
//! from an unknown issuer would show only its dates, so a chain with wrong dates is judged again at a moment when they were right.
//! The reason is the gravest fault: revoked or unknown issuer, then dates, then the name. Dates and the name can always be read
//! beside it, in the chain and in the name's own verdict.

use super::certificate;
use super::words::words;
use jiff::Timestamp;
use netsonde_contract::observation::{Certificate, NameVerdict, TrustReason, TrustStore, TrustVerdict};
use rustls::client::danger::ServerCertVerifier;
use rustls::{CertificateError, Error};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::time::Duration;

/// A chain to be judged, the leaf first, as the server sent it.
pub(crate) struct Judged<'a> {
    pub(crate) leaf: &'a CertificateDer<'static>,
    pub(crate) others: &'a [CertificateDer<'static>],
    pub(crate) ocsp: &'a [u8],
    pub(crate) name: &'a ServerName<'static>,
    /// The same chain, read.
    pub(crate) read: &'a [Certificate],
}

impl Judged<'_> {
    fn self_signed(&self) -> bool {
        self.read.first().is_some_and(|leaf| leaf.self_signed)
    }

    /// A moment at which every certificate sent was valid; without one, a moment at which the leaf was.
    fn valid_moment(&self) -> Option<Timestamp> {
        let leaf = self.read.first()?;
        let begin = self.read.iter().map(|certificate| certificate.not_before).max()?;
        Some(begin.min(leaf.not_after))
    }
}

/// Judges the chain at `now`. A leaf that is itself in `named` is trusted like an authority: a person pointed at it.
pub(super) fn judge(
    store: TrustStore,
    verifier: &dyn ServerCertVerifier,
    judged: &Judged<'_>,
    named: &[CertificateDer<'static>],
    now: Timestamp,
) -> TrustVerdict {
    let ask = |at| verify(verifier, judged, named, at).err();
    let Some((mut reason, mut text)) = ask(now) else {
        return TrustVerdict { store, trusted: true, reason: None, text: None };
    };
    if matches!(reason, TrustReason::Expired | TrustReason::NotYetValid)
        && let Some((second, also)) = judged.valid_moment().and_then(ask)
        && matches!(second, TrustReason::UnknownIssuer | TrustReason::Revoked)
    {
        reason = second;
        text = format!("{also}; {text}");
    }
    TrustVerdict { store, trusted: false, reason: Some(reason), text: Some(text) }
}

/// Whether a name or address of the certificate fits (RFC 9525). The common name does not count.
pub(super) fn fits(leaf: &CertificateDer<'static>, name: &ServerName<'static>) -> NameVerdict {
    let fits = webpki::EndEntityCert::try_from(leaf).is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(name).is_ok());
    NameVerdict { wanted: name.to_str().into_owned(), fits }
}

fn verify(
    verifier: &dyn ServerCertVerifier,
    judged: &Judged<'_>,
    named: &[CertificateDer<'static>],
    at: Timestamp,
) -> Result<(), (TrustReason, String)> {
    let Err(error) = verifier.verify_server_cert(judged.leaf, judged.others, judged.name, judged.ocsp, unix_time(at)) else {
        return Ok(());
    };
    if is_authority_as_leaf(&error) {
        return as_authority(judged, named, at, &error);
    }
    Err((reason(&error), words(&error)))
}

/// A self-signed certificate which calls itself an authority, as `openssl req -x509` makes it. The verifier refuses it as a server's
/// before it looks into the store; OpenSSL and the browsers look into the store.
fn as_authority(
    judged: &Judged<'_>,
    named: &[CertificateDer<'static>],
    at: Timestamp,
    error: &Error,
) -> Result<(), (TrustReason, String)> {
    let Some(leaf) = judged.read.first() else { return Err((TrustReason::Other, words(error))) };
    if !named.contains(judged.leaf) {
        return Err(match judged.self_signed() {
            true => (TrustReason::UnknownIssuer, "the certificate is signed by itself and is not in this store".to_owned()),
            false => (TrustReason::Other, "the server's certificate is an authority's".to_owned()),
        });
    }
    if at > leaf.not_after {
        Err((TrustReason::Expired, format!("the certificate expired at {}", leaf.not_after)))
    } else if at < leaf.not_before {
        Err((TrustReason::NotYetValid, format!("the certificate is not valid before {}", leaf.not_before)))
    } else if !fits(judged.leaf, judged.name).fits {
        Err((TrustReason::NameMismatch, format!("the certificate is not for {}", judged.name.to_str())))
    } else {
        Ok(())
    }
}

fn is_authority_as_leaf(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Other(other))
        if matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)))
}

fn reason(error: &Error) -> TrustReason {
    use CertificateError as E;
    let Error::InvalidCertificate(error) = error else { return TrustReason::Other };
    match error {
        E::Expired | E::ExpiredContext { .. } => TrustReason::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => TrustReason::NotYetValid,
        E::NotValidForName | E::NotValidForNameContext { .. } => TrustReason::NameMismatch,
        E::UnknownIssuer => TrustReason::UnknownIssuer,
        // A signature that the supposed issuer's key did not make: the store knows the issuer's name, not this issuer.
        E::BadSignature => TrustReason::UnknownIssuer,
        E::Revoked => TrustReason::Revoked,
        _ => TrustReason::Other,
    }
}

/// Before 1970 counts as 1970: no certificate was valid then.
fn unix_time(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0)))
}

/// The chain, read: at most [`certificate::MAX_CHAIN`] of what the server sent.
pub(super) fn read_chain(chain: &[CertificateDer<'static>], provider: &rustls::crypto::CryptoProvider) -> Vec<Certificate> {
    chain.iter().take(certificate::MAX_CHAIN).map(|der| certificate::describe(der, provider)).collect()
}
