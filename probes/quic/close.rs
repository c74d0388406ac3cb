//! How a connection ended, as a fact and as a failure (RFC 9000 section 20).

use crate::tls::failure::printable;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::QuicClose;
use quinn_proto::{ConnectionError, TransportErrorCode};

/// A reason is a sentence; this keeps a crafted one from filling the bundle.
pub(super) const MAX_REASON_BYTES: usize = 128;

/// RFC 9000 section 20.1: a TLS alert stands in the last byte of these.
const CRYPTO_ERRORS: std::ops::RangeInclusive<u64> = 0x100..=0x1ff;

/// The frame with which the server closed; none where something else ended the connection.
pub(super) fn of(error: &ConnectionError) -> Option<QuicClose> {
    match error {
        ConnectionError::ConnectionClosed(close) => {
            let code = u64::from(close.error_code);
            Some(QuicClose { application: false, code, name: name(close.error_code), reason: reason(&close.reason) })
        }
        ConnectionError::ApplicationClosed(close) => {
            Some(QuicClose { application: true, code: close.error_code.into_inner(), name: None, reason: reason(&close.reason) })
        }
        _ => None,
    }
}

pub(super) fn failure(error: &ConnectionError, during: Step) -> Failure {
    let with = |code, text: String| Failure::new(code, during, text);
    match error {
        ConnectionError::VersionMismatch => {
            with(FailureCode::Other("version_mismatch".into()), "the server speaks no version of QUIC that this one does".into())
        }
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code.into()) {
            Some(alert) => with(FailureCode::TlsAlert, format!("the peer sent the TLS alert {alert}")),
            None => {
                let name = name(close.error_code).unwrap_or_else(|| format!("0x{:x}", u64::from(close.error_code)));
                with(FailureCode::Closed, format!("the server closed the connection: {name}{}", said(&close.reason)))
            }
        },
        ConnectionError::ApplicationClosed(close) => {
            let text =
                format!("the server's application closed the connection: code {}{}", close.error_code, said(&close.reason));
            with(FailureCode::Closed, text)
        }
        ConnectionError::TransportError(error) => with(FailureCode::ProtocolError, error.to_string()),
        ConnectionError::Reset => with(FailureCode::Reset, "the server does not know the connection (stateless reset)".into()),
        ConnectionError::TimedOut => with(FailureCode::TimedOut, "the connection fell silent".into()),
        ConnectionError::LocallyClosed | ConnectionError::CidsExhausted => with(FailureCode::Closed, error.to_string()),
    }
}

fn alert(code: u64) -> Option<String> {
    let number = CRYPTO_ERRORS.contains(&code).then_some((code & 0xff) as u8)?;
    Some(crate::tls::failure::alert_name(number.into()))
}

/// The name of RFC 9000 section 20.1.
fn name(code: TransportErrorCode) -> Option<String> {
    if let Some(alert) = alert(code.into()) {
        return Some(format!("CRYPTO_ERROR {alert}"));
    }
    // The library's own names are those of the standard; what has none is shown as `Code(…)`.
    Some(format!("{code:?}")).filter(|name| !name.starts_with("Code"))
}

pub(super) fn reason(bytes: &[u8]) -> String {
    printable(&bytes[..bytes.len().min(MAX_REASON_BYTES)])
}

fn said(bytes: &[u8]) -> String {
    if bytes.is_empty() { String::new() } else { format!(" ({})", reason(bytes)) }
}
