//! What stands behind a test packet's base: extra padding, class of service, direct measurement and the HMAC over them (RFC 8972 section 4).
//!
//! The reflector answers in the sender's own bytes: what it understands it fills in, what it does not it marks and sends back, so that a
//! reply is exactly as long as its request.

use super::key::{MAC_BYTES, ReflectorKey};

/// Flags, type and length.
const HEADER: usize = 4;
/// Set by the sender, cleared by a reflector that knows the type.
const UNRECOGNISED: u8 = 0x80;
const MALFORMED: u8 = 0x40;
/// The HMAC over the TLVs does not fit.
const NOT_INTACT: u8 = 0x20;

const PADDING: u8 = 1;
const CLASS_OF_SERVICE: u8 = 4;
const DIRECT_MEASUREMENT: u8 = 5;
const HMAC: u8 = 8;

const CLASS_BYTES: usize = 4;
const MEASUREMENT_BYTES: usize = 12;

/// What a sender asks with each packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// The code point for replies.
    pub(super) dscp: u8,
    /// Packets of the session that the sender sent, this one included.
    pub(super) sent: u32,
}

/// What a reflector told in a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The code point and congestion mark with which the request came.
    pub(super) class: Option<(u8, u8)>,
    /// Packets of the session that the reflector received, and that it sent.
    pub(super) counts: Option<(u32, u32)>,
}

/// What the reflector fills in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The request's traffic class octet, where the system tells it.
    pub(super) traffic_class: Option<u8>,
    pub(super) received: u32,
    pub(super) sent: u32,
}

/// Bytes of the TLVs that [`write`] makes without padding.
pub(super) fn least_bytes(key: Option<&ReflectorKey>) -> usize {
    let seal = if key.is_some() { HEADER + MAC_BYTES } else { 0 };
    HEADER + CLASS_BYTES + HEADER + MEASUREMENT_BYTES + seal
}

/// Writes the TLVs over all that follows the base; what is left is padding. Where less than a header is left it stays zero, which
/// receivers take for the end.
pub(super) fn write(bytes: &mut [u8], base: usize, asked: Asked, key: Option<&ReflectorKey>) {
    let (head, rest) = bytes.split_at_mut(base);
    rest.fill(0);
    let mut at = 0;
    let mut put = |rest: &mut [u8], kind: u8, value: &[u8]| {
        let header = [UNRECOGNISED, kind, (value.len() >> 8) as u8, value.len() as u8];
        if let Some(place) = rest.get_mut(at..at + HEADER + value.len()) {
            place[..HEADER].copy_from_slice(&header);
            place[HEADER..].copy_from_slice(value);
            at += HEADER + value.len();
        }
        at
    };
    put(rest, CLASS_OF_SERVICE, &[asked.dscp << 2, 0, 0, 0]);
    let mut measurement = [0; MEASUREMENT_BYTES];
    measurement[..4].copy_from_slice(&asked.sent.to_be_bytes());
    let mut end = put(rest, DIRECT_MEASUREMENT, &measurement);
    if let Some(key) = key {
        let mac = key.mac(&[&head[..4], &rest[..end]]);
        end = put(rest, HMAC, &mac);
    }
    let left = rest.len() - end;
    if let Some(length) = left.checked_sub(HEADER) {
        rest[end..end + HEADER].copy_from_slice(&[UNRECOGNISED, PADDING, (length >> 8) as u8, length as u8]);
    }
}

/// One TLV's place behind the base.
struct Place {
    start: usize,
    value: usize,
    end: usize,
}

/// The TLVs in their order, up to the first that is longer than what is left.
fn places(rest: &[u8]) -> (Vec<Place>, Option<usize>) {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(header) = rest.get(start..start + HEADER) {
        // Type 0 is reserved: zeros are padding that calls itself nothing.
        if header[1] == 0 {
            break;
        }
        let end = start + HEADER + usize::from(u16::from_be_bytes([header[2], header[3]]));
        if end > rest.len() {
            return (found, Some(start));
        }
        found.push(Place { start, value: start + HEADER, end });
        start = end;
    }
    (found, None)
}

/// What the reflector needs to know of a request's TLVs: the code point that the sender asks for, where it asks for one, and whether they are
/// intact.
pub(super) fn check(bytes: &[u8], base: usize, key: Option<&ReflectorKey>) -> (Option<u8>, bool) {
    let Some(rest) = bytes.get(base..) else { return (None, true) };
    let (found, _) = places(rest);
    let intact = intact(&bytes[..4], rest, &found, key);
    let class = found.iter().find(|place| rest[place.start + 1] == CLASS_OF_SERVICE && place.end - place.value == CLASS_BYTES);
    (class.filter(|_| intact).map(|place| rest[place.value] >> 2), intact)
}

/// Fills the TLVs in, after the base was rewritten: the HMAC covers the reply's own sequence number. `follows` says that the reply is sent
/// with the code point that was asked for.
pub(super) fn answer(bytes: &mut [u8], base: usize, seen: Seen, intact: bool, follows: bool, key: Option<&ReflectorKey>) {
    let Some(rest) = bytes.get(base..) else { return };
    let (found, broken) = places(rest);
    let (head, rest) = bytes.split_at_mut(base);
    for place in &found {
        let value = place.value..place.end;
        let length = value.len();
        let flags = match rest[place.start + 1] {
            _ if !intact => NOT_INTACT,
            PADDING => 0,
            CLASS_OF_SERVICE if length == CLASS_BYTES => {
                let class = seen.traffic_class.unwrap_or(0);
                let asked = rest[place.value] & 0xfc;
                let reverse = u8::from(!follows);
                // DSCP1 and DSCP2 of six bits each, ECN and RP of two.
                rest[place.value] = asked | class >> 6;
                rest[place.value + 1] = (class >> 2 & 0xf) << 4 | (class & 3) << 2 | reverse;
                if seen.traffic_class.is_some() { 0 } else { UNRECOGNISED }
            }
            DIRECT_MEASUREMENT if length == MEASUREMENT_BYTES => {
                rest[place.value + 4..place.value + 8].copy_from_slice(&seen.received.to_be_bytes());
                rest[place.value + 8..place.end].copy_from_slice(&seen.sent.to_be_bytes());
                0
            }
            HMAC if length == MAC_BYTES => {
                if let Some(key) = key {
                    let mac = key.mac(&[&head[..4], &rest[..place.start]]);
                    rest[value].copy_from_slice(&mac);
                }
                0
            }
            CLASS_OF_SERVICE | DIRECT_MEASUREMENT | HMAC => MALFORMED,
            _ => UNRECOGNISED,
        };
        rest[place.start] = flags;
    }
    if let Some(start) = broken {
        rest[start] = MALFORMED;
    }
}

/// What a reply tells, as far as its reflector knew the TLVs.
pub(super) fn read(bytes: &[u8], base: usize, key: Option<&ReflectorKey>) -> Told {
    let mut told = Told::default();
    let Some(rest) = bytes.get(base..) else { return told };
    let (found, _) = places(rest);
    if !intact(&bytes[..4], rest, &found, key) {
        return told;
    }
    for place in found.iter().filter(|place| rest[place.start] & (UNRECOGNISED | MALFORMED | NOT_INTACT) == 0) {
        let value = &rest[place.value..place.end];
        match (rest[place.start + 1], value) {
            (CLASS_OF_SERVICE, [first, second, _, _]) => {
                told.class = Some(((first & 3) << 4 | second >> 4, second >> 2 & 3));
            }
            (DIRECT_MEASUREMENT, [_, _, _, _, r0, r1, r2, r3, t0, t1, t2, t3]) => {
                told.counts = Some((u32::from_be_bytes([*r0, *r1, *r2, *r3]), u32::from_be_bytes([*t0, *t1, *t2, *t3])));
            }
            _ => {}
        }
    }
    told
}

/// Without a key there is nothing to check. With one, TLVs other than padding need their HMAC (RFC 8972 section 4.8).
fn intact(sequence: &[u8], rest: &[u8], found: &[Place], key: Option<&ReflectorKey>) -> bool {
    let Some(key) = key else { return true };
    match found.iter().find(|place| rest[place.start + 1] == HMAC) {
        Some(place) => key.fits(&[sequence, &rest[..place.start]], &rest[place.value..place.end]),
        None => found.iter().all(|place| rest[place.start + 1] == PADDING),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: usize = 44;

    fn key() -> ReflectorKey {
        ReflectorKey::new(b"0123456789abcdef").unwrap()
    }

    fn answered(key: Option<&ReflectorKey>, length: usize, seen: Seen) -> Vec<u8> {
        let mut bytes = vec![0; length];
        write(&mut bytes, BASE, Asked { dscp: 46, sent: 3 }, key);
        let (dscp, intact) = check(&bytes, BASE, key);
        assert_eq!((dscp, intact), (Some(46), true));
        answer(&mut bytes, BASE, seen, intact, true, key);
        assert_eq!(bytes.len(), length, "a reply is as long as its request");
        bytes
    }

    #[test]
    fn the_sender_learns_with_what_class_and_as_which_its_packet_came() {
        let seen = Seen { traffic_class: Some(46 << 2 | 3), received: 17, sent: 16 };
        for key in [None, Some(key())] {
            for padding in [0, 3, 4, 500] {
                let bytes = answered(key.as_ref(), BASE + least_bytes(key.as_ref()) + padding, seen);
                assert_eq!(read(&bytes, BASE, key.as_ref()), Told { class: Some((46, 3)), counts: Some((17, 16)) }, "{padding}");
            }
        }
    }

    #[test]
    fn an_unknown_tlv_comes_back_marked_and_a_broken_one_too() {
        let mut bytes = vec![0; BASE];
        bytes.extend([0x80, 200, 0, 2, 1, 2, 0x80, 4, 0, 200, 9]);
        answer(&mut bytes, BASE, Seen::default(), true, true, None);
        assert_eq!(bytes[BASE..], [0x80, 200, 0, 2, 1, 2, 0x40, 4, 0, 200, 9]);
    }

    #[test]
    fn with_a_key_altered_tlvs_are_not_believed() {
        let key = key();
        let mut bytes = vec![0; BASE + least_bytes(Some(&key))];
        write(&mut bytes, BASE, Asked { dscp: 46, sent: 3 }, Some(&key));
        bytes[BASE + 4] ^= 4;
        assert_eq!(check(&bytes, BASE, Some(&key)), (None, false));
        answer(&mut bytes, BASE, Seen::default(), false, false, Some(&key));
        assert_eq!(read(&bytes, BASE, Some(&key)), Told::default());
    }

    #[test]
    fn a_reflector_that_knows_no_tlv_tells_nothing() {
        let mut bytes = vec![0; BASE + least_bytes(None)];
        write(&mut bytes, BASE, Asked { dscp: 46, sent: 3 }, None);
        assert_eq!(read(&bytes, BASE, None), Told::default());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_the_reply_longer(mut bytes in proptest::collection::vec(any::<u8>(), BASE..300), intact in any::<bool>()) {
            for key in [None, Some(key())] {
                let length = bytes.len();
                let _ = (check(&bytes, BASE, key.as_ref()), read(&bytes, BASE, key.as_ref()));
                answer(&mut bytes, BASE, Seen::default(), intact, true, key.as_ref());
                prop_assert_eq!(bytes.len(), length);
            }
        }
    }
}
