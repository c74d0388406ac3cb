//! Whether the server's certificate was revoked, asked where the certificate itself says: of its responder (RFC 6960), or else in its
//! revocation list (RFC 5280 section 5). Only where a parameter allows it, as the addresses come from the server.

use super::certificate::{Signature, is_signature_of, list_url, responder_url, timestamp};
use super::der::element;
use super::download::{Request, download};
use super::draft::{Draft, Drafted};
use super::{Server, ocsp};
use crate::clock::microseconds;
use crate::context::Context;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::{Fact, Ocsp, OcspStatus, Revocation, RevocationSource};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;
use sha1::{Digest, Sha1};
use x509_parser::certificate::X509Certificate;

/// A response has some hundred bytes, with a responder's certificate two or three kilobytes.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// Public authorities keep each list below a megabyte or two.
const MAX_LIST_BYTES: usize = 4 * 1024 * 1024;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
/// SHA-1 with its NULL parameter: the digest that every responder must know (RFC 5019 section 2.1.1). It names; it protects nothing.
const SHA1_IDENTIFIER: [u8; 11] = [0x30, 9, 0x06, 5, 43, 14, 3, 2, 26, 0x05, 0];

/// Asks the responder; where there is none, or it makes no statement, fetches the list.
pub(super) async fn ask(context: &Context, server: &Server<'_>, chain: &[CertificateDer<'static>]) {
    let Some(leaf_der) = chain.first() else { return };
    let Ok((_, leaf)) = x509_parser::parse_x509_certificate(leaf_der) else { return };
    let others = chain.iter().skip(1).filter_map(|der| x509_parser::parse_x509_certificate(der).ok());
    let issuer = others.map(|(_, other)| other).find(|other| other.subject().as_raw() == leaf.issuer().as_raw());
    let mut stated = false;
    if let Some(url) = responder_url(&leaf) {
        stated = by_responder(context, server, url, &leaf, issuer.as_ref()).await;
    }
    if let Some(url) = list_url(&leaf).filter(|_| !stated) {
        by_list(context, server, url, &leaf, issuer.as_ref()).await;
    }
}

/// Whether it made a statement.
async fn by_responder(
    context: &Context,
    server: &Server<'_>,
    url: String,
    leaf: &X509Certificate<'_>,
    issuer: Option<&X509Certificate<'_>>,
) -> bool {
    let mut draft = begin(context, server, RevocationSource::Ocsp, url);
    let Some(issuer) = issuer else {
        let text = "the issuer's certificate, whose key the question names, was not sent";
        draft.failure = Some(Failure::new(FailureCode::Other("no_issuer".into()), Step::Open, text));
        draft.finish();
        return false;
    };
    let question = Some(("application/ocsp-request", question(leaf, issuer)));
    if let Some(response) = fetch(context, server, &mut draft, question, MAX_RESPONSE_BYTES).await {
        draft.statement = Some(ocsp::read(&response, leaf, Some(issuer), context.trust.provider()));
    }
    let fact = draft.finish();
    let says = |statement: &Ocsp| matches!(statement.status, OcspStatus::Good | OcspStatus::Revoked) && statement.about_leaf;
    fact.statement.as_ref().is_some_and(says)
}

async fn by_list(
    context: &Context,
    server: &Server<'_>,
    url: String,
    leaf: &X509Certificate<'_>,
    issuer: Option<&X509Certificate<'_>>,
) {
    let mut draft = begin(context, server, RevocationSource::Crl, url);
    if let Some(list) = fetch(context, server, &mut draft, None, MAX_LIST_BYTES).await {
        draft.statement = Some(of_list(&list, leaf, issuer, context.trust.provider()));
    }
    draft.finish();
}

fn begin(context: &Context, server: &Server<'_>, by: RevocationSource, url: String) -> Draft<Revocation> {
    let (host, server) = (server.params.host.clone(), server.address);
    let blank = Revocation { host, server, by, url, address: None, took_us: 0, statement: None, failure: None };
    Draft::begin(context, Step::Resolve, blank)
}

/// What came; where nothing did, the draft says why.
async fn fetch(
    context: &Context,
    server: &Server<'_>,
    draft: &mut Draft<Revocation>,
    question: Option<(&'static str, Vec<u8>)>,
    most_bytes: usize,
) -> Option<bytes::Bytes> {
    let began = context.clock.now();
    let url = draft.url.clone();
    let request = Request { url: &url, question, most_bytes, timeout: server.timeout };
    let mut note = |step, address: Option<_>| {
        draft.step = step;
        draft.address = address.or(draft.address);
    };
    let fetched = download(context, &request, &mut note).await;
    draft.took_us = microseconds(context.clock.now().saturating_sub(began));
    fetched.map_err(|failure| draft.failure = Some(failure)).ok()
}

/// An OCSPRequest for the one certificate (RFC 6960 section 4.1.1), without a nonce, so that a response made before fits.
fn question(leaf: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Vec<u8> {
    let name = Sha1::digest(leaf.issuer().as_raw());
    let key = Sha1::digest(&issuer.public_key().subject_public_key.data);
    let id = [
        SHA1_IDENTIFIER.to_vec(),
        element(OCTET_STRING, &name),
        element(OCTET_STRING, &key),
        element(INTEGER, leaf.raw_serial()),
    ];
    // CertID within Request within the list of requests within TBSRequest within OCSPRequest.
    (0..5).fold(id.concat(), |inner, _| element(SEQUENCE, &inner))
}

/// What the list says of the certificate, in the terms of OCSP.
pub(super) fn of_list(
    list: &[u8],
    leaf: &X509Certificate<'_>,
    issuer: Option<&X509Certificate<'_>>,
    provider: &CryptoProvider,
) -> Ocsp {
    let mut statement = Ocsp {
        status: OcspStatus::Unreadable,
        about_leaf: false,
        signature_valid: None,
        produced: None,
        this_update: None,
        next_update: None,
        revoked_at: None,
        revocation_reason: None,
    };
    let Ok((_, list)) = x509_parser::parse_x509_crl(list) else { return statement };
    statement.about_leaf = list.issuer().as_raw() == leaf.issuer().as_raw();
    statement.this_update = Some(timestamp(list.last_update()));
    statement.next_update = list.next_update().map(timestamp);
    let signature = Signature { algorithm: list.signature_algorithm.algorithm.as_bytes(), bytes: &list.signature_value.data };
    statement.signature_valid =
        issuer.and_then(|issuer| is_signature_of(issuer, list.tbs_cert_list.as_ref(), signature, provider));
    let entry = list.iter_revoked_certificates().find(|entry| entry.raw_serial() == leaf.raw_serial());
    statement.status = entry.map_or(OcspStatus::Good, |_| OcspStatus::Revoked);
    statement.revoked_at = entry.map(|entry| timestamp(entry.revocation_date));
    statement.revocation_reason = entry.and_then(|entry| entry.reason_code()).map(|(_, reason)| reason.0);
    statement
}

impl Drafted for Revocation {
    fn cut_off(&mut self, failure: Failure, after_us: u64) {
        self.took_us = after_us;
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::Revocation(Box::new(self))
    }
}
