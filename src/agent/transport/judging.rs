use super::{Event, Fault};
use std::time::Duration;

/// A request that ended sooner was not cut for being silent.
const HELD_AT_ALL: Duration = Duration::from_secs(5);

/// What a request that failed after it was held for so long means to the pace.
pub(crate) fn event_of(fault: &Fault, held: Duration) -> Event {
    match fault {
        fault if fault.is_final() => Event::Shut,
        Fault::Skewed => Event::Corrected,
        Fault::NoAnswer(_) if held >= HELD_AT_ALL => Event::Cut { held },
        // It waited for the backend's answer for as long as it waits for any, and gave up.
        Fault::Interposed { retry_after: None, .. } if held >= HELD_AT_ALL => Event::Cut { held },
        fault => Event::Failed { retry_after: fault.retry_after() },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Machine, Next};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn gateway(status: u16) -> Fault {
        Fault::Interposed { status, retry_after: None }
    }

    #[test]
    fn a_gateway_that_gives_up_waiting_cuts_and_one_that_refuses_at_once_fails() {
        assert_eq!(event_of(&gateway(504), SECOND * 8), Event::Cut { held: SECOND * 8 });
        assert_eq!(event_of(&gateway(502), SECOND), Event::Failed { retry_after: None });
        let busy = Fault::Interposed { status: 503, retry_after: Some(SECOND * 20) };
        assert_eq!(event_of(&busy, SECOND * 8), Event::Failed { retry_after: Some(SECOND * 20) }, "it names a time");
        let backends = Fault::NotNow { what: "restarting".to_owned(), retry_after: None };
        assert_eq!(event_of(&backends, SECOND * 8), Event::Failed { retry_after: None }, "the backend itself waits for nobody");
    }

    #[test]
    fn a_connection_that_never_stood_was_not_cut_however_long_it_was_tried() {
        assert_eq!(event_of(&Fault::NoAnswer("cut".to_owned()), SECOND * 8), Event::Cut { held: SECOND * 8 });
        assert_eq!(event_of(&Fault::Unreachable("timed out".to_owned()), SECOND * 8), Event::Failed { retry_after: None });
    }

    /// The agent learns to ask for less than what the gateway waits for, and is then heard at once.
    #[test]
    fn behind_a_gateway_that_waits_eight_seconds_requests_are_soon_held_for_less() {
        let mut machine = Machine::new();
        machine.handle(Event::CheckedIn, Duration::ZERO, 0.5);
        for turn in 0.. {
            assert!(turn < 10, "it never learns");
            match machine.next(Duration::ZERO) {
                Next::Ask { wait } if wait < 8 => return,
                Next::Ask { .. } => machine.handle(event_of(&gateway(504), SECOND * 8), Duration::ZERO, 0.5),
                Next::Rest(_) => machine.handle(Event::Rested, Duration::ZERO, 0.5),
                Next::CheckIn => panic!("it has said what it is"),
            }
        }
    }
}
