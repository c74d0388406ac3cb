use super::Version;
use rustls::AlertDescription;

/// What a server's first flight says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tls) enum Answer {
    /// It chose; a HelloRetryRequest counts, as it names version and suite as well.
    Hello { version: Version, suite: u16 },
    /// It refused.
    Alert(AlertDescription),
    /// The bytes are no TLS.
    NotTls,
    /// The bytes begin as TLS and break its rules.
    Broken,
}

/// More than any server's hello: one that is longer is not read to its end. A record has at most 16 KiB (RFC 8446 section 5.1).
pub(in crate::tls) const MAX_ANSWER_BYTES: usize = 20 * 1024;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const WARNING: u8 = 1;
const CLOSE_NOTIFY: u8 = 0;
const HELLO_REQUEST: u8 = 0;
const SERVER_HELLO: u8 = 2;
const SUPPORTED_VERSIONS: u16 = 43;

/// The answer in what has come so far; none where more has to come.
pub(in crate::tls) fn read(received: &[u8]) -> Option<Answer> {
    let mut rest = received;
    let mut handshake = Vec::new();
    loop {
        match *rest.get(..2)? {
            [20..=24, 3] => {}
            _ => return Some(Answer::NotTls),
        }
        let kind = rest[0];
        let length = usize::from(u16::from_be_bytes([*rest.get(3)?, *rest.get(4)?]));
        let body = &rest[5..];
        // A record may come in parts, and a hello may be complete before its record is: certificates follow in the same one.
        let whole = body.len() >= length;
        let body = &body[..body.len().min(length)];
        match kind {
            ALERT => match *body.get(..2)? {
                // Such as "unrecognized name", after which the hello comes all the same (RFC 6066 section 3).
                [WARNING, description] if description != CLOSE_NOTIFY => {}
                [_, description] => return Some(Answer::Alert(AlertDescription::from(description))),
                _ => return Some(Answer::Broken),
            },
            HANDSHAKE => {
                handshake.extend_from_slice(body);
                if let Some(answer) = first_message(&handshake) {
                    return Some(answer);
                }
            }
            _ => return Some(Answer::Broken),
        }
        if !whole {
            return None;
        }
        rest = &rest[5 + length..];
    }
}

/// The first handshake message that says something, where it is complete.
fn first_message(mut bytes: &[u8]) -> Option<Answer> {
    loop {
        let header = bytes.get(..4)?;
        let length = usize::from(header[1]) << 16 | usize::from(header[2]) << 8 | usize::from(header[3]);
        match header[0] {
            HELLO_REQUEST if length == 0 => bytes = &bytes[4..],
            SERVER_HELLO if length <= MAX_ANSWER_BYTES => {
                return Some(server_hello(bytes.get(4..4 + length)?).unwrap_or(Answer::Broken));
            }
            _ => return Some(Answer::Broken),
        }
    }
}

/// RFC 8446 section 4.1.3; the version stands in an extension where it is 1.3.
fn server_hello(body: &[u8]) -> Option<Answer> {
    let number = |bytes: &[u8]| Some(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
    let mut version = number(body)?;
    let session_id = usize::from(*body.get(34)?);
    let after = body.get(35 + session_id..)?;
    let suite = number(after)?;
    let mut extensions = match after.get(3..)? {
        [] => &[][..],
        list => list.get(2..2 + usize::from(number(list)?))?,
    };
    while !extensions.is_empty() {
        let (kind, length) = (number(extensions)?, usize::from(number(extensions.get(2..)?)?));
        let value = extensions.get(4..4 + length)?;
        if kind == SUPPORTED_VERSIONS {
            version = number(value)?;
        }
        extensions = &extensions[4 + length..];
    }
    Some(Answer::Hello { version: Version(version), suite })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[kind, 3, 3], &length[..], body].concat()
    }

    fn hello(suite: u16, extensions: Option<&[u8]>) -> Vec<u8> {
        let mut body = [&[3, 3], &[9; 32][..], &[0], &suite.to_be_bytes()[..], &[0]].concat();
        if let Some(extensions) = extensions {
            body.extend_from_slice(&u16::try_from(extensions.len()).unwrap().to_be_bytes());
            body.extend_from_slice(extensions);
        }
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[SERVER_HELLO], &length[1..], &body].concat()
    }

    const SAYS_13: [u8; 6] = [0, 43, 0, 2, 3, 4];

    #[test]
    fn the_version_of_the_extension_counts() {
        let old = record(HANDSHAKE, &hello(0xc02f, None));
        assert_eq!(read(&old), Some(Answer::Hello { version: Version::TLS12, suite: 0xc02f }));
        let new = record(HANDSHAKE, &hello(0x1301, Some(&SAYS_13)));
        assert_eq!(read(&new), Some(Answer::Hello { version: Version::TLS13, suite: 0x1301 }));
    }

    #[test]
    fn a_hello_over_several_records_after_a_warning_is_put_together() {
        let hello = hello(0x1301, Some(&SAYS_13));
        let bytes = [record(ALERT, &[1, 112]), record(HANDSHAKE, &hello[..10]), record(HANDSHAKE, &hello[10..])].concat();
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(read(&bytes), Some(Answer::Hello { version: Version::TLS13, suite: 0x1301 }));
    }

    #[test]
    fn a_refusal_is_named_and_a_banner_is_no_tls() {
        assert_eq!(read(&record(ALERT, &[2, 70])), Some(Answer::Alert(AlertDescription::ProtocolVersion)));
        assert_eq!(read(b"HTTP/1.1 400 Bad Request"), Some(Answer::NotTls));
        assert_eq!(read(b"220 mail ESMTP"), Some(Answer::NotTls));
        assert_eq!(read(&record(HANDSHAKE, &[11, 0, 0, 0])), Some(Answer::Broken));
        let cut_extension = hello(0x1301, Some(&[0, 43, 0, 9, 3, 4]));
        assert_eq!(read(&record(HANDSHAKE, &cut_extension)), Some(Answer::Broken));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            read(&bytes);
        }

        #[test]
        fn no_record_makes_the_reader_panic(kind in 20_u8..25, message in 0_u8..4, body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let length = u32::try_from(body.len()).unwrap().to_be_bytes();
            read(&record(kind, &[&[message], &length[1..], &body[..]].concat()));
            read(&record(kind, &body));
        }

        #[test]
        fn more_bytes_never_change_an_answer(cut in 0_usize..60, tail in proptest::collection::vec(any::<u8>(), 0..50)) {
            let whole = [record(HANDSHAKE, &hello(0xc02f, None)), tail].concat();
            if let Some(answer) = read(&whole[..cut.min(whole.len())]) {
                prop_assert_eq!(Some(answer), read(&whole));
            }
        }
    }
}
