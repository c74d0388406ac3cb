//! A verifier's reasons in words. Its own are the names of a program's types, with every number in them, which tell nobody anything.

use jiff::Timestamp;
use rustls::{CertificateError, Error};
use rustls_pki_types::UnixTime;
use std::borrow::Cow;
use x509_parser::objects::{oid_registry, oid2sn};
use x509_parser::oid_registry::Oid;

/// Names of a certificate that are told; a shared one has hundreds.
const MAX_NAMES: usize = 8;

/// What a verifier or a handshake says, for a person.
pub(crate) fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        other => other.to_string(),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::BadEncoding => "the certificate cannot be read".to_owned(),
        E::Expired => "the certificate has expired".to_owned(),
        E::ExpiredContext { not_after, .. } => format!("the certificate expired at {}", moment(*not_after)),
        E::NotValidYet => "the certificate is not valid yet".to_owned(),
        E::NotValidYetContext { not_before, .. } => format!("the certificate is not valid before {}", moment(*not_before)),
        E::Revoked => "the certificate was revoked".to_owned(),
        E::UnhandledCriticalExtension => "the certificate has a critical extension that is not known here".to_owned(),
        E::UnknownIssuer => "nobody in this store issued the certificate".to_owned(),
        E::UnknownRevocationStatus => "whether the certificate was revoked is not known".to_owned(),
        E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => {
            "the issuer's revocation list is out of date".to_owned()
        }
        E::BadSignature => "a signature of the chain was not made by the key of its issuer".to_owned(),
        E::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { signature_algorithm_id, .. } => {
            format!("a certificate of the chain is signed with {}, which is not accepted", algorithm(signature_algorithm_id))
        }
        E::NotValidForName => "the certificate is not for this name".to_owned(),
        E::NotValidForNameContext { expected, presented } => not_for(&expected.to_str(), presented),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "the certificate is not meant for a server".to_owned(),
        E::InvalidOcspResponse => "the statement about revocation that the server sent along is not valid".to_owned(),
        E::ApplicationVerificationFailure => "the certificate is not the one that was expected".to_owned(),
        other => format!("the certificate is not in order ({})", name_only(&plain(other))),
    }
}

/// A verifier of the system speaks for itself.
fn plain(error: &CertificateError) -> String {
    match error {
        CertificateError::Other(other) => other.0.to_string(),
        other => other.to_string(),
    }
}

/// What stands before the fields of a value that is written as a program's type, whose name is one word.
fn name_only(text: &str) -> &str {
    let head = text.split(['{', '(']).next().unwrap_or(text).trim_end();
    if head.contains(' ') { text } else { head }
}

fn not_for(wanted: &str, names: &[String]) -> String {
    // The verifier writes `DnsName("a.example")`.
    let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
    let shown: Vec<String> = names.iter().take(MAX_NAMES).map(bare).collect();
    let more = if names.len() > MAX_NAMES { format!(" and {} more", names.len() - MAX_NAMES) } else { String::new() };
    match shown.is_empty() {
        true => format!("the certificate is not for {wanted}, and for no other name either"),
        false => format!("the certificate is not for {wanted}, but for {}{more}", shown.join(", ")),
    }
}

fn moment(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::MAX)
}

/// The identifier as DER has it, with or without its tag and length.
fn algorithm(identifier: &[u8]) -> String {
    let value = match identifier {
        [0x06, length, rest @ ..] => rest.get(..usize::from(*length)).unwrap_or(rest),
        bare => bare,
    };
    let oid = Oid::new(Cow::Borrowed(value));
    oid2sn(&oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::OtherError;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn no_reason_is_the_name_of_a_type() {
        let sha1_with_rsa = vec![0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let errors = [
            (
                CertificateError::UnsupportedSignatureAlgorithmContext {
                    signature_algorithm_id: sha1_with_rsa,
                    supported_algorithms: Vec::new(),
                },
                "a certificate of the chain is signed with sha1WithRSAEncryption, which is not accepted",
            ),
            (CertificateError::UnknownIssuer, "nobody in this store issued the certificate"),
            (
                CertificateError::ExpiredContext { time: at(1_000_000), not_after: at(86_400) },
                "the certificate expired at 1970-01-02T00:00:00Z",
            ),
            (
                CertificateError::NotValidForNameContext {
                    expected: "shop.example".try_into().unwrap(),
                    presented: vec!["DnsName(\"a.example\")".into(), "b.example".into()],
                },
                "the certificate is not for shop.example, but for a.example, b.example",
            ),
            (
                CertificateError::Other(OtherError(Arc::new(webpki::Error::CaUsedAsEndEntity))),
                "the certificate is not in order (CaUsedAsEndEntity)",
            ),
        ];
        for (error, expected) in errors {
            assert_eq!(words(&Error::InvalidCertificate(error)), expected);
        }
    }

    #[test]
    fn what_a_verifier_says_in_words_of_its_own_is_kept() {
        assert_eq!(name_only("Unsupported { ids: [6, 9, 42] }"), "Unsupported");
        assert_eq!(name_only("the root is not trusted (policy 3)"), "the root is not trusted (policy 3)");
    }
}
