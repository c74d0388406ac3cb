//! DNSSEC records in presentation format (RFC 4034, RFC 5155), as zone files and other tools write them. Total: data that breaks its type's
//! rules has no text here, and is shown as numbers instead.

use super::record::type_name;
use base64::prelude::{BASE64_STANDARD, Engine};
use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use jiff::Timestamp;
use netsonde_contract::bundle::hexadecimal;

/// The letters of base32 with extended hex alphabet (RFC 4648 section 7), in which hashed names are written (RFC 5155 section 1.3).
const BASE32_HEX: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

/// The text of the record's data as on the wire; none for other types, and where it cannot be read.
pub(super) fn of(record_type: RecordType, data: &[u8]) -> Option<String> {
    match record_type {
        RecordType::DS | RecordType::CDS => delegation(data),
        RecordType::DNSKEY | RecordType::CDNSKEY => key(data),
        RecordType::RRSIG => signature(data),
        RecordType::NSEC => next_name(data),
        RecordType::NSEC3 => next_hashed(data),
        RecordType::NSEC3PARAM => hashing(data).filter(|(_, rest)| rest.is_empty()).map(|(text, _)| text),
        _ => None,
    }
}

/// RFC 4034 section 5.3: key tag, algorithm, digest type, digest.
fn delegation(data: &[u8]) -> Option<String> {
    let ([high, low, algorithm, digest_type], digest) = data.split_first_chunk()?;
    let tag = u16::from_be_bytes([*high, *low]);
    Some(format!("{tag} {algorithm} {digest_type} {}", hexadecimal(digest).to_ascii_uppercase()))
}

/// RFC 4034 section 2.2: flags, protocol, algorithm, key.
fn key(data: &[u8]) -> Option<String> {
    let ([high, low, protocol, algorithm], key) = data.split_first_chunk()?;
    let flags = u16::from_be_bytes([*high, *low]);
    Some(format!("{flags} {protocol} {algorithm} {}", BASE64_STANDARD.encode(key)))
}

/// RFC 4034 section 3.2: type covered, algorithm, labels, TTL, end, begin, key tag, signer, signature.
fn signature(data: &[u8]) -> Option<String> {
    let (fixed, rest): (&[u8; 18], _) = data.split_first_chunk()?;
    let short = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let long = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let time = |at: usize| Some(Timestamp::from_second(long(at).into()).ok()?.strftime("%Y%m%d%H%M%S").to_string());
    let (signer, signature) = name(rest)?;
    Some(format!(
        "{} {} {} {} {} {} {} {signer} {}",
        type_name(RecordType::from(short(0))),
        fixed[2],
        fixed[3],
        long(4),
        time(8)?,
        time(12)?,
        short(16),
        BASE64_STANDARD.encode(signature)
    ))
}

/// RFC 4034 section 4.2: the next name, and the types of this one.
fn next_name(data: &[u8]) -> Option<String> {
    let (next, types) = name(data)?;
    Some([next].into_iter().chain(types_of(types)?).collect::<Vec<_>>().join(" "))
}

/// RFC 5155 section 3.3: how names are hashed, the next hash, and the types of this one.
fn next_hashed(data: &[u8]) -> Option<String> {
    let (hashing, rest) = hashing(data)?;
    let (length, rest) = rest.split_first()?;
    let (hash, types) = rest.split_at_checked((*length).into())?;
    Some([hashing, base32_hex(hash)].into_iter().chain(types_of(types)?).collect::<Vec<_>>().join(" "))
}

/// RFC 5155 section 4.3: algorithm, flags, iterations, salt; and what follows.
fn hashing(data: &[u8]) -> Option<(String, &[u8])> {
    let ([algorithm, flags, high, low, length], rest) = data.split_first_chunk()?;
    let (salt, rest) = rest.split_at_checked((*length).into())?;
    let salt = if salt.is_empty() { "-".to_owned() } else { hexadecimal(salt).to_ascii_uppercase() };
    Some((format!("{algorithm} {flags} {} {salt}", u16::from_be_bytes([*high, *low])), rest))
}

/// A name, which is not compressed in these records, and what follows it.
fn name(data: &[u8]) -> Option<(String, &[u8])> {
    let mut decoder = BinDecoder::new(data);
    let name = Name::read(&mut decoder).ok()?;
    Some((name.to_ascii(), data.get(decoder.index()..)?))
}

/// RFC 4034 section 4.1.2: windows of 256 types, each with the bits of those that are there.
fn types_of(mut data: &[u8]) -> Option<Vec<String>> {
    let mut types = Vec::new();
    while let Some(([window, length], rest)) = data.split_first_chunk() {
        let (bits, rest) = rest.split_at_checked((*length).into())?;
        let number = |at: usize| u16::from(*window) << 8 | u16::try_from(at).unwrap_or(u16::MAX);
        let set = (0..bits.len() * 8).filter(|at| bits[at / 8] & (0x80 >> (at % 8)) != 0);
        types.extend(set.map(|at| type_name(RecordType::from(number(at)))));
        data = rest;
    }
    data.is_empty().then_some(types)
}

fn base32_hex(bytes: &[u8]) -> String {
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0);
    let letter = |group: usize| (0..5).fold(0_usize, |value, at| value << 1 | usize::from(bit(group * 5 + at)));
    (0..(bytes.len() * 8).div_ceil(5)).map(|group| char::from(BASE32_HEX[letter(group)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire_name(labels: &[&str]) -> Vec<u8> {
        let mut bytes: Vec<u8> = Vec::new();
        for label in labels {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes
    }

    #[test]
    fn keys_and_their_digests_read_as_in_a_zone_file() {
        let ds = [&[0xec, 0x45, 5, 1][..], &[0x2b, 0xb1, 0x83]].concat();
        assert_eq!(of(RecordType::DS, &ds).unwrap(), "60485 5 1 2BB183");
        assert_eq!(of(RecordType::DNSKEY, &[1, 1, 3, 8, 1, 2, 3]).unwrap(), "257 3 8 AQID");
    }

    /// RFC 4034 section 3.3.
    #[test]
    fn a_signature_reads_as_the_standard_prints_it() {
        let (end, begin) = (1_048_354_263_u32, 1_045_762_263_u32);
        let fixed =
            [&[0, 1, 5, 3][..], &86_400_u32.to_be_bytes(), &end.to_be_bytes(), &begin.to_be_bytes(), &[0x0a, 0x52]].concat();
        let data = [fixed, wire_name(&["example", "com"]), vec![0xa0, 0x90, 0x75]].concat();
        assert_eq!(of(RecordType::RRSIG, &data).unwrap(), "A 5 3 86400 20030322173103 20030220173103 2642 example.com. oJB1");
    }

    /// RFC 4034 section 4.3, RFC 5155 appendix A.
    #[test]
    fn denials_name_the_next_owner_and_the_types_of_this_one() {
        let types = [&[0, 6, 0x40, 1, 0, 0, 0, 3, 4, 27][..], &[0; 26], &[0x20]].concat();
        let data = [wire_name(&["host", "example", "com"]), types].concat();
        assert_eq!(of(RecordType::NSEC, &data).unwrap(), "host.example.com. A MX RRSIG NSEC TYPE1234");
        let hash = [
            0x17, 0x4e, 0xb2, 0x40, 0x9f, 0xe2, 0x8b, 0xcb, 0x48, 0x87, 0xa1, 0x83, 0x6f, 0x95, 0x7f, 0x0a, 0x84, 0x25, 0xe2,
            0x7b,
        ];
        let data = [&[1, 1, 0, 12, 4, 0xaa, 0xbb, 0xcc, 0xdd, 20][..], &hash, &[0, 1, 0x40]].concat();
        assert_eq!(of(RecordType::NSEC3, &data).unwrap(), "1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A");
        assert_eq!(of(RecordType::NSEC3PARAM, &[1, 0, 0, 0, 0]).unwrap(), "1 0 0 -");
    }

    #[test]
    fn data_that_is_cut_has_no_text() {
        for (record_type, data) in [
            (RecordType::DS, &[1, 2, 3][..]),
            (RecordType::RRSIG, &[0; 18]),
            (RecordType::NSEC, &[0, 0, 6, 1]),
            (RecordType::NSEC3, &[1, 0, 0, 0, 0, 20, 1]),
            (RecordType::NSEC3PARAM, &[1, 0, 0, 0, 4, 1]),
        ] {
            assert_eq!(of(record_type, data), None, "{record_type}");
        }
    }

    proptest! {
        #[test]
        fn no_data_makes_it_panic(number in 40_u16..70, data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = of(RecordType::from(number), &data);
        }
    }
}
