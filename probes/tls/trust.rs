//! Trust stores and what each says of a chain.
//!
//! Three stores are asked apart: the platform's (as the operating system has it), Mozilla's (built in), and, where a person gave
//! certificates, the platform's with those added. "The platform trusts it, Mozilla does not" marks a private authority or an
//! inspecting proxy, so the verdicts are never merged. Stores are loaded at their first use, on a blocking thread: the platform's
//! takes tens of milliseconds to read.
//!
//! On Linux the platform's verifier reads files and sends nothing; it takes `SSL_CERT_FILE` and `SSL_CERT_DIR` in place of the
//! system's own store, as OpenSSL does. On Windows the system is told to fetch nothing: see `platform::windows::chain`. On macOS it may fetch
//! missing issuers and revocation lists by itself.

use super::verdict::{Judged, judge};
use crate::reflect::ReflectorKey;
use crate::zone;
use jiff::Timestamp;
use netsonde_contract::observation::{TrustReason, TrustStore, TrustVerdict};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The trust stores of a run. Cheap to make; shared by all checks.
pub struct Trust {
    provider: Arc<CryptoProvider>,
    given: Vec<CertificateDer<'static>>,
    platform: OnceLock<Store>,
    mozilla: OnceLock<Store>,
    platform_and_given: OnceLock<Store>,
    reflector_key: Option<ReflectorKey>,
}

/// A store that was loaded.
struct Store {
    /// Or in words why there is none.
    verifier: Result<Arc<dyn ServerCertVerifier>, String>,
    /// Certificates of the store that a server may also present as its own; see [`judge`].
    named: Vec<CertificateDer<'static>>,
}

/// A given file that holds no certificate which could be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct TrustError {
    /// Which of the given texts it was, from 0.
    pub position: usize,
    pub reason: String,
}

impl Trust {
    /// Trusts `given_pem` beside the platform's store: each text holds one or more certificates in PEM form. What is not a
    /// certificate is passed over, as bundles carry comments and keys.
    ///
    /// # Errors
    /// Where one of the texts holds no usable certificate at all.
    pub fn new(given_pem: Vec<Vec<u8>>) -> Result<Self, TrustError> {
        let mut trust = Self::default();
        for (position, pem) in given_pem.iter().enumerate() {
            let found: Vec<_> = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect();
            let count = found.len();
            let before = trust.given.len();
            trust.given.extend(found.into_iter().filter(|der| webpki::anchor_from_trusted_cert(der).is_ok()));
            if trust.given.len() == before {
                let reason = match count {
                    0 => "it holds no certificate in PEM form (BEGIN CERTIFICATE)".to_owned(),
                    _ => format!("none of its {count} certificates could be read"),
                };
                return Err(TrustError { position, reason });
            }
        }
        Ok(trust)
    }

    /// Also seals packets to reflectors with this key, and believes only replies that are sealed with it.
    pub fn with_reflector_key(mut self, key: Option<ReflectorKey>) -> Self {
        self.reflector_key = key;
        self
    }

    /// The key shared with reflectors. A person at the command line gives it, and no set can name one.
    pub(crate) fn reflector_key(&self) -> Option<&ReflectorKey> {
        self.reflector_key.as_ref()
    }

    /// Handshakes use this cryptography.
    #[cfg(test)]
    pub(crate) fn with_provider(provider: CryptoProvider) -> Self {
        Self { provider: Arc::new(provider), ..Self::default() }
    }

    /// The cryptography that handshakes use.
    pub(crate) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// What every store says of the chain at `now`, the deciding store first. Blocks: reads files at its first call.
    pub(crate) fn verdicts(&self, judged: &Judged<'_>, now: Timestamp) -> Vec<TrustVerdict> {
        let mut verdicts = Vec::new();
        if !self.given.is_empty() {
            let store = self.platform_and_given.get_or_init(|| self.load_platform(&self.given));
            verdicts.push(store.verdict(TrustStore::Given, judged, now));
        }
        let platform = self.platform.get_or_init(|| self.load_platform(&[]));
        verdicts.push(platform.verdict(TrustStore::Platform, judged, now));
        let mozilla = self.mozilla.get_or_init(|| self.load_mozilla());
        verdicts.push(mozilla.verdict(TrustStore::Mozilla, judged, now));
        verdicts
    }

    /// Whether any store has a certificate with this subject, given as DER without its own tag and length. Where the platform does not
    /// list its store, only the others are looked at. Blocks like [`Self::verdicts`].
    pub(crate) fn knows(&self, subject: &[u8]) -> bool {
        let has = |der: &CertificateDer<'_>| {
            webpki::anchor_from_trusted_cert(der).is_ok_and(|anchor| anchor.subject.as_ref() == subject)
        };
        let platform = self.platform.get_or_init(|| self.load_platform(&[]));
        webpki_roots::TLS_SERVER_ROOTS.iter().any(|anchor| anchor.subject.as_ref() == subject)
            || platform.named.iter().any(has)
            || self.given.iter().any(has)
    }

    fn load_platform(&self, extra: &[CertificateDer<'static>]) -> Store {
        let verifier = self.platform_verifier(extra);
        let mut named = platform_certificates();
        named.extend_from_slice(extra);
        match verifier {
            Ok(verifier) => Store { verifier: Ok(verifier), named },
            // What was given counts also where the platform has no store to add it to.
            Err(_) if !extra.is_empty() => self.load_alone(extra),
            Err(error) => Store { verifier: Err(error.to_string()), named },
        }
    }

    #[cfg(not(windows))]
    fn platform_verifier(&self, extra: &[CertificateDer<'static>]) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
        use rustls_platform_verifier::Verifier;
        Ok(Arc::new(Verifier::new_with_extra_roots(extra.iter().cloned(), Arc::clone(&self.provider))?))
    }

    #[cfg(windows)]
    fn platform_verifier(&self, extra: &[CertificateDer<'static>]) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(extra.iter().cloned());
        let build = || WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), Arc::clone(&self.provider)).build();
        let given = (!roots.is_empty()).then(build).transpose().map_err(|error| rustls::Error::General(error.to_string()))?;
        let provider = Arc::clone(&self.provider);
        Ok(Arc::new(super::system_store::SystemStore { ask: crate::platform::windows::chain::ask, given, provider }))
    }

    /// A TLS client that believes whom the platform's store vouches for, and that has the system fetch nothing to find out.
    ///
    /// # Errors
    /// Where the cryptography offers no version of TLS.
    #[cfg(windows)]
    pub fn client_config() -> Result<rustls::ClientConfig, rustls::Error> {
        let trust = Self::default();
        let builder =
            rustls::ClientConfig::builder_with_provider(Arc::clone(&trust.provider)).with_safe_default_protocol_versions()?;
        let verifier = trust.platform_verifier(&[])?;
        Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    }

    fn load_alone(&self, given: &[CertificateDer<'static>]) -> Store {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(given.iter().cloned());
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider)).build();
        Store { verifier: built.map(|verifier| verifier as _).map_err(|error| error.to_string()), named: given.to_vec() }
    }

    fn load_mozilla(&self) -> Store {
        let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider)).build();
        Store { verifier: built.map(|verifier| verifier as _).map_err(|error| error.to_string()), named: Vec::new() }
    }
}

impl Store {
    fn verdict(&self, store: TrustStore, judged: &Judged<'_>, now: Timestamp) -> TrustVerdict {
        match &self.verifier {
            Ok(verifier) => judge(store, verifier.as_ref(), judged, &self.named, now),
            // A machine without a store, such as a bare container, knows no issuer: that is what its applications see too.
            Err(text) => {
                let text = Some(format!("no trust store: {text}"));
                TrustVerdict { store, trusted: false, reason: Some(TrustReason::UnknownIssuer), text }
            }
        }
    }
}

/// The certificates of the system's store, where it is a matter of files.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn platform_certificates() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// The system's own verifier decides without this list.
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn platform_certificates() -> Vec<CertificateDer<'static>> {
    Vec::new()
}

/// Trusts nothing beside the platform's store.
impl Default for Trust {
    fn default() -> Self {
        Self {
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            given: Vec::new(),
            platform: OnceLock::new(),
            mozilla: OnceLock::new(),
            platform_and_given: OnceLock::new(),
            reflector_key: None,
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("given", &self.given.len()).finish_non_exhaustive()
    }
}

/// The name to send and to look for, from a host name or an address.
///
/// # Errors
/// Where the text is neither.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(zone::without(host).to_owned()).map_err(|_| format!("{host} cannot be a TLS server name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_file_without_a_certificate_is_refused_by_its_position() {
        let good = rcgen::generate_simple_self_signed(vec!["a.test".into()]).unwrap().cert.pem();
        let error = Trust::new(vec![good.into_bytes(), b"not a certificate".to_vec()]).unwrap_err();
        assert_eq!(error.position, 1);
        assert!(error.to_string().contains("no certificate"), "{error}");
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        assert!(Trust::new(vec![broken]).unwrap_err().to_string().contains("could be read"));
    }

    #[test]
    fn a_bundle_with_comments_and_a_key_gives_its_certificates() {
        let made = rcgen::generate_simple_self_signed(vec!["a.test".into()]).unwrap();
        let text = format!("# our own\n{}\n{}", made.signing_key.serialize_pem(), made.cert.pem());
        assert_eq!(Trust::new(vec![text.into_bytes()]).unwrap().given.len(), 1);
    }
}
