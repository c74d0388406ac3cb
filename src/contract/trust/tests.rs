use super::*;
use crate::dsse::{Envelope, VERIFICATIONS};
use crate::id::OrganisationId;
use ed25519_dalek::{Signer, SigningKey};
use jiff::{SignedDuration, Timestamp};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::new(key(seed).verifying_key(), &format!("key {seed}"))
}

fn signed(mut envelope: Envelope, seeds: &[u8]) -> Vec<u8> {
    for seed in seeds {
        let signature = key(*seed).sign(&envelope.to_be_signed()).to_bytes();
        envelope.add_signature(&key(*seed).verifying_key(), signature);
    }
    envelope.to_json()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// Two of the keys 1, 2, 3 must sign.
fn first_root() -> RootStatement {
    RootStatement {
        name: "Contoso support".into(),
        organisation: None,
        version: 1,
        issued: at(0),
        keys: vec![public(1), public(2), public(3)],
        threshold: 2,
    }
}

fn anchor() -> Anchor {
    let json = signed(first_root().envelope(), &[1, 2]);
    let fingerprint = RootStatement::fingerprint(first_root().envelope().unverified());
    Anchor::pinned(&json, &fingerprint).unwrap()
}

fn list(organisation: &OrganisationId, version: u64) -> KeyList {
    KeyList {
        organisation: organisation.clone(),
        root: 1,
        version,
        issued: at(10),
        expires: at(10) + SignedDuration::from_hours(24),
        order: RoleKeys { threshold: 1, keys: vec![public(10), public(11)] },
        receipt: RoleKeys { threshold: 1, keys: vec![public(20)] },
        revoked: Vec::new(),
    }
}

#[test]
fn a_substituted_root_is_refused_whoever_signed_it() {
    let fingerprint = RootStatement::fingerprint(first_root().envelope().unverified());
    let other = RootStatement { keys: vec![public(4), public(5)], ..first_root() };
    let error = Anchor::pinned(&signed(other.envelope(), &[4, 5]), &fingerprint).unwrap_err();
    assert_eq!(error.code(), "root_substituted");
    let error = Anchor::pinned(&signed(first_root().envelope(), &[1]), &fingerprint).unwrap_err();
    assert_eq!(error, TrustError::TooFewSignatures { signed: 1, needed: 2 });
}

#[test]
fn a_list_counts_with_enough_signatures_of_different_keys() {
    let mut anchor = anchor();
    let first = list(anchor.organisation(), 1);
    assert_eq!(anchor.accept_list(&signed(first.envelope(), &[1])).unwrap_err().code(), "too_few_signatures");
    assert_eq!(anchor.accept_list(&signed(first.envelope(), &[1, 9])).unwrap_err().code(), "too_few_signatures", "a stranger");
    // One key under two names is still one key.
    let json = String::from_utf8(signed(first.envelope(), &[1])).unwrap();
    let (head, tail) = json.split_once("\"signatures\":[").unwrap();
    let one = tail.trim_end_matches("]}");
    let doubled = format!("{head}\"signatures\":[{one},{}]}}", one.replace("sha256:", "sha256:0"));
    assert_eq!(anchor.accept_list(doubled.as_bytes()).unwrap_err().code(), "too_few_signatures", "one key twice");
    assert_eq!(anchor.accept_list(&signed(first.envelope(), &[1, 3])), Ok(true));
    assert_eq!(anchor.live_list(at(20)).unwrap(), &first);
}

#[test]
fn a_list_goes_forward_only_and_expires() {
    let mut anchor = anchor();
    let (first, second) = (list(anchor.organisation(), 1), list(anchor.organisation(), 2));
    assert_eq!(anchor.live_list(at(20)).unwrap_err(), TrustError::NoList);
    assert_eq!(anchor.accept_list(&signed(second.envelope(), &[1, 2])), Ok(true));
    assert_eq!(anchor.accept_list(&signed(second.envelope(), &[2, 3])), Ok(false), "the same, signed by others");
    assert_eq!(anchor.accept_list(&signed(first.envelope(), &[1, 2])).unwrap_err(), TrustError::Rollback { held: 2, given: 1 });
    let other_second = KeyList { issued: at(11), ..second.clone() };
    assert_eq!(anchor.accept_list(&signed(other_second.envelope(), &[1, 2])).unwrap_err(), TrustError::Mixed(2));
    assert_eq!(anchor.live_list(second.expires).unwrap_err(), TrustError::Expired(second.expires));
    let foreign = KeyList { organisation: OrganisationId::new("0".repeat(64)), version: 3, ..second };
    assert_eq!(anchor.accept_list(&signed(foreign.envelope(), &[1, 2])).unwrap_err(), TrustError::OtherOrganisation);
}

#[test]
fn a_root_is_replaced_by_the_old_and_the_new_keys_together() {
    let mut anchor = anchor();
    anchor.accept_list(&signed(list(anchor.organisation(), 5).envelope(), &[1, 2])).unwrap();
    let second = RootStatement {
        organisation: Some(anchor.organisation().clone()),
        version: 2,
        issued: at(100),
        keys: vec![public(6), public(7)],
        threshold: 1,
        ..first_root()
    };
    assert_eq!(anchor.accept_root(&signed(second.envelope(), &[6])).unwrap_err().code(), "too_few_signatures", "the new alone");
    assert_eq!(
        anchor.accept_root(&signed(second.envelope(), &[1, 2])).unwrap_err().code(),
        "too_few_signatures",
        "the old alone"
    );
    let third = RootStatement { version: 3, ..second.clone() };
    assert_eq!(
        anchor.accept_root(&signed(third.envelope(), &[1, 2, 6])).unwrap_err(),
        TrustError::NotTheNext { held: 1, given: 3 }
    );
    assert_eq!(anchor.accept_root(&signed(second.envelope(), &[1, 2, 6])), Ok(true));
    assert_eq!(anchor.live_list(at(20)).unwrap_err(), TrustError::NoList, "the new root has signed no list yet");
    // What is stored reads back, the old list's version included, so that no older list slips in with the new root.
    let mut anchor: Anchor = serde_json::from_slice(&serde_json::to_vec(&anchor).unwrap()).unwrap();
    let of_new_root = |version| KeyList { root: 2, ..list(anchor.organisation(), version) };
    let (older, newer) = (signed(of_new_root(4).envelope(), &[6]), signed(of_new_root(6).envelope(), &[7]));
    assert_eq!(anchor.accept_list(&older).unwrap_err().code(), "rolled_back");
    assert_eq!(anchor.accept_list(&newer), Ok(true));
    assert_eq!(anchor.accept_root(&signed(first_root().envelope(), &[1, 2])).unwrap_err().code(), "rolled_back");
    assert_eq!(anchor.versions(), (2, 6));
}

#[test]
fn a_changed_file_of_the_anchor_does_not_read() {
    let mut anchor = anchor();
    anchor.accept_list(&signed(list(anchor.organisation(), 1).envelope(), &[1, 2])).unwrap();
    let text = serde_json::to_string(&anchor).unwrap();
    let other = signed(
        KeyList { order: RoleKeys { threshold: 1, keys: vec![public(66)] }, ..list(anchor.organisation(), 1) }.envelope(),
        &[66],
    );
    let stored: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut changed = stored.clone();
    changed["list"] = String::from_utf8(other).unwrap().into();
    let read = serde_json::from_value::<Anchor>(changed);
    assert!(read.is_err() || read.unwrap().live_list(at(20)).is_err());
}

#[test]
fn a_list_dies_by_the_time_that_passed_where_the_clock_is_rewound() {
    let mut anchor = anchor();
    let first = list(anchor.organisation(), 1);
    anchor.accept_list(&signed(first.envelope(), &[1, 2])).unwrap();
    let hours = |hours: u64| std::time::Duration::from_secs(hours * 3_600);
    anchor.held_for(hours(23));
    assert_eq!(anchor.live_list(at(20)).unwrap(), &first);
    anchor.held_for(hours(24));
    assert_eq!(anchor.live_list(at(20)).unwrap_err(), TrustError::Expired(first.expires));
    anchor.held_for(std::time::Duration::MAX);
    assert!(anchor.live_list(at(20)).is_err());
    anchor.held_for(hours(1));
    assert_eq!(anchor.live_list(first.expires).unwrap_err(), TrustError::Expired(first.expires), "either ends it");
    anchor.held_for(hours(24));
    anchor.accept_list(&signed(list(anchor.organisation(), 2).envelope(), &[1, 2])).unwrap();
    assert!(anchor.live_list(at(20)).is_ok(), "the next one is held from now on");
}

#[test]
fn what_is_no_next_root_is_refused_before_any_signature_is_looked_at() {
    let mut anchor = anchor();
    let next = RootStatement { organisation: Some(anchor.organisation().clone()), version: 4, ..first_root() };
    for version in [2, 3] {
        let root = RootStatement { version, ..next.clone() };
        assert_eq!(anchor.accept_root(&signed(root.envelope(), &[1, 2])), Ok(true));
    }
    let other = OrganisationId::new("0".repeat(64));
    for (root, code, is_free) in [
        // The first root names no organisation: another one is another organisation's.
        (first_root(), "other_organisation", true),
        (RootStatement { version: 5, ..next.clone() }, "not_the_next_root", true),
        (RootStatement { version: 2, ..next.clone() }, "rolled_back", true),
        (RootStatement { version: 3, ..next.clone() }, "mixed", true),
        (RootStatement { organisation: Some(other), ..next.clone() }, "other_organisation", true),
        (next, "too_few_signatures", false),
    ] {
        let root = RootStatement { keys: vec![public(99)], threshold: 1, ..root };
        VERIFICATIONS.with(|count| count.set(0));
        let refused = anchor.accept_root(&signed(root.envelope(), &[99])).unwrap_err().code();
        let cost = VERIFICATIONS.with(std::cell::Cell::get);
        assert_eq!((refused, cost == 0), (code, is_free));
    }
}
