use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::observation::PinVerdict;
use netsonde_contract::pin::{ExpectedCertificate, Pin};
use sha2::{Digest, Sha256};

/// Holds the leaf against what was expected, which stands in the verdict as it was `wanted`.
pub(super) fn compare(expected: &ExpectedCertificate, wanted: &str, der: &[u8]) -> PinVerdict {
    let key = x509_parser::parse_x509_certificate(der)
        .map(|(_, certificate)| hexadecimal(&Sha256::digest(certificate.public_key().raw)))
        .unwrap_or_default();
    let fits = match expected {
        ExpectedCertificate::Certificate(digest) => *digest == hexadecimal(&Sha256::digest(der)),
        ExpectedCertificate::Key(pin) => Pin::of_certificate(der).as_ref() == Some(pin),
    };
    PinVerdict { wanted: wanted.to_owned(), key_sha256: key, fits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_known_by_its_fingerprint_in_any_notation_and_by_its_key() {
        let der = rcgen::generate_simple_self_signed(vec!["a.test".into()]).unwrap().cert.der().to_vec();
        let other = rcgen::generate_simple_self_signed(vec!["a.test".into()]).unwrap().cert.der().to_vec();
        let digest = hexadecimal(&Sha256::digest(&der));
        let colons: Vec<&str> = digest.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap()).collect();
        for wanted in [digest.clone(), colons.join(":").to_uppercase(), Pin::of_certificate(&der).unwrap().to_string()] {
            let expected: ExpectedCertificate = wanted.parse().unwrap();
            assert!(compare(&expected, &wanted, &der).fits && !compare(&expected, &wanted, &other).fits, "{wanted}");
        }
        assert_eq!(compare(&ExpectedCertificate::Certificate(digest), "x", b"rubbish").key_sha256, "");
    }
}
