use super::*;
use netsonde_contract::observation::MtuLimit;
use proptest::prelude::*;
use std::time::Duration;

const TARGET: &str = "192.0.2.7";

fn icmp(mtu: u32) -> IcmpError {
    IcmpError { offender: "10.0.0.1".parse().unwrap(), kind: 3, code: 4, mtu: Some(mtu) }
}

/// Runs a search against a path, given as what becomes of the n-th packet of a size, and returns what was found and the sizes sent.
fn search(target: &str, max: u32, mut path: impl FnMut(u32, usize) -> Event) -> (Found, Vec<u32>) {
    let mut search = Search::new(target.parse().unwrap(), max, 2);
    let mut sent = Vec::new();
    while let Some(Probe { size, .. }) = search.next() {
        sent.push(size);
        search.handle(size, path(size, sent.len()));
    }
    assert!(sent.len() <= MtuParams::MAX_PACKETS as usize);
    (search.found(), sent)
}

fn passes(up_to: u32, size: u32, otherwise: Event) -> Event {
    if size <= up_to { Event::Passed } else { otherwise }
}

#[test]
fn an_open_path_takes_two_packets() {
    let (found, sent) = search(TARGET, 1_500, |_, _| Event::Passed);
    assert_eq!((found.passed, found.limit, sent), (Some(1_500), MtuLimit::None, vec![576, 1_500]));
}

#[test]
fn a_router_that_tells_is_believed_and_checked() {
    let (found, sent) = search(TARGET, 1_500, |size, _| passes(1_400, size, Event::TooBig(icmp(1_400))));
    assert_eq!((found.passed, found.limit, found.told), (Some(1_400), MtuLimit::Told, Some(icmp(1_400))));
    assert_eq!(sent, [576, 1_500, 1_400]);
}

#[test]
fn a_second_narrower_router_is_found_behind_the_first() {
    let (found, _) = search(TARGET, 1_500, |size, _| match size {
        1_401.. => Event::TooBig(icmp(1_400)),
        1_281.. => Event::TooBig(icmp(1_280)),
        _ => Event::Passed,
    });
    assert_eq!((found.passed, found.told), (Some(1_280), Some(icmp(1_280))));
}

#[test]
fn a_black_hole_is_found_to_the_byte() {
    let (found, sent) = search(TARGET, 1_500, |size, _| passes(1_372, size, Event::Silent));
    assert_eq!((found.passed, found.stopped, found.limit), (Some(1_372), Some(1_373), MtuLimit::Untold));
    assert!(found.told.is_none() && sent.len() < 50, "{sent:?}");
}

#[test]
fn a_black_hole_at_a_usual_size_takes_few_packets_and_no_rest() {
    for limit in [1_492, 1_420, 1_400, 1_300] {
        let mut search = Search::new(TARGET.parse().unwrap(), 1_500, 2);
        let (mut silent, mut rests) = (0, 0);
        while let Some(Probe { size, rested }) = search.next() {
            rests += u32::from(rested);
            silent += u32::from(size > limit);
            search.handle(size, passes(limit, size, Event::Silent));
        }
        let found = search.found();
        assert_eq!((found.passed, found.stopped, found.limit), (Some(limit), Some(limit + 1), MtuLimit::Untold));
        assert!(silent <= 12 && rests == 0, "{limit}: {silent} silences, {rests} rests");
    }
}

#[test]
fn a_host_that_answers_only_now_and_then_is_no_black_hole() {
    let (found, _) = search(TARGET, 1_500, |_, at| if at % 3 == 1 { Event::Passed } else { Event::Silent });
    assert_eq!((found.passed, found.stopped, found.limit), (Some(576), None, MtuLimit::Unknown));
}

/// A host that answers a few at once and then one a second, as Linux does, at the end of a path with this limit.
fn against_a_limited_host(at_once: u32, path: u32) -> Found {
    let mut search = Search::new(TARGET.parse().unwrap(), 1_500, 2);
    let (mut now, mut tokens, mut refilled) = (Duration::ZERO, at_once, Duration::ZERO);
    while let Some(Probe { size, rested }) = search.next() {
        now += if rested { Duration::from_millis(1_100) } else { Duration::ZERO };
        while now >= refilled + Duration::from_secs(1) {
            refilled += Duration::from_secs(1);
            tokens = (tokens + 1).min(at_once);
        }
        let answered = size <= path && tokens > 0;
        if answered {
            tokens -= 1;
        }
        now += Duration::from_millis(if answered { 1 } else { 250 });
        search.handle(size, if answered { Event::Passed } else { Event::Silent });
    }
    search.found()
}

#[test]
fn a_host_that_limits_its_answers_is_measured_all_the_same() {
    for at_once in [2, 6] {
        let open = against_a_limited_host(at_once, 1_500);
        assert_eq!((open.passed, open.limit), (Some(1_500), MtuLimit::None), "{at_once} at once");
        for path in [600, 1_003, 1_372, 1_499] {
            let hole = against_a_limited_host(at_once, path);
            assert_eq!((hole.passed, hole.limit), (Some(path), MtuLimit::Untold), "{at_once} at once: {hole:?}");
        }
    }
}

#[test]
fn silence_from_the_start_and_silence_from_some_moment_on_say_nothing_of_sizes() {
    let (found, sent) = search(TARGET, 1_500, |_, _| Event::Silent);
    assert_eq!((found.passed, found.limit, sent), (None, MtuLimit::Unknown, vec![576, 576]));
    let (found, _) = search(TARGET, 1_500, |_, at| if at == 1 { Event::Passed } else { Event::Silent });
    assert_eq!((found.passed, found.stopped, found.limit), (Some(576), None, MtuLimit::Unknown));
}

#[test]
fn an_error_that_does_not_fit_changes_nothing() {
    // Somebody forges a tiny size for the large packet once, and the path is wide.
    let (found, _) =
        search("2001:db8::7", 1_500, |size, at| if size == 1_500 && at == 2 { Event::TooBig(icmp(300)) } else { Event::Passed });
    assert_eq!((found.passed, found.limit), (Some(1_500), MtuLimit::None));
    assert_eq!(found.disbelieved, [icmp(300)]);
}

#[test]
fn a_size_that_was_named_and_does_not_pass_is_not_believed_in_the_end() {
    // The router names 1400, and something behind it silently drops everything above 1300.
    let (found, _) = search(TARGET, 1_500, |size, _| match size {
        1_401.. => Event::TooBig(icmp(1_400)),
        1_301.. => Event::Silent,
        _ => Event::Passed,
    });
    assert_eq!((found.passed, found.limit, found.told), (Some(1_300), MtuLimit::Untold, None));
    assert_eq!(found.disbelieved, [icmp(1_400)]);
}

#[test]
fn a_router_that_names_no_size_is_measured() {
    let (found, _) = search(TARGET, 1_500, |size, _| passes(1_006, size, Event::TooBig(icmp(0))));
    assert_eq!((found.passed, found.stopped, found.limit), (Some(1_006), Some(1_007), MtuLimit::Told));
    assert_eq!(found.told, Some(icmp(0)));
}

#[test]
fn the_machines_own_interface_is_told_from_the_path() {
    let (found, _) = search(TARGET, 9_000, |size, _| passes(1_500, size, Event::NotSent(Why::Interface)));
    assert_eq!((found.passed, found.stopped, found.limit), (Some(1_500), Some(1_501), MtuLimit::Interface));
}

#[test]
fn a_size_that_the_machine_remembers_of_the_path_is_no_interfaces() {
    let (found, _) = search(TARGET, 1_500, |size, _| passes(1_400, size, Event::NotSent(Why::TooBig)));
    assert_eq!((found.passed, found.stopped, found.limit), (Some(1_400), Some(1_401), MtuLimit::Told));
    assert!(found.told.is_none() && found.disbelieved.is_empty(), "nobody said so in this search: {found:?}");
}

#[test]
fn a_prohibition_ends_the_search() {
    let prohibited = IcmpError { code: 13, mtu: None, ..icmp(0) };
    let (found, sent) = search(TARGET, 1_500, |_, _| Event::Refused(prohibited.clone()));
    assert_eq!((found.refused, sent.len()), (Some(prohibited), 1));
}

proptest! {
    #[test]
    fn any_path_with_one_limit_is_measured_to_the_byte(limit in 576_u32..9_300, kind in 0..3) {
        let (found, _) = search(TARGET, 9_216, |size, _| passes(limit, size, match kind {
            0 => Event::Silent,
            1 => Event::NotSent(Why::Interface),
            _ => Event::TooBig(icmp(limit)),
        }));
        prop_assert_eq!(found.passed, Some(limit.min(9_216)));
    }

    #[test]
    fn no_answers_make_the_search_run_on(answers in proptest::collection::vec((0..5, any::<u32>()), 1..100)) {
        let (found, _) = search(TARGET, 1_500, |_, at| {
            let (kind, mtu) = answers[at % answers.len()];
            match kind {
                0 => Event::Passed,
                1 => Event::TooBig(icmp(mtu)),
                2 => Event::NotSent(Why::Interface),
                3 => Event::TooBig(icmp(mtu % 2_000)),
                _ => Event::Silent,
            }
        });
        if let (Some(passed), Some(stopped)) = (found.passed, found.stopped) {
            prop_assert!(passed < stopped, "{} {}", passed, stopped);
        }
    }
}
