//! All rounds as if they had been one measurement, so that the report and the diagnosis have their full count.

use netsonde_contract::observation::{
    Echo, EchoStatistics, ExtraReply, Fact, Hop, HopProbe, Multipath, Observation, RouteChange, Share, Trace, TracePath,
    TraceProtocol,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// As many requests as one check may send. The oldest rounds go first, and the figures in the view still count them.
const MAX_ROUNDS: usize = 1_000;
/// Rounds of a trace are numbered up to here.
const MAX_TRACE_ROUNDS: usize = 250;
/// As one series keeps.
const MAX_EXTRA: usize = 100;

/// When the first began, and all with the numbers of their rounds.
type Numbered<T> = (u64, Vec<(usize, T)>);

/// What the rounds recorded.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    kept: VecDeque<Vec<Observation>>,
    /// Rounds that were let go.
    pub(super) dropped: u32,
}

impl Rounds {
    pub(super) fn add(&mut self, round: Vec<Observation>) {
        let traces = round.iter().any(|observation| matches!(observation.fact, Fact::Trace(_)));
        let most = if traces { MAX_TRACE_ROUNDS } else { MAX_ROUNDS };
        if self.kept.len() >= most {
            self.kept.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.kept.push_back(round);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// One fact where every round has one of the same thing; whatever is none of these is taken from the first round.
    pub(super) fn joined(self) -> Vec<(u64, Fact)> {
        let mut echoes: BTreeMap<IpAddr, (u64, Vec<Echo>)> = BTreeMap::new();
        let mut hops: BTreeMap<(IpAddr, u8), Numbered<Hop>> = BTreeMap::new();
        let mut traces: BTreeMap<IpAddr, Numbered<Trace>> = BTreeMap::new();
        let mut facts = Vec::new();
        for (round, observations) in self.kept.into_iter().enumerate() {
            for Observation { at_us, fact, .. } in observations {
                match fact {
                    Fact::Echo(echo) => echoes.entry(echo.address).or_insert((at_us, Vec::new())).1.push(echo),
                    Fact::Hop(hop) => hops.entry((hop.target, hop.ttl)).or_insert((at_us, Vec::new())).1.push((round, hop)),
                    Fact::Trace(trace) => traces.entry(trace.target).or_insert((at_us, Vec::new())).1.push((round, trace)),
                    other if round == 0 => facts.push((at_us, other)),
                    _ => {}
                }
            }
        }
        facts.extend(echoes.into_values().filter_map(|(at_us, all)| Some((at_us, Fact::Echo(echo(all)?)))));
        let distance = |target: &IpAddr| traces.get(target)?.1.iter().filter_map(|(_, trace)| trace.distance).min();
        for ((target, ttl), (at_us, all)) in hops {
            // In a round in which the target missed a probe it seems to be farther than it is.
            if distance(&target).is_none_or(|distance| ttl <= distance) {
                facts.extend(hop(all).map(|hop| (at_us, Fact::Hop(hop))));
            }
        }
        facts.extend(traces.into_values().filter_map(|(at_us, all)| Some((at_us, Fact::Trace(trace(all)?)))));
        facts
    }
}

fn echo(all: Vec<Echo>) -> Option<Echo> {
    let mut joined = all.last()?.clone();
    (joined.sent, joined.replies, joined.errors, joined.extra) = (0, Vec::new(), Vec::new(), Vec::new());
    let mut requests: Vec<Option<Duration>> = Vec::new();
    let mut counted = EchoStatistics::default();
    for series in all {
        let number = |sequence: u16, sent: u32| u16::try_from(u32::from(sequence) + sent).unwrap_or(u16::MAX);
        for sequence in 0..series.sent {
            let reply = series.replies.iter().find(|reply| u32::from(reply.sequence) == sequence);
            requests.push(reply.map(|reply| Duration::from_micros(reply.rtt_us)));
        }
        for mut reply in series.replies {
            reply.sequence = number(reply.sequence, joined.sent);
            joined.replies.push(reply);
        }
        let room = MAX_EXTRA.saturating_sub(joined.extra.len());
        let renumbered = |extra: ExtraReply| ExtraReply { sequence: number(extra.sequence, joined.sent), ..extra };
        joined.extra.extend(series.extra.into_iter().take(room).map(renumbered));
        let room = MAX_EXTRA.saturating_sub(joined.errors.len());
        joined.errors.extend(series.errors.into_iter().take(room));
        if let Some(own) = series.statistics {
            counted.duplicates = counted.duplicates.saturating_add(own.duplicates);
            counted.late = counted.late.saturating_add(own.late);
            counted.corrupt = counted.corrupt.saturating_add(own.corrupt);
            counted.reordered = counted.reordered.saturating_add(own.reordered);
            counted.dropped_here = counted.dropped_here.saturating_add(own.dropped_here);
            counted.stamps_refused = counted.stamps_refused.saturating_add(own.stamps_refused);
        }
        joined.sent = joined.sent.saturating_add(series.sent);
    }
    let of_all = netsonde_probes::of_requests(&requests);
    let statistics = EchoStatistics {
        duplicates: counted.duplicates,
        late: counted.late,
        corrupt: counted.corrupt,
        reordered: counted.reordered,
        dropped_here: counted.dropped_here,
        stamps_refused: counted.stamps_refused,
        ..of_all
    };
    joined.statistics = (joined.sent > 0).then(|| Box::new(statistics));
    Some(joined)
}

fn hop(all: Vec<(usize, Hop)>) -> Option<Hop> {
    let mut joined = all.last()?.1.clone();
    joined.probes.clear();
    for (round, hop) in all {
        let per_round = hop.probes.iter().map(|probe| probe.round).max().map_or(1, |most| usize::from(most) + 1);
        let number = |own: u8| u8::try_from(round * per_round + usize::from(own)).unwrap_or(u8::MAX);
        joined.probes.extend(hop.probes.into_iter().map(|probe| HopProbe { round: number(probe.round), ..probe }));
        joined.names.extend(hop.names.into_iter().filter(|name| !joined.names.contains(name)).collect::<Vec<_>>());
        joined.rate = joined.rate.or(hop.rate);
        joined.mtu_bytes = joined.mtu_bytes.or(hop.mtu_bytes);
        joined.mtu_silent_bytes = joined.mtu_silent_bytes.or(hop.mtu_silent_bytes);
    }
    Some(joined)
}

fn trace(all: Vec<(usize, Trace)>) -> Option<Trace> {
    let mut joined = all.last()?.1.clone();
    joined.distance = all.iter().filter_map(|(_, trace)| trace.distance).min();
    joined.arrived = joined.distance.is_some();
    joined.took_us = all.iter().fold(0, |took, (_, trace)| took.saturating_add(trace.took_us));
    let rounds = all.iter().map(|(_, trace)| usize::from(trace.rounds)).sum::<usize>();
    joined.changes = all
        .iter()
        .flat_map(|(round, trace)| {
            let first = round * usize::from(trace.rounds);
            let number = move |own: u8| u8::try_from(first + usize::from(own)).unwrap_or(u8::MAX);
            trace.changes.iter().map(move |change| RouteChange { round: number(change.round), ..*change })
        })
        .take(MAX_EXTRA)
        .collect();
    joined.rounds = u8::try_from(rounds).unwrap_or(u8::MAX);
    joined.unmatched = all.iter().fold(0, |sum, (_, trace)| sum.saturating_add(trace.unmatched));
    if let Some(multipath) = &mut joined.multipath {
        add_up(multipath, &all, joined.protocol);
    }
    Some(joined)
}

/// The loss of each path of the last round over all rounds that met it.
fn add_up(last: &mut Multipath, all: &[(usize, Trace)], protocol: TraceProtocol) {
    let of_all = || all.iter().filter(|(_, trace)| trace.protocol == protocol).filter_map(|(_, trace)| trace.multipath.as_ref());
    for path in &mut last.paths {
        let same: Vec<&TracePath> =
            of_all().flat_map(|multipath| &multipath.paths).filter(|seen| seen.hops == path.hops).collect();
        // What a single round could not tell counts as well, or only the rounds without a miss would.
        path.sent = same.iter().fold(0, |sum, seen| sum.saturating_add(counts(seen).0));
        path.answered = same.iter().fold(0, |sum, seen| sum.saturating_add(counts(seen).1));
        path.loss = (path.sent > 0).then(|| Share::of(path.sent.saturating_sub(path.answered), path.sent));
        path.doubtful = None;
    }
    if protocol == TraceProtocol::Udp {
        last.doubt_losses();
    }
}

/// Probes along a path and their answers, whether they tell its loss or not.
pub(super) fn counts(path: &TracePath) -> (u32, u32) {
    let (sent, answered) = path.doubtful.map_or((0, 0), |doubtful| (doubtful.sent, doubtful.answered));
    (path.sent.saturating_add(sent), path.answered.saturating_add(answered))
}
