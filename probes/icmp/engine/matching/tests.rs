use super::*;
use proptest::prelude::*;

const TIMEOUT: Duration = Duration::from_millis(1_000);

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn key(number: u32) -> StampKey {
    StampKey { is_v4: true, generation: 0, number }
}

fn us(value: u64) -> Duration {
    Duration::from_micros(value)
}

fn answer(from: IpAddr, came: Option<u64>, heard: u64) -> Answer {
    Answer { heard: us(heard), came: came.map(us), ttl: Some(60), corrupt: false, from, arrival: 0 }
}

fn one_sent() -> Matching {
    let mut matching = Matching::new([address(1)], TIMEOUT);
    assert_eq!(matching.sending(Place(0), key(0), us(1_000)), Some(0));
    matching
}

fn timing(matching: &Matching, place: usize, sequence: usize) -> Timing {
    let request = &matching.targets()[place].requests[sequence];
    request.timing(request.answer.as_ref().unwrap())
}

#[test]
fn the_rtt_is_between_the_stamps_whatever_the_scheduler_does() {
    let mut matching = one_sent();
    matching.replied(0, None, answer(address(1), Some(1_250), 90_000));
    assert_eq!(timing(&matching, 0, 0), Timing { rtt: us(250), clock: EchoClock::KernelRx, refused: false });
    // The stamp of the way out is read after the reply.
    matching.left(key(0), Some(us(1_030)));
    assert_eq!(timing(&matching, 0, 0), Timing { rtt: us(220), clock: EchoClock::KernelRxTx, refused: false });
    assert!(matching.is_settled());
}

#[test]
fn stamps_of_a_clock_that_was_set_are_refused() {
    let cases = [
        // (left, came, expected RTT, clock)
        (Some(900), Some(1_250), 250, EchoClock::KernelRx),
        (Some(1_030), Some(90_000_000), 89_000, EchoClock::Process),
        (Some(1_300), Some(1_250), 250, EchoClock::KernelRx),
        (Some(1_030), Some(500), 89_000, EchoClock::Process),
    ];
    for (left, came, rtt, clock) in cases {
        let mut matching = one_sent();
        matching.left(key(0), left.map(us));
        matching.replied(0, None, answer(address(1), came, 90_000));
        assert_eq!(timing(&matching, 0, 0), Timing { rtt: us(rtt), clock, refused: true }, "{left:?} {came:?}");
    }
}

#[test]
fn a_second_reply_is_a_duplicate_and_one_after_its_time_is_late_and_lost() {
    let mut matching = one_sent();
    matching.sending(Place(0), key(1), us(2_000));
    matching.replied(0, None, answer(address(1), None, 1_500));
    matching.replied(0, None, answer(address(1), None, 1_600));
    matching.replied(1, None, answer(address(1), None, 1_500_000));
    let target = &matching.targets()[0];
    assert_eq!((target.duplicates, target.late), (1, 1));
    assert_eq!(
        target.extra.iter().map(|extra| (extra.sequence, extra.kind)).collect::<Vec<_>>(),
        [(0, ExtraKind::Duplicate), (1, ExtraKind::Late)]
    );
    let lost: Vec<bool> = target.requests.iter().map(|request| request.is_lost(TIMEOUT, us(9_000_000))).collect();
    assert_eq!(lost, [false, true]);
}

#[test]
fn a_late_wake_up_does_not_make_a_reply_late() {
    let mut matching = one_sent();
    matching.replied(0, None, answer(address(1), Some(2_000), 5_000_000));
    assert!(!matching.targets()[0].requests[0].is_lost(TIMEOUT, us(9_000_000)));
    assert_eq!(matching.targets()[0].late, 0);
}

#[test]
fn a_reply_from_another_address_counts_for_the_target_that_its_payload_names() {
    let mut matching = Matching::new([address(1), address(2)], TIMEOUT);
    matching.sending(Place(1), key(0), us(0));
    matching.replied(0, Some(Place(1)), answer(address(77), None, 500));
    assert!(matching.targets()[1].requests[0].answer.is_some());
    matching.replied(0, None, answer(address(78), None, 600));
    assert_eq!(matching.targets()[1].duplicates, 0, "a stranger without our payload is nobody's");
}

#[test]
fn a_request_that_an_error_answered_is_lost_at_once_and_one_that_never_left_is_none() {
    let mut matching = one_sent();
    let error = IcmpError { offender: address(9), kind: 3, code: 1, mtu: None };
    matching.refused(0, address(1), error.clone());
    assert!(matching.is_settled());
    assert!(matching.targets()[0].requests[0].is_lost(TIMEOUT, us(1_001)));
    matching.sending(Place(0), key(1), us(2_000));
    matching.unsent(Place(0), key(1));
    assert!(matching.is_settled());
    assert_eq!(matching.targets()[0].requests.len(), 1);
}

#[test]
fn an_address_that_is_named_twice_is_asked_once() {
    assert_eq!(Matching::new([address(1), address(2), address(1)], TIMEOUT).targets().len(), 2);
}

/// One event in any order, about requests that were sent and about some that were not.
#[derive(Clone, Debug)]
enum Event {
    Send(u32),
    Left(u32, u64),
    Reply(u16, Option<u32>, u8, Option<u64>, u64),
    Error(u16, u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0_u32..5).prop_map(Event::Send),
        (0_u32..60, 0_u64..3_000_000).prop_map(|(number, at)| Event::Left(number, at)),
        (0_u16..20, prop::option::of(0_u32..6), 0_u8..6, prop::option::of(0_u64..3_000_000), 0_u64..3_000_000)
            .prop_map(|(sequence, told, from, came, heard)| Event::Reply(sequence, told, from, came, heard)),
        (0_u16..20, 0_u8..6).prop_map(|(sequence, target)| Event::Error(sequence, target)),
    ]
}

proptest! {
    /// Whatever comes in whatever order: every request is answered once at most, what is open is what is unsettled, and no RTT is
    /// longer than the program's own.
    #[test]
    fn any_order_of_events_keeps_the_books_balanced(events in prop::collection::vec(event(), 0..200)) {
        let mut matching = Matching::new((0..4).map(address), TIMEOUT);
        let mut sent = 0_u32;
        for (now, event) in (0_u64..).map(|step| step * 1_000).zip(events) {
            match event {
                Event::Send(place) => {
                    if matching.sending(Place(place), key(sent), us(now)).is_some() {
                        sent += 1;
                    }
                }
                Event::Left(number, at) => matching.left(key(number), Some(us(at))),
                Event::Reply(sequence, told, from, came, heard) => {
                    matching.replied(sequence, told.map(Place), answer(address(from), came, heard.max(now)));
                }
                Event::Error(sequence, target) => {
                    matching.refused(sequence, address(target), IcmpError { offender: address(99), kind: 3, code: 1, mtu: None });
                }
            }
        }
        let requests: Vec<&Request> = matching.targets().iter().flat_map(|target| &target.requests).collect();
        prop_assert_eq!(requests.len(), sent as usize);
        let unsettled = requests.iter().filter(|request| request.answer.is_none() && request.error.is_none()).count();
        prop_assert_eq!(matching.is_settled(), unsettled == 0);
        for request in requests {
            if let Some(answer) = &request.answer {
                let timing = request.timing(answer);
                prop_assert!(timing.rtt <= answer.heard.saturating_sub(request.sent) + SLACK * 2);
                prop_assert!(timing.clock == EchoClock::Process || answer.came.is_some());
            }
        }
    }
}
