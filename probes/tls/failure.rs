use super::words::words;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use rustls::{AlertDescription, Error};
use std::io;

/// The failure of reading or writing a stream that may carry TLS.
pub(crate) fn from_io(error: &io::Error, during: Step) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(alert)) => {
            Failure::new(FailureCode::TlsAlert, during, format!("the peer sent the TLS alert {}", alert_name(*alert)))
        }
        Some(error) => Failure::new(FailureCode::ProtocolError, during, words(error)),
        None => Failure::from_io(error, during),
    }
}

/// The alert as RFC 8446 section 6 writes it, with its number: `handshake_failure (40)`.
pub(crate) fn alert_name(alert: AlertDescription) -> String {
    let number = u8::from(alert);
    let AlertDescription::Unknown(_) = alert else {
        return format!("{} ({number})", snake_case(&format!("{alert:?}")));
    };
    number.to_string()
}

/// `UnknownCA` is `unknown_ca`: a word begins at a capital that follows a small letter.
fn snake_case(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    let mut after_small = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && after_small {
            text.push('_');
        }
        after_small = letter.is_ascii_lowercase();
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// The reply as text where it does not begin as a TLS record does (RFC 8446 section 5.1: a content type of 20 to 24, then the major
/// version 3).
pub(crate) fn plain_reply(first: &[u8]) -> Option<String> {
    let like_tls = matches!(first, [] | [20..=24] | [20..=24, 3, ..]);
    (!like_tls).then(|| printable(first))
}

/// Printable ASCII; a dot for everything else.
pub(crate) fn printable(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_has_the_name_of_the_standard() {
        let cases = [
            (AlertDescription::HandshakeFailure, "handshake_failure (40)"),
            (AlertDescription::UnknownCA, "unknown_ca (48)"),
            (AlertDescription::ProtocolVersion, "protocol_version (70)"),
            (AlertDescription::CertificateRequired, "certificate_required (116)"),
            (AlertDescription::Unknown(200), "200"),
        ];
        for (alert, name) in cases {
            let error = io::Error::new(io::ErrorKind::InvalidData, Error::AlertReceived(alert));
            let failure = from_io(&error, Step::Handshake);
            assert_eq!((failure.code, failure.text), (FailureCode::TlsAlert, format!("the peer sent the TLS alert {name}")));
        }
    }

    #[test]
    fn only_what_does_not_begin_like_a_tls_record_is_plain() {
        assert_eq!(plain_reply(b""), None);
        assert_eq!(plain_reply(&[21, 3, 1, 0, 2]), None);
        assert_eq!(plain_reply(b"SSH-2.0-x\r\n").as_deref(), Some("SSH-2.0-x.."));
        assert_eq!(plain_reply(&[22, 9, b'a']).as_deref(), Some("..a"));
    }
}
