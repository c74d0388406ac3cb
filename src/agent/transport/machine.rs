use netsonde_contract::api::fleet::MAX_WAIT_SECONDS;
use std::time::Duration;

/// Below this a held request costs more than it saves.
const MIN_WAIT: u32 = 5;
/// Two requests were cut after the same time where they differ by no more than this part of it.
const SAME_TIME: f64 = 0.25;
/// After so many requests that were held to their end, a longer wait is tried.
const CALM: u32 = 20;
const FIRST_REST: Duration = Duration::from_secs(1);
/// After a long silence of the backend all agents are back within a minute.
const MAX_REST: Duration = Duration::from_secs(60);
/// Whoever stands behind the same switch, or on the same host, is back in the same instant.
const AFTER_LEAVING: Duration = Duration::from_secs(1);
/// Where a connection was cut in the midst of a wait, thousands of them may have been: nobody comes back in the same instant.
const AFTER_CUT: Duration = Duration::from_secs(3);
/// A backend that asks for more than this is asked again all the same.
const MAX_HINT: Duration = Duration::from_secs(3600);
/// Where the backend knows the agent no longer, a person has to do something; it is asked now and then whether they have, after 1 to 2 times
/// this.
const SHUT_REST: Duration = Duration::from_secs(1800);
/// What the agent says of itself is said anew after this time.
const CHECK_IN_EVERY: Duration = Duration::from_secs(3600);
/// Answers without a wait that are taken in a row before the backend is asked more slowly.
const MANY_QUICK: u32 = 8;
/// An answer that came sooner was not waited for.
const QUICK: Duration = Duration::from_secs(1);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Say what the agent is.
    CheckIn,
    /// Ask for work, to be held for so many seconds.
    Ask {
        wait: u32,
    },
    Rest(Duration),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    CheckedIn,
    /// An answer to the question for work, after it was held for this time.
    Answered {
        held: Duration,
    },
    /// The connection ended without an answer, after this time.
    Cut {
        held: Duration,
    },
    /// The backend cannot now, and may have said for how long.
    Failed {
        retry_after: Option<Duration>,
    },
    /// The signer's clock was set right.
    Corrected,
    /// The backend does not know the agent, or knows two of it.
    Shut,
    /// What the agent says of itself has changed.
    Changed,
    /// The machine slept, or stands in another network: whatever was under way is given up, and what failed before says nothing of now.
    Left,
    Rested,
}

/// The pace of the questions for work. It reads no clock: `now` is any clock that goes forward, `chance` is evenly spread from 0 to 1.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// How long a request may be held as far as is known, in seconds.
    wait: u32,
    /// How long the last request was held that was cut, where none was held longer and answered since.
    cut: Option<Duration>,
    calm: u32,
    quick: u32,
    failures: u32,
    corrections: u32,
    checked_in: Option<Duration>,
    rest: Option<Duration>,
    /// It is the backend that wants the rest.
    is_wanted: bool,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self {
            wait: MAX_WAIT_SECONDS,
            cut: None,
            calm: 0,
            quick: 0,
            failures: 0,
            corrections: 0,
            checked_in: None,
            rest: None,
            is_wanted: false,
        }
    }

    /// The backend wants to be left alone, wherever the machine stands.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.rest.is_some() && self.is_wanted
    }

    pub(crate) fn next(&self, now: Duration) -> Next {
        match (self.rest, self.checked_in) {
            (Some(rest), _) => Next::Rest(rest),
            (None, Some(at)) if now.saturating_sub(at) < CHECK_IN_EVERY => Next::Ask { wait: self.wait },
            (None, _) => Next::CheckIn,
        }
    }

    pub(crate) fn handle(&mut self, event: Event, now: Duration, chance: f64) {
        match event {
            Event::Rested => (self.rest, self.is_wanted) = (None, false),
            Event::Changed => self.checked_in = None,
            Event::Left if self.is_unwanted() => {}
            Event::Left => {
                (self.failures, self.cut) = (0, None);
                self.rest = Some(AFTER_LEAVING.mul_f64(share(chance)));
            }
            Event::CheckedIn => {
                self.checked_in = Some(now);
                self.heard();
            }
            Event::Answered { held } => {
                self.heard();
                self.answered(held, chance);
            }
            Event::Cut { held } => self.cut(held, chance),
            Event::Failed { retry_after } => self.failed(retry_after, chance),
            Event::Corrected => {
                self.corrections += 1;
                // A backend that is not content with its own time gets no third request in a row.
                if self.corrections > 1 {
                    self.failed(None, chance);
                }
            }
            Event::Shut => {
                self.checked_in = None;
                self.is_wanted = true;
                self.rest = Some(SHUT_REST + SHUT_REST.mul_f64(share(chance)));
            }
        }
    }

    fn heard(&mut self) {
        (self.failures, self.corrections) = (0, 0);
    }

    fn answered(&mut self, held: Duration, chance: f64) {
        self.cut = self.cut.filter(|cut| *cut > held);
        if held < QUICK {
            self.quick = self.quick.saturating_add(1);
            if self.quick > MANY_QUICK {
                let most = FIRST_REST.saturating_mul(1 << (self.quick - MANY_QUICK).min(5));
                self.rest = Some(FIRST_REST.max(most.mul_f64(share(chance))));
            }
            return;
        }
        self.quick = 0;
        if held >= Duration::from_secs(u64::from(self.wait)).mul_f64(0.9) {
            self.calm += 1;
            if self.calm >= CALM {
                self.calm = 0;
                self.wait = (self.wait + self.wait / 4).min(MAX_WAIT_SECONDS);
            }
        }
    }

    /// A connection that is cut once may be a backend that restarts, a machine that slept or another network. What ends connections that are
    /// silent for so long does it again after the same time: the next one is held for less. One that ended at once, or that cannot be held for
    /// less, is a failure like others.
    fn cut(&mut self, held: Duration, chance: f64) {
        if held < Duration::from_secs(u64::from(MIN_WAIT)) || self.wait == MIN_WAIT {
            return self.failed(None, chance);
        }
        self.calm = 0;
        if let Some(before) =
            self.cut.replace(held).filter(|before| before.abs_diff(held) <= held.max(*before).mul_f64(SAME_TIME))
        {
            let seconds = u32::try_from(held.min(before).as_secs()).unwrap_or(MAX_WAIT_SECONDS);
            self.wait = (seconds * 4 / 5).clamp(MIN_WAIT, self.wait);
        }
        self.rest = Some(AFTER_CUT.mul_f64(share(chance)));
    }

    /// Full jitter: anything between nothing and twice the last bound, so that those who failed together do not come back together.
    fn failed(&mut self, retry_after: Option<Duration>, chance: f64) {
        let most = FIRST_REST.saturating_mul(1 << self.failures.min(10)).min(MAX_REST);
        self.failures = self.failures.saturating_add(1);
        let own = most.mul_f64(share(chance));
        self.is_wanted = retry_after.is_some();
        self.rest = Some(match retry_after.map(|hint| hint.min(MAX_HINT)) {
            // Whoever is told a time by the same backend is told the same one.
            Some(hint) => hint + (hint / 2).max(FIRST_REST).mul_f64(share(chance)),
            None => own.max(Duration::from_millis(100)),
        });
    }
}

fn share(chance: f64) -> f64 {
    if chance.is_finite() { chance.clamp(0.0, 1.0) } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ZERO: Duration = Duration::ZERO;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn asking() -> Machine {
        let mut machine = Machine::new();
        assert_eq!(machine.next(ZERO), Next::CheckIn);
        machine.handle(Event::CheckedIn, ZERO, 0.5);
        assert_eq!(machine.next(ZERO), Next::Ask { wait: 50 });
        machine
    }

    #[test]
    fn a_path_that_cuts_silent_connections_is_asked_for_less() {
        let mut machine = asking();
        machine.handle(Event::Cut { held: seconds(30) }, seconds(30), 1.0);
        assert_eq!(machine.next(seconds(30)), Next::Rest(AFTER_CUT));
        machine.handle(Event::Rested, seconds(33), 0.5);
        // An order that comes before the time is up says nothing of it.
        machine.handle(Event::Answered { held: seconds(10) }, seconds(33), 0.5);
        machine.handle(Event::Cut { held: seconds(31) }, seconds(33), 1.0);
        machine.handle(Event::Rested, seconds(33), 0.5);
        assert_eq!(machine.next(seconds(33)), Next::Ask { wait: 24 });
        for _ in 0..CALM {
            machine.handle(Event::Answered { held: seconds(24) }, seconds(40), 0.5);
        }
        assert_eq!(machine.next(seconds(40)), Next::Ask { wait: 30 }, "after a calm time more is tried");
    }

    /// A backend that restarts, a machine that sleeps and a network that changes cut a whole fleet, and each but once.
    #[test]
    fn connections_that_are_cut_after_different_times_or_once_are_held_as_long_as_before() {
        let mut machine = asking();
        // After the first, one was answered that was held for longer.
        for (held, answered) in [(20, 50), (20, 50), (40, 2), (12, 2), (24, 2)] {
            machine.handle(Event::Cut { held: seconds(held) }, ZERO, 0.5);
            machine.handle(Event::Rested, ZERO, 0.5);
            assert_eq!(machine.next(ZERO), Next::Ask { wait: 50 }, "cut after {held} s");
            machine.handle(Event::Answered { held: seconds(answered) }, ZERO, 0.5);
        }
    }

    #[test]
    fn whoever_wakes_up_or_comes_into_another_network_asks_within_a_second_unless_the_backend_wants_a_rest() {
        let mut machine = asking();
        for _ in 0..8 {
            machine.handle(Event::Failed { retry_after: None }, ZERO, 1.0);
        }
        assert_eq!(machine.next(ZERO), Next::Rest(MAX_REST));
        machine.handle(Event::Left, ZERO, 1.0);
        assert_eq!(machine.next(ZERO), Next::Rest(AFTER_LEAVING));
        machine.handle(Event::Rested, ZERO, 0.5);
        machine.handle(Event::Failed { retry_after: None }, ZERO, 1.0);
        assert_eq!(machine.next(ZERO), Next::Rest(FIRST_REST), "a network that is not quite there yet is soon tried again");
        for event in [Event::Failed { retry_after: Some(seconds(600)) }, Event::Shut] {
            machine.handle(event, ZERO, 0.0);
            let rest = machine.next(ZERO);
            assert!(machine.is_unwanted() && matches!(rest, Next::Rest(rest) if rest >= seconds(600)), "{rest:?}");
            machine.handle(Event::Left, ZERO, 0.5);
            assert_eq!(machine.next(ZERO), rest);
            machine.handle(Event::Rested, ZERO, 0.5);
            assert!(!machine.is_unwanted());
        }
    }

    /// Sleeps and other networks are noticed at the same looks, so that they end requests after the same time.
    #[test]
    fn requests_that_are_given_up_are_not_held_for_less() {
        let mut machine = asking();
        for _ in 0..4 {
            machine.handle(Event::Left, seconds(20), 0.5);
            machine.handle(Event::Rested, seconds(20), 0.5);
            assert_eq!(machine.next(seconds(20)), Next::Ask { wait: MAX_WAIT_SECONDS });
        }
    }

    #[test]
    fn what_cannot_be_held_for_less_is_asked_ever_more_rarely_while_it_is_cut() {
        let mut machine = asking();
        let mut rests = Vec::new();
        for _ in 0..16 {
            let Next::Ask { wait } = machine.next(ZERO) else { panic!("no question") };
            machine.handle(Event::Cut { held: seconds(wait.into()) }, ZERO, 1.0);
            let Next::Rest(rest) = machine.next(ZERO) else { panic!("no rest") };
            rests.push(rest);
            machine.handle(Event::Rested, ZERO, 0.5);
        }
        assert_eq!(machine.next(ZERO), Next::Ask { wait: MIN_WAIT });
        assert!(rests.last().is_some_and(|rest| *rest > AFTER_CUT), "{rests:?}");
    }

    #[test]
    fn failures_are_answered_by_rests_that_grow_and_are_spread() {
        let mut machine = asking();
        let mut bounds = Vec::new();
        for _ in 0..10 {
            machine.handle(Event::Failed { retry_after: None }, ZERO, 1.0);
            let Next::Rest(rest) = machine.next(ZERO) else { panic!("no rest") };
            bounds.push(rest.as_secs());
        }
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        machine.handle(Event::Failed { retry_after: Some(seconds(20)) }, ZERO, 0.0);
        assert_eq!(machine.next(ZERO), Next::Rest(seconds(20)), "never sooner than asked");
        machine.handle(Event::Rested, ZERO, 0.5);
        machine.handle(Event::Answered { held: seconds(50) }, ZERO, 0.5);
        machine.handle(Event::Failed { retry_after: None }, ZERO, 1.0);
        assert_eq!(machine.next(ZERO), Next::Rest(seconds(1)), "an answer ends the series");
    }

    #[test]
    fn a_clock_that_was_set_right_is_tried_once_at_once() {
        let mut machine = asking();
        machine.handle(Event::Corrected, ZERO, 0.5);
        assert_eq!(machine.next(ZERO), Next::Ask { wait: 50 });
        machine.handle(Event::Corrected, ZERO, 0.5);
        assert!(matches!(machine.next(ZERO), Next::Rest(_)));
    }

    #[test]
    fn the_agent_says_what_it_is_every_hour_and_when_that_changes() {
        let mut machine = asking();
        assert_eq!(machine.next(CHECK_IN_EVERY), Next::CheckIn);
        machine.handle(Event::Changed, seconds(5), 0.5);
        assert_eq!(machine.next(seconds(5)), Next::CheckIn);
        machine.handle(Event::Shut, seconds(5), 0.0);
        assert_eq!(machine.next(seconds(5)), Next::Rest(SHUT_REST));
    }

    #[test]
    fn a_backend_that_never_holds_is_not_asked_in_a_loop() {
        let mut machine = asking();
        for _ in 0..MANY_QUICK {
            machine.handle(Event::Answered { held: ZERO }, ZERO, 0.0);
            assert_eq!(machine.next(ZERO), Next::Ask { wait: 50 });
        }
        machine.handle(Event::Answered { held: ZERO }, ZERO, 0.0);
        assert_eq!(machine.next(ZERO), Next::Rest(FIRST_REST));
    }

    fn event() -> impl Strategy<Value = Event> {
        let held = 0_u64..200;
        prop_oneof![
            Just(Event::CheckedIn),
            Just(Event::Corrected),
            Just(Event::Shut),
            Just(Event::Changed),
            Just(Event::Left),
            Just(Event::Rested),
            held.clone().prop_map(|held| Event::Answered { held: seconds(held) }),
            held.prop_map(|held| Event::Cut { held: seconds(held) }),
            proptest::option::of(0_u64..100_000).prop_map(|hint| Event::Failed { retry_after: hint.map(seconds) }),
        ]
    }

    proptest! {
        /// Whatever happens: waits and rests keep their bounds, and a failure is never answered by a request at once.
        #[test]
        fn every_course_of_events_keeps_the_bounds(events in proptest::collection::vec((event(), 0.0..=1.0_f64), 1..200)) {
            let mut machine = Machine::new();
            for (event, chance) in events {
                machine.handle(event, ZERO, chance);
                match machine.next(ZERO) {
                    Next::Ask { wait } => prop_assert!((MIN_WAIT..=MAX_WAIT_SECONDS).contains(&wait)),
                    Next::Rest(rest) => prop_assert!(rest <= MAX_HINT * 2),
                    Next::CheckIn => {}
                }
                if matches!(event, Event::Failed { .. } | Event::Cut { .. } | Event::Shut) {
                    prop_assert!(matches!(machine.next(ZERO), Next::Rest(_)));
                }
            }
        }
    }
}
