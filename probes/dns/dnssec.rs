//! What DNSSEC records say of keys and times (RFC 4034). Nothing is verified here, so that what a
//! single server says shows also where the chain of signatures breaks further up.

use super::record::{type_name, wire};
use hickory_proto::rr::{RData, Record, RecordType};
use jiff::Timestamp;
use netsonde_contract::observation::{Signature, VouchedKey, ZoneKey};

/// A zone has two to six keys, also in a change of keys; this bounds what a crafted reply leaves.
const MAX_KEYS: usize = 16;

/// A few signatures for each of three answers.
const MAX_SIGNATURES: usize = 24;

/// The flag of a key that the zone above is to vouch for (RFC 4034 section 2.1.1).
const ENTRY_POINT: u16 = 0x0001;

/// The flag of a key that is given up (RFC 5011 section 3).
const REVOKED: u16 = 0x0080;

/// The keys that DS records vouch for.
pub(super) fn vouched<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<VouchedKey> {
    of_type(records, RecordType::DS).filter_map(|data| read_ds(&data)).take(MAX_KEYS).collect()
}

/// The keys of DNSKEY records.
pub(super) fn keys<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<ZoneKey> {
    of_type(records, RecordType::DNSKEY).filter_map(|data| read_key(&data)).take(MAX_KEYS).collect()
}

/// What the RRSIG records among these say.
pub(super) fn signatures<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<Signature> {
    of_type(records, RecordType::RRSIG).filter_map(|data| read_signature(&data)).take(MAX_SIGNATURES).collect()
}

/// The data of records of a type, as on the wire.
fn of_type<'a>(records: impl IntoIterator<Item = &'a Record>, wanted: RecordType) -> impl Iterator<Item = Vec<u8>> {
    records.into_iter().filter(move |record| record.record_type() == wanted).filter_map(|record| match &record.data {
        RData::Unknown { rdata, .. } => Some(rdata.anything.clone()),
        parsed => wire(parsed),
    })
}

/// RFC 4034 section 5.1: key tag, algorithm, digest type, digest.
fn read_ds(data: &[u8]) -> Option<VouchedKey> {
    let ([high, low, algorithm, digest_type], _) = data.split_first_chunk()?;
    Some(VouchedKey { key_tag: u16::from_be_bytes([*high, *low]), algorithm: *algorithm, digest_type: *digest_type })
}

/// RFC 4034 section 2.1: flags, protocol, algorithm, public key.
fn read_key(data: &[u8]) -> Option<ZoneKey> {
    let ([high, low, _, algorithm], _) = data.split_first_chunk()?;
    let flags = u16::from_be_bytes([*high, *low]);
    Some(ZoneKey {
        key_tag: key_tag(data),
        algorithm: *algorithm,
        entry_point: flags & ENTRY_POINT != 0,
        revoked: flags & REVOKED != 0,
    })
}

/// RFC 4034 appendix B; algorithm 1, which has another way, is long forbidden (RFC 8624 section 3.1).
fn key_tag(data: &[u8]) -> u16 {
    let sum = data.iter().enumerate().fold(0_u32, |sum, (at, byte)| {
        let byte = u32::from(*byte);
        sum.wrapping_add(if at % 2 == 0 { byte << 8 } else { byte })
    });
    (sum.wrapping_add(sum >> 16 & 0xffff) & 0xffff) as u16
}

/// RFC 4034 section 3.1: type covered, algorithm, labels, original TTL, expiration, inception, key tag, signer, signature.
fn read_signature(data: &[u8]) -> Option<Signature> {
    let (fixed, _): (&[u8; 18], _) = data.split_first_chunk()?;
    let short = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let time = |at: usize| {
        let seconds = u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        Timestamp::from_second(seconds.into()).ok()
    };
    Some(Signature {
        covers: type_name(RecordType::from(short(0))),
        key_tag: short(16),
        algorithm: fixed[2],
        inception: time(12)?,
        expiration: time(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::Name;
    use hickory_proto::rr::rdata::NULL;
    use proptest::prelude::*;

    fn record(code: RecordType, data: Vec<u8>) -> Record {
        Record::from_rdata(Name::root(), 60, RData::Unknown { code, rdata: NULL::with(data) })
    }

    /// The key and its tag as RFC 4034 section 5.4 prints them.
    #[test]
    fn the_key_of_the_standard_has_the_tag_of_the_standard() {
        use base64::prelude::{BASE64_STANDARD, Engine};
        let key = "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMmmAphXdvxegXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw==";
        let data = [&[1, 0, 3, 5][..], &BASE64_STANDARD.decode(key).unwrap()].concat();
        let found = keys(&[record(RecordType::DNSKEY, data)]);
        assert_eq!(found, [ZoneKey { key_tag: 60485, algorithm: 5, entry_point: false, revoked: false }]);
        let ds = record(RecordType::DS, vec![0xec, 0x45, 5, 1, 0x2b]);
        assert_eq!(vouched(&[ds]), [VouchedKey { key_tag: 60485, algorithm: 5, digest_type: 1 }]);
    }

    #[test]
    fn a_signature_that_is_over_shows_its_days() {
        let mut data = vec![0, 1, 13, 2, 0, 0, 14, 16];
        data.extend(1_700_000_000_u32.to_be_bytes());
        data.extend(1_699_000_000_u32.to_be_bytes());
        data.extend([0xec, 0x45, 0]);
        let found = signatures(&[record(RecordType::RRSIG, data)]).remove(0);
        assert_eq!((found.covers.as_str(), found.key_tag, found.algorithm), ("A", 60485, 13));
        assert_eq!((found.inception.as_second(), found.expiration.as_second()), (1_699_000_000, 1_700_000_000));
    }

    proptest! {
        #[test]
        fn no_data_makes_the_readers_panic(data in proptest::collection::vec(any::<u8>(), 1..80), copies in 0_usize..40) {
            let many = |code| vec![record(code, data.clone()); copies];
            prop_assert!(vouched(&many(RecordType::DS)).len() <= MAX_KEYS);
            prop_assert!(keys(&many(RecordType::DNSKEY)).len() <= MAX_KEYS);
            prop_assert!(signatures(&many(RecordType::RRSIG)).len() <= MAX_SIGNATURES);
        }
    }
}
