use super::machine::Slot;
use super::*;
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::agent_config::AgentConfig;
use proptest::prelude::*;
use std::time::Duration;

const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;

/// A machine whose clocks the test owns.
struct World {
    config: AgentConfig,
    scheduler: Scheduler,
    reading: Reading,
    boots: u32,
    ran: Vec<Slot>,
}

impl World {
    fn of(timing: &str, from: &str) -> Self {
        let text = format!("[[schedule]]\nname = \"s\"\nset = \"web\"\n{timing}\n");
        let config = AgentConfig::parse("agent.toml", &text).unwrap();
        let reading = Reading { wall: from.parse().unwrap(), boot: Some("boot 0".into()), up: Duration::from_secs(1_000) };
        let scheduler = Scheduler::new(&config, "agent", None, &reading).unwrap();
        Self { config, scheduler, reading, boots: 0, ran: Vec::new() }
    }

    /// Time passes, whether the machine sleeps or waits.
    fn pass(&mut self, seconds: u64) {
        self.reading.wall += SignedDuration::from_secs(i64::try_from(seconds).unwrap());
        self.reading.up += Duration::from_secs(seconds);
    }

    fn set_clock(&mut self, seconds: i64) {
        self.reading.wall += SignedDuration::from_secs(seconds);
    }

    fn poll(&mut self) -> usize {
        let polled = self.scheduler.poll(&self.reading, |_| false);
        assert!(polled.wait <= Duration::from_secs(30));
        self.ran.extend(polled.due.iter().map(|(_, slot)| *slot));
        polled.due.len()
    }

    /// The agent ends and begins anew with what is on disk.
    fn restart(&mut self) {
        let kept = serde_json::to_vec(&self.scheduler.persisted()).unwrap();
        let kept = Some(serde_json::from_slice(&kept).unwrap());
        self.scheduler = Scheduler::new(&self.config, "agent", kept, &self.reading).unwrap();
    }

    fn reboot(&mut self) {
        self.boots += 1;
        self.reading.boot = Some(format!("boot {}", self.boots));
        self.reading.up = Duration::from_secs(5);
        self.restart();
    }

    /// Looks every half minute, as the daemon does, and counts runs.
    fn live(&mut self, seconds: u64) -> usize {
        (0..seconds / 30)
            .map(|_| {
                self.pass(30);
                self.poll()
            })
            .sum()
    }
}

#[test]
fn eight_hours_of_sleep_are_made_up_for_once() {
    for timing in ["every = \"1m\"", "cron = \"* * * * *\"\nzone = \"UTC\""] {
        let mut world = World::of(timing, "2027-01-15T12:00:00Z");
        assert_eq!(world.live(10 * MINUTE), 10, "{timing}");
        world.pass(8 * HOUR);
        assert_eq!((world.poll(), world.poll()), (1, 0), "{timing}");
        assert!(world.ran.last().unwrap().missed > 470, "{:?}", world.ran.last());
        assert_eq!(world.live(10 * MINUTE), 10, "{timing}");
    }
}

#[test]
fn a_restart_neither_repeats_nor_loses_a_slot() {
    let mut world = World::of("every = \"1m\"\njitter = \"20s\"", "2027-01-15T12:00:00Z");
    for _ in 0..30 {
        world.live(MINUTE);
        world.restart();
    }
    let numbers: Vec<i64> = world.ran.iter().map(|slot| slot.number).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1) && numbers.len() >= 29, "{numbers:?}");
}

#[test]
fn quiet_hours_hold_a_slot_back_and_it_runs_once_afterwards() {
    let timing = "cron = \"0 3,4,5 * * *\"\nzone = \"UTC\"\nquiet = [\"mon-sun 22:00-06:00\"]";
    let mut world = World::of(timing, "2027-01-15T21:00:00Z");
    assert_eq!(world.live(9 * HOUR - 30), 0);
    assert_eq!(world.live(HOUR), 1);
    assert_eq!(world.ran[0].missed, 2);
    let next = world.scheduler.upcoming("s", &world.reading, 2);
    assert_eq!(next.iter().map(Timestamp::to_string).collect::<Vec<_>>(), ["2027-01-17T06:00:00Z", "2027-01-18T06:00:00Z"]);
}

#[test]
fn what_is_always_quiet_never_runs_and_says_so() {
    let world = World::of("every = \"1m\"\nquiet = [\"mon-sun 00:00-24:00\"]", "2027-01-15T21:00:00Z");
    assert_eq!(world.scheduler.upcoming("s", &world.reading, 1), []);
}

#[test]
fn a_clock_from_the_far_future_silences_nothing() {
    let mut world = World::of("cron = \"0 * * * *\"\nzone = \"UTC\"", "2027-01-15T12:00:00Z");
    assert_eq!(world.live(2 * HOUR), 2);
    world.set_clock(70 * 365 * 24 * 3_600);
    assert_eq!(world.live(HOUR), 2, "once for the years, once for the hour");
    world.set_clock(-70 * 365 * 24 * 3_600);
    assert_eq!(world.live(2 * HOUR), 2);
}

#[test]
fn a_busy_schedule_runs_once_when_it_is_free() {
    let mut world = World::of("every = \"1m\"", "2027-01-15T12:00:00Z");
    world.live(2 * MINUTE);
    for _ in 0..10 {
        world.pass(MINUTE);
        assert_eq!(world.scheduler.poll(&world.reading, |_| true).due, []);
    }
    assert_eq!(world.poll(), 1);
    assert_eq!(world.ran.last().unwrap().missed, 9);
}

#[test]
fn a_slot_that_is_given_back_runs_after_a_restart_and_only_that_one() {
    for timing in ["every = \"1h\"", "cron = \"0 * * * *\"\nzone = \"UTC\""] {
        let mut world = World::of(timing, "2027-01-15T12:30:00Z");
        assert_eq!(world.live(2 * HOUR), 2);
        world.scheduler.give_back("s");
        world.restart();
        assert_eq!((world.poll(), world.ran.last().unwrap().missed), (1, 0), "{timing}");
        world.restart();
        world.scheduler.give_back("s");
        assert_eq!(world.poll(), 0, "{timing}");
    }
}

#[test]
fn another_timing_under_the_same_name_begins_anew() {
    let mut world = World::of("every = \"10s\"", "2027-01-15T12:00:00Z");
    world.live(HOUR);
    world.config = AgentConfig::parse("x", "[[schedule]]\nname = \"s\"\nset = \"web\"\nevery = \"1h\"\n").unwrap();
    world.restart();
    assert_eq!(world.live(2 * HOUR), 2);
}

#[test]
fn a_zone_that_is_not_known_is_told_with_its_line() {
    let config =
        AgentConfig::parse("x", "[[schedule]]\nname = \"s\"\nset = \"web\"\nevery = \"1h\"\nzone = \"Nowhere/Land\"\n").unwrap();
    let reading = Reading { wall: Timestamp::UNIX_EPOCH, boot: None, up: Duration::ZERO };
    let stop = Scheduler::new(&config, "agent", None, &reading).unwrap_err();
    assert!(stop.message.contains("Nowhere/Land") && stop.message.contains("line 1") && stop.next.is_some());
}

#[derive(Clone, Debug)]
enum Event {
    Live(u64),
    Sleep(u64),
    SetClock(i64),
    Restart,
    Reboot,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (30 * SECOND..4 * HOUR).prop_map(Event::Live),
        2 => (HOUR..72 * HOUR).prop_map(Event::Sleep),
        2 => (-40 * 86_400_i64..40 * 86_400).prop_map(Event::SetClock),
        2 => (-7_200_i64..7_200).prop_map(Event::SetClock),
        2 => Just(Event::Restart),
        1 => Just(Event::Reboot),
    ]
}

/// Around changes of summer time, a leap day and the turn of a year.
fn beginning() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "2027-03-27T20:00:00Z",
        "2027-10-30T20:00:00Z",
        "2028-02-28T12:00:00Z",
        "2027-12-31T12:00:00Z",
        "2027-06-15T12:00:00Z",
    ])
}

fn timing() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "every = \"1m\"",
        "every = \"90s\"\njitter = \"45s\"",
        "every = \"1h\"\nsplay = \"10m\"",
        "cron = \"*/5 * * * *\"\nzone = \"Europe/Berlin\"",
        "cron = \"30 2 * * *\"\nzone = \"Europe/Berlin\"\nsplay = \"5m\"\njitter = \"2m\"",
        "cron = \"15 * * * *\"\nzone = \"Australia/Lord_Howe\"",
        "every = \"1m\"\nzone = \"Europe/Berlin\"\nquiet = [\"mon-sun 01:30-03:30\"]",
        "every = \"20m\"\nsplay = \"5m\"\njitter = \"2m\"\nzone = \"Europe/Berlin\"\nquiet = [\"mon-sun 22:00-06:00\"]",
        "cron = \"*/10 * * * *\"\nsplay = \"4m\"\nzone = \"Europe/Berlin\"\nquiet = [\"sat 00:00-12:00\", \"mon-sun 02:15-02:45\"]",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to clocks and machine: no slot twice, no schedule silent for good, and a stretch that was missed made up for once.
    #[test]
    fn no_slot_runs_twice_and_none_is_silent_for_good(from in beginning(), timing in timing(), events in prop::collection::vec(event(), 1..12)) {
        let mut world = World::of(timing, from);
        let by_clock = timing.starts_with("cron");
        // Since the last time that the clock was set back so far that what it had shown before counts for nothing.
        let mut since = 0;
        for event in events {
            match event {
                Event::Live(seconds) => { world.live(seconds); }
                Event::Sleep(seconds) => {
                    world.pass(seconds);
                    let ran = world.poll();
                    prop_assert!(ran <= 1 && world.poll() == 0, "made up for more than once");
                }
                Event::SetClock(seconds) => {
                    world.set_clock(seconds);
                    if by_clock && seconds < 0 {
                        prop_assert!(distinct(&world.ran[since..]));
                        if seconds < -3 * 3_600 { since = world.ran.len(); }
                    }
                    let ran = world.poll();
                    prop_assert!(ran <= 1, "one change of the clock, one run");
                }
                Event::Restart => world.restart(),
                Event::Reboot => world.reboot(),
            }
            if by_clock {
                // Several small steps back add up to a large one.
                let last = world.ran.last().map_or(i64::MIN, |slot| slot.number);
                if last > world.reading.wall.as_millisecond() { since = world.ran.len(); }
            }
            prop_assert!(distinct(&world.ran[since..]), "{:?}", world.ran);
        }
        if !by_clock {
            prop_assert!(world.ran.windows(2).all(|pair| pair[0].number < pair[1].number));
        }
        // Of what comes least often, cron's 02:30, two days hold at least one, three hours of a clock set back included.
        prop_assert!(world.live(52 * HOUR) >= 1, "silent");
    }

    /// With clocks that nobody touches, each slot runs, and runs in time.
    #[test]
    fn an_undisturbed_schedule_keeps_every_slot(from in beginning(), timing in timing()) {
        let mut world = World::of(timing, from);
        let has_quiet = timing.contains("quiet");
        world.live(50 * HOUR);
        for slot in world.ran.iter().filter(|_| !has_quiet) {
            prop_assert_eq!(slot.missed, 0);
            prop_assert!(slot.late <= Duration::from_secs(30));
        }
        let expected = if has_quiet { 10 } else { 1 };
        prop_assert!(world.ran.len() >= expected, "{}", world.ran.len());
    }

    /// What each slot measures is the present until the next one, whatever the hours are; where slots are missed it is not for long.
    #[test]
    fn a_measurement_is_stale_once_slots_were_missed_and_never_before(from in beginning(), timing in timing()) {
        let mut world = World::of(timing, from);
        let mut runs = Vec::new();
        for _ in 0..50 * HOUR / 30 {
            world.pass(30);
            if world.poll() > 0 { runs.push(world.reading.wall); }
        }
        let expected = Expected::of(&world.config.schedules[0]);
        let is_stale = |last: Timestamp, now: Timestamp| expected.is_stale(last, Duration::ZERO, now);
        for three in runs.windows(3) {
            prop_assert!(!is_stale(three[0], three[1]) && !is_stale(three[0], three[2]), "{:?}", three);
        }
        for seven in runs.windows(7) {
            prop_assert!(is_stale(seven[0], seven[6]), "{:?}", seven);
        }
    }
}

#[test]
fn a_measurement_is_stale_after_three_slots_of_its_schedules_own() {
    // 2027-01-15 is a Friday.
    let cases = [
        ("every = \"10s\"", 0, "2027-01-15T12:00:00Z", "2027-01-15T12:00:30Z"),
        ("every = \"10s\"\nquiet = [\"sun 03:00-03:01\"]", 0, "2027-01-15T12:00:00Z", "2027-01-15T12:00:30Z"),
        ("every = \"10s\"\njitter = \"5s\"", 0, "2027-01-15T12:00:00Z", "2027-01-15T12:00:35Z"),
        ("every = \"10s\"", 60, "2027-01-15T12:00:00Z", "2027-01-15T12:02:10Z"),
        ("every = \"1h\"\nsplay = \"10m\"\nquiet = [\"sat-sun 00:00-24:00\"]", 0, "2027-01-15T23:30:00Z", "2027-01-18T02:10:00Z"),
        ("cron = \"* * * * *\"", 0, "2027-01-15T12:00:01Z", "2027-01-15T12:03:00Z"),
        ("cron = \"* * * * *\"", 300, "2027-01-15T12:00:01Z", "2027-01-15T12:11:00Z"),
        ("cron = \"* * * * *\"\nsplay = \"30s\"", 0, "2027-01-15T12:00:29Z", "2027-01-15T12:03:30Z"),
        ("cron = \"*/5 8-18 * * mon-fri\"", 0, "2027-01-15T18:55:01Z", "2027-01-18T08:10:00Z"),
        ("cron = \"0 0 1 * *\"", 0, "2027-01-01T00:00:05Z", "2027-04-01T00:00:00Z"),
        ("every = \"1m\"\nquiet = [\"mon-sun 00:00-24:00\"]", 0, "2027-01-15T12:00:00Z", "2027-01-15T12:03:00Z"),
    ];
    for (timing, budget, last, until) in cases {
        let text = format!("[[schedule]]\nname = \"s\"\nset = \"web\"\nzone = \"UTC\"\n{timing}\n");
        let config = AgentConfig::parse("agent.toml", &text).unwrap();
        let [last, until]: [Timestamp; 2] = [last, until].map(|at| at.parse().unwrap());
        let is_stale = |now| Expected::of(&config.schedules[0]).is_stale(last, Duration::from_secs(budget), now);
        let moments = [last - SignedDuration::from_hours(9), last, until, until + SignedDuration::from_secs(1)];
        assert_eq!(moments.map(is_stale), [false, false, false, true], "{timing} with runs of {budget} s");
    }
}

fn distinct(slots: &[Slot]) -> bool {
    slots.windows(2).all(|pair| pair[0].number < pair[1].number)
}

#[test]
fn hours_in_which_nothing_is_sent_are_those_of_their_own_zone() {
    let text = "version = 1\n[upload]\nquiet = [\"mon-fri 08:00-18:00\"]\nzone = \"Europe/Berlin\"\n";
    let config = AgentConfig::parse("agent.toml", text).unwrap();
    let scheduler = Scheduler::new(&config, "agent", None, &Reading::now()).unwrap();
    let quiet = |at: &str| scheduler.are_uploads_quiet(at.parse().unwrap());
    assert!(quiet("2027-01-04T07:30:00Z") && !quiet("2027-01-04T06:30:00Z"), "winter time is an hour ahead");
    assert!(quiet("2027-07-05T06:30:00Z") && !quiet("2027-07-05T16:30:00Z"), "summer time two");
    assert!(!quiet("2027-01-02T12:00:00Z"), "a Saturday");
    let unknown = AgentConfig::parse("agent.toml", &text.replace("Berlin", "Nowhere")).unwrap();
    let stop = Scheduler::new(&unknown, "agent", None, &Reading::now()).err().unwrap();
    assert!(stop.message.contains("Europe/Nowhere") && stop.message.contains("[upload]"), "{stop:?}");
}
