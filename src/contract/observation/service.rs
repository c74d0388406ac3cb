use super::tcp::{ConnectAttempt, TcpState};
use crate::failure::Failure;
use crate::kind::ServiceProtocol;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What one service at one address said of itself, before anybody signed in. All texts are on one line and bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// The host as it was asked for.
    pub host: String,
    /// The address and port that was asked.
    pub address: SocketAddr,
    /// The protocol that was spoken to it.
    pub protocol: ServiceProtocol,
    /// How far the conversation came.
    pub reached: ServiceReach,
    /// The time of the connection in microseconds; none over UDP, and where it was not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// The attempt at the connection, where it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<ConnectAttempt>,
    /// From the connection, over UDP from the first question, to the first byte that came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    /// Each step of the conversation, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<ServiceStep>,
    /// What the service said first, in its own words; for a binary protocol what stands for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greeting: Option<String>,
    /// The program, as the service names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The program's version, or that of the protocol where no program is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the service says that it can do, one thing an entry, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Whether it offers to go on in TLS; none where the conversation did not come so far, or the protocol has no such offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_upgrade: Option<TlsUpgrade>,
    /// The other protocol that the far side speaks, where its bytes are known: `HTTP`, `TLS` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoke: Option<String>,
    /// The service's own refusal of this client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<ServiceRefusal>,
    /// Bytes that came back before TLS.
    #[serde(default)]
    pub received_bytes: u32,
    /// What the kernel knew of the connection at the end of the conversation: whether the questions were acknowledged, and what was sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_close: Option<Box<TcpState>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// How far a conversation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceReach {
    /// No connection, or no answer to a datagram.
    Nothing,
    /// The connection stands, and nothing was said.
    Connected,
    /// Bytes came back which are not a whole answer of the protocol.
    Answered,
    /// The protocol is spoken.
    Understood,
    /// The protocol is spoken, and TLS was made within it.
    #[serde(other)]
    Secured,
}

/// One question and its answer; a greeting has no question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceStep {
    /// `greeting`, `EHLO`, `STARTTLS` …
    pub name: String,
    /// From the question to the whole answer, or to the end of the waiting, in microseconds.
    pub took_us: u64,
    /// The answer was one of the protocol.
    pub answered: bool,
}

/// The offer to go on in TLS, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TlsUpgrade {
    /// The server offers TLS within the protocol.
    pub offered: bool,
    /// The service says that it goes on in no other way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// The version that was agreed, where the handshake was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The cipher suite of the upgraded connection, by its IANA name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The time of the handshake in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// Why there is no TLS although it was offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// A service that says no before anybody has said who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceRefusal {
    /// The protocol's code: `554`, `1130`, `53300` …
    pub code: String,
    /// In the service's words, or the standard's where it has none.
    pub text: String,
}
