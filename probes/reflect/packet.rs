//! Test packets (RFC 8762 section 4.2 and 4.3), open and authenticated, with the session id of RFC 8972 section 3. Total: whatever comes
//! becomes a packet or a reason why it is none.

use super::key::{MAC_BYTES, ReflectorKey};

/// Where the fields of a packet stand, in bytes from its start. The sequence number is at 0 in both modes.
struct Layout {
    sent: usize,
    error: usize,
    session: usize,
    received: usize,
    request_sequence: usize,
    request_sent: usize,
    request_error: usize,
    ttl: usize,
    length: usize,
}

const OPEN: Layout = Layout {
    sent: 4,
    error: 12,
    session: 14,
    received: 16,
    request_sequence: 24,
    request_sent: 28,
    request_error: 36,
    ttl: 40,
    length: 44,
};

const AUTHENTICATED: Layout = Layout {
    sent: 16,
    error: 24,
    session: 26,
    received: 32,
    request_sequence: 48,
    request_sent: 64,
    request_error: 72,
    ttl: 80,
    length: 112,
};

/// The HMAC of an authenticated packet stands behind what it covers.
const COVERED: usize = 96;

/// What a sender writes, as it stands on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) sequence: u32,
    pub(super) sent: u64,
    pub(super) error: u16,
    pub(super) session: u16,
}

/// What a reflector writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) sequence: u32,
    pub(super) sent: u64,
    pub(super) error: u16,
    pub(super) received: u64,
    /// As it came.
    pub(super) request: Request,
    /// What the request's TTL or hop limit was when it came.
    pub(super) ttl: u8,
}

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    TooShort,
    /// The fields that only a reply has are filled: two reflectors would answer each other without end.
    LikeAReply,
    NotAuthentic,
}

fn layout(key: Option<&ReflectorKey>) -> &'static Layout {
    if key.is_some() { &AUTHENTICATED } else { &OPEN }
}

/// Bytes before the TLVs, in either direction.
pub(super) fn base_bytes(key: Option<&ReflectorKey>) -> usize {
    layout(key).length
}

/// Writes a request over the beginning of the bytes, which have to be [`base_bytes`] long at least.
pub(super) fn write_request(bytes: &mut [u8], request: &Request, key: Option<&ReflectorKey>) {
    let at = layout(key);
    bytes[..at.length].fill(0);
    put(bytes, 0, &request.sequence.to_be_bytes());
    put(bytes, at.sent, &request.sent.to_be_bytes());
    put(bytes, at.error, &request.error.to_be_bytes());
    put(bytes, at.session, &request.session.to_be_bytes());
    seal(bytes, key);
}

/// Writes a reply over the beginning of the request that it answers.
pub(super) fn write_reply(bytes: &mut [u8], reply: &Reply, key: Option<&ReflectorKey>) {
    let at = layout(key);
    bytes[..at.length].fill(0);
    put(bytes, 0, &reply.sequence.to_be_bytes());
    put(bytes, at.sent, &reply.sent.to_be_bytes());
    put(bytes, at.error, &reply.error.to_be_bytes());
    put(bytes, at.session, &reply.request.session.to_be_bytes());
    put(bytes, at.received, &reply.received.to_be_bytes());
    put(bytes, at.request_sequence, &reply.request.sequence.to_be_bytes());
    put(bytes, at.request_sent, &reply.request.sent.to_be_bytes());
    put(bytes, at.request_error, &reply.request.error.to_be_bytes());
    bytes[at.ttl] = reply.ttl;
    seal(bytes, key);
}

/// # Errors
/// Where the bytes are no request.
pub(super) fn read_request(bytes: &[u8], key: Option<&ReflectorKey>) -> Result<Request, Unread> {
    let at = layout(key);
    let Some(base) = bytes.get(..at.length) else { return Err(Unread::TooShort) };
    check(base, key)?;
    let end = if key.is_some() { COVERED } else { at.length };
    if base[at.received..end].iter().any(|byte| *byte != 0) {
        return Err(Unread::LikeAReply);
    }
    Ok(Request {
        sequence: u32_at(base, 0),
        sent: u64_at(base, at.sent),
        error: u16_at(base, at.error),
        session: u16_at(base, at.session),
    })
}

/// # Errors
/// Where the bytes are no reply.
pub(super) fn read_reply(bytes: &[u8], key: Option<&ReflectorKey>) -> Result<Reply, Unread> {
    let at = layout(key);
    let Some(base) = bytes.get(..at.length) else { return Err(Unread::TooShort) };
    check(base, key)?;
    let request = Request {
        sequence: u32_at(base, at.request_sequence),
        sent: u64_at(base, at.request_sent),
        error: u16_at(base, at.request_error),
        session: u16_at(base, at.session),
    };
    Ok(Reply {
        sequence: u32_at(base, 0),
        sent: u64_at(base, at.sent),
        error: u16_at(base, at.error),
        received: u64_at(base, at.received),
        request,
        ttl: base[at.ttl],
    })
}

fn seal(bytes: &mut [u8], key: Option<&ReflectorKey>) {
    if let Some(key) = key {
        let mac = key.mac(&[&bytes[..COVERED]]);
        put(bytes, COVERED, &mac);
    }
}

fn check(base: &[u8], key: Option<&ReflectorKey>) -> Result<(), Unread> {
    match key {
        Some(key) if !key.fits(&[&base[..COVERED]], &base[COVERED..COVERED + MAC_BYTES]) => Err(Unread::NotAuthentic),
        _ => Ok(()),
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> ReflectorKey {
        ReflectorKey::new(b"0123456789abcdef").unwrap()
    }

    fn reply() -> Reply {
        let request = Request { sequence: 7, sent: 0x1112_1314_1516_1718, error: 0x2122, session: 0x3132 };
        Reply { sequence: 9, sent: 0x4142_4344_4546_4748, error: 0x5152, received: 0x6162_6364_6566_6768, request, ttl: 61 }
    }

    #[test]
    fn fields_stand_where_the_standard_puts_them() {
        let mut open = [0xff; 44];
        write_reply(&mut open, &reply(), None);
        let expected = [
            0, 0, 0, 9, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x51, 0x52, 0x31, 0x32, 0x61, 0x62, 0x63, 0x64, 0x65,
            0x66, 0x67, 0x68, 0, 0, 0, 7, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x21, 0x22, 0, 0, 61, 0, 0, 0,
        ];
        assert_eq!(open, expected);
        let mut sealed = [0xff; 112];
        write_reply(&mut sealed, &reply(), Some(&key()));
        assert_eq!((sealed[16], sealed[32], sealed[51], sealed[64], sealed[72], sealed[80]), (0x41, 0x61, 7, 0x11, 0x21, 61));
        assert_eq!(sealed[96..], key().mac(&[&sealed[..96]]));
    }

    #[test]
    fn a_packet_altered_or_sealed_with_another_key_is_not_authentic() {
        let mut bytes = [0; 112];
        write_request(&mut bytes, &reply().request, Some(&key()));
        assert_eq!(read_request(&bytes, Some(&key())), Ok(reply().request));
        let other = ReflectorKey::new(b"fedcba9876543210").unwrap();
        assert_eq!(read_request(&bytes, Some(&other)), Err(Unread::NotAuthentic));
        bytes[3] ^= 1;
        assert_eq!(read_request(&bytes, Some(&key())), Err(Unread::NotAuthentic));
    }

    #[test]
    fn a_reply_is_never_taken_for_a_request() {
        for key in [None, Some(key())] {
            let mut bytes = vec![0; base_bytes(key.as_ref())];
            write_reply(&mut bytes, &reply(), key.as_ref());
            assert_eq!(read_request(&bytes, key.as_ref()), Err(Unread::LikeAReply));
            assert!(read_request(&bytes[1..], None).is_err());
            assert_eq!(read_request(&bytes[..bytes.len() - 1], key.as_ref()), Err(Unread::TooShort));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(sequence in any::<u32>(), sent in any::<u64>(), received in any::<u64>(), error in any::<u16>(), ttl in any::<u8>()) {
            let request = Request { sequence, sent, error, session: error ^ 0x55 };
            let reply = Reply { sequence: !sequence, sent: !sent, error: !error, received, request, ttl };
            for key in [None, Some(key())] {
                let mut bytes = vec![0xee; base_bytes(key.as_ref()) + 5];
                write_request(&mut bytes, &request, key.as_ref());
                prop_assert_eq!(read_request(&bytes, key.as_ref()), Ok(request));
                write_reply(&mut bytes, &reply, key.as_ref());
                prop_assert_eq!(read_reply(&bytes, key.as_ref()), Ok(reply));
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for key in [None, Some(key())] {
                let _ = (read_request(&bytes, key.as_ref()), read_reply(&bytes, key.as_ref()));
            }
        }
    }
}
