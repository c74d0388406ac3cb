//! The parsers of test packets, one function each.

use super::key::ReflectorKey;
use super::{packet, tlv};

const KEY: &[u8] = b"a key of 24 bytes, shown";

/// A packet as a reflector gets it: open, authenticated, and authenticated with a base that was sealed with the right key.
pub(crate) fn request(bytes: &[u8]) {
    let key = ReflectorKey::new(KEY).ok();
    reflected(bytes, None);
    reflected(bytes, key.as_ref());
    let base = packet::base_bytes(key.as_ref());
    let mut sealed = bytes.to_vec();
    sealed.resize(bytes.len().max(base), 0);
    let request = packet::Request { sequence: 1, sent: 2, error: 3, session: 4 };
    packet::write_request(&mut sealed, &request, key.as_ref());
    assert_eq!(packet::read_request(&sealed, key.as_ref()), Ok(request));
    reflected(&sealed, key.as_ref());
}

fn reflected(bytes: &[u8], key: Option<&ReflectorKey>) {
    let Ok(request) = packet::read_request(bytes, key) else { return };
    let base = packet::base_bytes(key);
    let (class, intact) = tlv::check(bytes, base, key);
    let mut reply = bytes.to_vec();
    let told = packet::Reply { sequence: 7, sent: 8, error: 9, received: 10, request, ttl: 64 };
    packet::write_reply(&mut reply, &told, key);
    let seen = tlv::Seen { traffic_class: class, received: 1, sent: 2 };
    tlv::answer(&mut reply, base, seen, intact, class.is_some(), key);
    assert_eq!(reply.len(), bytes.len(), "a reflector must not amplify");
    self::reply(&reply);
}

/// A packet as a sender gets it.
pub(crate) fn reply(bytes: &[u8]) {
    let key = ReflectorKey::new(KEY).ok();
    for key in [None, key.as_ref()] {
        if packet::read_reply(bytes, key).is_ok() {
            tlv::read(bytes, packet::base_bytes(key), key);
        }
    }
    tlv::read(bytes, packet::base_bytes(None), None);
}
