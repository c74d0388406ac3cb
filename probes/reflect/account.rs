//! What follows from the packets sent and the replies that came: losses and delays of each direction. Pure.

use crate::icmp::statistics::{distribution, jitter_us, reordered};
use netsonde_contract::observation::{ReflectDirection, ReflectSample, Reflection, ReflectorKind};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A reply as it was received. Times in nanoseconds of each machine's wall clock since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) sequence: u32,
    pub(super) reflector_sequence: u32,
    pub(super) sent_ns: i64,
    pub(super) reflector_received_ns: i64,
    pub(super) reflector_sent_ns: i64,
    pub(super) received_ns: i64,
    /// Packets of the session that the reflector says it received, this one included.
    pub(super) counted: Option<u32>,
    pub(super) forward_ttl: Option<u8>,
    pub(super) reverse_ttl: Option<u8>,
    /// Code point and congestion mark.
    pub(super) forward_class: Option<(u8, u8)>,
    pub(super) reverse_class: Option<(u8, u8)>,
}

impl Heard {
    fn forward_ns(&self) -> i64 {
        self.reflector_received_ns.saturating_sub(self.sent_ns)
    }

    fn reverse_ns(&self) -> i64 {
        self.received_ns.saturating_sub(self.reflector_sent_ns)
    }

    fn turnaround_ns(&self) -> i64 {
        self.reflector_sent_ns.saturating_sub(self.reflector_received_ns)
    }

    /// Never negative but for clocks that were set.
    fn round_trip_ns(&self) -> i64 {
        self.forward_ns().saturating_add(self.reverse_ns()).max(0)
    }
}

/// Fills the fact with what follows. `series` is how many packets belong to it, numbered from 0; replies to later ones only help to tell
/// which way the last losses went.
pub(super) fn conclude(fact: &mut Reflection, series: u32, heard: &[Heard]) {
    let first = first_replies(heard);
    let answered: BTreeSet<u32> = heard.iter().map(|reply| reply.sequence).filter(|sequence| *sequence < series).collect();
    fact.received = u32::try_from(answered.len()).unwrap_or(u32::MAX);
    fact.forward = direction(&first, Heard::forward_ns, |reply| (reply.forward_ttl, reply.forward_class));
    fact.reverse = direction(&first, Heard::reverse_ns, |reply| (reply.reverse_ttl, reply.reverse_class));
    let trips: Vec<Duration> = first.iter().map(|reply| nanoseconds(reply.round_trip_ns())).collect();
    fact.round_trip = distribution(trips.iter().copied());
    fact.round_trip_jitter_us = jitter_us(&trips);
    fact.turnaround = distribution(first.iter().map(|reply| nanoseconds(reply.turnaround_ns())));
    if let Some(fastest) = first.iter().min_by_key(|reply| reply.round_trip_ns()) {
        fact.offset_us = Some((fastest.forward_ns() / 2 - fastest.reverse_ns() / 2) / 1_000);
        fact.offset_bound_us = Some(fastest.round_trip_ns().unsigned_abs().div_ceil(2_000));
    }
    fact.samples = heard.iter().filter(|reply| reply.sequence < series).map(sample).collect();
    losses(fact, series, heard, &answered);
}

/// One reply to each packet, in the order of arrival.
fn first_replies(heard: &[Heard]) -> Vec<Heard> {
    let mut known = BTreeSet::new();
    heard.iter().filter(|reply| known.insert(reply.sequence)).copied().collect()
}

fn direction(
    replies: &[Heard],
    delay_ns: impl Fn(&Heard) -> i64,
    mark: impl Fn(&Heard) -> (Option<u8>, Option<(u8, u8)>),
) -> ReflectDirection {
    let least = replies.iter().map(&delay_ns).min();
    let above: Vec<Duration> =
        replies.iter().map(|reply| nanoseconds(delay_ns(reply).saturating_sub(least.unwrap_or(0)))).collect();
    let each = |value: &dyn Fn(&Heard) -> Option<u8>| -> Vec<u8> {
        replies.iter().filter_map(value).collect::<BTreeSet<u8>>().into_iter().collect()
    };
    ReflectDirection {
        least_delay_us: least.map(|least| least / 1_000),
        variation: distribution(above.iter().copied()),
        jitter_us: jitter_us(&above),
        ttls: each(&|reply| mark(reply).0),
        dscps: each(&|reply| mark(reply).1.map(|(dscp, _)| dscp)),
        ecns: each(&|reply| mark(reply).1.map(|(_, ecn)| ecn)),
        ..ReflectDirection::default()
    }
}

/// Which way packets were lost, doubled and overtaken, by the reflector's own numbers.
fn losses(fact: &mut Reflection, series: u32, heard: &[Heard], answered: &BTreeSet<u32>) {
    let unanswered = fact.sent.saturating_sub(fact.received);
    let counts = heard.iter().any(|reply| reply.counted.is_some() || reply.reflector_sequence != reply.sequence);
    let pairs: BTreeSet<(u32, u32)> = heard.iter().map(|reply| (reply.sequence, reply.reflector_sequence)).collect();
    let sequences: BTreeSet<u32> = heard.iter().map(|reply| reply.sequence).collect();
    fact.reverse.duplicates = count(heard.len() - pairs.len());
    fact.forward.duplicates = count(pairs.len() - sequences.len());
    if !counts {
        // Where everything came back, nothing was lost in either direction.
        let all = fact.received > 0 && unanswered == 0;
        (fact.forward.lost, fact.reverse.lost) = (all.then_some(0), all.then_some(0));
        fact.lost_unknown = unanswered;
        fact.reverse.reordered = reordered(heard.iter().map(|reply| reply.sequence));
        return;
    }
    fact.reflector = ReflectorKind::Stateful;
    fact.reverse.reordered = reordered(heard.iter().map(|reply| reply.reflector_sequence));
    let by_reflector: BTreeMap<u32, u32> = heard.iter().map(|reply| (reply.reflector_sequence, reply.sequence)).collect();
    fact.forward.reordered = reordered(by_reflector.values().copied());
    // All up to the last packet that was answered is told of; what came after it may have been lost either way.
    let Some(last) = sequences.last() else { return };
    let told = last.saturating_add(1);
    let by_count = heard.iter().map(|reply| reply.counted.unwrap_or(0).max(reply.reflector_sequence.saturating_add(1))).max();
    let arrived = by_count.unwrap_or(0).saturating_sub(fact.forward.duplicates).min(told);
    let came_back = count(sequences.len());
    fact.forward.lost = Some(told - arrived);
    fact.reverse.lost = Some(arrived.saturating_sub(came_back));
    // Later packets are not of the series: without a reply to any of them the last losses stay untold.
    let of_series = answered.last().map_or(0, |last| last + 1);
    fact.lost_unknown = if told >= series { 0 } else { fact.sent.saturating_sub(of_series) };
}

fn sample(reply: &Heard) -> ReflectSample {
    ReflectSample {
        sequence: reply.sequence,
        reflector_sequence: reply.reflector_sequence,
        forward_us: reply.forward_ns() / 1_000,
        reverse_us: reply.reverse_ns() / 1_000,
        round_trip_us: reply.round_trip_ns().unsigned_abs() / 1_000,
    }
}

fn nanoseconds(value: i64) -> Duration {
    Duration::from_nanos(value.max(0).unsigned_abs())
}

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::observation::Reflection;

    /// The reflector's clock is a second ahead; 10 ms there and 20 ms back.
    fn reply(sequence: u32, reflector_sequence: u32) -> Heard {
        let sent_ns = i64::from(sequence) * 50_000_000;
        Heard {
            sequence,
            reflector_sequence,
            sent_ns,
            reflector_received_ns: sent_ns + 1_010_000_000,
            reflector_sent_ns: sent_ns + 1_010_100_000,
            received_ns: sent_ns + 30_100_000,
            counted: None,
            forward_ttl: Some(254),
            reverse_ttl: Some(253),
            forward_class: Some((46, 0)),
            reverse_class: Some((0, 1)),
        }
    }

    fn concluded(sent: u32, heard: &[Heard]) -> Reflection {
        let mut fact: Reflection = serde_json::from_value(serde_json::json!({
            "host": "a", "address": "192.0.2.1:862", "timestamps": "ntp", "clock": "kernel_rx", "payload_bytes": 172, "sent": sent, "received": 0,
            "reflector": "unknown", "forward": {}, "reverse": {}, "took_us": 0,
        }))
        .unwrap();
        conclude(&mut fact, sent, heard);
        fact
    }

    fn lost(fact: &Reflection) -> (Option<u32>, Option<u32>, u32) {
        (fact.forward.lost, fact.reverse.lost, fact.lost_unknown)
    }

    #[test]
    fn losses_are_told_apart_by_the_reflectors_own_numbers() {
        // Packet 1 never came to the reflector; the replies to 3 and 4 never came back.
        let fact = concluded(6, &[reply(0, 0), reply(2, 1), reply(5, 4)]);
        assert_eq!(lost(&fact), (Some(1), Some(2), 0));
        assert_eq!(fact.reflector, ReflectorKind::Stateful);
    }

    #[test]
    fn losses_that_nothing_follows_stay_untold() {
        let fact = concluded(6, &[reply(0, 0), reply(2, 1)]);
        assert_eq!(lost(&fact), (Some(1), Some(0), 3));
        // A later packet tells of them.
        let fact = concluded(6, &[reply(0, 0), reply(2, 1), reply(6, 3)]);
        assert_eq!(lost(&fact), (Some(3), Some(1), 0));
        assert_eq!(fact.received, 2);
    }

    #[test]
    fn numbers_that_only_repeat_ours_tell_no_direction_unless_the_reflector_counts() {
        let replies = [reply(0, 0), reply(1, 1), reply(3, 3)];
        assert_eq!(lost(&concluded(4, &replies)), (None, None, 1));
        let counted = replies.map(|reply| Heard { counted: Some(reply.reflector_sequence + 1), ..reply });
        assert_eq!(lost(&concluded(4, &counted)), (Some(0), Some(1), 0));
        assert_eq!(lost(&concluded(3, &[reply(0, 0), reply(1, 1), reply(2, 2)])), (Some(0), Some(0), 0));
        assert_eq!(lost(&concluded(3, &[])), (None, None, 3));
    }

    #[test]
    fn a_packet_doubled_on_its_way_is_told_from_a_reply_that_is() {
        let fact = concluded(3, &[reply(0, 0), reply(1, 1), reply(1, 2), reply(2, 3), reply(2, 3)]);
        assert_eq!((fact.forward.duplicates, fact.reverse.duplicates), (1, 1));
        assert_eq!(lost(&fact), (Some(0), Some(0), 0));
    }

    #[test]
    fn overtaking_is_told_by_direction() {
        // 1 and 2 changed places on the way there; the replies to 3 and 4 on the way back.
        let fact = concluded(5, &[reply(0, 0), reply(2, 1), reply(1, 2), reply(4, 4), reply(3, 3)]);
        assert_eq!((fact.forward.reordered, fact.reverse.reordered), (1, 1));
    }

    #[test]
    fn delays_of_one_direction_hold_the_clocks_offset_and_their_variation_does_not() {
        let mut slow = reply(1, 1);
        slow.reflector_received_ns += 5_000_000;
        slow.reflector_sent_ns += 5_000_000;
        slow.received_ns += 5_000_000;
        let fact = concluded(2, &[reply(0, 0), slow]);
        assert_eq!((fact.forward.least_delay_us, fact.reverse.least_delay_us), (Some(1_010_000), Some(-980_000)));
        assert_eq!(fact.forward.variation.unwrap().max_us, 5_000);
        assert_eq!(fact.reverse.variation.unwrap().max_us, 0);
        let trip = fact.round_trip.unwrap();
        assert_eq!((trip.min_us, trip.max_us), (30_000, 35_000));
        // Half of 1,010 ms and 980 ms: right within half of the round trip.
        assert_eq!((fact.offset_us, fact.offset_bound_us), (Some(995_000), Some(15_000)));
        assert_eq!((fact.forward.ttls, fact.reverse.ttls), (vec![254], vec![253]));
        assert_eq!((fact.forward.dscps, fact.reverse.ecns), (vec![46], vec![1]));
    }
}
