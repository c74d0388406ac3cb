//! Networks as data: what each distance answers, and after how long.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const TARGET: [u8; 4] = [192, 0, 2, 99];
const TIMEOUT: Duration = Duration::from_millis(1_000);

fn router(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, number])
}

/// What a probe meets at one distance. The last one of a network also stands for every larger distance.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// A router, by number, and its RTT in milliseconds.
    Router(u8, u64),
    Silent,
    /// A router that turns the probe away with an ICMP unreachable of this code, after the next probes have left.
    Refuses(u8, u8),
    /// A router that says that the target is not there once it has looked for it, so many milliseconds after the first probe.
    GivesUp(u8, u64),
    /// The target: answers with an echo reply after so many milliseconds.
    Target(u64),
    /// The target: answers with an ICMP unreachable of this code.
    TargetRefuses(u8),
    /// The target: answers twice.
    TargetTwice,
}

impl Place {
    fn answers(self) -> Vec<(u64, Answer)> {
        let icmp = |from, kind, code| Answer::plain(from, Some(IcmpError { offender: from, kind, code, mtu: None }));
        let target = IpAddr::from(TARGET);
        match self {
            Self::Router(number, rtt_ms) => vec![(rtt_ms, icmp(router(number), 11, 0))],
            Self::Silent => Vec::new(),
            Self::GivesUp(number, after_ms) => vec![(after_ms, icmp(router(number), 3, 1))],
            Self::Refuses(number, code) => vec![(40, icmp(router(number), 3, code))],
            Self::Target(rtt_ms) => vec![(rtt_ms, Answer::plain(target, None))],
            Self::TargetRefuses(code) => vec![(5, icmp(target, 3, code))],
            Self::TargetTwice => vec![(5, Answer::plain(target, None)), (9, icmp(router(77), 3, 1))],
        }
    }
}

struct Ran {
    machine: Machine,
    /// Distance and time of every probe, in order.
    sent: Vec<(u8, Duration)>,
    ended: Duration,
}

impl Ran {
    /// The path in one line: a router's number, `T` for the target, `!` after what turned away, `*` for silence.
    fn path(&self) -> String {
        let of = |hop: &HopSeen| match hop.probes.iter().find_map(|probe| probe.reply.as_ref()) {
            None => "*".to_owned(),
            Some(reply) if reply.kind == ReplyKind::Arrived => "T".to_owned(),
            Some(reply) => {
                let number = if let IpAddr::V4(v4) = reply.from { v4.octets()[3] } else { 0 };
                format!("{number}{}", if reply.kind == ReplyKind::Unreachable { "!" } else { "" })
            }
        };
        self.machine.hops(self.ended).iter().map(of).collect::<Vec<_>>().join(" ")
    }
}

/// Runs a trace against a network, on a clock that jumps from event to event.
fn run(places: &[Place], max_ttl: u8, rounds: u8) -> Ran {
    run_for(places, max_ttl, rounds, Duration::ZERO)
}

fn run_for(places: &[Place], max_ttl: u8, rounds: u8, search: Duration) -> Ran {
    let began = Duration::from_secs(7);
    let plan = Plan { target: TARGET.into(), max_ttl, rounds, timeout: TIMEOUT, search, each_flow: false };
    let mut machine = Machine::new(plan, began);
    let mut under_way: BTreeMap<(Duration, usize), (ProbeNumber, Answer)> = BTreeMap::new();
    let mut sent = Vec::new();
    let mut now = began;
    loop {
        while let Some(arrival) = under_way.first_entry().filter(|arrival| arrival.key().0 <= now) {
            let (probe, answer) = arrival.remove();
            machine.handle_answer(probe, answer, now);
        }
        match machine.poll(now) {
            Command::Finished => return Ran { machine, sent, ended: now },
            Command::Send { probe, ttl, .. } => {
                machine.handle_sent(probe, now);
                sent.push((ttl, now));
                let place = places[usize::from(ttl - 1).min(places.len() - 1)];
                for (nth, (rtt_ms, answer)) in place.answers().into_iter().enumerate() {
                    under_way.insert((now + Duration::from_millis(rtt_ms), sent.len() * 2 + nth), (probe, answer));
                }
            }
            Command::Wait { until } => {
                assert!(until > now, "a wait that is already over would spin");
                now = under_way.keys().next().map_or(until, |(arrival, _)| until.min(*arrival));
            }
        }
    }
}

#[test]
fn every_kind_of_way_is_read_as_it_is() {
    use Place::{Refuses, Router, Silent, Target, TargetRefuses, TargetTwice};
    let r = |number| Router(number, u64::from(number) * 2);
    let cases: [(&str, &[Place], &str, Option<u8>); 12] = [
        ("all answer", &[r(1), r(2), r(3), Target(9)], "1 2 3 T", Some(4)),
        ("the target is next door", &[Target(1)], "T", Some(1)),
        ("a silent hop", &[r(1), Silent, r(3), Target(9)], "1 * 3 T", Some(4)),
        ("a silent target", &[r(1), r(2), Silent], "1 2 * * *", None),
        ("all silent", &[Silent], "* * *", None),
        ("a loop", &[r(1), r(2), r(3), r(2), r(3), r(2), r(3), r(2), r(3)], "1 2 3 2 3 2", None),
        ("one router at several distances", &[r(1), r(2), r(2), r(2), r(2), r(2), Target(20)], "1 2 2 2 2 2 T", Some(7)),
        ("a router turns away", &[r(1), r(2), Refuses(2, 13)], "1 2 2!", None),
        ("a router turns away what others let pass", &[r(1), Refuses(2, 1), r(3), Target(9)], "1 2! 3 T", Some(4)),
        ("the target's port is closed", &[r(1), TargetRefuses(3)], "1 T", Some(2)),
        ("a duplicate", &[r(1), TargetTwice], "1 T", Some(2)),
        ("a reply after the time-out", &[r(1), Router(2, 1_500), Target(9)], "1 * T", Some(3)),
    ];
    for (name, places, path, distance) in cases {
        let ran = run(places, 30, 2);
        assert_eq!(ran.path(), path, "{name}");
        assert_eq!(ran.machine.distance(), distance, "{name}");
    }
}

#[test]
fn a_router_that_gives_up_its_search_after_the_time_out_is_heard() {
    let places = [Place::Router(1, 1), Place::GivesUp(1, 3_050)];
    for rounds in [1, 2, 5] {
        let ran = run_for(&places, 30, rounds, crate::neighbour_search::GIVEN_UP);
        assert_eq!(ran.path(), "1 1!", "{rounds}");
        let reply = ran.machine.hops(ran.ended)[1].probes[0].reply.clone().unwrap();
        assert_eq!((reply.kind, reply.rtt_us), (ReplyKind::Unreachable, 3_050_000));
    }
    // Where nobody says anything it is waited for as long, and no longer; where the target answered, not at all.
    let silent = run_for(&[Place::Router(1, 1), Place::Silent], 30, 1, crate::neighbour_search::GIVEN_UP);
    assert_eq!(silent.ended, Duration::from_secs(7) + crate::neighbour_search::GIVEN_UP);
    let reached = run_for(&[Place::Silent, Place::Target(9)], 30, 1, crate::neighbour_search::GIVEN_UP);
    assert!(reached.ended < Duration::from_secs(9), "{:?}", reached.ended);
}

#[test]
fn nothing_is_asked_beyond_a_target_that_answered() {
    let ran = run(&[Place::Router(1, 1), Place::Target(12)], 30, 3);
    let beyond: Vec<_> = ran.sent.iter().filter(|(ttl, _)| *ttl > 2).collect();
    // Those that left within the 12 ms before the answer.
    assert_eq!(beyond.len(), 2, "{beyond:?}");
    assert_eq!(ran.sent.len(), 2 * 3 + 2);
}

#[test]
fn a_trace_ends_with_the_last_answer_where_all_answer() {
    let ran = run(&[Place::Router(1, 1), Place::Target(12)], 30, 2);
    let (_, last) = ran.sent[ran.sent.len() - 1];
    assert_eq!(ran.ended, last + Duration::from_millis(12));
}

#[test]
fn no_distance_is_asked_faster_than_routers_answer() {
    let ran = run(&[Place::Router(1, 1), Place::Silent], 8, 5);
    for ttl in 1..=8 {
        let gap = if ttl == 1 { ROUND_GAP } else { SILENCE_GAP };
        let times: Vec<Duration> = ran.sent.iter().filter(|(of, _)| *of == ttl).map(|(_, at)| *at).collect();
        assert_eq!(times.len(), 5);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == gap), "{ttl}: {times:?}");
    }
}

#[test]
fn a_trace_that_is_cut_off_calls_no_pending_probe_silent() {
    let plan = Plan { target: TARGET.into(), max_ttl: 3, rounds: 1, timeout: TIMEOUT, search: Duration::ZERO, each_flow: false };
    let mut machine = Machine::new(plan, Duration::ZERO);
    assert!(matches!(machine.poll(Duration::ZERO), Command::Send { ttl: 1, .. }));
    machine.handle_sent(ProbeNumber(0), Duration::ZERO);
    assert!(machine.hops(Duration::from_millis(999)).is_empty());
    assert_eq!(machine.hops(TIMEOUT)[0].probes, [HopProbe { round: 0, reply: None, duplicates: 0, late_us: None }]);
}

#[test]
fn a_reassembly_time_out_of_the_target_is_no_hop() {
    let from = IpAddr::from(TARGET);
    let answer = Answer::plain(from, Some(IcmpError { offender: from, kind: 11, code: 1, mtu: None }));
    assert_eq!(kind(&answer, from), None);
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        (1_u8..6, 0_u64..1_500).prop_map(|(number, rtt_ms)| Place::Router(number, rtt_ms)),
        Just(Place::Silent),
        (1_u8..6, 0_u8..16).prop_map(|(number, code)| Place::Refuses(number, code)),
        (0_u64..1_500).prop_map(Place::Target),
        (0_u8..16).prop_map(Place::TargetRefuses),
        Just(Place::TargetTwice),
    ]
}

proptest! {
    #[test]
    fn every_network_is_traced_within_its_bounds(places in prop::collection::vec(place(), 1..12), max_ttl in 1_u8..40, rounds in 1_u8..6) {
        let ran = run(&places, max_ttl, rounds);
        prop_assert!(ran.sent.len() <= usize::from(max_ttl) * usize::from(rounds));
        let (_, last) = ran.sent[ran.sent.len() - 1];
        prop_assert!(ran.ended <= last + TIMEOUT);
        let hops = ran.machine.hops(ran.ended);
        prop_assert!(hops.windows(2).all(|pair| pair[0].ttl < pair[1].ttl));
        for reply in hops.iter().flat_map(|hop| &hop.probes).filter_map(|probe| probe.reply.as_ref()) {
            prop_assert!(reply.rtt_us <= microseconds(TIMEOUT));
            prop_assert_eq!(reply.kind == ReplyKind::Arrived, reply.from == IpAddr::from(TARGET));
        }
    }

    #[test]
    fn answers_to_no_probe_change_nothing(numbers in prop::collection::vec(any::<u16>(), 0..50)) {
        let plan = Plan { target: TARGET.into(), max_ttl: 5, rounds: 2, timeout: TIMEOUT, search: Duration::ZERO, each_flow: false };
        let mut machine = Machine::new(plan, Duration::ZERO);
        for number in numbers {
            machine.handle_answer(ProbeNumber(number), Answer::plain(TARGET.into(), None), Duration::ZERO);
        }
        prop_assert_eq!(machine.distance(), None);
        prop_assert!(machine.is_wanted(ProbeNumber(4)));
    }
}
