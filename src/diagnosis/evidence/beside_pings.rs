//! What became of packets to an address that are no pings: the first packets of connections, requests, packets to a reflector, and
//! probes of traces that should have reached it. A limit on pings leaves them alone; a path that loses packets does not.

use super::{Attempt, Endpoint, Evidence, LEAST_SLOW, Paces, Share};
use crate::threshold::{BAD_SHARE, RTT_NOISE_US, TOO_EARLY_FOR_TARGET};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{ReplyKind, TcpState};
use std::net::{IpAddr, SocketAddr};

/// Packets that were sent nearer to each other than this met the same moment of the way: one outage may take or spare them all.
const MOMENT_US: u64 = 40_000;
/// So many moments show that no outage between them was merely missed, and so many packets that a path which loses a fifth of all would
/// have lost one: nine times in ten at ten moments, 99 times in 100 of the twenty packets.
pub(crate) const ENOUGH_MOMENTS: usize = 10;
const ENOUGH_PACKETS: u32 = 20;

/// Packets that crossed the way and back, or did not.
#[derive(Clone, Debug, Default)]
pub(crate) struct BesidePings<'a> {
    /// Packets of connections and to a reflector, which nothing limits as it does pings: what is lost of them is lost.
    pub(crate) carried: Share<'a>,
    /// Probes of traces at the target, which are sent slowly. It may limit its answers to them, so that those that got none show nothing.
    pub(crate) probes: Share<'a>,
    /// Moments at which packets were carried, and rounds of probes.
    pub(crate) moments: usize,
    rounds: usize,
    /// Only connections that began slowly count, as something limits those in quick succession.
    by_pace: bool,
}

impl<'a> BesidePings<'a> {
    fn all(&self) -> Share<'a> {
        self.carried.clone().and(self.probes.clone())
    }

    /// Clearly less of them is lost than of the pings, of many at several moments.
    pub(crate) fn fare_better_than(&self, pings: &Share<'_>) -> bool {
        let least = if self.by_pace { LEAST_SLOW } else { ENOUGH_PACKETS };
        let enough = |share: &Share<'_>, moments| share.of >= least && moments >= ENOUGH_MOMENTS;
        let better = |share: &Share<'_>| pings.least_above(share) > 0.0;
        let all = self.all();
        // Probes that are lost as well leave open what they were lost to.
        (enough(&self.carried, self.moments) && better(&self.carried))
            || (enough(&all, self.moments + self.rounds) && !all.exceeds(BAD_SHARE) && better(&all))
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &'a ObservationId> {
        self.carried.ids.iter().chain(&self.probes.ids).copied()
    }

    /// `0 of 22 packets of connections and 1 of 12 probes of traces`.
    pub(crate) fn words(&self) -> String {
        let part = |share: &Share<'_>, what: &str| (share.of > 0).then(|| format!("{} of {} {what}", share.cases, share.of));
        let parts = [part(&self.carried, "packets of connections"), part(&self.probes, "probes of traces")];
        crate::wording::list(&parts.into_iter().flatten().collect::<Vec<_>>())
    }
}

impl<'a> Evidence<'a> {
    pub(crate) fn beside_pings(&self, address: IpAddr) -> BesidePings<'a> {
        let mut beside = BesidePings::default();
        let mut sent_us: Vec<u64> = Vec::new();
        beside.by_pace = self.add_connections(address, &mut beside.carried, &mut sent_us);
        for reflection in self.reflections.iter().filter(|seen| seen.address.ip() == address && seen.received > 0) {
            beside.carried.add(reflection.sent.saturating_sub(reflection.received), reflection.sent, reflection.id);
            sent_us.push(reflection.at_us);
        }
        beside.rounds = self.add_probes(address, &mut beside.probes);
        sent_us.sort_unstable();
        sent_us.dedup_by(|later, earlier| later.saturating_sub(*earlier) < MOMENT_US);
        beside.moments = sent_us.len();
        beside
    }

    /// The first packets of connections at endpoints that take some, each time they were sent, and the segments of requests. Where something
    /// limits how many connections begin in a second, only those that began slowly count; that is returned.
    fn add_connections(&self, address: IpAddr, share: &mut Share<'a>, sent_us: &mut Vec<u64>) -> bool {
        let of_address = |endpoint: &Endpoint<'_>| endpoint.address.ip() == address && endpoint.connected();
        let endpoints: Vec<Endpoint<'a>> = self.endpoints().into_iter().filter(of_address).collect();
        let stands: Vec<SocketAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
        let limited: Vec<(SocketAddr, Paces<'a>)> = endpoints
            .iter()
            .map(|endpoint| (endpoint.address, Paces::of(self, endpoint)))
            .filter(|(_, paces)| paces.show_limit())
            .collect();
        let counts = |attempt: &Attempt<'a>| {
            limited.iter().all(|(port, paces)| *port != attempt.address || paces.slow.ids.contains(&attempt.id))
        };
        let least_us = self.path_rtt(address).map_or(0, |(rtt_us, _)| rtt_us);
        // What answers in the target's place, nearer than it, says nothing of the way behind.
        let reached = |took_us: u64| least_us < RTT_NOISE_US || took_us as f64 >= least_us as f64 * TOO_EARLY_FOR_TARGET;
        for attempt in self.attempts().iter().filter(|attempt| stands.contains(&attempt.address) && counts(attempt)) {
            if attempt.silent() {
                share.add(1 + attempt.sent_again(), 1 + attempt.sent_again(), attempt.id);
            } else if attempt.connected() && reached(attempt.took_us) {
                share.add(attempt.sent_again(), 1 + attempt.sent_again(), attempt.id);
            }
            sent_us.push(attempt.at_us);
        }
        let closed = self.exchanges.iter().filter_map(|exchange| Some((exchange, exchange.fact.at_close.as_deref()?)));
        for (exchange, state) in closed.filter(|(exchange, _)| exchange.proxy.is_none()) {
            if exchange.address.is_some_and(|at| at.ip() == address) {
                share.add(state.retransmits, segments_sent(state) + state.retransmits, exchange.id);
            }
        }
        !limited.is_empty()
    }

    /// Probes for the target's own distance. The number of rounds that they took is returned.
    fn add_probes(&self, address: IpAddr, share: &mut Share<'a>) -> usize {
        let mut rounds = 0;
        for hop in self.hops_of(address) {
            let replies = || hop.fact.probes.iter().filter_map(|probe| probe.reply.as_ref());
            if replies().any(|reply| reply.kind == ReplyKind::Arrived) {
                let lost = hop.fact.probes.len() - replies().count();
                share.add(
                    u32::try_from(lost).unwrap_or(u32::MAX),
                    u32::try_from(hop.fact.probes.len()).unwrap_or(u32::MAX),
                    hop.id,
                );
                rounds += hop.fact.probes.len();
            }
        }
        rounds
    }
}

/// Segments of a request, each of which the far side has acknowledged.
fn segments_sent(state: &TcpState) -> u32 {
    let bytes = state.bytes_sent.unwrap_or_default();
    u32::try_from(bytes.div_ceil(u64::from(state.mss_bytes.max(1)))).unwrap_or(u32::MAX)
}
