use crate::failure::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// One HTTP request and its response. A redirect that is followed is an exchange of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exchange {
    pub url: String,
    pub method: String,
    /// Which request of the chain, from 0: each redirect adds one.
    pub redirect: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// The proxy that the request went through, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// `HTTP/1.1` or `HTTP/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The status is one that was expected.
    pub expected: bool,
    #[serde(default)]
    pub headers: Vec<Header>,
    /// Where the response sends the client, made absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// This URL was already asked for in this chain, or the chain reached its bound.
    #[serde(default)]
    pub redirect_stopped: Option<String>,
    pub phases: Phases,
    pub body_bytes: u64,
    /// The body was longer than the bound and was cut.
    #[serde(default)]
    pub body_cut: bool,
    /// SHA-256 of the body as far as it was read, lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_sha256: Option<String>,
    /// The first bytes of a reply that is not HTTP, as printable ASCII, at most 64 of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_reply: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// How long each phase took; none for a phase that was not reached or not needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phases {
    pub resolve_us: Option<u64>,
    pub connect_us: Option<u64>,
    pub tls_us: Option<u64>,
    /// Writing the request.
    pub send_us: Option<u64>,
    /// From the request's last byte to the response's first.
    pub first_byte_us: Option<u64>,
    /// From the response's head to the end of its body.
    pub body_us: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    pub name: String,
    pub value: String,
}

impl Exchange {
    /// The value of the first header of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    }
}
