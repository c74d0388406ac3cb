//! A verifier that accepts every chain and keeps it.
//!
//! The probe wants to see the certificate which another program would refuse, so the chain is judged after the handshake and not
//! within it. The server's signature over the handshake is verified all the same: without that, the chain would prove nothing
//! about who answered. Nothing is resumed unless that is what is measured, because a resumed handshake shows no chain.

use super::tickets::TicketBox;
use netsonde_contract::observation::CertificateRequest;
use rustls::NamedGroup;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::{Arc, Mutex, PoisonError};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

/// Names of authorities kept of one request. A server that lists its whole trust store has some hundred, which no person reads.
const MAX_AUTHORITIES: usize = 64;

/// What a handshake offers.
#[derive(Debug, Default)]
pub(super) struct Offer<'a> {
    /// Application protocols, the preferred first.
    pub(super) alpn: &'a [String],
    /// Only key-exchange groups of before post-quantum cryptography.
    pub(super) classic_groups: bool,
    /// Leave out the server name (SNI).
    pub(super) without_name: bool,
    /// Where tickets of the session go; without it, none is asked for.
    pub(super) tickets: Option<Arc<TicketBox>>,
}

/// What a server presented, in its own bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Presented {
    /// The leaf first; empty before a certificate was seen.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The stapled OCSP response; empty without one.
    pub(super) ocsp: Vec<u8>,
}

/// Records one handshake.
#[derive(Debug)]
pub(super) struct Recording {
    provider: Arc<CryptoProvider>,
    presented: Mutex<Presented>,
    request: Mutex<Option<CertificateRequest>>,
}

impl Recording {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Arc<Self> {
        Arc::new(Self { provider, presented: Mutex::default(), request: Mutex::default() })
    }

    /// What was seen, also when the handshake failed later.
    pub(super) fn presented(&self) -> Presented {
        self.presented.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The server asked for a certificate of the client, whether or not it insists.
    pub(super) fn certificate_request(&self) -> Option<CertificateRequest> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The configuration of one handshake that this records, offering TLS 1.2 and 1.3.
    pub(super) fn client_config(self: &Arc<Self>, offer: &Offer<'_>) -> Result<ClientConfig, Error> {
        let provider = match offer.classic_groups {
            true => {
                let mut classic = CryptoProvider::clone(&self.provider);
                classic.kx_groups.retain(|group| is_classic(group.name()));
                Arc::new(classic)
            }
            false => Arc::clone(&self.provider),
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(self) as Arc<dyn ServerCertVerifier>)
            .with_client_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesClientCert>);
        config.alpn_protocols = offer.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config.enable_sni = !offer.without_name;
        config.resumption = match &offer.tickets {
            Some(tickets) => Resumption::store(Arc::clone(tickets) as Arc<dyn ClientSessionStore>),
            None => Resumption::disabled(),
        };
        Ok(config)
    }
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner) = Presented { chain, ocsp: ocsp_response.to_vec() };
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Has no certificate to give, and notes that one was asked for.
impl ResolvesClientCert for Recording {
    fn resolve(&self, root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let authorities = root_hints.iter().take(MAX_AUTHORITIES).map(|der| distinguished_name(der)).collect();
        *self.request.lock().unwrap_or_else(PoisonError::into_inner) = Some(CertificateRequest { authorities });
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

pub(super) fn distinguished_name(der: &[u8]) -> String {
    X509Name::from_der(der).map_or_else(|_| "(not readable)".to_owned(), |(_, name)| name.to_string())
}

/// Elliptic curves and finite fields, whose key shares are small.
fn is_classic(group: NamedGroup) -> bool {
    use NamedGroup as G;
    matches!(group, G::X25519 | G::X448 | G::secp256r1 | G::secp384r1 | G::secp521r1 | G::FFDHE2048 | G::FFDHE3072 | G::FFDHE4096)
}
