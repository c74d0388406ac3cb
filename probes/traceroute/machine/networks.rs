//! Networks with several paths, limits and narrow links, as data, on a clock that jumps from event to event.

use super::allowance::Allowance;
use super::ledger::Ledger;
use super::schedule::Schedule;
use super::search::{Question, Search};
use super::series::{Sampled, Series};
use super::sizes::Sizes;
use super::*;
use netsonde_contract::observation::RateVerdict;
use std::collections::BTreeMap;

const TIMEOUT: Duration = Duration::from_millis(1_000);
const TARGET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 99));

fn router(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, number])
}

fn exceeded(number: u8) -> Answer {
    let from = router(number);
    Answer::plain(from, Some(IcmpError { offender: from, kind: 11, code: 0, mtu: None }))
}

/// One probe as the network sees it.
struct Seen {
    ttl: u8,
    flow: u16,
    size: u16,
    now: Duration,
}

/// Runs a phase against a network that says what it answers, after 10 ms. Returns the end and how many probes were sent.
fn run(phase: &mut impl Phase, mut network: impl FnMut(Seen) -> Option<Answer>) -> (Duration, usize) {
    let mut under_way: BTreeMap<(Duration, u16), (ProbeNumber, Answer)> = BTreeMap::new();
    let (mut now, mut sent) = (Duration::ZERO, 0);
    loop {
        while let Some(arrival) = under_way.first_entry().filter(|arrival| arrival.key().0 <= now) {
            let (probe, answer) = arrival.remove();
            phase.handle_answer(probe, answer, now);
        }
        match phase.poll(now) {
            Command::Finished => return (now, sent),
            Command::Send { probe, ttl, flow, size } => {
                phase.handle_sent(probe, now);
                sent += 1;
                assert!(sent < 10_000, "a phase without an end");
                if let Some(answer) = network(Seen { ttl, flow, size, now }) {
                    under_way.insert((now + Duration::from_millis(10), probe.0), (probe, answer));
                }
            }
            Command::Wait { until } => {
                assert!(until > now, "a wait that is already over would spin");
                now = under_way.keys().next().map_or(until, |(arrival, _)| until.min(*arrival));
            }
        }
    }
}

/// A router's hash: the same way for the same flow, and evenly spread.
fn hash(flow: u16, salt: u32, ways: u32) -> u8 {
    let mixed = (u32::from(flow) + 1).wrapping_mul(0x9e37_79b1) ^ salt.wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(0xc2b2_ae35);
    u8::try_from((mixed ^ mixed >> 13) % ways).unwrap()
}

fn search(distance: u8, silent: &[u8]) -> Search {
    let question = Question { target: TARGET, distance, arrived: true, max_ttl: 30, confidence: 95 };
    Search::new(question, silent.iter().copied().collect(), None, Ledger::new(100, TIMEOUT))
}

#[test]
fn a_single_path_is_found_with_six_flows_at_each_distance() {
    let mut search = search(4, &[]);
    let (_, sent) = run(&mut search, |seen| Some(if seen.ttl < 4 { exceeded(seen.ttl) } else { Answer::plain(TARGET, None) }));
    assert_eq!(sent, 6 * 4);
    let ways = search.ways();
    assert_eq!(ways.len(), 1);
    assert_eq!(ways[0].hops, [Some(router(1)), Some(router(2)), Some(router(3)), Some(TARGET)]);
    assert!(search.is_complete());
}

/// Hop 2 spreads over four, one of which spreads over two again; distance 4 never answers.
#[test]
fn every_way_behind_two_routers_that_share_load_is_found_past_a_silent_hop() {
    let mut search = search(5, &[4]);
    let (_, sent) = run(&mut search, |seen| {
        let second = 20 + hash(seen.flow, 1, 4);
        let third = if second == 20 { 30 + hash(seen.flow, 2, 2) } else { second + 20 };
        match seen.ttl {
            1 => Some(exceeded(1)),
            2 => Some(exceeded(second)),
            3 => Some(exceeded(third)),
            4 => None,
            _ => Some(Answer::plain(TARGET, None)),
        }
    });
    let mut found: Vec<_> = search.ways().into_iter().map(|way| (way.hops[1], way.hops[2])).collect();
    found.sort();
    let expected = [(20, 30), (20, 31), (21, 41), (22, 42), (23, 43)].map(|(a, b)| (Some(router(a)), Some(router(b))));
    assert_eq!(found, expected);
    assert!(search.is_complete());
    assert!(search.ways().iter().all(|way| way.hops.get(3).is_none_or(Option::is_none)));
    assert!(sent < 500, "{sent}");
}

#[test]
fn a_lost_probe_is_sent_again_more_slowly_and_makes_no_way_of_its_own() {
    let mut search = search(2, &[]);
    let mut asked: BTreeMap<(u8, u16), Vec<Duration>> = BTreeMap::new();
    run(&mut search, |seen| {
        let times = asked.entry((seen.ttl, seen.flow)).or_default();
        times.push(seen.now);
        // The first of every flow's probes is lost.
        (times.len() > 1).then(|| if seen.ttl == 1 { exceeded(1) } else { Answer::plain(TARGET, None) })
    });
    assert_eq!(search.ways().len(), 1);
    assert!(asked.values().all(|times| times.len() == 2 && times[1] - times[0] >= TIMEOUT), "{asked:?}");
}

#[test]
fn a_router_that_answers_nobody_any_more_ends_the_search() {
    let mut search = search(3, &[]);
    let (_, sent) = run(&mut search, |_| None);
    assert!(sent < 200, "{sent}");
    assert!(search.ways().is_empty());
}

/// A bucket as Linux has it: six at once, then one a second.
fn limited() -> impl FnMut(Duration) -> bool {
    let (mut tokens, mut last) = (6.0_f64, Duration::ZERO);
    move |now| {
        tokens = (tokens + (now - last).as_secs_f64()).min(6.0);
        last = now;
        let has = tokens >= 1.0;
        if has {
            tokens -= 1.0;
        }
        has
    }
}

#[test]
fn a_limited_router_is_told_from_a_lossy_and_a_good_one() {
    let mut schedule = Schedule::two_rates(&[1, 2, 3], Ledger::new(0, TIMEOUT), Duration::ZERO);
    let (mut limited, mut count) = (limited(), 0_u32);
    let (ended, sent) = run(&mut schedule, |seen| match seen.ttl {
        1 => limited(seen.now).then(|| exceeded(1)),
        2 => {
            count += 1;
            (count % 2 == 0).then(|| exceeded(2))
        }
        ttl => Some(exceeded(ttl)),
    });
    let verdicts = [1, 2, 3].map(|ttl| schedule.rates(ttl, ended).unwrap().verdict);
    assert_eq!(verdicts, [RateVerdict::RateLimited, RateVerdict::Loss, RateVerdict::AnswersAll]);
    assert_eq!(sent, 3 * 60);
    assert!(ended < Duration::from_secs(16), "{ended:?}");
}

#[test]
fn loss_and_times_are_counted_for_each_path() {
    let mut schedule = Schedule::along(&[3, 8], 40, 30, Ledger::new(0, TIMEOUT), Duration::ZERO);
    let mut count = 0_u32;
    let (ended, _) = run(&mut schedule, |seen| {
        count += u32::from(seen.flow == 8);
        (seen.flow == 3 || !count.is_multiple_of(4)).then(|| Answer::plain(TARGET, None))
    });
    let (good, lossy) = (schedule.tally(3, TARGET, ended), schedule.tally(8, TARGET, ended));
    assert_eq!((good.sent, good.answered, lossy.sent, lossy.answered), (40, 40, 40, 30));
    assert!(lossy.loss.unwrap().low > good.loss.unwrap().high - 0.01);
    assert_eq!(good.rtt.unwrap().median_us, 10_000);
}

/// As Linux sends ICMP errors to one asker: six at once, and one a second.
struct Bucket {
    tokens: Duration,
    last: Duration,
}

impl Bucket {
    fn gives(&mut self, now: Duration) -> bool {
        const EACH: Duration = Duration::from_secs(1);
        self.tokens = (self.tokens + now.saturating_sub(self.last)).min(EACH * 6);
        self.last = now;
        let gives = self.tokens >= EACH;
        self.tokens -= if gives { EACH } else { Duration::ZERO };
        gives
    }
}

fn unsampled(flow: u16) -> Sampled {
    Sampled { flow, sent: 0, answered: 0 }
}

fn series(paths: &[Sampled], ready: bool) -> Series {
    let allowance = if ready { Allowance::after(0, Duration::ZERO, Duration::ZERO) } else { Allowance::none(Duration::ZERO) };
    Series::new(TARGET, paths.to_vec(), (20, 30), allowance, Ledger::new(0, TIMEOUT), Duration::ZERO)
}

#[test]
fn the_limit_of_a_target_that_was_asked_to_its_end_makes_no_loss() {
    for flows in [&[3][..], &[3, 8], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]] {
        // What it sends at once was used up by the search just before.
        let mut bucket = Bucket { tokens: Duration::ZERO, last: Duration::ZERO };
        let mut series = series(&flows.iter().copied().map(unsampled).collect::<Vec<_>>(), false);
        let (ended, sent) = run(&mut series, |seen| bucket.gives(seen.now).then(|| Answer::plain(TARGET, None)));
        assert!(ended < Duration::from_secs(11) && (7..=8).contains(&sent), "{flows:?}: {sent} until {ended:?}");
        let lost = |flow: &u16| series.tally(*flow, ended).is_some_and(|tally| tally.sent > tally.answered);
        assert!(!flows.iter().any(lost), "{flows:?}");
    }
}

#[test]
fn a_limit_that_passes_every_second_or_third_answer_hits_every_path() {
    for each in 2..=3_u32 {
        let mut series = series(&[unsampled(3), unsampled(8)], false);
        let mut count = 0_u32;
        let (ended, _) = run(&mut series, |_| {
            count += 1;
            (count % each == 1).then(|| Answer::plain(TARGET, None))
        });
        let tallies = [3, 8].map(|flow| series.tally(flow, ended).unwrap());
        assert!(tallies.iter().all(|tally| tally.answered < tally.sent), "{each}: {tallies:?}");
    }
}

#[test]
fn a_path_that_loses_all_in_the_search_needs_two_more_rounds() {
    let mut series = series(&[Sampled { flow: 3, sent: 4, answered: 4 }, Sampled { flow: 8, sent: 4, answered: 0 }], true);
    let (ended, sent) = run(&mut series, |seen| (seen.flow == 3).then(|| Answer::plain(TARGET, None)));
    let [good, bad] = [3, 8].map(|flow| series.tally(flow, ended).unwrap());
    assert_eq!((sent, good.sent, good.answered, bad.sent, bad.answered), (4, 6, 6, 6, 0));
    assert!(good.loss.unwrap().high < bad.loss.unwrap().low && ended < Duration::from_secs(3), "{ended:?}");
}

#[test]
fn a_path_that_answers_some_is_counted_by_the_series_alone() {
    let mut series = series(&[Sampled { flow: 3, sent: 4, answered: 4 }, Sampled { flow: 8, sent: 4, answered: 0 }], true);
    let mut count = 0;
    let (ended, _) = run(&mut series, |seen| {
        count += u32::from(seen.flow == 8);
        (seen.flow == 3 || count % 2 == 1).then(|| Answer::plain(TARGET, None))
    });
    let [good, bad] = [3, 8].map(|flow| series.tally(flow, ended).unwrap());
    assert_eq!((good.sent, good.answered, bad.sent, bad.answered), (8, 8, 4, 2));
}

/// Somebody else used up what the target answers at once, and it answers one in ten seconds: the one path's good luck in the search is
/// none of its own.
#[test]
fn a_target_that_falls_silent_for_all_paths_accuses_none() {
    let mut series = series(&[Sampled { flow: 3, sent: 4, answered: 4 }, Sampled { flow: 8, sent: 4, answered: 0 }], true);
    let mut last = None;
    let (ended, sent) = run(&mut series, |seen| {
        let gives = last.is_none_or(|last| seen.now - last > Duration::from_secs(10));
        last = if gives { Some(seen.now) } else { last };
        gives.then(|| Answer::plain(TARGET, None))
    });
    let tallies = [3, 8].map(|flow| series.tally(flow, ended).unwrap());
    assert!(tallies.iter().all(|tally| tally.answered < tally.sent), "{tallies:?}");
    assert!(sent <= 13 && ended < Duration::from_secs(14), "{sent} until {ended:?}");
}

/// A router that shares flows among two, of which the second passes nothing on; both lead to the third distance's only router.
fn with_a_dead_member(arrived: bool, limited: bool) -> (Search, Duration) {
    let question = Question { target: TARGET, distance: if arrived { 4 } else { 2 }, arrived, max_ttl: 30, confidence: 95 };
    let allowance = limited.then(|| Allowance::after(2, Duration::ZERO, Duration::ZERO));
    let mut search = Search::new(question, [].into(), allowance, Ledger::new(0, TIMEOUT));
    let (mut buckets, mut target) = (BTreeMap::new(), Bucket { tokens: Duration::from_secs(5), last: Duration::ZERO });
    let (ended, _) = run(&mut search, |seen| {
        let member = 20 + hash(seen.flow, 1, 2);
        let from = match seen.ttl {
            1 => 1,
            2 => member,
            _ if member == 21 => return None,
            3 => 30,
            _ => return (!limited || target.gives(seen.now)).then(|| Answer::plain(TARGET, None)),
        };
        let bucket = buckets.entry(from).or_insert(Bucket { tokens: Duration::from_secs(5), last: Duration::ZERO });
        bucket.gives(seen.now).then(|| exceeded(from))
    });
    (search, ended)
}

#[test]
fn a_member_that_loses_all_is_told_by_the_target_within_seconds_wherever_the_first_trace_went() {
    for (arrived, limited) in [(true, true), (true, false), (false, true), (false, false)] {
        let (search, ended) = with_a_dead_member(arrived, limited);
        let ways = search.ways();
        assert_eq!((ways.len(), search.distance()), (2, Some(4)), "{arrived} {limited}: {ways:?}");
        for way in &ways {
            let (sent, answered) = search.sampled(&way.flows);
            let is_dead = way.hops[1] == Some(router(21));
            assert!(sent >= 4 && answered == if is_dead { 0 } else { sent }, "{arrived} {limited}: {way:?} {answered} of {sent}");
        }
        assert!(ended < Duration::from_secs(8), "{arrived} {limited}: {ended:?}");
    }
}

#[test]
fn the_narrow_link_is_found_at_its_hop_whether_it_is_named_or_not() {
    for told in [Some(1_400), None] {
        let mut sizes = Sizes::new(vec![1, 2, 4], Ledger::new(0, TIMEOUT));
        run(&mut sizes, |seen| {
            // The interface takes 1,500 bytes, the link behind the second router 1,400.
            Some(match seen {
                Seen { size, .. } if size > 1_500 => too_big(1, Some(1_500)),
                Seen { ttl, size, .. } if ttl > 2 && size > 1_400 => too_big(2, told),
                Seen { ttl: 4, .. } => Answer::plain(TARGET, None),
                Seen { ttl, .. } => exceeded(ttl),
            })
        });
        assert_eq!([1, 2, 3, 4].map(|ttl| sizes.at(ttl)), [Some(1_500), Some(1_500), None, Some(1_400)], "{told:?}");
    }
}

fn too_big(number: u8, mtu: Option<u32>) -> Answer {
    let from = router(number);
    Answer::plain(from, Some(IcmpError { offender: from, kind: 3, code: 4, mtu }))
}

#[test]
fn a_route_that_changes_in_the_midst_is_told_and_a_late_or_second_reply_is_counted() {
    let plan = Plan { target: TARGET, max_ttl: 2, rounds: 3, timeout: TIMEOUT, search: Duration::ZERO, each_flow: false };
    let mut machine = Machine::new(plan, Duration::ZERO);
    let (ended, _) = run(&mut machine, |seen| {
        let first = if seen.now < Duration::from_millis(700) { 1 } else { 7 };
        Some(if seen.ttl == 1 { exceeded(first) } else { Answer::plain(TARGET, None) })
    });
    assert_eq!(machine.changes(), [RouteChange { ttl: 1, round: 2, before: router(1), after: router(7) }]);
    machine.handle_answer(ProbeNumber(0), exceeded(1), ended);
    assert_eq!(machine.hops(ended)[0].probes[0].duplicates, 1);

    let plan = Plan { rounds: 1, ..plan };
    let mut machine = Machine::new(plan, Duration::ZERO);
    let (ended, _) = run(&mut machine, |_| None);
    let late = ended + Duration::from_millis(500);
    machine.handle_answer(ProbeNumber(0), exceeded(1), late);
    let probe = &machine.hops(late)[0].probes[0];
    assert!(probe.reply.is_none() && probe.late_us.is_some_and(|late| late > 1_000_000), "{probe:?}");
}

#[test]
fn a_replys_way_back_is_told_by_the_nearest_usual_ttl() {
    for (left, hops) in [(64, 1), (61, 4), (128, 1), (120, 9), (255, 1), (250, 6), (63, 2)] {
        assert_eq!(return_hops(left), hops, "{left}");
    }
}
