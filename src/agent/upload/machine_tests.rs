use super::*;

const LENGTH: u64 = 2 * MAX_APPEND_BYTES + 5;
const HERE: &str = "/v1/uploads/u1";

fn status(status: u16) -> Answer {
    Answer { status, ..Answer::default() }
}

fn created() -> Event {
    Event::Answered(Answer { location: Some(HERE.into()), offset: Some(0), ..status(201) })
}

fn taken(offset: u64) -> Event {
    Event::Answered(Answer { offset: Some(offset), ..status(204) })
}

fn receipt() -> Event {
    Event::Answered(Answer { body: Body::Receipt(b"receipt".to_vec()), ..status(200) })
}

fn problem(code: ProblemCode, offset: Option<u64>) -> Event {
    let body = Body::Problem(Box::new(Problem::new(code, "said so")));
    Event::Answered(Answer { offset, body, ..status(code.status()) })
}

fn lost() -> Event {
    Event::Unanswered("connection reset".into())
}

fn append(offset: u64) -> Action {
    let length = (LENGTH - offset).min(MAX_APPEND_BYTES);
    Action::Append { location: HERE.into(), offset, length, last: offset + length == LENGTH }
}

fn ask() -> Action {
    Action::Ask { location: HERE.into() }
}

fn wait(seconds: u64) -> Action {
    Action::Wait(Duration::from_secs(seconds))
}

fn done() -> Action {
    Action::Done(b"receipt".to_vec())
}

/// Feeds the events one by one and holds every action that follows against the expected one.
fn play(name: &str, script: Vec<(Event, Action)>) {
    let mut machine = Machine::new(LENGTH, || 1.0);
    assert_eq!(machine.next(), Action::Create, "{name}");
    for (step, (event, expected)) in script.into_iter().enumerate() {
        machine.handle(event.clone());
        assert_eq!(machine.next(), expected, "{name}: step {step}, after {event:?}");
    }
}

#[test]
fn every_course_of_an_upload_ends_as_it_should() {
    use ProblemCode as Code;
    let part = MAX_APPEND_BYTES;
    play(
        "a fresh upload",
        vec![(created(), append(0)), (taken(part), append(part)), (taken(2 * part), append(2 * part)), (receipt(), done())],
    );
    play(
        "cut in the middle of a part",
        vec![
            (created(), append(0)),
            (lost(), wait(1)),
            (Event::Waited, ask()),
            (taken(1_000), append(1_000)),
            (taken(1_000 + part), append(1_000 + part)),
        ],
    );
    play("stored already", vec![(receipt(), done())]);
    play(
        "the answer with the receipt was lost",
        vec![
            (created(), append(0)),
            (lost(), wait(1)),
            (Event::Waited, ask()),
            (Event::Answered(Answer { offset: Some(LENGTH), complete: true, ..status(204) }), Action::Create),
            (receipt(), done()),
        ],
    );
    play(
        "all bytes there, but the end was not said",
        vec![
            (created(), append(0)),
            (lost(), wait(1)),
            (Event::Waited, ask()),
            (taken(LENGTH), Action::Append { location: HERE.into(), offset: LENGTH, length: 0, last: true }),
        ],
    );
    play("another offset", vec![(created(), append(0)), (problem(Code::UploadOffsetMismatch, Some(7)), append(7))]);
    play(
        "fenced by an own request that was thought lost",
        vec![
            (created(), append(0)),
            (problem(Code::UploadFenced, None), wait(1)),
            (Event::Waited, ask()),
            (taken(part), append(part)),
        ],
    );
    play(
        "forgotten by a backend that was restored",
        vec![(created(), append(0)), (problem(Code::NotFound, None), Action::Create)],
    );
    for code in
        [Code::TicketExpired, Code::TicketUsed, Code::TicketRevoked, Code::TicketUnknown, Code::BundleRefused, Code::TooLarge]
    {
        let refused = Action::Failed(Failure::Refused(Box::new(Problem::new(code, "said so"))));
        play(code.as_str(), vec![(problem(code, None), refused)]);
    }
}

#[test]
fn a_backend_that_never_answers_is_given_up_soon() {
    play(
        "never heard",
        vec![
            (lost(), wait(1)),
            (Event::Waited, Action::Create),
            (lost(), wait(2)),
            (Event::Waited, Action::Create),
            (lost(), Action::Failed(Failure::Unreachable("connection reset".into()))),
        ],
    );
}

#[test]
fn waits_grow_and_end_and_progress_starts_them_anew() {
    let mut machine = Machine::new(LENGTH, || 1.0);
    machine.handle(created());
    let mut waits = Vec::new();
    loop {
        machine.handle(lost());
        match machine.next() {
            Action::Wait(delay) => waits.push(delay.as_secs()),
            Action::Failed(Failure::GaveUp { .. }) => break,
            other => panic!("{other:?}"),
        }
        machine.handle(Event::Waited);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16]);

    let mut machine = Machine::new(LENGTH, || 1.0);
    machine.handle(created());
    for offset in 1..50 {
        machine.handle(lost());
        assert_eq!(machine.next(), wait(1), "at offset {offset}");
        machine.handle(Event::Waited);
        machine.handle(taken(offset - 1));
        machine.handle(taken(offset));
    }
}

#[test]
fn retry_after_is_honoured_up_to_a_bound() {
    let busy = |seconds| {
        let body = Body::Problem(Box::new(Problem::new(ProblemCode::RateLimited, "busy")));
        Event::Answered(Answer { retry_after: Some(Duration::from_secs(seconds)), body, ..status(429) })
    };
    play("a short while", vec![(busy(20), wait(21)), (Event::Waited, Action::Create)]);
    let mut machine = Machine::new(LENGTH, || 1.0);
    machine.handle(busy(86_400));
    assert!(matches!(machine.next(), Action::Failed(Failure::GaveUp { .. })));
}

#[test]
fn a_backend_that_leads_in_circles_is_left() {
    let mut machine = Machine::new(LENGTH, || 1.0);
    machine.handle(created());
    for offset in 0.. {
        assert!(offset < 1_000, "never ended");
        machine.handle(problem(ProblemCode::UploadOffsetMismatch, Some(offset % 2)));
        if let Action::Failed(failure) = machine.next() {
            assert!(matches!(failure, Failure::GaveUp { .. }));
            break;
        }
    }
}

#[test]
fn nonsense_is_an_end_and_not_a_loop() {
    let beyond = Event::Answered(Answer { location: Some(HERE.into()), offset: Some(LENGTH + 1), ..status(201) });
    let nowhere = Event::Answered(status(201));
    for event in [beyond, nowhere, Event::Answered(status(302)), Event::Answered(status(418))] {
        let mut machine = Machine::new(LENGTH, || 1.0);
        machine.handle(event.clone());
        assert!(matches!(machine.next(), Action::Failed(Failure::Unexpected(_))), "{event:?}");
    }
}

#[test]
fn a_line_that_is_too_slow_for_a_part_is_given_smaller_ones() {
    let megabytes = 8 << 20;
    let mut machine = Machine::new(megabytes, || 0.0);
    machine.handle(Event::Answered(Answer { location: Some(HERE.into()), offset: Some(0), ..status(201) }));
    let mut lengths = Vec::new();
    for _ in 0..5 {
        match machine.next() {
            Action::Append { length, .. } => lengths.push(length >> 10),
            other => panic!("{other:?}"),
        }
        machine.handle(lost());
        machine.handle(Event::Waited);
        machine.handle(Event::Answered(Answer { offset: Some(0), ..status(204) }));
    }
    assert_eq!(lengths, [4_096, 4_096, 1_024, 256, 64]);
    // Many small parts are no circle.
    let mut offset = 0;
    while let Action::Append { length, .. } = machine.next() {
        offset += length;
        machine.handle(Event::Answered(Answer { offset: Some(offset), ..status(204) }));
        if offset == megabytes {
            break;
        }
    }
    assert_eq!(offset, megabytes);
}
