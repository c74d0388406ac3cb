use crate::failure::Failure;
use crate::outcome::Note;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// One attempt at a TCP connection to one address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connect {
    /// The host as it was asked for.
    pub host: String,
    /// The address and port that was connected to.
    pub address: SocketAddr,
    /// Which attempt at this address, from 1.
    pub attempt: u32,
    /// The local address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// The interface that has the local address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// How long the attempt took to succeed or fail, in microseconds: until the kernel's stamp of the SYN-ACK or reset where that was
    /// read, else until this program heard of it.
    pub took_us: u64,
    /// The kernel's smoothed RTT at connect, where the system tells it (TCP_INFO).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_rtt_us: Option<u64>,
    /// SYNs sent again before the answer, where the system tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syn_retransmits: Option<u32>,
    /// What the kernel knew of the connection when it stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_connect: Option<Box<TcpState>>,
    /// What it knew before the connection was closed, where anything was done with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_close: Option<Box<TcpState>>,
    /// What the server said first, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banner: Option<Banner>,
    /// How it went to keep the connection open, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Box<Hold>>,
    /// The reset that answered, as it came in, where the process may read packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<SeenSegment>,
    /// The next hop of this machine's route to the address, where a reset was read and the route goes over one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<std::net::IpAddr>,
    /// The SYN-ACK that answered, as it came in, where the process may read packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syn_ack: Option<SeenSegment>,
    /// SYNs of the attempt that left by an interface, where the process may read packets: 0 where this machine itself kept all of them in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syns_left: Option<u32>,
    /// Why the answer's own packet was not read, where the connection was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_unread: Option<Note>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// One attempt where a connection took several, or where one failed: each address at its turn (RFC 8305), the winner among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectAttempt {
    /// The address and port that was tried.
    pub address: SocketAddr,
    /// When it began, in microseconds after the first attempt, by netsonde's own clock.
    pub began_us: u64,
    /// How long it took to succeed or fail, in microseconds by netsonde's own clock; of one that was given up because another address
    /// connected, how long it had waited by then.
    pub took_us: u64,
    /// The reset that answered, as it came in, where the process may read packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<SeenSegment>,
    /// The next hop of this machine's route to the address, where a reset was read and the route goes over one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<std::net::IpAddr>,
    /// None where it connected; `interrupted` where it was given up because another address connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The packet that carried an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeenSegment {
    /// What was left of the TTL or hop limit: how far away the sender is, once its first value is known.
    pub ttl: u8,
    /// The identification field, which IPv6 has none of (RFC 791 section 3.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_id: Option<u16>,
    /// When it came in, since the run began.
    pub at_us: u64,
}

/// What the kernel knows of a connection (TCP_INFO of tcp(7), SIO_TCP_INFO of Windows, which counts retransmissions and window in bytes
/// that are given here in segments). What an older kernel does not tell is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TcpState {
    /// Smoothed RTT (RFC 6298).
    pub rtt_us: u32,
    /// Mean deviation of the RTT; 0 on Windows, which does not tell.
    pub rtt_deviation_us: u32,
    /// The smallest RTT of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rtt_us: Option<u32>,
    /// Segments sent again, SYNs among them.
    pub retransmits: u32,
    /// The largest segment that will be sent, in bytes.
    pub mss_bytes: u32,
    /// The path MTU that the kernel believes in; 0 on Windows, which does not tell.
    pub path_mtu_bytes: u32,
    /// The congestion window in segments.
    pub congestion_window: u32,
    /// Explicit congestion notification was agreed (RFC 3168).
    pub ecn: bool,
    /// A packet came in whose sender marked it as capable of ECN: nothing on the way cleared the mark.
    pub ecn_seen: bool,
    /// Segments sent whose acknowledgement reported a congestion mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub congestion_marks: Option<u32>,
    /// Timestamps are in use (RFC 7323).
    pub timestamps: bool,
    /// Selective acknowledgements are in use (RFC 2018).
    pub sack: bool,
    /// Window scales (RFC 7323) of the peer and of this machine, where agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_scale: Option<(u8, u8)>,
    /// The peer's receive window in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_window_bytes: Option<u32>,
    /// The most recent delivery rate in bytes a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_rate: Option<u64>,
    /// Bytes sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_sent: Option<u64>,
    /// Of the bytes sent, those that were sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_resent: Option<u64>,
    /// Bytes that the peer acknowledged; a FIN that it acknowledged counts as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_acknowledged: Option<u64>,
    /// Segments that the peer has although one before them is missing (RFC 2018).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments_sacked: Option<u32>,
    /// Bytes received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_received: Option<u64>,
    /// Time spent sending, of it held up by the peer's window and by the own send buffer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_us: Option<u64>,
    /// Time in which the peer's window was the limit, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_limited_us: Option<u64>,
    /// Time in which the send buffer was the limit, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer_limited_us: Option<u64>,
    /// The round trip as the receiving side sees it in the data that comes: it grows where the data waits in a queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive_rtt_us: Option<u32>,
    /// Segments received out of order: those behind one that was lost, or overtook it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_order: Option<u32>,
}

/// The first bytes of a server that speaks first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Banner {
    /// How many bytes the server said.
    pub bytes: u32,
    /// Printable ASCII; a dot for everything else.
    pub text: String,
    /// From the connection to the first byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
}

/// A connection kept open and idle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// How long it was to be held.
    pub asked_s: u32,
    /// Seconds between keepalive probes meanwhile; 0 for none.
    pub keepalive_s: u32,
    /// How long it stood before it was asked after, or ended.
    pub idle_us: u64,
    /// The peer acknowledged a probe after the wait; absent where the system cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<bool>,
    /// Why it ended early, or did not survive: closed or reset by the peer, timed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What an application that races the addresses (RFC 8305, happy eyeballs) would have seen, and one that does not. Derived from the
/// first attempt at each address, all of which began together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Race {
    /// The host as it was asked for.
    pub host: String,
    /// The addresses in the order of RFC 8305 section 4: the system's order with the families taking turns.
    pub order: Vec<SocketAddr>,
    /// Before the next address is tried beside those under way (RFC 8305 section 5).
    pub attempt_delay_us: u64,
    /// The address that wins the race, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub winner: Option<SocketAddr>,
    /// When an application connects that races the addresses, in microseconds after it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub racing_us: Option<u64>,
    /// When an application connects that tries the system's order one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_turn_us: Option<u64>,
    /// The fastest IPv6 address minus the fastest IPv4 address, where both connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v6_minus_v4_us: Option<i64>,
}

/// Further ports of one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortSweep {
    /// The host as it was asked for.
    pub host: String,
    /// The address that was asked or measured.
    pub address: std::net::IpAddr,
    /// Ports that were asked for.
    pub asked: u32,
    /// Each port that was tried, in their order.
    pub ports: Vec<PortState>,
    /// How long the sweep took, in microseconds.
    pub took_us: u64,
    /// Why not all of them were tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortState {
    /// The port.
    pub port: u16,
    /// How long the port took to answer, in microseconds.
    pub took_us: u64,
    /// The reset that refused the connection, as it came in, where the process may read packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<SeenSegment>,
    /// The SYN-ACK of an open port, as it came in, where the process may read packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syn_ack: Option<SeenSegment>,
    /// None where the port is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}
