use super::*;
use hickory_proto::dnssec::crypto::EcdsaSigningKey;
use hickory_proto::dnssec::rdata::sig::SigInput;
use hickory_proto::dnssec::rdata::{NSEC, NSEC3};
use hickory_proto::dnssec::{DnssecSigner, Nsec3HashAlgorithm, TBS, TrustAnchors};
use hickory_proto::op::{OpCode, ResponseCode};
use hickory_proto::rr::SerialNumber;
use hickory_proto::rr::rdata::{A, NS, SOA};
use std::time::Duration;

const NOW_S: i64 = 1_800_000_000;
const DAY_S: i64 = 86_400;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW_S).unwrap()
}

/// A zone with one key that signs everything.
struct Zone {
    name: Name,
    signer: DnssecSigner,
}

impl Zone {
    fn new(text: &str) -> Self {
        let algorithm = Algorithm::ECDSAP256SHA256;
        let pkcs8 = EcdsaSigningKey::generate_pkcs8(algorithm).unwrap();
        let key = EcdsaSigningKey::from_pkcs8(&pkcs8, algorithm).unwrap();
        let dnskey = DNSKEY::from_key(&hickory_proto::dnssec::SigningKey::to_public_key(&key).unwrap());
        let signer = DnssecSigner::new(dnskey, Box::new(key), name(text), Duration::from_secs(1));
        Self { name: name(text), signer }
    }

    fn key(&self) -> &DNSKEY {
        self.signer.dnskey()
    }

    fn ds(&self) -> DS {
        let digest = self.key().to_digest(&self.name, DigestType::SHA256).unwrap();
        DS::new(self.key().calculate_key_tag().unwrap(), self.key().algorithm(), DigestType::SHA256, digest.as_ref().to_vec())
    }

    /// The records, which are one set, and a signature over them that is good in these days around now.
    fn signed(&self, records: Vec<Record>, from_day: i64, to_day: i64) -> Vec<Record> {
        let owner = records[0].name.clone();
        let at = |day: i64| SerialNumber::new(u32::try_from(NOW_S + day * DAY_S).unwrap());
        let input = SigInput {
            type_covered: records[0].record_type(),
            algorithm: Algorithm::ECDSAP256SHA256,
            num_labels: owner.num_labels(),
            original_ttl: 60,
            sig_expiration: at(to_day),
            sig_inception: at(from_day),
            key_tag: self.key().calculate_key_tag().unwrap(),
            signer_name: self.name.clone(),
        };
        let tbs = TBS::from_input(&owner, DNSClass::IN, &input, records.iter()).unwrap();
        let signature = RRSIG::from_sig(input, self.signer.sign(&tbs).unwrap());
        let mut records = records;
        records.push(Record::from_rdata(owner, 60, RData::DNSSEC(DNSSECRData::RRSIG(signature))));
        records
    }

    fn good(&self, records: Vec<Record>) -> Vec<Record> {
        self.signed(records, -1, 1)
    }

    fn keys(&self) -> Message {
        answer(self.good(vec![self.key_record()]))
    }

    fn key_record(&self) -> Record {
        Record::from_rdata(self.name.clone(), 60, RData::DNSSEC(DNSSECRData::DNSKEY(self.key().clone())))
    }

    /// A delegation to the zone below, with these signed records of it.
    fn referral(&self, below: &Name, signed: Vec<Record>) -> Message {
        let mut message = wired(Message::response(1, OpCode::Query));
        message.add_authority(Record::from_rdata(below.clone(), 60, RData::NS(NS(name("ns.example.")))));
        for record in signed {
            message.add_authority(record);
        }
        wired(message)
    }

    fn vouching_for(&self, below: &Zone) -> Message {
        let ds = Record::from_rdata(below.name.clone(), 60, RData::DNSSEC(DNSSECRData::DS(below.ds())));
        self.referral(&below.name, self.good(vec![ds]))
    }
}

/// As it comes over the wire.
fn wired(message: Message) -> Message {
    Message::from_vec(&message.to_vec().unwrap()).unwrap()
}

fn answer(records: Vec<Record>) -> Message {
    let mut message = Message::response(1, OpCode::Query);
    message.metadata.authoritative = true;
    for record in records {
        message.add_answer(record);
    }
    wired(message)
}

fn address(owner: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::A(A::new(192, 0, 2, 7)))
}

struct World {
    root: Zone,
    example: Zone,
}

impl World {
    fn new() -> Self {
        Self { root: Zone::new("."), example: Zone::new("example.") }
    }

    /// The verdict where the root's side and the zone's keys are these, and the answer is the last.
    fn verdict(&self, referral: &Message, keys: &Message, reply: &Message) -> DnssecChain {
        let mut chain = Chain::new(vec![self.root.ds()], now());
        assert!(chain.wants_keys());
        chain.zone(&self.root.name, None, Some(&self.root.keys()));
        chain.delegated(&self.root.name, &self.example.name, referral);
        chain.zone(&self.example.name, None, Some(keys));
        chain.answer(&self.example.name, Some(reply));
        chain.verdict(&name("www.example."), "A")
    }

    /// The same where all but the answer is well.
    fn answering(&self, reply: Vec<Record>) -> DnssecChain {
        self.verdict(&self.root.vouching_for(&self.example), &self.example.keys(), &answer(reply))
    }
}

#[test]
fn a_chain_in_order_is_secure_in_every_zone() {
    let world = World::new();
    let chain = world.answering(world.example.good(vec![address("www.example.")]));
    assert_eq!((chain.verdict, &chain.why), (Security::Secure, &None));
    let zones: Vec<_> = chain.zones.iter().map(|zone| (zone.zone.as_str(), zone.verdict, zone.key_tag.is_some())).collect();
    assert_eq!(zones, [(".", Security::Secure, true), ("example", Security::Secure, true)]);
}

#[test]
fn a_signature_that_is_over_or_not_yet_good_is_bogus_and_says_since_when() {
    let world = World::new();
    for (from, to, word) in [(-9, -2, "was good until 2027-01-13"), (2, 9, "is good from 2027-01-17")] {
        let chain = world.answering(world.example.signed(vec![address("www.example.")], from, to));
        assert_eq!(chain.verdict, Security::Bogus);
        assert!(chain.why.as_ref().unwrap().contains(word), "{:?}", chain.why);
    }
}

#[test]
fn records_that_were_changed_or_stripped_of_their_signature_are_bogus() {
    let world = World::new();
    let mut changed = world.example.good(vec![address("www.example.")]);
    changed[0] = Record::from_rdata(name("www.example."), 60, RData::A(A::new(192, 0, 2, 66)));
    let chain = world.answering(changed);
    assert!(chain.verdict == Security::Bogus && chain.why.as_ref().unwrap().contains("does not verify"), "{chain:?}");
    let chain = world.answering(vec![address("www.example.")]);
    assert!(chain.verdict == Security::Bogus && chain.why.as_ref().unwrap().contains("no signature"), "{chain:?}");
}

#[test]
fn a_key_that_the_zone_above_does_not_know_breaks_the_chain_in_its_zone() {
    let world = World::new();
    let other = Zone::new("example.");
    let reply = answer(other.good(vec![address("www.example.")]));
    let chain = world.verdict(&world.root.vouching_for(&world.example), &other.keys(), &reply);
    assert_eq!((chain.verdict, chain.zones[1].verdict), (Security::Bogus, Security::Bogus));
    assert!(chain.why.unwrap().contains("no key of example"));
}

#[test]
fn another_trust_anchor_than_the_roots_is_bogus_and_none_is_indeterminate() {
    let world = World::new();
    let mut chain = Chain::new(anchors(&[]), now());
    chain.zone(&world.root.name, None, Some(&world.root.keys()));
    assert_eq!(chain.verdict(&name("."), "NS").verdict, Security::Bogus);
    let mut chain = Chain::new(Vec::new(), now());
    assert!(!chain.wants_keys());
    chain.zone(&world.root.name, None, None);
    assert_eq!(chain.verdict(&name("."), "NS").verdict, Security::Indeterminate);
}

#[test]
fn keys_that_did_not_come_leave_it_open() {
    let world = World::new();
    let mut chain = Chain::new(vec![world.root.ds()], now());
    chain.zone(&world.root.name, None, None);
    assert_eq!(chain.verdict(&name("."), "NS").verdict, Security::Indeterminate);
}

#[test]
fn a_signed_denial_of_the_ds_record_makes_the_zone_insecure_and_silence_about_it_bogus() {
    let world = World::new();
    let unsigned = answer(vec![address("www.example.")]);
    let nsec = |types: &[RecordType]| {
        let data = NSEC::new(name("zzz."), types.iter().copied());
        let record = Record::from_rdata(world.example.name.clone(), 60, RData::DNSSEC(DNSSECRData::NSEC(data)));
        world.root.referral(&world.example.name, world.root.good(vec![record]))
    };
    let chain = world.verdict(&nsec(&[RecordType::NS, RecordType::RRSIG, RecordType::NSEC]), &unsigned, &unsigned);
    assert_eq!((chain.verdict, chain.zones[1].verdict), (Security::Insecure, Security::Insecure));
    let lists_ds = nsec(&[RecordType::NS, RecordType::DS, RecordType::RRSIG]);
    assert_eq!(world.verdict(&lists_ds, &unsigned, &unsigned).verdict, Security::Bogus);
    let nothing = world.root.referral(&world.example.name, Vec::new());
    assert_eq!(world.verdict(&nothing, &unsigned, &unsigned).verdict, Security::Bogus);
}

/// RFC 4648 section 7, the other way round.
fn base32hex_of(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let digit =
        |five: &[u8]| char::from(b"0123456789abcdefghijklmnopqrstuv"[five.iter().fold(0, |n, bit| n << 1 | usize::from(*bit))]);
    bits.chunks(5).map(digit).collect()
}

#[test]
fn a_hashed_denial_counts_by_match_and_by_opt_out() {
    let world = World::new();
    let unsigned = answer(vec![address("www.example.")]);
    let hash = Nsec3HashAlgorithm::SHA1.hash(b"salt", &world.example.name, 2).unwrap().as_ref().to_vec();
    let denial = |owner: &[u8], next: &[u8], opt_out: bool, types: &[RecordType]| {
        let data = NSEC3::new(Nsec3HashAlgorithm::SHA1, opt_out, 2, b"salt".to_vec(), next.to_vec(), types.iter().copied());
        let owner = name(&format!("{}.", base32hex_of(owner)));
        let record = Record::from_rdata(owner, 60, RData::DNSSEC(DNSSECRData::NSEC3(data)));
        let referral = world.root.referral(&world.example.name, world.root.good(vec![record]));
        world.verdict(&referral, &unsigned, &unsigned).verdict
    };
    assert_eq!(denial(&hash, &[0xff; 20], false, &[RecordType::NS]), Security::Insecure);
    assert_eq!(denial(&hash, &[0xff; 20], false, &[RecordType::NS, RecordType::DS]), Security::Bogus);
    assert_eq!(denial(&[0; 20], &[0xff; 20], true, &[RecordType::NS]), Security::Insecure);
    assert_eq!(denial(&[0; 20], &[0xff; 20], false, &[RecordType::NS]), Security::Bogus, "it spans, but leaves nothing out");
}

#[test]
fn a_denied_name_needs_a_signed_proof() {
    let world = World::new();
    let soa = SOA::new(name("ns.example."), name("h.example."), 1, 1, 1, 1, 1);
    let soa = world.example.good(vec![Record::from_rdata(name("example."), 60, RData::SOA(soa))]);
    let nsec = NSEC::new(name("zzz.example."), [RecordType::NS, RecordType::SOA]);
    let nsec = Record::from_rdata(name("example."), 60, RData::DNSSEC(DNSSECRData::NSEC(nsec)));
    let denied = |records: Vec<Record>| {
        let mut message = Message::response(1, OpCode::Query);
        message.metadata.response_code = ResponseCode::NXDomain;
        for record in records {
            message.add_authority(record);
        }
        world.verdict(&world.root.vouching_for(&world.example), &world.example.keys(), &wired(message)).verdict
    };
    assert_eq!(denied([soa.clone(), world.example.good(vec![nsec.clone()])].concat()), Security::Secure);
    assert_eq!(denied(soa.clone()), Security::Bogus);
    assert_eq!(denied([soa, vec![nsec]].concat()), Security::Bogus, "a proof that nobody signed");
}

#[test]
fn an_answer_of_a_zone_below_that_was_not_passed_leaves_it_open() {
    let world = World::new();
    let below = Zone::new("www.example.");
    let chain = world.answering(below.good(vec![address("www.example.")]));
    assert_eq!(chain.verdict, Security::Indeterminate);
}

/// The digests of the list above against the keys that hickory-proto carries, which come from IANA on another way.
#[test]
fn the_built_in_anchors_are_the_roots_keys() {
    let keys = TrustAnchors::default();
    let built_in = anchors(&[]);
    assert_eq!((keys.len(), built_in.len()), (2, 2));
    for position in 0..keys.len() {
        let key = DNSKEY::from_key(keys.get(position).unwrap());
        assert!(built_in.iter().any(|ds| fits(ds, &Name::root(), &key)), "key {position}");
    }
}

#[test]
fn base32hex_is_read_as_it_is_written() {
    for bytes in [&[0_u8; 20][..], &[0xff; 20], b"abcdefghij0123456789"] {
        assert_eq!(base32hex(base32hex_of(bytes).as_bytes()).unwrap(), bytes);
    }
    assert_eq!(base32hex(b"w"), None);
}
