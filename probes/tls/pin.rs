use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::observation::PinVerdict;
use netsonde_contract::pin::Pin;
use sha2::{Digest, Sha256};
use std::str::FromStr;

/// The certificate that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// By the SHA-256 of its DER form, lower-case hexadecimal.
    Certificate(String),
    /// By its public key, which outlives a renewal that keeps it.
    Key(Pin),
}

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(pin) = text.parse() {
            return Ok(Self::Key(pin));
        }
        // As browsers and openssl show it, with or without colons.
        let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
        let is_digest = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then_some(Self::Certificate(digits)).ok_or_else(|| {
            format!("pin is \"{text}\", but must be a SHA-256 fingerprint of 64 hexadecimal digits, or sha256: and a key's digest in base64url")
        })
    }
}

impl Expected {
    pub(super) fn compare(&self, wanted: &str, der: &[u8]) -> PinVerdict {
        let key = x509_parser::parse_x509_certificate(der)
            .map(|(_, certificate)| hexadecimal(&Sha256::digest(certificate.public_key().raw)))
            .unwrap_or_default();
        let fits = match self {
            Self::Certificate(digest) => *digest == hexadecimal(&Sha256::digest(der)),
            Self::Key(pin) => Pin::of_certificate(der).as_ref() == Some(pin),
        };
        PinVerdict { wanted: wanted.to_owned(), key_sha256: key, fits }
    }
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
            let expected: Expected = wanted.parse().unwrap();
            assert!(expected.compare(&wanted, &der).fits && !expected.compare(&wanted, &other).fits, "{wanted}");
        }
        assert_eq!(Expected::Certificate(digest).compare("x", b"rubbish").key_sha256, "");
    }

    #[test]
    fn what_is_no_digest_is_refused_with_what_would_be_one() {
        for text in ["", "abc", "sha256:short", "sha1:aa"] {
            assert!(text.parse::<Expected>().unwrap_err().contains("64 hexadecimal"), "{text}");
        }
    }
}
