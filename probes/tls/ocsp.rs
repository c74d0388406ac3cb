//! A stapled OCSP response (RFC 6960 section 4.2.1): what it says, about which certificate, and whether the issuer stands behind it.
//!
//! Nothing is fetched: only what the server stapled is read. The certificate is matched by its serial number, as the response names
//! the issuer by SHA-1 digests; the signature ties it to the issuer.

use super::certificate::{Signature, is_signature_of, is_signed_by};
use super::der::Reader;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use netsonde_contract::observation::{Ocsp, OcspStatus};
use rustls::crypto::CryptoProvider;
use x509_parser::certificate::X509Certificate;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const GENERALIZED_TIME: u8 = 0x18;
const GOOD: u8 = 0x80;
const REVOKED: u8 = 0xa1;
const UNKNOWN: u8 = 0x82;

/// Answers looked through for the one about the certificate: a stapled response has one.
const MAX_ANSWERS: usize = 32;
/// Certificates of responders looked at: a response has one at most.
const MAX_RESPONDERS: usize = 4;

/// Reads a response about `leaf`; `issuer` is its issuer's certificate, where it was sent.
pub(super) fn read(
    response: &[u8],
    leaf: &X509Certificate<'_>,
    issuer: Option<&X509Certificate<'_>>,
    provider: &CryptoProvider,
) -> Ocsp {
    let mut ocsp = Ocsp {
        status: OcspStatus::Unreadable,
        about_leaf: false,
        signature_valid: None,
        produced: None,
        this_update: None,
        next_update: None,
        revoked_at: None,
        revocation_reason: None,
    };
    let Some(basic) = basic_response(response, &mut ocsp) else { return ocsp };
    let Some(answers) = answers(basic.data, &mut ocsp) else { return ocsp };
    let serial = significant(leaf.raw_serial());
    let about = answers.iter().find(|answer| significant(answer.serial) == serial);
    ocsp.about_leaf = about.is_some();
    if let Some(answer) = about.or(answers.first()) {
        answer.tell(&mut ocsp);
    }
    ocsp.signature_valid = issuer.and_then(|issuer| basic.is_signed(issuer, provider));
    ocsp
}

/// BasicOCSPResponse.
struct Basic<'a> {
    /// The signed bytes, tag and length included.
    signed: &'a [u8],
    /// Their content.
    data: &'a [u8],
    signature: Signature<'a>,
    /// Certificates that came along, each in its own bytes.
    responders: Vec<&'a [u8]>,
}

fn basic_response<'a>(response: &'a [u8], ocsp: &mut Ocsp) -> Option<Basic<'a>> {
    let mut outer = Reader::new(Reader::new(response).next_of(SEQUENCE)?);
    let [status] = outer.next_of(ENUMERATED)? else { return None };
    if *status != 0 {
        ocsp.status = OcspStatus::NoAnswer;
        return None;
    }
    let bytes = outer.next_of(0xa0)?;
    let mut typed = Reader::new(Reader::new(bytes).next_of(SEQUENCE)?);
    typed.next_of(OBJECT_IDENTIFIER)?;
    let mut basic = Reader::new(Reader::new(typed.next_of(OCTET_STRING)?).next_of(SEQUENCE)?);
    let (SEQUENCE, data, signed) = basic.next_whole()? else { return None };
    let algorithm = Reader::new(basic.next_of(SEQUENCE)?).next_of(OBJECT_IDENTIFIER)?;
    // A bit string's first byte counts the bits that are not used: none, in a signature.
    let [0, signature @ ..] = basic.next_of(BIT_STRING)? else { return None };
    let mut responders = Vec::new();
    if let Some(list) = basic.next_of(0xa0) {
        let mut list = Reader::new(Reader::new(list).next_of(SEQUENCE).unwrap_or_default());
        while let Some((_, _, whole)) = list.next_whole().filter(|_| responders.len() < MAX_RESPONDERS) {
            responders.push(whole);
        }
    }
    Some(Basic { signed, data, signature: Signature { algorithm, bytes: signature }, responders })
}

impl Basic<'_> {
    /// Whether the issuer, or a responder that it appointed (RFC 6960 section 4.2.2.2), made the signature.
    fn is_signed(&self, issuer: &X509Certificate<'_>, provider: &CryptoProvider) -> Option<bool> {
        let own = is_signature_of(issuer, self.signed, self.signature, provider);
        if own == Some(true) {
            return own;
        }
        for der in &self.responders {
            let Ok((_, responder)) = x509_parser::parse_x509_certificate(der) else { continue };
            let appointed = responder.extended_key_usage().is_ok_and(|usage| usage.is_some_and(|usage| usage.value.ocsp_signing));
            if appointed
                && is_signed_by(&responder, issuer, provider) == Some(true)
                && is_signature_of(&responder, self.signed, self.signature, provider) == Some(true)
            {
                return Some(true);
            }
        }
        own.or((!self.responders.is_empty()).then_some(false))
    }
}

/// SingleResponse.
struct Answer<'a> {
    serial: &'a [u8],
    status: u8,
    /// Of a revocation: when, and why.
    revocation: &'a [u8],
    this_update: Option<Timestamp>,
    next_update: Option<Timestamp>,
}

fn answers<'a>(data: &'a [u8], ocsp: &mut Ocsp) -> Option<Vec<Answer<'a>>> {
    let mut data = Reader::new(data);
    // The version, where it is not the first.
    data.next_of(0xa0);
    // Who answers, by name (0xa1) or by key (0xa2).
    data.next()?;
    ocsp.produced = data.next_of(GENERALIZED_TIME).and_then(time);
    let mut list = Reader::new(data.next_of(SEQUENCE)?);
    let mut answers = Vec::new();
    while let Some(single) = list.next_of(SEQUENCE).filter(|_| answers.len() < MAX_ANSWERS) {
        answers.push(answer(single)?);
    }
    Some(answers)
}

fn answer(single: &[u8]) -> Option<Answer<'_>> {
    let mut single = Reader::new(single);
    let mut id = Reader::new(single.next_of(SEQUENCE)?);
    id.next_of(SEQUENCE)?;
    id.next_of(OCTET_STRING)?;
    id.next_of(OCTET_STRING)?;
    let serial = id.next_of(INTEGER)?;
    let (status, revocation) = single.next()?;
    let this_update = single.next_of(GENERALIZED_TIME).and_then(time);
    let next_update = single.next_of(0xa0).and_then(|next| Reader::new(next).next_of(GENERALIZED_TIME)).and_then(time);
    Some(Answer { serial, status, revocation, this_update, next_update })
}

impl Answer<'_> {
    fn tell(&self, ocsp: &mut Ocsp) {
        ocsp.status = match self.status {
            GOOD => OcspStatus::Good,
            REVOKED => OcspStatus::Revoked,
            UNKNOWN => OcspStatus::Unknown,
            _ => OcspStatus::Other,
        };
        ocsp.this_update = self.this_update;
        ocsp.next_update = self.next_update;
        if self.status == REVOKED {
            let mut revocation = Reader::new(self.revocation);
            ocsp.revoked_at = revocation.next_of(GENERALIZED_TIME).and_then(time);
            let reason = revocation.next_of(0xa0).and_then(|reason| Reader::new(reason).next_of(ENUMERATED));
            ocsp.revocation_reason = reason.and_then(|reason| reason.first().copied());
        }
    }
}

/// A number without the zero bytes before it, which DER adds to keep it positive.
fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// `20261121083000Z` (RFC 5280 section 4.1.2.5.2).
fn time(text: &[u8]) -> Option<Timestamp> {
    let digits = text.strip_suffix(b"Z").filter(|digits| digits.len() == 14 && digits.iter().all(u8::is_ascii_digit))?;
    let part =
        |from: usize, to: usize| digits[from..to].iter().fold(0_i16, |number, digit| number * 10 + i16::from(digit - b'0'));
    let small = |from: usize| i8::try_from(part(from, from + 2)).ok();
    let date = DateTime::new(part(0, 4), small(4)?, small(6)?, small(8)?, small(10)?, small(12)?, 0).ok()?;
    date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SigningKey};

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        match content.len() {
            0..=0x7f => [&[tag, length[1]], content].concat(),
            _ => [&[tag, 0x82, length[0], length[1]], content].concat(),
        }
    }

    /// A response about a serial number, with this status, signed by `key`; `responder` comes along.
    pub(in crate::tls) fn response(serial: &[u8], status: &[u8], key: &KeyPair, responder: Option<&[u8]>) -> Vec<u8> {
        let at = |text: &str| element(GENERALIZED_TIME, text.as_bytes());
        let sha1 = element(SEQUENCE, &element(OBJECT_IDENTIFIER, &[43, 14, 3, 2, 26]));
        let digest = element(OCTET_STRING, &[7; 20]);
        let id = element(SEQUENCE, &[sha1, digest.clone(), digest.clone(), element(INTEGER, serial)].concat());
        let next = element(0xa0, &at("20261128000000Z"));
        let single = element(SEQUENCE, &[id, status.to_vec(), at("20261121000000Z"), next].concat());
        let data = element(SEQUENCE, &[element(0xa2, &digest), at("20261121010203Z"), element(SEQUENCE, &single)].concat());
        let ecdsa_sha256 = element(SEQUENCE, &element(OBJECT_IDENTIFIER, &[42, 134, 72, 206, 61, 4, 3, 2]));
        let signature = element(BIT_STRING, &[&[0], &key.sign(&data).unwrap()[..]].concat());
        let along = responder.map_or(Vec::new(), |der| element(0xa0, &element(SEQUENCE, der)));
        let basic = element(SEQUENCE, &[data, ecdsa_sha256, signature, along].concat());
        let basic_oid = element(OBJECT_IDENTIFIER, &[43, 6, 1, 5, 5, 7, 48, 1, 1]);
        let bytes = element(0xa0, &element(SEQUENCE, &[basic_oid, element(OCTET_STRING, &basic)].concat()));
        element(SEQUENCE, &[element(ENUMERATED, &[0]), bytes].concat())
    }

    pub(in crate::tls) fn revoked() -> Vec<u8> {
        let reason = element(0xa0, &element(ENUMERATED, &[1]));
        element(REVOKED, &[element(GENERALIZED_TIME, b"20261001120000Z"), reason].concat())
    }

    struct Setting {
        issuer: CertifiedIssuer<'static, KeyPair>,
        leaf: Vec<u8>,
        serial: Vec<u8>,
    }

    fn setting() -> Setting {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let leaf = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().to_vec();
        let serial = x509_parser::parse_x509_certificate(&leaf).unwrap().1.raw_serial().to_vec();
        Setting { issuer, leaf, serial }
    }

    fn read_for(setting: &Setting, response: &[u8]) -> Ocsp {
        let (_, leaf) = x509_parser::parse_x509_certificate(&setting.leaf).unwrap();
        let (_, issuer) = x509_parser::parse_x509_certificate(setting.issuer.der()).unwrap();
        read(response, &leaf, Some(&issuer), &rustls::crypto::aws_lc_rs::default_provider())
    }

    #[test]
    fn a_revoked_certificate_is_told_with_day_and_reason() {
        let setting = setting();
        let ocsp = read_for(&setting, &response(&setting.serial, &revoked(), setting.issuer.key(), None));
        assert_eq!((ocsp.status, ocsp.about_leaf, ocsp.signature_valid), (OcspStatus::Revoked, true, Some(true)));
        assert_eq!((ocsp.revoked_at.unwrap().to_string().as_str(), ocsp.revocation_reason), ("2026-10-01T12:00:00Z", Some(1)));
        assert_eq!(ocsp.produced.unwrap().to_string(), "2026-11-21T01:02:03Z");
        assert_eq!(ocsp.next_update.unwrap().to_string(), "2026-11-28T00:00:00Z");
    }

    #[test]
    fn good_and_unknown_are_told_apart_and_another_certificates_answer_is_not_taken_for_it() {
        let setting = setting();
        for (status, expected) in [([GOOD, 0], OcspStatus::Good), ([UNKNOWN, 0], OcspStatus::Unknown)] {
            assert_eq!(read_for(&setting, &response(&setting.serial, &status, setting.issuer.key(), None)).status, expected);
        }
        assert!(!read_for(&setting, &response(&[1, 2, 3], &[GOOD, 0], setting.issuer.key(), None)).about_leaf);
    }

    #[test]
    fn only_the_issuer_and_whom_it_appointed_may_sign() {
        let setting = setting();
        let stranger = KeyPair::generate().unwrap();
        let forged = response(&setting.serial, &[GOOD, 0], &stranger, None);
        assert_eq!(read_for(&setting, &forged).signature_valid, Some(false));
        for appointed in [false, true] {
            let mut params = CertificateParams::new(vec![]).unwrap();
            if appointed {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
            }
            let key = KeyPair::generate().unwrap();
            let responder = params.signed_by(&key, &setting.issuer).unwrap();
            let signed = response(&setting.serial, &[GOOD, 0], &key, Some(responder.der()));
            assert_eq!(read_for(&setting, &signed).signature_valid, Some(appointed));
        }
    }

    #[test]
    fn a_responder_that_has_no_answer_is_told_from_rubbish() {
        let setting = setting();
        assert_eq!(read_for(&setting, &[0x30, 3, 0x0a, 1, 3]).status, OcspStatus::NoAnswer);
        assert_eq!(read_for(&setting, b"rubbish").status, OcspStatus::Unreadable);
    }

    #[test]
    fn no_cut_or_altered_response_is_too_much() {
        let setting = setting();
        let good = response(&setting.serial, &revoked(), setting.issuer.key(), Some(setting.issuer.der()));
        for at in 0..good.len() {
            read_for(&setting, &good[..at]);
            let mut altered = good.clone();
            altered[at] ^= 0x81;
            read_for(&setting, &altered);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            read_for(&setting(), &bytes);
        }

        #[test]
        fn no_text_makes_a_time_of_the_wrong_form(text in "[0-9Z]{0,18}") {
            if let Some(at) = time(text.as_bytes()) {
                prop_assert_eq!(at.strftime("%Y%m%d%H%M%SZ").to_string(), text);
            }
        }
    }
}
