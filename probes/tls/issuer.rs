//! Fetching an issuer's certificate that the server did not send, from the address that another certificate names (RFC 5280 section
//! 4.2.2.1). Only where a parameter allows it, as the address comes from the server: each passes the gate like any other.

use super::certificate::{describe, is_signed_by, issuer_url};
use super::download::{Request, download};
use super::draft::{Draft, Drafted};
use super::verdict::{Judged, read_chain};
use crate::clock::microseconds;
use crate::context::Context;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::TlsParams;
use netsonde_contract::observation::{Fact, FetchedIssuer, TrustVerdict};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::sync::Arc;
use std::time::Duration;

/// A certificate has one to four kilobytes, in text a third more.
const MAX_BYTES: usize = 64 * 1024;

/// Fetches what is missing above the certificate at `last` of the chain, as far as it goes, and has the stores judge the chain again.
pub(super) async fn fetch(
    context: &Context,
    chain: &[CertificateDer<'static>],
    last: usize,
    name: &ServerName<'static>,
    timeout: Duration,
) {
    let mut chain = chain.to_vec();
    let Some(mut child) = chain.get(last).cloned() else { return };
    for _ in 0..TlsParams::MAX_FETCHES {
        let Some(url) = url_of(&child) else { return };
        let mut draft = Draft::begin(context, Step::Resolve, blank(url));
        let began = context.clock.now();
        let url = draft.url.clone();
        let request = Request { url: &url, question: None, most_bytes: MAX_BYTES, timeout };
        let mut note = |step, address: Option<_>| {
            draft.step = step;
            draft.address = address.or(draft.address);
        };
        let fetched = download(context, &request, &mut note).await;
        draft.took_us = microseconds(context.clock.now().saturating_sub(began));
        let der = match fetched.and_then(|bytes| certificate_in(&bytes)) {
            Ok(der) => der,
            Err(failure) => {
                draft.failure = Some(failure);
                draft.finish();
                return;
            }
        };
        draft.certificate = Some(describe(&der, context.trust.provider()));
        draft.fits = fits(&child, &der, context);
        chain.push(der.clone());
        draft.trust = verdicts(context, &chain, name).await;
        let judged = draft.finish();
        let ends = judged.certificate.is_some_and(|certificate| certificate.self_signed);
        if !judged.fits || ends || judged.trust.first().is_some_and(|verdict| verdict.trusted) {
            return;
        }
        child = der;
    }
}

fn blank(url: String) -> FetchedIssuer {
    FetchedIssuer { url, address: None, took_us: 0, certificate: None, fits: false, trust: Vec::new(), failure: None }
}

fn url_of(der: &CertificateDer<'_>) -> Option<String> {
    x509_parser::parse_x509_certificate(der).ok().and_then(|(_, certificate)| issuer_url(&certificate))
}

fn fits(child: &CertificateDer<'_>, issuer: &CertificateDer<'_>, context: &Context) -> bool {
    match (x509_parser::parse_x509_certificate(child), x509_parser::parse_x509_certificate(issuer)) {
        (Ok((_, child)), Ok((_, issuer))) => is_signed_by(&child, &issuer, context.trust.provider()) == Some(true),
        _ => false,
    }
}

async fn verdicts(context: &Context, chain: &[CertificateDer<'static>], name: &ServerName<'static>) -> Vec<TrustVerdict> {
    let (trust, chain, name, now) = (Arc::clone(&context.trust), chain.to_vec(), name.clone(), context.clock.wall());
    let judged = tokio::task::spawn_blocking(move || {
        let read = read_chain(&chain, trust.provider());
        let Some((leaf, others)) = chain.split_first() else { return Vec::new() };
        trust.verdicts(&Judged { leaf, others, ocsp: &[], name: &name, read: &read }, now)
    });
    judged.await.unwrap_or_default()
}

/// A certificate in DER, or the first of a text in PEM form. Bundles (PKCS #7), which the section also allows, are not read.
pub(super) fn certificate_in(bytes: &[u8]) -> Result<CertificateDer<'static>, Failure> {
    if x509_parser::parse_x509_certificate(bytes).is_ok() {
        return Ok(CertificateDer::from(bytes.to_vec()));
    }
    let none = || Failure::new(FailureCode::ProtocolError, Step::Receive, "what came is no certificate in DER or PEM form");
    CertificateDer::from_pem_slice(bytes).map_err(|_| none())
}

impl Drafted for FetchedIssuer {
    fn cut_off(&mut self, failure: Failure, after_us: u64) {
        self.took_us = after_us;
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::FetchedIssuer(Box::new(self))
    }
}
