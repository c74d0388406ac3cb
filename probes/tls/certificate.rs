//! A certificate's DER bytes to facts (RFC 5280). Total: whatever a server sends becomes a [`Certificate`].

use base64::Engine;
use jiff::Timestamp;
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::observation::{Certificate, CertificateTimestamp};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::SignatureVerificationAlgorithm;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{
    AccessDescription, DistributionPointName, GeneralName, ParsedExtension, SignedCertificateTimestamp,
};
use x509_parser::objects::{oid_registry, oid2sn};
use x509_parser::oid_registry::{OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS, OID_PKIX_ACCESS_DESCRIPTOR_OCSP, Oid};
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

/// Certificates kept of one chain. Real chains have two to five; a message of the handshake cannot exceed 64 KiB, which bounds
/// their bytes.
pub(super) const MAX_CHAIN: usize = 16;

/// Names kept of one certificate. The largest shared certificates carry some hundred; the rest stays readable in the DER form.
pub(super) const MAX_NAMES: usize = 256;

/// Timestamps kept of one certificate: browsers want two or three.
pub(super) const MAX_TIMESTAMPS: usize = 16;

/// A URL that is longer points at nothing that anybody serves.
const MAX_URL_BYTES: usize = 1_024;

/// Key algorithms and curves whose names do not follow from anything else.
const KEY_NAMES: [(&str, &str); 10] = [
    ("1.2.840.10045.3.1.7", "ECDSA P-256"),
    ("1.3.132.0.34", "ECDSA P-384"),
    ("1.3.132.0.35", "ECDSA P-521"),
    ("1.3.132.0.10", "ECDSA secp256k1"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
    ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
    ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
    ("1.2.840.10040.4.1", "DSA"),
];

/// Reads one certificate. What cannot be read keeps its digest and bytes, and dates that accuse nobody.
pub(super) fn describe(der: &[u8], provider: &CryptoProvider) -> Certificate {
    let sha256 = hexadecimal(&Sha256::digest(der));
    let der_base64 = Some(base64::engine::general_purpose::STANDARD.encode(der));
    match x509_parser::parse_x509_certificate(der) {
        Ok((_, certificate)) => Certificate {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            names: names(&certificate),
            not_before: timestamp(certificate.validity().not_before),
            not_after: timestamp(certificate.validity().not_after),
            key: key(&certificate),
            signature: oid_name(&certificate.signature_algorithm.algorithm),
            is_ca: certificate.is_ca(),
            self_signed: is_self_signed(&certificate, provider),
            sha256,
            der_base64,
        },
        Err(error) => Certificate {
            subject: format!("(not readable: {error})"),
            issuer: String::new(),
            names: Vec::new(),
            not_before: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::MAX,
            key: "unknown".into(),
            signature: "unknown".into(),
            is_ca: false,
            self_signed: false,
            sha256,
            der_base64,
        },
    }
}

/// The certificate timestamps embedded in a certificate (RFC 6962 section 3.3), at most [`MAX_TIMESTAMPS`].
pub(super) fn timestamps(certificate: &X509Certificate<'_>) -> Vec<CertificateTimestamp> {
    let lists = certificate.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SCT(list) => Some(list),
        _ => None,
    });
    let read = |timestamp: &SignedCertificateTimestamp<'_>| {
        let at = i64::try_from(timestamp.timestamp).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        CertificateTimestamp {
            version: timestamp.version.0,
            log_sha256: hexadecimal(timestamp.id.key_id),
            at: at.unwrap_or(Timestamp::MAX),
        }
    };
    lists.flatten().take(MAX_TIMESTAMPS).map(read).collect()
}

/// Where the certificate says that its issuer's can be fetched (RFC 5280 section 4.2.2.1): the first URL of HTTP, as the section asks
/// for at least one.
pub(super) fn issuer_url(certificate: &X509Certificate<'_>) -> Option<String> {
    access(certificate, &OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS)
}

/// The first URL of HTTP that the certificate names for this purpose (RFC 5280 section 4.2.2.1).
fn access(certificate: &X509Certificate<'_>, method: &Oid<'_>) -> Option<String> {
    let entries = certificate.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(entries) => Some(&entries.accessdescs),
        _ => None,
    });
    let url = |entry: &AccessDescription<'_>| match entry.access_location {
        GeneralName::URI(url) if entry.access_method == *method => Some(url.to_owned()),
        _ => None,
    };
    entries.flatten().filter_map(url).find(|url| is_plain(url))
}

/// Where the certificate says that a responder answers for it (RFC 6960 section 3.1): the first URL of HTTP.
pub(super) fn responder_url(certificate: &X509Certificate<'_>) -> Option<String> {
    access(certificate, &OID_PKIX_ACCESS_DESCRIPTOR_OCSP)
}

/// Where the certificate says that the list of what its issuer revoked lies (RFC 5280 section 4.2.1.13): the first URL of HTTP.
pub(super) fn list_url(certificate: &X509Certificate<'_>) -> Option<String> {
    let points = certificate.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::CRLDistributionPoints(points) => Some(&points.points),
        _ => None,
    });
    let names = points.flatten().filter_map(|point| match &point.distribution_point {
        Some(DistributionPointName::FullName(names)) => Some(names),
        _ => None,
    });
    let url = |name: &GeneralName<'_>| match name {
        GeneralName::URI(url) => Some((*url).to_owned()),
        _ => None,
    };
    names.flatten().filter_map(url).find(|url| is_plain(url))
}

fn is_plain(url: &str) -> bool {
    url.starts_with("http://") && url.len() <= MAX_URL_BYTES
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(text).take(MAX_NAMES).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// `99991231235959Z` stands for "no end" (RFC 5280 section 4.1.2.5) and is later than the type's last moment.
pub(super) fn timestamp(time: ASN1Time) -> Timestamp {
    let bound = if time.timestamp() > 0 { Timestamp::MAX } else { Timestamp::MIN };
    Timestamp::from_second(time.timestamp()).unwrap_or(bound)
}

fn key(certificate: &X509Certificate<'_>) -> String {
    let info = certificate.public_key();
    if let Ok(PublicKey::RSA(key)) = info.parsed() {
        return format!("RSA {}", key.key_size());
    }
    let known = |oid: &Oid<'_>| {
        let text = oid.to_id_string();
        KEY_NAMES.iter().find(|(id, _)| *id == text).map(|(_, name)| (*name).to_owned())
    };
    let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    curve
        .and_then(|curve| known(&curve))
        .or_else(|| known(&info.algorithm.algorithm))
        .unwrap_or_else(|| oid_name(&info.algorithm.algorithm))
}

fn oid_name(oid: &Oid<'_>) -> String {
    oid2sn(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned)
}

/// Subject and issuer are the same and the certificate's own key verifies it. An algorithm that is not supported counts as no.
fn is_self_signed(certificate: &X509Certificate<'_>, provider: &CryptoProvider) -> bool {
    if certificate.subject().as_raw() != certificate.issuer().as_raw() {
        return false;
    }
    is_signed_by(certificate, certificate, provider) == Some(true)
}

/// Whether `issuer`'s key made the certificate's signature; none where the algorithm is not supported.
pub(super) fn is_signed_by(
    certificate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
    provider: &CryptoProvider,
) -> Option<bool> {
    let signed = certificate.tbs_certificate.as_ref();
    let signature =
        Signature { algorithm: certificate.signature_algorithm.algorithm.as_bytes(), bytes: &certificate.signature_value.data };
    is_signature_of(issuer, signed, signature, provider)
}

/// A signature with its algorithm's object identifier, in the bytes of DER.
#[derive(Clone, Copy)]
pub(super) struct Signature<'a> {
    pub(super) algorithm: &'a [u8],
    pub(super) bytes: &'a [u8],
}

/// Whether the certificate's key made this signature of `signed`; none where the algorithm is not supported.
pub(super) fn is_signature_of(
    certificate: &X509Certificate<'_>,
    signed: &[u8],
    signature: Signature<'_>,
    provider: &CryptoProvider,
) -> Option<bool> {
    let info = certificate.public_key();
    let mut fitting = provider.signature_verification_algorithms.all.iter().filter(|algorithm| {
        begins_with(algorithm.public_key_alg_id().as_ref(), info.algorithm.algorithm.as_bytes())
            && begins_with(algorithm.signature_alg_id().as_ref(), signature.algorithm)
    });
    let first = fitting.next()?;
    let verifies = |algorithm: &&dyn SignatureVerificationAlgorithm| {
        algorithm.verify_signature(&info.subject_public_key.data, signed, signature.bytes).is_ok()
    };
    Some(verifies(first) || fitting.any(verifies))
}

/// Whether an AlgorithmIdentifier, without its own tag and length, begins with this identifier.
fn begins_with(algorithm_identifier: &[u8], oid: &[u8]) -> bool {
    matches!(algorithm_identifier, [0x06, length, rest @ ..] if usize::from(*length) == oid.len() && rest.starts_with(oid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyPair};

    /// Serialized as a list of one: lengths, version 1, the log's id, the time in ms, no extensions, a signature.
    fn timestamp_list(at_ms: u64) -> Vec<u8> {
        let one = [&[0], &[0xab; 32][..], &at_ms.to_be_bytes(), &[0, 0], &[4, 3, 0, 2, 1, 2]].concat();
        let length = u16::try_from(one.len()).unwrap();
        let list = [&(length + 2).to_be_bytes()[..], &length.to_be_bytes(), &one].concat();
        [&[4, u8::try_from(list.len()).unwrap()], &list[..]].concat()
    }

    #[test]
    fn embedded_timestamps_and_the_issuers_address_are_read() {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        let url = b"http://ca.test/ca.crt";
        let access = [&[0x30, 35, 0x30, 33, 6, 8, 43, 6, 1, 5, 5, 7, 48, 2, 0x86, 21][..], url].concat();
        params.custom_extensions = vec![
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], timestamp_list(1_700_000_000_000)),
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access),
        ];
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        let timestamps = timestamps(&certificate);
        assert_eq!(timestamps.len(), 1);
        assert_eq!((timestamps[0].version, timestamps[0].at.to_string().as_str()), (0, "2023-11-14T22:13:20Z"));
        assert_eq!(timestamps[0].log_sha256, "ab".repeat(32));
        assert_eq!(issuer_url(&certificate).as_deref(), Some("http://ca.test/ca.crt"));
        for at in 0..der.len() {
            let mut altered = der.clone();
            altered[at] ^= 0x15;
            if let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&altered) {
                super::timestamps(&certificate);
                issuer_url(&certificate);
            }
        }
    }

    fn read(der: &[u8]) -> Certificate {
        describe(der, &rustls::crypto::aws_lc_rs::default_provider())
    }

    #[test]
    fn names_dates_and_key_are_read() {
        let mut params = CertificateParams::new(vec!["a.test".to_owned(), "192.0.2.7".into(), "2001:db8::7".into()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 2);
        params.not_after = rcgen::date_time_ymd(2021, 3, 4);
        let certificate = read(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der());
        assert_eq!(certificate.names, ["a.test", "192.0.2.7", "2001:db8::7"]);
        assert_eq!(certificate.not_before.to_string(), "2020-01-02T00:00:00Z");
        assert_eq!(certificate.not_after.to_string(), "2021-03-04T00:00:00Z");
        assert_eq!((certificate.key.as_str(), certificate.signature.as_str()), ("ECDSA P-256", "ecdsa-with-SHA256"));
        assert!(certificate.self_signed && !certificate.is_ca);
    }

    #[test]
    fn a_certificate_that_only_claims_its_own_name_as_issuer_is_not_self_signed() {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let other = KeyPair::generate().unwrap();
        let issuer = rcgen::Issuer::from_params(&params, other);
        let certificate = read(params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der());
        assert_eq!(certificate.subject, certificate.issuer);
        assert!(!certificate.self_signed && certificate.is_ca);
    }

    #[test]
    fn no_cut_or_altered_certificate_is_too_much() {
        let der = rcgen::generate_simple_self_signed(vec!["a.test".into()]).unwrap().cert.der().to_vec();
        assert!(read(&[]).subject.starts_with("(not readable"));
        for at in 0..der.len() {
            read(&der[..at]);
            let mut altered = der.clone();
            altered[at] ^= 0xff;
            read(&altered);
        }
    }

    #[test]
    fn the_date_for_no_end_survives_json() {
        let certificate = read(&[]);
        let text = serde_json::to_string(&certificate).unwrap();
        assert_eq!(serde_json::from_str::<Certificate>(&text).unwrap(), certificate);
        assert_eq!(timestamp(ASN1Time::from_timestamp(253_402_300_799).unwrap()), Timestamp::MAX);
    }
}
