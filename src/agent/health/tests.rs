use super::*;
use netsonde_contract::history::Verdict;
use netsonde_contract::kind::Kind;
use proptest::prelude::*;

struct Patient {
    config: AgentConfig,
    book: HealthBook,
    minute: i64,
}

impl Patient {
    fn with(health: &str) -> Self {
        let text = format!("[[schedule]]\nname = \"s\"\nset = \"web\"\nevery = \"1m\"\n[schedule.health]\n{health}\n");
        Self { config: AgentConfig::parse("x", &text).unwrap(), book: HealthBook::default(), minute: 0 }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + self.minute * 60).unwrap()
    }

    fn take(&mut self, change: impl FnOnce(&mut Sample)) -> Vec<Change> {
        self.minute += 1;
        let mut sample = Sample {
            at: self.now(),
            verdict: Verdict::Good,
            took_us: 25_000,
            rtt_us: Some(20_000),
            phases: std::collections::BTreeMap::new(),
            failure: None,
            path: None,
            chain: None,
            expires: None,
        };
        change(&mut sample);
        self.book.observe(&self.config, &series(), &sample)
    }

    /// A measurement, and the look that follows it.
    fn run(&mut self, verdict: Verdict) -> Vec<Change> {
        let mut told = self.take(|sample| sample.verdict = verdict);
        told.extend(self.look());
        told
    }

    /// As the agent looks each minute.
    fn look(&mut self) -> Vec<Change> {
        self.book.forget_the_future(self.now());
        self.book.tick(&self.config, self.now())
    }

    fn idle(&mut self, minutes: i64) -> Vec<Change> {
        let minute = |_| {
            self.minute += 1;
            self.look()
        };
        (0..minutes).flat_map(minute).collect()
    }

    /// `+` good, `-` bad, `?` not measured; the states that it turned to.
    fn through(&mut self, signs: &str) -> Vec<&'static str> {
        let verdict = |sign| match sign {
            '+' => Verdict::Good,
            '-' => Verdict::Bad,
            _ => Verdict::Unmeasured,
        };
        signs
            .chars()
            .flat_map(|sign| self.take(|sample| sample.verdict = verdict(sign)))
            .filter_map(|change| match change.what {
                Changed::Health { to, .. } => Some(to.name()),
                _ => None,
            })
            .collect()
    }
}

fn series() -> Series {
    Series { schedule: "s".into(), check: "connect".into(), kind: Kind::Tcp, target: Some("shop.example".into()), required: true }
}

#[test]
fn states_turn_at_their_thresholds_and_not_before() {
    let cases: [(&str, &[&str]); 9] = [
        ("+", &[]),
        ("++", &["ok"]),
        ("++--++", &["ok"]),
        ("++---", &["ok", "failing"]),
        ("++---+-+-", &["ok", "failing"]),
        ("++---++", &["ok", "failing", "degraded"]),
        ("++-++-++-++", &["ok", "degraded"]),
        ("++-++-++-+++++++", &["ok", "degraded", "ok"]),
        ("++???", &["ok", "unknown"]),
    ];
    for (signs, expected) in cases {
        assert_eq!(Patient::with("").through(signs), expected, "{signs}");
    }
}

#[test]
fn a_streak_must_last() {
    assert_eq!(Patient::with("hold = \"5m\"\nfailing_after = 2").through("++++++-----"), ["ok", "degraded"]);
    assert_eq!(Patient::with("hold = \"5m\"\nfailing_after = 2").through("++++++------"), ["ok", "degraded", "failing"]);
}

#[test]
fn slow_answers_degrade_and_say_how_slow() {
    let mut patient = Patient::with("slow = \"800ms\"");
    patient.through("++");
    let told: Vec<Change> = (0..3).flat_map(|_| patient.take(|sample| sample.rtt_us = Some(900_000))).collect();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].sentence.contains("connect of shop.example is degraded: 3 measurements in a row")
            && told[0].sentence.contains("900 ms")
    );
}

#[test]
fn a_failure_is_told_with_its_beginning_and_code() {
    let mut patient = Patient::with("");
    patient.through("++");
    let bad = |sample: &mut Sample| (sample.verdict, sample.failure) = (Verdict::Bad, Some("timed_out".into()));
    let told: Vec<Change> = (0..3).flat_map(|_| patient.take(bad)).collect();
    assert_eq!(told[0].began, Timestamp::from_second(1_800_000_000 + 180).unwrap());
    assert!(told[0].sentence.ends_with("the last one: timed_out"), "{}", told[0].sentence);
    assert_eq!(patient.book.target("s", Some("shop.example")), Health::Failing);
    assert_eq!(patient.book.target("s", None), Health::Unknown);
}

#[test]
fn a_machine_with_nothing_left_to_measure_with_is_unknown_with_the_reason_and_fails_nothing() {
    let mut patient = Patient::with("");
    patient.through("++");
    let own = |sample: &mut Sample| (sample.verdict, sample.failure) = (Verdict::Unmeasured, Some("buffers_exhausted".into()));
    let told: Vec<Change> = (0..3).flat_map(|_| patient.take(own)).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].sentence.contains("connect of shop.example is unknown: 3 times in a row it could not be measured"),
        "{told:?}"
    );
    assert!(told[0].sentence.ends_with("for a trouble of this machine's own: buffers_exhausted"), "{told:?}");
    assert_eq!(patient.book.target("s", Some("shop.example")), Health::Unknown);
}

#[test]
fn what_is_not_measured_any_more_is_unknown_and_not_ok() {
    let mut patient = Patient::with("");
    patient.through("++");
    patient.minute += 3;
    assert_eq!(patient.book.tick(&patient.config, patient.now()), []);
    patient.minute += 1;
    let told = patient.book.tick(&patient.config, patient.now());
    assert!(told[0].sentence.contains("connect of shop.example is unknown: it was last measured"), "{told:?}");
    assert_eq!(patient.book.tick(&patient.config, patient.now()), []);
    assert_eq!(patient.through("++"), ["ok"]);
}

#[test]
fn with_cron_and_with_quiet_hours_too_nothing_stays_ok_that_is_not_measured() {
    // 2027-01-15 is a Friday, and the second measurement at 08:02.
    for (timing, minutes) in [
        ("cron = \"* * * * *\"", 3),
        ("cron = \"0 9 * * *\"", 2 * 1_440 + 58),
        ("every = \"1m\"\nquiet = [\"sun 03:00-03:01\"]", 3),
        ("every = \"1m\"\nsplay = \"0s\"\nquiet = [\"fri 08:03-10:00\"]", 120),
    ] {
        let text = format!("[[schedule]]\nname = \"s\"\nset = \"web\"\nzone = \"UTC\"\n{timing}\n");
        let mut patient = Patient { config: AgentConfig::parse("x", &text).unwrap(), ..Patient::with("") };
        patient.through("++");
        patient.minute += minutes;
        assert!(!patient.book.is_stale(&patient.config, &series(), patient.now()), "{timing}");
        assert_eq!(patient.book.tick(&patient.config, patient.now()), [], "{timing}");
        patient.minute += 1;
        assert!(patient.book.is_stale(&patient.config, &series(), patient.now()), "{timing}");
        assert_eq!(patient.book.tick(&patient.config, patient.now()).len(), 1, "{timing}");
        assert_eq!(patient.book.target("s", Some("shop.example")), Health::Unknown, "{timing}");
    }
}

#[test]
fn a_run_that_is_longer_than_three_intervals_turns_failing_and_not_unknown() {
    let text = "[[schedule]]\nname = \"s\"\nset = \"soak\"\nevery = \"10s\"\n";
    let config = AgentConfig::parse("x", text).unwrap();
    let mut patient = Patient { config, ..Patient::with("") };
    let (took, budget) = (50, Duration::from_secs(60));
    let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
    let mut told = Vec::new();
    for run in 0..8 {
        let began = run * took;
        (began..began + took).for_each(|second| told.extend(patient.book.tick(&patient.config, at(second))));
        told.extend(patient.take(|sample| (sample.at, sample.verdict) = (at(began), Verdict::Bad)));
        patient.book.follow(&patient.config, ("s", &[series()], budget), at(began));
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].sentence.contains("is failing: 3 measurements in a row"), "{told:?}");
    let told = patient.book.tick(&patient.config, at(8 * took + 200));
    assert!(told[0].sentence.contains("is unknown"), "{told:?}");
}

#[test]
fn a_check_that_the_plan_has_no_longer_is_forgotten() {
    let mut patient = Patient::with("");
    patient.through("++");
    let other = Series { check: "tls".into(), ..series() };
    let now = patient.now();
    assert_eq!(patient.book.follow(&patient.config, ("another", &[], Duration::ZERO), now), []);
    assert_eq!(patient.book.checks().count(), 1, "another schedule's plan is another matter");
    assert_eq!(patient.book.follow(&patient.config, ("s", &[other], Duration::ZERO), now), [], "of what is well nobody is told");
    assert_eq!(patient.book.checks().count(), 0);
}

#[test]
fn what_is_removed_while_it_fails_is_told_as_unknown() {
    let told = |forget: fn(&mut Patient) -> Vec<Change>| {
        let mut patient = Patient::with("");
        patient.through("++---");
        let told = forget(&mut patient);
        assert_eq!((told.len(), patient.book.checks().count()), (1, 0), "{told:?}");
        assert_eq!(told[0].what, Changed::Health { from: Health::Failing, to: Health::Unknown });
        told[0].sentence.clone()
    };
    let by_schedule = told(|patient| patient.book.retain(&AgentConfig::default(), patient.now()));
    assert_eq!(by_schedule, "connect of shop.example is unknown: its schedule was removed");
    let by_plan = told(|patient| patient.book.follow(&patient.config, ("s", &[], Duration::ZERO), patient.now()));
    assert_eq!(by_plan, "connect of shop.example is unknown: it was removed from its schedule");
}

#[test]
fn maintenance_silences_but_is_recorded() {
    let mut patient = Patient::with("");
    patient.config.silences.push(netsonde_contract::agent_config::Silence {
        schedule: Some("s".into()),
        from: None,
        until: "2099-01-01T00:00:00Z".parse().unwrap(),
        reason: "the database moves".into(),
    });
    let told: Vec<Change> = (0..2).flat_map(|_| patient.take(|_| ())).collect();
    assert!(told.len() == 1 && told[0].silenced);
}

#[test]
fn a_silence_that_ends_while_a_check_fails_tells_so_once() {
    let mut patient = Patient::with("");
    let silence = |patient: &Patient, minutes: i64| netsonde_contract::agent_config::Silence {
        schedule: None,
        from: None,
        until: patient.now() + jiff::SignedDuration::from_mins(minutes),
        reason: "maintenance".into(),
    };
    let silences = vec![silence(&patient, 20)];
    patient.through("++");
    patient.config.silences = silences;
    assert_eq!(patient.through("---"), ["failing"]);
    let ticked = |patient: &mut Patient| patient.book.tick(&patient.config, patient.now());
    assert_eq!(ticked(&mut patient), []);
    patient.minute = 20;
    patient.through("-");
    let told = ticked(&mut patient);
    assert!(told.len() == 1 && !told[0].silenced, "{told:?}");
    assert_eq!(told[0].what, Changed::Health { from: Health::Failing, to: Health::Failing });
    assert!(told[0].sentence.contains("is still failing after a silence"), "{told:?}");
    assert_eq!(ticked(&mut patient), [], "once");
    // What recovered within its silence needs no word.
    let mut patient = Patient::with("");
    patient.config.silences = vec![silence(&patient, 16)];
    assert_eq!(patient.through("++---++++++++++").last(), Some(&"ok"));
    patient.minute = 17;
    assert_eq!(ticked(&mut patient), []);
}

#[test]
fn a_path_is_new_once_and_only_when_seen_twice() {
    let mut patient = Patient::with("");
    let walk = |patient: &mut Patient, paths: &str| -> usize {
        let one = |path: char| patient.take(|sample| sample.path = Some(path.to_string()));
        paths.chars().flat_map(one).filter(|change| change.what == Changed::NewPath).count()
    };
    assert_eq!(walk(&mut patient, "aaa"), 0, "the first is no news");
    assert_eq!(walk(&mut patient, "abacaba"), 0, "seen once each time");
    assert_eq!(walk(&mut patient, "dd"), 1);
    assert_eq!(walk(&mut patient, "adadd"), 0, "both are known by now");
}

#[test]
fn a_certificate_is_told_at_thirty_fourteen_seven_and_one_day_and_a_new_one_ends_it() {
    let mut patient = Patient::with("");
    let end = Timestamp::from_second(1_800_000_000 + 40 * 86_400).unwrap();
    let mut told = Vec::new();
    for _ in 0..40 * 24 {
        patient.minute += 59;
        for change in patient.take(|sample| (sample.expires, sample.chain) = (Some(end), Some("old".into()))) {
            if let Changed::Expiry { days } = change.what {
                told.push(days);
            }
        }
    }
    assert_eq!(told, [30, 14, 7, 1]);
    let renewed = end + jiff::SignedDuration::from_hours(24 * 90);
    let changes: Vec<Change> = (0..2)
        .flat_map(|_| patient.take(|sample| (sample.expires, sample.chain) = (Some(renewed), Some("new".into()))))
        .collect();
    assert!(changes.iter().any(|change| change.what == Changed::NewChain) && changes.len() == 1, "{changes:?}");
}

#[test]
fn a_time_away_from_its_own_past_is_told_once_and_its_return_too() {
    let mut patient = Patient::with("");
    let mut tell = |times: &mut dyn Iterator<Item = u64>| -> Vec<String> {
        let one = |rtt: u64| patient.take(|sample| sample.rtt_us = Some(rtt));
        times.flat_map(one).filter(|change| matches!(change.what, Changed::Rtt { .. })).map(|change| change.sentence).collect()
    };
    assert_eq!(tell(&mut (0..60).map(|n| 20_000 + n % 7 * 300)), Vec::<String>::new());
    assert_eq!(tell(&mut [90_000, 20_000, 95_000].into_iter()), Vec::<String>::new(), "two slow answers are no trend");
    let away = tell(&mut std::iter::repeat_n(60_000, 40));
    assert!(away.len() == 1 && away[0].contains("takes longer than usual: 60.0 ms"), "{away:?}");
    let back = tell(&mut std::iter::repeat_n(20_000, 10));
    assert!(back.len() == 1 && back[0].contains("as long as usual again"), "{back:?}");
}

#[test]
fn a_time_that_stays_away_becomes_the_usual_one_and_the_next_change_is_told() {
    let mut patient = Patient::with("");
    let mut tell = |rtt: u64, count: usize| -> Vec<String> {
        let one = |_| patient.take(|sample| sample.rtt_us = Some(rtt));
        let told = (0..count).flat_map(one).filter(|change| matches!(change.what, Changed::Rtt { .. }));
        told.map(|change| change.sentence).collect()
    };
    assert_eq!(tell(10_000, 60), Vec::<String>::new());
    // Another route, for good.
    let route = tell(50_000, 90);
    assert!(route.len() == 1 && route[0].contains("takes longer than usual: 50.0 ms"), "{route:?}");
    let fault = tell(300_000, 10);
    assert!(fault.len() == 1 && fault[0].contains("usually 50.0 ms"), "{fault:?}");
    let over = tell(50_000, 10);
    assert!(over.len() == 1 && over[0].contains("as long as usual again: 50.0 ms"), "{over:?}");
    let back = tell(10_000, 10);
    assert!(back.len() == 1 && back[0].contains("takes shorter than usual: 10.0 ms"), "{back:?}");
}

#[test]
fn a_clock_that_is_set_back_while_a_target_fails_keeps_no_failure_back() {
    for health in ["", "hold = \"2m\""] {
        let mut patient = Patient::with(health);
        patient.through("++++++--");
        patient.minute -= 9 * 60;
        let bad: Vec<_> = (0..4).flat_map(|_| patient.through("-")).collect();
        assert_eq!(bad.last(), Some(&"failing"), "{health}: {bad:?}");
    }
    let mut patient = Patient::with("slow = \"800ms\"");
    patient.through("++");
    for minutes in [0, -9 * 60] {
        patient.minute += minutes;
        patient.take(|sample| sample.rtt_us = Some(900_000));
    }
    let told = patient.take(|sample| sample.rtt_us = Some(900_000));
    assert!(told.len() == 1 && told[0].sentence.contains("is degraded: 3 measurements in a row"), "{told:?}");
}

#[test]
fn what_was_ok_before_the_clock_was_set_back_is_unknown_once_nobody_measures_it() {
    let mut patient = Patient::with("");
    patient.through("++");
    patient.minute -= 9 * 60;
    let mut told = Vec::new();
    for _ in 0..5 {
        patient.book.forget_the_future(patient.now());
        told.extend(patient.book.tick(&patient.config, patient.now()));
        patient.minute += 1;
    }
    assert!(told.len() == 1 && told[0].sentence.contains("is unknown: it was last measured"), "{told:?}");
}

#[test]
fn a_single_measurement_that_turns_a_check_is_told_of_as_one() {
    let mut patient = Patient::with("failing_after = 1\nok_after = 1\nslow = \"800ms\"");
    let good = patient.take(|_| ());
    assert!(
        good[0].sentence.ends_with("connect of shop.example is ok: the measurement at 2027-01-15T08:01:00Z was good"),
        "{good:?}"
    );
    let bad = patient.take(|sample| (sample.verdict, sample.failure) = (Verdict::Bad, Some("refused".into())));
    assert!(bad[0].sentence.ends_with("is failing: the measurement at 2027-01-15T08:02:00Z failed: refused"), "{bad:?}");
    let slow = patient.take(|sample| sample.rtt_us = Some(900_000));
    assert!(slow[0].sentence.ends_with("is degraded: the measurement at 2027-01-15T08:03:00Z took too long: 900 ms"), "{slow:?}");
    let own = |sample: &mut Sample| (sample.verdict, sample.failure) = (Verdict::Unmeasured, Some("buffers_exhausted".into()));
    let own = patient.take(own);
    let why = "it could not be measured at 2027-01-15T08:04:00Z, for a trouble of this machine's own: buffers_exhausted";
    assert!(own[0].sentence.ends_with(why), "{own:?}");
}

/// What may befall a check between two looks.
#[derive(Clone, Debug)]
enum Event {
    Runs(Vec<Verdict>),
    /// Nobody measures for so many minutes, asleep or awake.
    Nothing(i64),
    SetClock(i64),
    /// The agent begins anew.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let verdict = prop::sample::select(vec![Verdict::Good, Verdict::Bad, Verdict::Unmeasured]);
    prop_oneof![
        4 => prop::collection::vec(verdict, 1..8).prop_map(Event::Runs),
        2 => (1_i64..30).prop_map(Event::Nothing),
        2 => (-40 * 1_440_i64..40 * 1_440).prop_map(Event::SetClock),
        1 => (-10_i64..10).prop_map(Event::SetClock),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happened before: what is told is one story without a gap, a check that fails becomes failing, one that is well ok, and one that nobody
    /// measures unknown.
    #[test]
    fn no_past_keeps_a_check_from_being_what_it_is(
        hold in 0_i64..4,
        events in prop::collection::vec(event(), 0..12),
    ) {
        let hold_line = if hold == 0 { String::new() } else { format!("hold = \"{hold}m\"") };
        let mut patient = Patient::with(&hold_line);
        let mut told = Vec::new();
        for event in events {
            match event {
                Event::Runs(verdicts) => for verdict in verdicts { told.extend(patient.run(verdict)) },
                Event::Nothing(minutes) => told.extend(patient.idle(minutes)),
                Event::SetClock(minutes) => {
                    patient.minute += minutes;
                    told.extend(patient.look());
                }
                Event::Restart => {
                    let kept = serde_json::to_vec(&patient.book).unwrap();
                    patient.book = serde_json::from_slice(&kept).unwrap();
                }
            }
        }
        let health = |patient: &Patient| patient.book.target("s", Some("shop.example"));
        let long = 4 + hold;
        for _ in 0..long { told.extend(patient.run(Verdict::Bad)) }
        prop_assert_eq!(health(&patient), Health::Failing);
        // Ten, so that no failure of before is among those that count.
        for _ in 0..10 { told.extend(patient.run(Verdict::Good)) }
        prop_assert_eq!(health(&patient), Health::Ok);
        told.extend(patient.idle(5));
        prop_assert_eq!(health(&patient), Health::Unknown);
        let turns: Vec<_> = told.iter().filter_map(|change| match change.what {
            Changed::Health { from, to } => Some((from, to)),
            _ => None,
        }).collect();
        prop_assert_eq!(turns[0].0, Health::Unknown);
        prop_assert!(turns.windows(2).all(|pair| pair[0].1 == pair[1].0) && turns.iter().all(|(from, to)| from != to), "{:?}", turns);
    }
}

#[test]
fn states_survive_the_disk_and_a_damaged_file_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let state = crate::state::StateDirectory::open(Some(folder.path())).unwrap();
    let mut patient = Patient::with("");
    patient.through("++---");
    save(&state, &patient.book).unwrap();
    assert_eq!(load(&state).unwrap(), patient.book);
    std::fs::write(folder.path().join("health.json"), "{").unwrap();
    assert_eq!(load(&state).unwrap(), HealthBook::default());
    assert!(folder.path().join("health.damaged").exists());
}
