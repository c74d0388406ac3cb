//! How far away whoever sent a packet is, by what was left of its TTL.

use super::{Evidence, Seen};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Hop, ReplyKind, SeenSegment};
use std::net::IpAddr;

/// The routers that a packet passed, taking it that systems send with a TTL of 64, 128 or 255, the nearest above.
pub(crate) fn passed(ttl: u8) -> u8 {
    [64, 128, u8::MAX].into_iter().find(|began| *began >= ttl).unwrap_or(u8::MAX) - ttl
}

impl<'a> Evidence<'a> {
    /// The routers that replies of the address passed: SYN-ACKs, echo replies, and what ended traces. Resets are left out, which others
    /// send in its name.
    pub(crate) fn distances_of(&self, address: IpAddr) -> Vec<(u8, &'a ObservationId)> {
        let syn_acks = self.connects.iter().filter(|seen| seen.fact.address.ip() == address);
        let syn_acks = syn_acks.filter_map(|seen| Some((seen.fact.syn_ack?.ttl, seen.id)));
        let swept = self.port_sweeps.iter().filter(|sweep| sweep.address == address);
        let swept = swept.flat_map(|sweep| sweep.fact.ports.iter().filter_map(move |port| Some((port.syn_ack?.ttl, sweep.id))));
        let echoes = self.echoes_of(address);
        let echoes = echoes.flat_map(|echo| echo.fact.replies.iter().filter_map(move |reply| Some((reply.ttl?, echo.id))));
        // What answers SYNs of a trace may be whoever resets them.
        let hops = self.plain_hops(address).flat_map(|hop| {
            let arrived = hop.fact.probes.iter().filter_map(|probe| probe.reply.as_ref());
            let arrived = arrived.filter(|reply| reply.kind == ReplyKind::Arrived);
            arrived.filter_map(move |reply| Some((reply.reply_ttl?, hop.id)))
        });
        syn_acks.chain(swept).chain(echoes).chain(hops).map(|(ttl, id)| (passed(ttl), id)).collect()
    }

    /// The farthest router on the way to the address that said that a packet's time was up, as a number of hops.
    pub(crate) fn farthest_router(&self, address: IpAddr) -> Option<(u8, &'a ObservationId)> {
        let on_the_way = |hop: &Seen<'a, Hop>| {
            let mut replies = hop.fact.probes.iter().filter_map(|probe| probe.reply.as_ref());
            replies.any(|reply| reply.kind == ReplyKind::TimeExceeded)
        };
        let hops = self.hops_of(address).into_iter().filter(on_the_way);
        hops.map(|hop| (hop.ttl, hop.id)).max_by_key(|(ttl, _)| *ttl)
    }

    /// The reset passed fewer routers than any reply of the address, or than the way to it has.
    pub(crate) fn began_before(&self, address: IpAddr, reset: SeenSegment) -> bool {
        let least = self.distances_of(address).into_iter().map(|(distance, _)| distance).min();
        let least = least.or_else(|| self.farthest_router(address).map(|(hop, _)| hop));
        least.is_some_and(|least| passed(reset.ttl) < least)
    }
}
