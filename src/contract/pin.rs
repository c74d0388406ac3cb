//! Pins: a server known by the digest of its public key (RFC 7469 section 2.4 defines the digest), for backends whose certificate no
//! public authority issued.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

const PREFIX: &str = "sha256:";

/// The SHA-256 of a certificate's SubjectPublicKeyInfo, written `sha256:` and base64url.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin([u8; 32]);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pin is written sha256: and 43 characters of base64url")]
pub struct PinError;

impl Pin {
    /// The pin of a certificate in DER, or nothing where it is no X.509 certificate.
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        public_key_info(der).map(Self::of_public_key_info)
    }

    /// The pin of a SubjectPublicKeyInfo in DER.
    pub fn of_public_key_info(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let digest = text.strip_prefix(PREFIX).and_then(|encoded| URL_SAFE_NO_PAD.decode(encoded).ok()).ok_or(PinError)?;
        Ok(Self(digest.try_into().map_err(|_| PinError)?))
    }
}

/// The certificate that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedCertificate {
    /// By the SHA-256 of its DER form, lower-case hexadecimal.
    Certificate(String),
    /// By its public key, which outlives a renewal that keeps it.
    Key(Pin),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`pin` is \"{given}\", but must be a SHA-256 fingerprint of 64 hexadecimal digits, or sha256: and a key's digest in base64url"
)]
pub struct ExpectedCertificateError {
    given: String,
}

impl FromStr for ExpectedCertificate {
    type Err = ExpectedCertificateError;

    fn from_str(text: &str) -> Result<Self, ExpectedCertificateError> {
        if let Ok(pin) = text.parse() {
            return Ok(Self::Key(pin));
        }
        // As browsers and openssl show it, with or without colons.
        let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
        let is_digest = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then_some(Self::Certificate(digits)).ok_or_else(|| ExpectedCertificateError { given: text.to_owned() })
    }
}

impl TryFrom<String> for Pin {
    type Error = PinError;

    fn try_from(text: String) -> Result<Self, PinError> {
        text.parse()
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> Self {
        pin.to_string()
    }
}

/// A TLS client that accepts exactly the server whose key the pin names, whatever its certificate says of names, dates and issuers.
/// The server still proves in the handshake that it holds that key.
#[expect(clippy::expect_used, reason = "the provider is fixed at build time and offers TLS 1.2 and 1.3")]
pub fn client_config(pin: &Pin) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = PinnedKey { pin: pin.clone(), provider: Arc::clone(&provider) };
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider offers TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth()
}

#[derive(Debug)]
struct PinnedKey {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match Pin::of_certificate(end_entity) {
            Some(pin) if pin == self.pin => Ok(ServerCertVerified::assertion()),
            Some(_) => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
            None => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// The explicit tag of `version` (RFC 5280 section 4.1).
const VERSION: u8 = 0xa0;

/// The SubjectPublicKeyInfo of a certificate (RFC 5280 section 4.1), tag and length included.
fn public_key_info(certificate: &[u8]) -> Option<&[u8]> {
    let outer = Element::first(certificate)?;
    let signed = Element::first(outer.content_of(SEQUENCE)?)?;
    let mut rest = signed.content_of(SEQUENCE)?;
    let mut next = || {
        let element = Element::first(rest)?;
        rest = element.rest;
        Some(element)
    };
    let mut serial = next()?;
    if serial.tag == VERSION {
        serial = next()?;
    }
    serial.content_of(INTEGER)?;
    // Signature algorithm, issuer, validity, subject; then the key.
    for _ in 0..4 {
        next()?.content_of(SEQUENCE)?;
    }
    let key = next()?;
    key.content_of(SEQUENCE)?;
    Some(key.whole)
}

/// One DER element (X.690 section 8.1) and what follows it.
struct Element<'a> {
    tag: u8,
    whole: &'a [u8],
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let (&tag, after_tag) = bytes.split_first()?;
        let (&first, after_first) = after_tag.split_first()?;
        let (length, body) = match first {
            0..=0x7f => (usize::from(first), after_first),
            // One to four length bytes; a certificate needs three at most.
            0x81..=0x84 => {
                let (digits, body) = after_first.split_at_checked(usize::from(first & 0x7f))?;
                (
                    digits.iter().try_fold(0_usize, |length, digit| length.checked_mul(256)?.checked_add(usize::from(*digit)))?,
                    body,
                )
            }
            _ => return None,
        };
        let (content, rest) = body.split_at_checked(length)?;
        let whole = bytes.get(..bytes.len() - rest.len())?;
        Some(Self { tag, whole, content, rest })
    }

    fn content_of(&self, tag: u8) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_the_digest_of_the_key_and_not_of_the_certificate() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            |name: &str| rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap().der().to_vec();
        let expected = Pin::of_public_key_info(&rcgen::PublicKeyData::subject_public_key_info(&key));
        assert_eq!(Pin::of_certificate(&certificate("a.example")), Some(expected.clone()));
        assert_eq!(Pin::of_certificate(&certificate("b.example")), Some(expected));
    }

    #[test]
    fn a_cut_certificate_has_no_pin_and_does_no_harm() {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let der = made.cert.der();
        for end in 0..der.len() {
            assert_eq!(Pin::of_certificate(&der[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn a_pin_survives_its_text_and_nothing_else_is_one() {
        let pin = Pin::of_public_key_info(b"key");
        assert_eq!(pin.to_string().parse(), Ok(pin));
        for text in ["", "sha256:", "sha256:AAAA", "sha1:AAAA"] {
            assert_eq!(text.parse::<Pin>(), Err(PinError), "{text}");
        }
    }

    /// The handshake of a client with `pin` and a server with its own certificate, in memory.
    fn handshake(pin: &Pin, certificate: CertificateDer<'static>, key: &rcgen::KeyPair) -> Result<(), Error> {
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
        let name = ServerName::try_from("support.example").unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(client_config(pin)), name).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn a_private_server_is_known_by_its_key_and_another_one_refused() {
        let made = rcgen::generate_simple_self_signed(vec!["other.example".to_owned()]).unwrap();
        let pin = Pin::of_certificate(made.cert.der()).unwrap();
        assert_eq!(handshake(&pin, made.cert.der().clone(), &made.signing_key), Ok(()));
        let refused = handshake(&Pin::of_public_key_info(b"other"), made.cert.der().clone(), &made.signing_key);
        assert_eq!(refused, Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)));
    }
}
