//! The parsers of what servers send before, in and beside a handshake, one function each.

use super::der::Reader;
use super::starttls::PROTOCOLS;
use super::{certificate, chain, failure, hello, issuer, ocsp, recording, revocation};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;
use std::sync::LazyLock;
use x509_parser::certificate::X509Certificate;

static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(rustls::crypto::aws_lc_rs::default_provider);

/// Responses of seeds are about this certificate, which is its own issuer.
const LEAF: &[u8] = include_bytes!("../../tests/fuzz/seeds/tls_certificate/leaf.der");

/// A server's first flight.
pub(crate) fn first_flight(bytes: &[u8]) {
    let whole = hello::read(bytes);
    // What has come so far may say nothing yet, but never something else.
    for length in (0..bytes.len()).step_by(7) {
        let part = hello::read(bytes.get(..length).unwrap_or_default());
        assert!(part.is_none() || part == whole, "{part:?} became {whole:?}");
    }
    failure::plain_reply(bytes);
}

/// Certificates one after the other, as a chain and each by itself.
pub(crate) fn certificates(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let sent: Vec<CertificateDer<'static>> = std::iter::from_fn(|| reader.next_whole())
        .take(certificate::MAX_CHAIN)
        .map(|(_, _, der)| CertificateDer::from(der.to_vec()))
        .collect();
    chain::build(&sent, &PROVIDER, |_| false);
    for der in sent.iter().map(AsRef::as_ref).chain([bytes]) {
        let fact = certificate::describe(der, &PROVIDER);
        assert!(fact.names.len() <= certificate::MAX_NAMES);
        if let Ok((_, parsed)) = x509_parser::parse_x509_certificate(der) {
            assert!(certificate::timestamps(&parsed).len() <= certificate::MAX_TIMESTAMPS);
            certificate::issuer_url(&parsed);
        }
    }
    // Not judged: an error says that it is none.
    let _ = issuer::certificate_in(bytes);
    recording::distinguished_name(bytes);
}

/// A stapled response.
pub(crate) fn stapled(bytes: &[u8]) {
    let Ok((_, leaf)) = x509_parser::parse_x509_certificate(LEAF) else { return };
    let issuer: Option<&X509Certificate<'_>> = Some(&leaf);
    ocsp::read(bytes, &leaf, issuer, &PROVIDER);
    ocsp::read(bytes, &leaf, None, &PROVIDER);
    revocation::of_list(bytes, &leaf, issuer, &PROVIDER);
}

/// What a server says before TLS begins: the first byte chooses the protocol; each part ends with a zero byte, or with the bytes.
pub(crate) fn start(bytes: &[u8]) {
    let Some((choice, said)) = bytes.split_first() else { return };
    let Some((.., begin)) = PROTOCOLS.get(usize::from(*choice) % PROTOCOLS.len()) else { return };
    let mut talk = begin();
    talk.next(b"");
    for part in said.split_inclusive(|byte| *byte == 0).take(16) {
        talk.next(part);
        // And as protocols with numbers in them send it.
        talk.next(said);
    }
}
