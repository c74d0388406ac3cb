//! Connections whose segments fit a path that swallows large packets, as where a router clamps their size (MSS).

use crate::evidence::{Evidence, Seen, small_segments};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Exchange, TcpState};
use std::net::IpAddr;

/// The options that a segment carries where timestamps are in use (RFC 7323 appendix A), which the kernel does not count as data.
const TIMESTAMP_BYTES: u32 = 12;

/// A body of fewer full segments might come whole by chance of its sizes.
const FULL_SEGMENTS: u64 = 3;

/// Connections that go on although larger packets vanish.
pub(super) struct Spared<'a> {
    /// The largest packet that they send.
    pub(super) packet_bytes: u32,
    /// The largest body that arrived whole; none where only the size that the other side takes is known.
    pub(super) body_bytes: Option<u64>,
    pub(super) ids: Vec<&'a ObservationId>,
}

/// What shows that connections with the address fit into packets of `passed` bytes: bodies of several full segments that arrived whole
/// over segments of such a size, or a host (or a router in its name) that takes no larger ones.
pub(super) fn spared<'a>(evidence: &Evidence<'a>, address: IpAddr, passed: u32) -> Option<Spared<'a>> {
    let whole: Vec<(u32, &Seen<'a, Exchange>)> =
        evidence.exchanges.iter().filter_map(|exchange| Some((whole_over(exchange, address)?, exchange))).collect();
    let fits = !whole.is_empty() && whole.iter().all(|(packet, _)| *packet <= passed);
    if !fits {
        let (packet_bytes, id) = agreed(evidence, address).filter(|(bytes, _)| *bytes <= passed)?;
        return Some(Spared { packet_bytes, body_bytes: None, ids: vec![id] });
    }
    Some(Spared {
        packet_bytes: whole.iter().map(|(packet, _)| *packet).max()?,
        body_bytes: whole.iter().map(|(_, exchange)| exchange.body_bytes).max(),
        ids: whole.iter().map(|(_, exchange)| exchange.id).collect(),
    })
}

/// The largest packet that connections with the address agree on, before anything is sent.
fn agreed<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<(u32, &'a ObservationId)> {
    let announced = evidence.mtus_of(address).filter_map(|mtu| Some((mtu.announced_bytes()?, mtu.id)));
    let connects = evidence.connects.iter().filter(|connect| connect.address.ip() == address && connect.failure.is_none());
    let states = connects.filter_map(|connect| Some((packet_bytes(connect.at_connect.as_deref()?, address), connect.id)));
    announced.chain(states).max_by_key(|(bytes, _)| *bytes)
}

/// The largest packet that the kernel would send over the connection.
fn packet_bytes(state: &TcpState, address: IpAddr) -> u32 {
    let headers = if address.is_ipv4() { 40 } else { 60 };
    let options = if state.timestamps { TIMESTAMP_BYTES } else { 0 };
    state.mss_bytes + options + headers
}

/// The largest packet of a connection over which a body of several full segments came whole, as the kernel knew it at the end.
fn whole_over(exchange: &Seen<'_, Exchange>, address: IpAddr) -> Option<u32> {
    let direct = exchange.proxy.is_none() && exchange.address.is_some_and(|at| at.ip() == address);
    let usual = direct && small_segments(exchange.outcome).is_none() && exchange.failure.is_none() && exchange.status.is_some();
    let state: &TcpState = exchange.at_close.as_deref().filter(|_| usual)?;
    (exchange.body_bytes >= FULL_SEGMENTS * u64::from(state.mss_bytes)).then(|| packet_bytes(state, address))
}
