//! Hellos of our own, for what a library does not offer any more: versions back to 1.0, and one cipher suite after the other.
//!
//! Only the first flight is spoken: a ClientHello goes out, a ServerHello or an alert comes back, and the connection ends there. No
//! key is ever agreed on, so that nothing here needs cryptography; the key share of TLS 1.3 is 32 random bytes, which are a valid
//! X25519 key (RFC 7748 section 5), and a server that wants another group says so with a HelloRetryRequest, which answers the
//! question as well.

/// What the client sends.
mod client;
/// What the server answers.
mod server;
/// Cipher suites by number, name and version.
mod suites;

pub(super) use client::Offer;
pub(super) use server::{Answer, MAX_ANSWER_BYTES, read};
pub(super) use suites::{name as suite_name, of as suites_of};

/// A version of the protocol, by its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u16);

impl Version {
    pub(super) const TLS10: Self = Self(0x0301);
    pub(super) const TLS11: Self = Self(0x0302);
    pub(super) const TLS12: Self = Self(0x0303);
    pub(super) const TLS13: Self = Self(0x0304);
    pub(super) const ALL: [Self; 4] = [Self::TLS10, Self::TLS11, Self::TLS12, Self::TLS13];

    /// As rustls and the handshake fact write it.
    pub(super) fn name(self) -> String {
        match self {
            Self::TLS10 => "TLSv1.0".to_owned(),
            Self::TLS11 => "TLSv1.1".to_owned(),
            Self::TLS12 => "TLSv1.2".to_owned(),
            Self::TLS13 => "TLSv1.3".to_owned(),
            Self(number) => format!("0x{number:04x}"),
        }
    }
}
