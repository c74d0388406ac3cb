//! The chain of signatures from a trust anchor down to an answer (RFC 4035 section 5). Pure: messages in, a verdict out.
//!
//! The cryptography is hickory-proto's; what is decided here is which records have to be signed by which key, and when. A denial
//! (NSEC, NSEC3) counts where its signature verifies and its type bitmap says what it has to; that no wildcard lies closer is not proven.

use super::walk::shown;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, NSEC3, RRSIG};
use hickory_proto::dnssec::{Algorithm, DigestType, Verifier};
use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use jiff::Timestamp;
use netsonde_contract::kind::TrustAnchor;
use netsonde_contract::observation::{DnssecChain, Security, ZoneSecurity};
use std::net::SocketAddr;

/// The root's keys as IANA publishes them (data.iana.org/root-anchors/root-anchors.xml): key tag, algorithm, digest type and digest of
/// the keys of 2017 and of 2024.
const ROOT_ANCHORS: [&str; 2] = [
    "20326 8 2 e06d44b80b8f1d39a95c0b0d7c65d08458e880409bbc683457104237c7f8ec8d",
    "38696 8 2 683d2d0acb8c9b712a1948b27f741219298d0a450d612c483af444a4c0fb2b16",
];

/// Signatures tried over one set of records; more than a change of keys makes. This bounds what a crafted reply makes netsonde compute.
const MAX_TRIES: usize = 8;

/// More rounds are refused, as validators do (RFC 9276 section 3.2).
const MAX_ITERATIONS: u16 = 100;

/// What is known of the next zone's keys.
#[derive(Clone, Debug)]
enum Trust {
    /// It must be signed with one of these.
    Vouched(Vec<DS>),
    Ended(Security, String),
}

/// A chain in the making.
pub(super) struct Chain {
    trust: Trust,
    /// The keys of the last zone, where they are good.
    keys: Vec<DNSKEY>,
    zones: Vec<ZoneSecurity>,
    now: Timestamp,
}

/// The trust anchors as DS records; the root's own where none are given.
pub(super) fn anchors(given: &[TrustAnchor]) -> Vec<DS> {
    let built_in = || ROOT_ANCHORS.iter().filter_map(|text| TrustAnchor::parse(text)).collect();
    let anchors: Vec<TrustAnchor> = if given.is_empty() { built_in() } else { given.to_vec() };
    let as_ds = |anchor: TrustAnchor| {
        DS::new(anchor.key_tag, Algorithm::from_u8(anchor.algorithm), DigestType::from(anchor.digest_type), anchor.digest)
    };
    anchors.into_iter().map(as_ds).collect()
}

impl Chain {
    pub(super) fn new(anchors: Vec<DS>, now: Timestamp) -> Self {
        let trust = match anchors.is_empty() {
            true => Trust::Ended(Security::Indeterminate, "there is no trust anchor for these root servers".to_owned()),
            false => Trust::Vouched(anchors),
        };
        Self { trust, keys: Vec::new(), zones: Vec::new(), now }
    }

    /// Whether the next zone's keys matter.
    pub(super) fn wants_keys(&self) -> bool {
        matches!(self.trust, Trust::Vouched(_))
    }

    /// The zone's keys, as a server of it gave them.
    pub(super) fn zone(&mut self, zone: &Name, server: Option<SocketAddr>, keys: Option<&Message>) {
        let mut security = ZoneSecurity { zone: shown(zone), server, verdict: Security::Secure, why: None, key_tag: None };
        self.keys.clear();
        if let Trust::Vouched(vouched) = &self.trust {
            match keys.map(|message| self.verified_keys(zone, vouched, &message.answers)) {
                Some(Ok((tag, keys))) => {
                    security.key_tag = Some(tag);
                    self.keys = keys;
                }
                Some(Err((verdict, why))) => self.trust = Trust::Ended(verdict, why),
                None => {
                    let why = format!("no server of {} gave its keys", shown(zone));
                    self.trust = Trust::Ended(Security::Indeterminate, why);
                }
            }
        }
        if let Trust::Ended(verdict, why) = &self.trust {
            (security.verdict, security.why) = (*verdict, Some(why.clone()));
        }
        self.zones.push(security);
    }

    /// What a delegation says of the keys of the zone below.
    pub(super) fn delegated(&mut self, zone: &Name, below: &Name, referral: &Message) {
        if !self.wants_keys() {
            return;
        }
        let section = &referral.authorities;
        let vouched: Vec<DS> = dnssec(section).filter(|(owner, _)| *owner == below).filter_map(|(_, data)| as_ds(data)).collect();
        self.trust = if vouched.is_empty() {
            match self.proven_unsigned(zone, below, section) {
                Ok(()) => Trust::Ended(Security::Insecure, format!("{} vouches for no key of {}", shown(zone), shown(below))),
                Err(why) => Trust::Ended(Security::Bogus, why),
            }
        } else {
            match self.verify(zone, below, RecordType::DS, section) {
                Ok(_) => Trust::Vouched(vouched),
                Err(Fault { verdict, why }) => Trust::Ended(verdict, why),
            }
        };
    }

    /// The answer to the question itself.
    pub(super) fn answer(&mut self, zone: &Name, reply: Option<&Message>) {
        if self.wants_keys() {
            let result = match reply {
                Some(message) => self.verified_answer(zone, message),
                None => Err(Fault::unknown(format!("no server of {} answered", shown(zone)))),
            };
            self.trust = match result {
                Ok(()) => Trust::Ended(Security::Secure, String::new()),
                Err(Fault { verdict, why }) => Trust::Ended(verdict, why),
            };
        }
    }

    pub(super) fn verdict(self, name: &Name, record_type: &str) -> DnssecChain {
        let (verdict, why) = match self.trust {
            Trust::Ended(verdict, why) => (verdict, Some(why).filter(|why| !why.is_empty())),
            Trust::Vouched(_) => (Security::Indeterminate, Some("the walk ended before the answer".to_owned())),
        };
        DnssecChain {
            name: shown(name),
            record_type: record_type.to_owned(),
            verdict,
            why,
            zones: self.zones,
            verified_at: self.now,
        }
    }

    /// The zone's keys where one that is vouched for signed them all, with that key's tag.
    fn verified_keys(&self, zone: &Name, vouched: &[DS], records: &[Record]) -> Result<(u16, Vec<DNSKEY>), (Security, String)> {
        let bogus = |why: String| Err((Security::Bogus, why));
        let keys: Vec<DNSKEY> =
            dnssec(records).filter(|(owner, _)| *owner == zone).filter_map(|(_, data)| as_key(data)).collect();
        let shown = shown(zone);
        if keys.is_empty() {
            return bogus(format!("{shown} has no key, though the zone above vouches for one"));
        }
        if !vouched.iter().any(|ds| ds.algorithm().is_supported() && ds.digest_type().is_supported()) {
            return Err((
                Security::Insecure,
                format!("the keys vouched for of {shown} are of algorithms that nobody here verifies"),
            ));
        }
        let fitting: Vec<DNSKEY> =
            keys.iter().filter(|key| !key.revoke() && vouched.iter().any(|ds| fits(ds, zone, key))).cloned().collect();
        if fitting.is_empty() {
            let tags: Vec<String> = vouched.iter().map(|ds| ds.key_tag().to_string()).collect();
            return bogus(format!("no key of {shown} is one that the zone above vouches for (key tags {})", tags.join(", ")));
        }
        match verify_with(&fitting, zone, zone, RecordType::DNSKEY, records, self.now) {
            Ok(tag) => Ok((tag, keys)),
            Err(fault) => Err((fault.verdict, fault.why)),
        }
    }

    fn verify(&self, zone: &Name, owner: &Name, record_type: RecordType, records: &[Record]) -> Result<u16, Fault> {
        verify_with(&self.keys, zone, owner, record_type, records, self.now)
    }

    /// RFC 4035 section 5.2 and RFC 5155 section 8.9: a signed record shows the delegation, and that no DS record stands beside it.
    fn proven_unsigned(&self, zone: &Name, below: &Name, section: &[Record]) -> Result<(), String> {
        for (owner, data) in dnssec(section) {
            let (proves, record_type) = match data {
                DNSSECRData::NSEC(nsec) => {
                    let types: Vec<RecordType> = nsec.type_bit_maps().collect();
                    (owner == below && is_unsigned_delegation(&types), RecordType::NSEC)
                }
                DNSSECRData::NSEC3(nsec3) => (proves_unsigned(nsec3, owner, zone, below), RecordType::NSEC3),
                _ => continue,
            };
            if proves && self.verify(zone, owner, record_type, section).is_ok() {
                return Ok(());
            }
        }
        Err(format!("{} neither vouches for a key of {} nor proves that it has none", shown(zone), shown(below)))
    }

    /// Every set of records of the answer that lies in the zone; of a denial, its SOA and at least one signed NSEC or NSEC3 record.
    fn verified_answer(&self, zone: &Name, message: &Message) -> Result<(), Fault> {
        if u16::from(message.response_code) != 0 && u16::from(message.response_code) != 3 {
            return Err(Fault::unknown(format!("the servers of {} answer with an error", shown(zone))));
        }
        let denial = message.answers.is_empty();
        let section = if denial { &message.authorities } else { &message.answers };
        let mut seen: Vec<(&Name, RecordType)> = Vec::new();
        for record in section {
            let set = (&record.name, record.record_type());
            let unsigned = matches!(set.1, RecordType::RRSIG | RecordType::NS) && (denial || set.1 == RecordType::RRSIG);
            if unsigned || seen.contains(&set) || !zone.zone_of(set.0) {
                continue;
            }
            seen.push(set);
            self.verify(zone, set.0, set.1, section)?;
        }
        let denies = seen.iter().any(|(_, kind)| matches!(kind, RecordType::NSEC | RecordType::NSEC3));
        if denial && !denies {
            return Err(Fault::bogus(format!("{} denies the records without a signed proof (NSEC, NSEC3)", shown(zone))));
        }
        Ok(())
    }
}

/// Why a set of records is not verified.
struct Fault {
    verdict: Security,
    why: String,
}

impl Fault {
    fn bogus(why: String) -> Self {
        Self { verdict: Security::Bogus, why }
    }

    fn unknown(why: String) -> Self {
        Self { verdict: Security::Indeterminate, why }
    }
}

/// Looks for a signature of one of the keys that verifies and is good now. Gives the key's tag.
fn verify_with(
    keys: &[DNSKEY],
    zone: &Name,
    owner: &Name,
    record_type: RecordType,
    records: &[Record],
    now: Timestamp,
) -> Result<u16, Fault> {
    let what = format!("the {record_type} records of {}", shown(owner));
    let covering = |data: &&RRSIG| data.input().type_covered == record_type;
    let all: Vec<&RRSIG> = dnssec(records)
        .filter(|(name, _)| *name == owner)
        .filter_map(|(_, data)| if let DNSSECRData::RRSIG(signature) = data { Some(signature) } else { None })
        .filter(covering)
        .take(MAX_TRIES)
        .collect();
    if all.is_empty() {
        return Err(Fault::bogus(format!("{what} have no signature")));
    }
    let own: Vec<&RRSIG> = all.iter().filter(|signature| signature.input().signer_name == *zone).copied().collect();
    if let ([], Some(other)) = (own.as_slice(), all.first()) {
        // A server of two zones answers for the lower one at once, and its delegation is not seen.
        let signer = shown(&other.input().signer_name);
        return Err(Fault::unknown(format!("{what} are signed by {signer}, whose delegation was not seen")));
    }
    let mut fault = Fault::bogus(format!("{what} are signed with no key that {} has", shown(zone)));
    for signature in own {
        let input = signature.input();
        let fits = |key: &&DNSKEY| {
            // The library takes it for granted that it can verify with the key.
            key.algorithm().is_supported()
                && key.zone_key()
                && key.calculate_key_tag().is_ok_and(|tag| tag == input.key_tag)
                && key.algorithm() == input.algorithm
        };
        for key in keys.iter().filter(fits).take(MAX_TRIES) {
            fault = match good_at(signature, now) {
                Err(why) => Fault::bogus(format!("the signature over {what} {why}")),
                Ok(()) => match key.verify_rrsig(owner, DNSClass::IN, signature, records.iter()) {
                    Ok(()) => return Ok(input.key_tag),
                    Err(_) => Fault::bogus(format!("the signature over {what} by the key {} does not verify", input.key_tag)),
                },
            };
        }
    }
    Err(fault)
}

/// RFC 4034 section 3.1.5: times count modulo 2³², so that they are compared by their distance.
fn good_at(signature: &RRSIG, now: Timestamp) -> Result<(), String> {
    let input = signature.input();
    let now_s = now.as_second();
    let distance = |seconds: u32| i64::from((seconds.wrapping_sub(now_s as u32)) as i32);
    let shown = |seconds: u32| {
        Timestamp::from_second(now_s + distance(seconds)).map_or_else(|_| seconds.to_string(), |at| at.to_string())
    };
    if distance(input.sig_expiration.get()) < 0 {
        Err(format!("was good until {}", shown(input.sig_expiration.get())))
    } else if distance(input.sig_inception.get()) > 0 {
        Err(format!("is good from {} on only", shown(input.sig_inception.get())))
    } else {
        Ok(())
    }
}

fn is_unsigned_delegation(types: &[RecordType]) -> bool {
    types.contains(&RecordType::NS) && !types.contains(&RecordType::DS) && !types.contains(&RecordType::SOA)
}

/// The record is that of the delegation and lists no DS, or it spans the delegation and leaves unsigned ones out (opt-out).
fn proves_unsigned(nsec3: &NSEC3, owner: &Name, zone: &Name, below: &Name) -> bool {
    if nsec3.iterations() > MAX_ITERATIONS || owner.base_name() != *zone {
        return false;
    }
    let hash_of = |name: &Name| nsec3.hash_algorithm().hash(nsec3.salt(), name, nsec3.iterations()).ok();
    let Some(own) = owner.iter().next().and_then(base32hex) else { return false };
    let Some(hash) = hash_of(below) else { return false };
    if own == hash.as_ref() {
        let types: Vec<RecordType> = nsec3.type_bit_maps().collect();
        return is_unsigned_delegation(&types);
    }
    let (own, next, hash) = (own.as_slice(), nsec3.next_hashed_owner_name(), hash.as_ref());
    // The last record's successor is the first.
    let spans = if own < next { own < hash && hash < next } else { own < hash || hash < next };
    nsec3.opt_out() && spans
}

/// RFC 4648 section 7, in which an NSEC3 record's owner is written, without padding.
fn base32hex(label: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for letter in label {
        let value = match letter.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            letter @ b'a'..=b'v' => letter - b'a' + 10,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

/// RFC 4034 section 5.2: tag, algorithm and digest are the key's.
fn fits(ds: &DS, zone: &Name, key: &DNSKEY) -> bool {
    ds.algorithm() == key.algorithm()
        && key.calculate_key_tag().is_ok_and(|tag| tag == ds.key_tag())
        && ds.covers(zone, key).unwrap_or(false)
}

fn dnssec(records: &[Record]) -> impl Iterator<Item = (&Name, &DNSSECRData)> {
    records.iter().filter_map(|record| if let RData::DNSSEC(data) = &record.data { Some((&record.name, data)) } else { None })
}

fn as_ds(data: &DNSSECRData) -> Option<DS> {
    if let DNSSECRData::DS(ds) = data { Some(ds.clone()) } else { None }
}

fn as_key(data: &DNSSECRData) -> Option<DNSKEY> {
    if let DNSSECRData::DNSKEY(key) = data { Some(key.clone()) } else { None }
}

#[cfg(test)]
mod tests;
