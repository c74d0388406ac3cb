use super::expectation::Expectation;
use super::proxy::SocksAnswer;
use super::tcp::{ConnectAttempt, TcpState};
use super::tls::Handshake;
use super::transfer::{RangeAnswer, Transfer};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// One HTTP request and its response. A redirect that is followed is an exchange of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exchange {
    /// The URL that was asked for.
    pub url: String,
    /// The request method (RFC 9110 section 9).
    pub method: String,
    /// Which request of the chain, from 0: each redirect adds one.
    pub redirect: u32,
    #[serde(default, skip_serializing_if = "ExchangePurpose::is_question")]
    pub purpose: ExchangePurpose,
    /// The address that was connected to: the proxy's where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// The local address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// The proxy that the request went through, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// The handshake with an https proxy itself, where this exchange made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_tls: Option<Box<Handshake>>,
    /// What a SOCKS proxy said before anything was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socks: Option<SocksAnswer>,
    /// Why it went through the proxy, or directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<ProxyReason>,
    /// `HTTP/1.1` or `HTTP/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The status code (RFC 9110 section 15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The status is one that was expected.
    pub expected: bool,
    /// Everything that was expected of the answer, where more than the usual statuses was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expectations: Vec<Expectation>,
    /// The headers that were kept, in their order; values that could tell a secret are left out.
    #[serde(default)]
    pub headers: Vec<Header>,
    /// Where the response sends the client, made absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// This URL was already asked for in this chain, or the chain reached its bound.
    #[serde(default)]
    pub redirect_stopped: Option<String>,
    pub phases: Phases,
    /// Every attempt at a connection, where more than one address was tried or one failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<ConnectAttempt>,
    /// Bytes of the whole request and of the whole response, heads and framing included, without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_bytes: Option<u64>,
    /// Bytes of the whole answer as they came, heads included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<u64>,
    /// Bytes of the body that were read.
    pub body_bytes: u64,
    /// The body was longer than the bound of bytes or time and was cut.
    #[serde(default)]
    pub body_cut: bool,
    /// SHA-256 of the body as far as it was read, lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_sha256: Option<String>,
    /// How the body came in, or, of an upload, went out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Box<Transfer>>,
    /// What the kernel knew of the connection at its end: to the proxy where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_close: Option<Box<TcpState>>,
    /// SHA-256 of the server's certificate, lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
    /// The handshake of an exchange beside the question; that of the question itself is a fact of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<Handshake>>,
    /// The server's own account of its time (Server-Timing).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_timing: Vec<ServerTiming>,
    /// Other ways to the server that it offers (Alt-Svc, RFC 7838).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
    /// The server wants to be reached by https only (HSTS, RFC 6797).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict_transport: Option<StrictTransport>,
    /// What became of the request for a part of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<RangeAnswer>,
    /// Which request headers arrived, as the echo endpoint tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echoed: Option<Box<EchoedHeaders>>,
    /// The filter whose block page it is, where the page's first words are known; the page itself is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_page: Option<String>,
    /// The first bytes of a reply that is not HTTP, as printable ASCII, at most 64 of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_reply: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Why a request was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExchangePurpose {
    /// It is what the check asks.
    #[default]
    Question,
    /// The same the other way: without the proxy, or through it.
    Compared,
    /// A URL whose answer is known.
    KnownAnswer,
    /// An endpoint that tells which request headers reached it.
    HeaderEcho,
    /// A part of the body.
    Range,
    /// Generated bytes, posted to measure the way up.
    Upload,
    /// A proxy auto-configuration script (PAC).
    ProxyScript,
    /// Another one, which this version has no word for.
    #[serde(other)]
    Other,
}

/// Why a request went through a proxy, or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyReason {
    /// A person named the proxy.
    Given,
    /// The environment names the proxy (`HTTPS_PROXY` and the like).
    Environment,
    /// A person said that no proxy is to be used.
    Declined,
    /// The environment names a proxy and excepts this host (`NO_PROXY`), or names none for this scheme.
    Excepted,
    /// There is no proxy.
    NoneSet,
    /// To compare with the way of the question.
    Comparison,
    /// It is the script that names the proxies: programs fetch it directly.
    Script,
    /// Another one, which this version has no word for.
    #[serde(other)]
    Other,
}

/// How long each phase took; none for a phase that was not reached or not needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phases {
    /// Until the name was resolved, in microseconds.
    pub resolve_us: Option<u64>,
    /// From the first attempt at a TCP connection, at whichever address, until one stood or all had failed, in microseconds.
    pub connect_us: Option<u64>,
    /// The conversation with a SOCKS or https proxy before anything can be asked through it; a CONNECT is an exchange of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_us: Option<u64>,
    /// Until the TLS handshake was over, in microseconds.
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
    /// Its name, in lower case.
    pub name: String,
    /// Its value, as far as it is kept.
    pub value: String,
}

/// One metric of the Server-Timing header. Its description is not kept: nobody knows what a server writes there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerTiming {
    /// The metric's name.
    pub name: String,
    /// Its duration, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
}

/// One way of the Alt-Svc header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alternative {
    /// `h3`, `h2` …
    pub protocol: String,
    /// Another host than the one asked; none where it is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port that it is offered at.
    pub port: u16,
    /// How long the offer stands, in seconds.
    pub max_age_s: u64,
}

/// The Strict-Transport-Security header. It counts only over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StrictTransport {
    /// How long it holds, in seconds (RFC 6797 section 6.1.1).
    pub max_age_s: u64,
    /// It holds for subdomains too (RFC 6797 section 6.1.2).
    pub include_subdomains: bool,
    /// The site wants to be preloaded.
    pub preload: bool,
}

/// The headers of a request as they reached an echo endpoint. Host and the headers of the connection are not compared: every server
/// in front of another sets its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EchoedHeaders {
    /// How many were sent that should arrive as they were.
    pub sent: u32,
    /// Names of headers that did not arrive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// Headers that arrived with another value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<ChangedHeader>,
    /// Headers that were not sent. Servers in front of others add some, such as `x-forwarded-for`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Header>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedHeader {
    /// Its name.
    pub name: String,
    /// Its value as it was sent.
    pub sent: String,
    /// Its value as it arrived.
    pub got: String,
}

/// The last answers of the two ways to a URL, compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The URL that was asked for.
    pub url: String,
    /// The proxy of the one way; the other is direct.
    pub proxy: String,
    pub proxied: ComparedAnswer,
    pub direct: ComparedAnswer,
    /// Both answers have the same status.
    pub same_status: bool,
    /// The bodies are the same; none where one of them was not read whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_body: Option<bool>,
    /// The server's certificate is the same; none where one way was without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_certificate: Option<bool>,
    /// Names of headers of one way only, or with other values. Those that always differ (`date`, `age`) are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers_proxied_only: Vec<String>,
    /// Names of headers that only the direct answer has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers_direct_only: Vec<String>,
    /// Names of headers whose values differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers_changed: Vec<String>,
}

/// One way's last answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComparedAnswer {
    /// The status code (RFC 9110 section 15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// SHA-256 of the body, lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_sha256: Option<String>,
    /// Bytes of the body that were read.
    pub body_bytes: u64,
    /// SHA-256 of the server's certificate, lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
    /// Until the first byte of the answer, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    /// All requests of the chain, from the first name to the last byte.
    pub took_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl ExchangePurpose {
    pub fn is_question(&self) -> bool {
        *self == Self::Question
    }
}

impl Exchange {
    /// The value of the first header of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    }

    /// What was expected of the answer and is not so.
    pub fn unmet(&self) -> impl Iterator<Item = &Expectation> {
        self.expectations.iter().filter(|expectation| !expectation.met)
    }
}
