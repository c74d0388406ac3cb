//! Which other protocol bytes belong to.

/// How protocols begin that do not look like the one that was asked for. The first that fits is taken.
const BEGINNINGS: [(&[u8], &str); 17] = [
    (b"HTTP/", "HTTP"),
    (b"<!DOCTYPE", "HTTP"),
    (b"<html", "HTTP"),
    (b"<HTML", "HTTP"),
    (b"SSH-", "SSH"),
    (b"* OK", "IMAP"),
    (b"* PREAUTH", "IMAP"),
    (b"+OK", "POP3"),
    (b"+PONG", "Redis"),
    (b"-ERR", "Redis or POP3"),
    (b"-NOAUTH", "Redis"),
    (b"-DENIED", "Redis"),
    (b"RFB ", "VNC"),
    (b"AMQP", "AMQP"),
    (b"@RSYNCD", "rsync"),
    (b"ICY ", "HTTP"),
    (b"\xff\xfb", "Telnet"),
];

/// A TLS record: alert, handshake (RFC 8446 section 5.1), with its version.
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [21 | 22, 3, 0..=4, ..])
}

/// The greeting of MySQL: packet number 0, protocol 10, and a version that begins with a digit.
fn is_mysql(bytes: &[u8]) -> bool {
    matches!(bytes, [_, 0, 0, 0, 10, b'0'..=b'9', ..] | [_, 0, 0, 0, 0xff, _, 4, ..])
}

/// Lines that begin with `220`: mail servers and file servers greet alike, and usually say which they are.
fn greeting(bytes: &[u8]) -> Option<&'static str> {
    let numbered = matches!(bytes, [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..]);
    let text = String::from_utf8_lossy(bytes).to_ascii_uppercase();
    match (numbered, text.contains("SMTP"), text.contains("FTP")) {
        (false, ..) => None,
        (true, true, false) => Some("SMTP"),
        (true, false, true) => Some("FTP"),
        _ => Some("SMTP or FTP"),
    }
}

/// The protocol that the bytes begin in; none where they are of no protocol known here.
pub(super) fn name(bytes: &[u8]) -> Option<&'static str> {
    // A web server that expects TLS says so in the clear.
    if bytes.starts_with(b"HTTP/") && contains(bytes, b"HTTP request was sent to HTTPS port") {
        return Some("HTTPS");
    }
    if is_tls(bytes) {
        return Some("TLS");
    }
    if is_mysql(bytes) {
        return Some("MySQL");
    }
    BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning)).map(|(_, name)| *name).or_else(|| greeting(bytes))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::name;
    use proptest::prelude::*;

    #[test]
    fn well_known_beginnings_are_named_and_others_are_not() {
        for (bytes, expected) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], Some("HTTP")),
            (b"SSH-2.0-x", Some("SSH")),
            (&[21, 3, 1, 0, 2, 2, 10], Some("TLS")),
            (b"220 mx.example ESMTP Postfix", Some("SMTP")),
            (b"220 (vsFTPd 3.0.3)", Some("FTP")),
            (b"220 hello", Some("SMTP or FTP")),
            (b"\x4a\0\0\0\x0a8.0.36\0", Some("MySQL")),
            (b"a lathe", None),
            (b"", None),
        ] {
            assert_eq!(name(bytes), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            name(&bytes);
        }
    }
}
