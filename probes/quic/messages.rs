//! What both sides agreed on, read off the server's TLS messages (RFC 8446 section 4, RFC 9001 section 8.2).

use netsonde_contract::observation::QuicParameters;

const SERVER_HELLO: u8 = 2;
const ENCRYPTED_EXTENSIONS: u8 = 8;
const EXTENSION_ALPN: u16 = 16;
const EXTENSION_KEY_SHARE: u16 = 51;
const EXTENSION_TRANSPORT_PARAMETERS: u16 = 57;

/// What the messages say, as far as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) cipher: Option<u16>,
    pub(super) group: Option<u16>,
    pub(super) alpn: Option<Vec<u8>>,
    pub(super) parameters: Option<QuicParameters>,
}

/// Reads the messages up to the first that is not whole. A later hello takes the place of a HelloRetryRequest.
pub(super) fn read(mut bytes: &[u8]) -> Agreed {
    let mut agreed = Agreed::default();
    while let Some((kind, body, rest)) = message(bytes) {
        let understood = match kind {
            SERVER_HELLO => server_hello(body, &mut agreed),
            ENCRYPTED_EXTENSIONS => encrypted_extensions(body, &mut agreed),
            _ => Some(()),
        };
        if understood.is_none() {
            break;
        }
        bytes = rest;
    }
    agreed
}

fn message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let length = usize::from(*bytes.get(1)?) << 16 | usize::from(*bytes.get(2)?) << 8 | usize::from(*bytes.get(3)?);
    Some((bytes[0], bytes.get(4..4 + length)?, &bytes[4 + length..]))
}

/// RFC 8446 section 4.1.3: version, random, session id, suite, compression, extensions.
fn server_hello(body: &[u8], agreed: &mut Agreed) -> Option<()> {
    let session_id = usize::from(*body.get(34)?);
    let after = body.get(35 + session_id..)?;
    agreed.cipher = Some(number(after)?);
    for (kind, value) in extensions(after.get(3..)?)? {
        if kind == EXTENSION_KEY_SHARE {
            agreed.group = number(value);
        }
    }
    Some(())
}

fn encrypted_extensions(body: &[u8], agreed: &mut Agreed) -> Option<()> {
    for (kind, value) in extensions(body)? {
        match kind {
            // A list with one name (RFC 7301 section 3.1).
            EXTENSION_ALPN => agreed.alpn = value.get(3..3 + usize::from(*value.get(2)?)).map(<[u8]>::to_vec),
            EXTENSION_TRANSPORT_PARAMETERS => agreed.parameters = parameters(value),
            _ => {}
        }
    }
    Some(())
}

/// None where the list breaks its own lengths.
fn extensions(bytes: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut rest = bytes.get(2..2 + usize::from(number(bytes)?))?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = usize::from(number(rest.get(2..)?)?);
        found.push((number(rest)?, rest.get(4..4 + length)?));
        rest = &rest[4 + length..];
    }
    Some(found)
}

fn number(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]))
}

/// RFC 9000 section 18: identifiers, lengths and values, all of variable length.
fn parameters(mut bytes: &[u8]) -> Option<QuicParameters> {
    let mut read = QuicParameters::default();
    while !bytes.is_empty() {
        let (identifier, rest) = variable(bytes)?;
        let (length, rest) = variable(rest)?;
        let length = usize::try_from(length).ok()?;
        let value = rest.get(..length)?;
        let whole = variable(value).map(|(number, _)| number);
        match identifier {
            0x01 => read.max_idle_timeout_ms = whole?,
            0x03 => read.max_udp_payload_bytes = Some(whole?),
            0x04 => read.initial_max_data_bytes = whole?,
            0x08 => read.initial_max_streams_bidi = whole?,
            0x09 => read.initial_max_streams_uni = whole?,
            0x0b => read.max_ack_delay_ms = Some(whole?),
            0x0c => read.disable_active_migration = true,
            0x0d => read.preferred_address = true,
            0x20 => read.max_datagram_frame_bytes = Some(whole?),
            _ => {}
        }
        bytes = &rest[length..];
    }
    Some(read)
}

/// A number of 1, 2, 4 or 8 bytes, by its first two bits (RFC 9000 section 16).
fn variable(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let first = *bytes.first()?;
    let length = 1 << (first >> 6);
    let read = bytes.get(..length)?;
    let value = read[1..].iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, &bytes[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind], &u32::try_from(body.len()).unwrap().to_be_bytes()[1..], body].concat()
    }

    fn hello(cipher: u16, group: u16) -> Vec<u8> {
        let share = [&51_u16.to_be_bytes()[..], &[0, 2], &group.to_be_bytes()].concat();
        framed(
            2,
            &[&[3, 3], &[9; 32][..], &[0], &cipher.to_be_bytes(), &[0], &[0, u8::try_from(share.len()).unwrap()], &share]
                .concat(),
        )
    }

    #[test]
    fn the_hello_after_a_retry_request_counts() {
        let bytes = [hello(0x1302, 0x11ec), hello(0x1302, 0x001d)].concat();
        let agreed = read(&bytes);
        assert_eq!((agreed.cipher, agreed.group, agreed.alpn), (Some(0x1302), Some(0x001d), None));
    }

    #[test]
    fn protocol_and_parameters_are_read_from_the_extensions() {
        let parameters = [0x01, 2, 0x75, 0x30, 0x0c, 0, 0x20, 1, 9, 0x1b, 1, 0];
        let extensions = [&[0, 16, 0, 5, 0, 3, 2, b'h', b'3'], &[0, 57, 0, 12][..], &parameters].concat();
        let body = [&u16::try_from(extensions.len()).unwrap().to_be_bytes()[..], &extensions].concat();
        let agreed = read(&[hello(0x1301, 29), framed(8, &body)].concat());
        assert_eq!(agreed.alpn.as_deref(), Some(&b"h3"[..]));
        let expected = QuicParameters {
            max_idle_timeout_ms: 0x3530,
            disable_active_migration: true,
            max_datagram_frame_bytes: Some(9),
            ..QuicParameters::default()
        };
        assert_eq!(agreed.parameters, Some(expected));
    }

    proptest! {
        #[test]
        fn no_messages_make_the_reader_panic(kind in 0_u8..12, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            read(&framed(kind, &body));
            read(&body);
        }
    }
}
