use super::Handshake;
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// One QUIC connection that ended after its handshake (RFC 9000), and what the server says of the versions that it speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quic {
    /// The host as it was asked for.
    pub host: String,
    /// The address and port of the server.
    pub address: SocketAddr,
    /// From the first packet to the first one that came back; none where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_reply_us: Option<u64>,
    /// From the first packet to the end of the handshake or its failure.
    pub took_us: u64,
    /// The version that the handshake was made with, as `1` or `0x6b3343cf`; none where it did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The versions that the server listed in a Version Negotiation packet (RFC 9000 section 17.2.1), reserved ones left out; none where
    /// no such packet came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_versions: Option<Vec<String>>,
    /// The server had the address proven first (RFC 9000 section 8.1.2).
    #[serde(default)]
    pub retry: bool,
    /// The TLS handshake within, whose times are this fact's; none before the server's hello.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<Handshake>>,
    /// What the server allows; none before it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<QuicParameters>,
    /// The smoothed round trip at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// Marks of congestion arrive at the server, and it reports them (RFC 9000 section 13.4); none where that was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecn: Option<bool>,
    /// The largest UDP payload that arrived, in bytes, as far as there was time to search (RFC 9000 section 14.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_payload_bytes: Option<u16>,
    /// Packets that were sent.
    pub packets_sent: u32,
    /// Packets that came in.
    pub packets_received: u32,
    /// Packets that the server did not acknowledge, those that searched for the largest left out.
    #[serde(default)]
    pub packets_lost: u32,
    /// How the server closed the connection, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close: Option<QuicClose>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// A server's transport parameters (RFC 9000 section 18.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuicParameters {
    /// 0 stands for no limit.
    #[serde(default)]
    pub max_idle_timeout_ms: u64,
    /// The largest payload that the server takes, in bytes (RFC 9000 section 18.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_udp_payload_bytes: Option<u64>,
    /// Bytes that the client may send in all before the server grants more.
    #[serde(default)]
    pub initial_max_data_bytes: u64,
    /// Streams that the client may open at first, for both directions and for its own.
    #[serde(default)]
    pub initial_max_streams_bidi: u64,
    /// Streams in one direction that may be opened at first (RFC 9000 section 18.2).
    #[serde(default)]
    pub initial_max_streams_uni: u64,
    /// The longest that the server delays an acknowledgement, in milliseconds (RFC 9000 section 18.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ack_delay_ms: Option<u64>,
    /// The client has to stay at its address.
    #[serde(default)]
    pub disable_active_migration: bool,
    /// The largest datagram frame that the server takes (RFC 9221); none where it takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_datagram_frame_bytes: Option<u64>,
    /// The server would rather be talked to at another address.
    #[serde(default)]
    pub preferred_address: bool,
}

/// A CONNECTION_CLOSE frame of the server (RFC 9000 sections 19.19 and 20).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuicClose {
    /// The code is the application's, not the transport's.
    pub application: bool,
    /// The error code (RFC 9000 section 20).
    pub code: u64,
    /// The name of the code where it has one: `CONNECTION_REFUSED`, `CRYPTO_ERROR no_application_protocol (120)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The server's words, as printable ASCII, at most 128 bytes of them.
    #[serde(default)]
    pub reason: String,
}
