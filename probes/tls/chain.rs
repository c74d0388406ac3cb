//! The chain as it can be put together from what the server sent (RFC 4158, without its search: a server sends few certificates, and
//! a name with a fitting signature leaves no choice).

use super::certificate::{MAX_CHAIN, is_signed_by, issuer_url};
use netsonde_contract::observation::BuiltChain;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

/// Puts the chain together. `is_known` says whether a trust store has a certificate with this subject, given as DER without its own
/// tag and length; it decides whether an issuer that was not sent is missing.
pub(super) fn build(
    chain: &[CertificateDer<'static>],
    provider: &CryptoProvider,
    is_known: impl Fn(&[u8]) -> bool,
) -> Option<BuiltChain> {
    let read: Vec<_> =
        chain.iter().take(MAX_CHAIN).map(|der| x509_parser::parse_x509_certificate(der).ok().map(|(_, c)| c)).collect();
    let at = |position: usize| read.get(position).and_then(Option::as_ref);
    let mut last = at(0)?;
    let mut path = vec![0];
    while !is_root(last)
        && let Some(next) =
            (1..read.len()).find(|next| !path.contains(next) && at(*next).is_some_and(|c| issues(c, last, provider)))
        && let Some(issuer) = at(next)
    {
        path.push(next);
        last = issuer;
    }
    let in_order = (1..read.len()).all(|next| match (at(next - 1), at(next)) {
        (Some(before), Some(after)) => before.issuer().as_raw() == after.subject().as_raw(),
        _ => false,
    });
    let is_missing = !is_root(last) && !is_known(without_header(last.issuer().as_raw()));
    Some(BuiltChain {
        path: path.iter().filter_map(|position| u32::try_from(*position).ok()).collect(),
        in_order,
        ends_in_root: is_root(last),
        missing_issuer: is_missing.then(|| last.issuer().to_string()),
        issuer_url: if is_root(last) { None } else { issuer_url(last) },
    })
}

fn is_root(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

/// By name and signature; an algorithm that is not supported leaves the name to decide.
fn issues(issuer: &X509Certificate<'_>, certificate: &X509Certificate<'_>, provider: &CryptoProvider) -> bool {
    issuer.subject().as_raw() == certificate.issuer().as_raw() && is_signed_by(certificate, issuer, provider).unwrap_or(true)
}

/// A name's content, as trust anchors hold it.
fn without_header(name: &[u8]) -> &[u8] {
    super::der::Reader::new(name).next().map_or(name, |(_, content)| content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    struct Chain {
        leaf: CertificateDer<'static>,
        middle: CertificateDer<'static>,
        root: CertificateDer<'static>,
    }

    fn named(name: &str, authority: bool) -> CertificateParams {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    }

    fn chain() -> Chain {
        let root = CertifiedIssuer::self_signed(named("root", true), KeyPair::generate().unwrap()).unwrap();
        let middle = CertifiedIssuer::signed_by(named("middle", true), KeyPair::generate().unwrap(), &root).unwrap();
        let leaf = named("leaf", false).signed_by(&KeyPair::generate().unwrap(), &middle).unwrap();
        Chain { leaf: leaf.der().clone(), middle: middle.der().clone(), root: root.der().clone() }
    }

    fn built(sent: &[&CertificateDer<'static>], known: bool) -> BuiltChain {
        let sent: Vec<_> = sent.iter().map(|der| (*der).clone()).collect();
        build(&sent, &rustls::crypto::aws_lc_rs::default_provider(), |_| known).unwrap()
    }

    #[test]
    fn an_order_that_is_wrong_is_put_right_and_told() {
        let Chain { leaf, middle, root } = chain();
        let good = built(&[&leaf, &middle, &root], false);
        assert_eq!((good.path, good.in_order, good.ends_in_root, good.missing_issuer), (vec![0, 1, 2], true, true, None));
        let swapped = built(&[&leaf, &root, &middle], false);
        assert_eq!((swapped.path, swapped.in_order, swapped.ends_in_root), (vec![0, 2, 1], false, true));
    }

    #[test]
    fn an_intermediate_that_nobody_has_is_missing_and_a_root_that_is_known_is_not() {
        let Chain { leaf, middle, root } = chain();
        let short = built(&[&leaf], false);
        assert!(short.missing_issuer.unwrap().contains("CN=middle") && !short.ends_in_root);
        assert_eq!(built(&[&leaf, &middle], true).missing_issuer, None);
        assert_eq!(built(&[&leaf, &root], false).path, [0]);
    }

    #[test]
    fn a_namesake_that_did_not_sign_is_not_the_issuer() {
        let (one, other) = (chain(), chain());
        assert_eq!(built(&[&one.leaf, &other.middle, &one.middle], false).path, [0, 2]);
    }

    #[test]
    fn rubbish_in_the_middle_ends_nothing() {
        let Chain { leaf, middle, .. } = chain();
        assert_eq!(built(&[&leaf, &CertificateDer::from(b"rubbish".to_vec()), &middle], false).path, [0, 2]);
        assert_eq!(build(&[], &rustls::crypto::aws_lc_rs::default_provider(), |_| true), None);
    }
}
