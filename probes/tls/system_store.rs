//! A verifier that asks Windows, and where Windows knows no issuer, the authorities that a person gave beside its store.

use crate::platform::chain_fault::{ChainFault, Question};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

type Ask = fn(&Question<'_>) -> Result<(), ChainFault>;

/// See the module.
#[derive(Debug)]
pub(super) struct SystemStore {
    pub(super) ask: Ask,
    /// Trusts the given authorities alone.
    pub(super) given: Option<Arc<WebPkiServerVerifier>>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for SystemStore {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let others: Vec<&[u8]> = intermediates.iter().map(AsRef::as_ref).collect();
        let server = server_name.to_str();
        let question = Question {
            leaf: end_entity.as_ref(),
            others: &others,
            ocsp: ocsp_response,
            // The system compares names to the letter.
            server: server.strip_suffix('.').unwrap_or(&server),
            at: now.as_secs(),
        };
        let error = match (self.ask)(&question) {
            Ok(()) => return Ok(ServerCertVerified::assertion()),
            Err(fault) => Error::from(fault),
        };
        match &self.given {
            Some(given) if error == Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                given.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            _ => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::RootCertStore;

    const UNKNOWN: u32 = 0x800B_0109;
    const REVOKED: u32 = 0x8009_2010;

    /// A server's certificate and its authority's.
    fn issued() -> (CertificateDer<'static>, CertificateDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().der().clone();
        let own = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["a.test".into()]).unwrap();
        let server = server.signed_by(&own, &Issuer::from_params(&params, &key)).unwrap().der().clone();
        (server, authority)
    }

    fn verdict(ask: Ask, given: Option<&CertificateDer<'static>>, server: &CertificateDer<'static>) -> Result<(), Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let given = given.map(|authority| {
            let mut roots = RootCertStore::empty();
            roots.add(authority.clone()).unwrap();
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap()
        });
        let store = SystemStore { ask, given, provider };
        let name = ServerName::try_from("a.test").unwrap();
        store.verify_server_cert(server, &[], &name, &[], UnixTime::now()).map(drop)
    }

    #[test]
    fn a_given_authority_counts_where_windows_knows_no_issuer_and_nowhere_else() {
        let (server, authority) = issued();
        let unknown: Ask = |_| Err(ChainFault::Said { code: UNKNOWN, is_too_early: false });
        let revoked: Ask = |_| Err(ChainFault::Said { code: REVOKED, is_too_early: false });
        let of_unknown = Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(verdict(unknown, Some(&authority), &server), Ok(()));
        assert_eq!(verdict(unknown, None, &server), of_unknown);
        assert!(verdict(unknown, Some(&issued().1), &server).is_err());
        assert_eq!(verdict(revoked, Some(&authority), &server), Err(Error::InvalidCertificate(CertificateError::Revoked)));
        assert_eq!(verdict(|_| Ok(()), None, &server), Ok(()));
    }

    #[test]
    fn windows_is_asked_for_the_name_without_the_dot_that_ends_it() {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let ask: Ask = |question| {
            assert_eq!((question.leaf, question.others, question.ocsp), (&b"leaf"[..], &[&b"other"[..]][..], &b"ocsp"[..]));
            assert_eq!((question.server, question.at), ("a.test", 946_684_800));
            Ok(())
        };
        let store = SystemStore { ask, given: None, provider };
        let (leaf, other) = (CertificateDer::from(&b"leaf"[..]), CertificateDer::from(&b"other"[..]));
        let (name, at) =
            (ServerName::try_from("a.test.").unwrap(), UnixTime::since_unix_epoch(std::time::Duration::from_secs(946_684_800)));
        store.verify_server_cert(&leaf, &[other], &name, b"ocsp", at).unwrap();
    }
}
