//! How far connections to one port get: only a trace with SYNs to that very port tells, since filters and proxies go by ports.

use super::{Endpoint, Evidence, Seen};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Hop, HopReply, ReplyKind, Trace, TraceProtocol};
use std::net::{IpAddr, SocketAddr};

/// As in the parameters of the kind.
const DEFAULT_PORT: u64 = 443;

/// A router that answered for a packet which went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Router<'a> {
    pub(crate) hop: u8,
    pub(crate) address: IpAddr,
    pub(crate) id: &'a ObservationId,
}

/// What a trace with SYNs to one port showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SynTrace<'a> {
    pub(crate) id: &'a ObservationId,
    /// The distance at which somebody answered as the target would.
    pub(crate) arrived: Option<u8>,
    /// The farthest router that heard of a SYN.
    pub(crate) last: Option<Router<'a>>,
}

impl<'a> Evidence<'a> {
    /// The trace with SYNs to this port, the last where there are several; none that could not be sent.
    pub(crate) fn syn_trace(&self, to: SocketAddr) -> Option<SynTrace<'a>> {
        let is_of_port = |trace: &&Seen<'a, Trace>| {
            let port = trace.outcome.parameters.get("tcp_port").and_then(serde_json::Value::as_u64).unwrap_or(DEFAULT_PORT);
            let made = trace.arrived || trace.failure.is_none();
            trace.protocol == TraceProtocol::Tcp && trace.target == to.ip() && port == u64::from(to.port()) && made
        };
        let trace = self.traces.iter().rev().find(is_of_port)?;
        let hops = || self.hops.iter().filter(|hop| std::ptr::eq(hop.outcome, trace.outcome) && hop.target == to.ip());
        let arrived = hops().filter(|hop| replies(hop).any(|reply| reply.kind == ReplyKind::Arrived)).map(|hop| hop.ttl).min();
        Some(SynTrace { id: trace.id, arrived, last: farthest(hops(), to.ip(), |_| true) })
    }

    /// The distances that packets of no port in particular show: pings and UDP packets.
    pub(crate) fn plain_hops(&self, address: IpAddr) -> impl Iterator<Item = &Seen<'a, Hop>> {
        let is_plain = |hop: &Hop| matches!(hop.protocol, TraceProtocol::Udp | TraceProtocol::Icmp);
        self.hops.iter().filter(move |hop| hop.target == address && is_plain(hop))
    }

    /// The farthest router that such packets get to. One that says that they get no further says so at the next distance too: only where their
    /// time was up it would have passed on those that live longer.
    pub(crate) fn plain_last_router(&self, address: IpAddr) -> Option<Router<'a>> {
        farthest(self.plain_hops(address), address, |kind| kind == ReplyKind::TimeExceeded)
    }

    /// How far away the target itself answers to such packets.
    pub(crate) fn plain_distance(&self, address: IpAddr) -> Option<u8> {
        let arrived = |hop: &&Seen<'a, Hop>| replies(hop).any(|reply| reply.kind == ReplyKind::Arrived);
        self.plain_hops(address).filter(arrived).map(|hop| hop.ttl).min()
    }

    /// The target itself is heard of by something else than connections, which others may take in its place.
    pub(crate) fn is_heard_of(&self, address: IpAddr) -> bool {
        !self.echoed(address).is_empty() || self.plain_distance(address).is_some()
    }

    /// SYNs of these attempts were seen to leave this machine: the first observation that shows it.
    pub(crate) fn seen_to_leave(&self, endpoint: &Endpoint<'a>) -> Option<&'a ObservationId> {
        endpoint.attempts.iter().find(|attempt| attempt.syns_left.is_some_and(|left| left > 0)).map(|attempt| attempt.id)
    }
}

/// Every reply at one distance.
pub(crate) fn replies(hop: &Hop) -> impl Iterator<Item = &HopReply> {
    hop.probes.iter().filter_map(|probe| probe.reply.as_ref())
}

fn farthest<'s, 'a: 's>(
    hops: impl Iterator<Item = &'s Seen<'a, Hop>>,
    target: IpAddr,
    counts: impl Fn(ReplyKind) -> bool,
) -> Option<Router<'a>> {
    let router = |hop: &'s Seen<'a, Hop>| {
        let reply =
            replies(hop.fact).find(|reply| reply.kind != ReplyKind::Arrived && counts(reply.kind) && reply.from != target)?;
        Some(Router { hop: hop.ttl, address: reply.from, id: hop.id })
    };
    hops.filter_map(router).max_by_key(|router| router.hop)
}
