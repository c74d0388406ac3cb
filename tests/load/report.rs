use crate::scenario::Figures;
use std::time::Duration;

/// What the backend may take of memory for each agent that it holds.
const BYTES_PER_AGENT: u64 = 16 * 1024;
const TRIGGER_P50: Duration = Duration::from_millis(50);
const TRIGGER_P99: Duration = Duration::from_secs(1);
const ALL: Duration = Duration::from_secs(30);
const BACK: Duration = Duration::from_secs(60);
/// Answers of 5xx after a crash: one agent in a hundred is no storm.
const STORM: usize = 100;

/// When a row falls short.
enum Bound {
    /// Never: it is told, and no more.
    None,
    /// Where speed and memory are promised: without TLS, which a reverse proxy may speak, and on a machine that does nothing else.
    Speed(fn(&Figures) -> bool),
    /// Always: that nothing is lost, and nobody left behind, has nothing to do with speed.
    Always(fn(&Figures) -> bool),
}

fn is_short(row: &Row, figures: &Figures, is_busy: bool) -> bool {
    match &row.2 {
        Bound::None => false,
        Bound::Speed(short) => !is_busy && figures.transport == "plain" && short(figures),
        Bound::Always(short) => short(figures),
    }
}

fn lost(figures: &Figures) -> usize {
    figures.back_lost + figures.triggers_lost + figures.all_lost
}

fn of_each(tally: &std::collections::BTreeMap<String, usize>) -> usize {
    tally.values().sum()
}

/// One row of the report: what it is, how it reads, and when it falls short.
type Row = (&'static str, fn(&Figures) -> String, Bound);

const ROWS: [Row; 22] = [
    ("agents held", |f| format!("{} of {}", f.held, f.agents), Bound::Always(|f| f.held < f.agents)),
    ("enrolled in", |f| seconds(f.enrol), Bound::None),
    ("held after", |f| seconds(f.hold), Bound::None),
    (
        "backend memory per agent",
        |f| format!("{} bytes", f.bytes_per_agent),
        Bound::Speed(|f| f.bytes_per_agent > BYTES_PER_AGENT),
    ),
    ("backend memory", |f| format!("{} MiB", f.resident >> 20), Bound::None),
    ("backend while it holds", |f| share(f.quiet_backend), Bound::None),
    ("generator while it holds", |f| share(f.quiet_generator), Bound::None),
    ("trigger to start, p50", |f| millis(f.trigger_p50), Bound::Speed(|f| f.trigger_p50 >= TRIGGER_P50)),
    ("trigger to start, p99", |f| millis(f.trigger_p99), Bound::Speed(|f| f.trigger_p99 >= TRIGGER_P99)),
    ("an order for all", |f| seconds(f.all), Bound::Speed(|f| f.all >= ALL)),
    ("half of them, 95 of 100 had it", |f| format!("{}, {}", seconds(f.all_half), seconds(f.all_most)), Bound::None),
    ("backend then", |f| share(f.all_backend), Bound::None),
    ("generator then", |f| share(f.all_generator), Bound::None),
    (
        "on a core per agent: backend, generator",
        |f| format!("{}, {}", millis(f.all_backend_each), millis(f.all_generator_each)),
        Bound::None,
    ),
    ("everything else on the machine then", |f| share(f.all_others), Bound::None),
    ("all back after a kill", |f| seconds(f.back), Bound::Speed(|f| f.back >= BACK)),
    ("not back", |f| f.back_missing.to_string(), Bound::Always(|f| f.back_missing > 0)),
    ("orders lost, run twice", |f| format!("{}, {}", lost(f), f.tally.twice), Bound::Always(|f| lost(f) + f.tally.twice > 0)),
    ("orders not verified", |f| of_each(&f.tally.not_verified).to_string(), Bound::Always(|f| !f.tally.not_verified.is_empty())),
    (
        "agents killed at a start, came again",
        |f| format!("{}, {}", f.tally.killed, f.tally.again),
        Bound::Always(|f| f.tally.killed == 0 || f.tally.again < f.tally.killed),
    ),
    ("starts that it did not hear of", |f| f.unheard.to_string(), Bound::Always(|f| f.unheard > 0)),
    ("answers of 5xx and 429 after it", |f| f.not_now.to_string(), Bound::Always(|f| f.not_now > f.agents.div_ceil(STORM))),
];

/// The figures side by side, and what was told besides.
pub(crate) fn table(figures: &[Figures], is_busy: bool) -> String {
    let mut text = format!("{:42}", "");
    figures.iter().for_each(|one| text.push_str(&format!("{:>24}", one.transport)));
    for row in &ROWS {
        let (what, read, _) = row;
        text.push_str(&format!("\n{what:40}"));
        for one in figures {
            let mark = if is_short(row, one, is_busy) { " !" } else { "" };
            text.push_str(&format!("{:>24}", format!("{}{mark}", read(one))));
        }
    }
    for one in figures {
        let tally = &one.tally;
        text.push_str(&format!(
            "\n{}: descriptors open: backend {}, generator {}; connections that ended without an answer {}, clocks set right {}, orders that came again and were refused {}",
            one.transport, one.backend_descriptors, one.generator_descriptors, tally.no_answer, tally.skewed, tally.again
        ));
        for (what, counts) in [("cannot now", &tally.not_now), ("not verified", &tally.not_verified), ("refused", &tally.refused)]
        {
            counts.iter().take(5).for_each(|(why, count)| text.push_str(&format!("\n  {what}, {count} times: {why}")));
        }
    }
    text
}

/// Everything in one line, and whether all of it is as good as it has to be.
pub(crate) fn line(figures: &[Figures], is_busy: bool) -> (String, bool) {
    let short: Vec<String> = figures
        .iter()
        .flat_map(|one| {
            ROWS.iter().filter(|row| is_short(row, one, is_busy)).map(|(what, ..)| format!("{} ({})", what, one.transport))
        })
        .collect();
    let each = |one: &Figures| {
        format!(
            "{} held={}/{} bytes/agent={} p50={} p99={} all={} back={} lost={} twice={} 5xx={}",
            one.transport,
            one.held,
            one.agents,
            one.bytes_per_agent,
            millis(one.trigger_p50),
            millis(one.trigger_p99),
            seconds(one.all),
            seconds(one.back),
            lost(one),
            one.tally.twice,
            one.not_now
        )
    };
    let all: Vec<String> = figures.iter().map(each).collect();
    let verdict = if short.is_empty() { "ok".to_owned() } else { format!("short of: {}", short.join(", ")) };
    (format!("load agents: {}; {verdict}", all.join("; ")), short.is_empty())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn share(cores: f64) -> String {
    format!("{:.0} % of a core", cores * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All is well and slow.
    fn slow() -> Figures {
        let minute = Duration::from_secs(60);
        let mut figures = Figures { transport: "TLS", agents: 500, held: 500, not_now: 5, ..Figures::default() };
        (figures.trigger_p50, figures.trigger_p99, figures.all, figures.back) = (minute, minute, minute, minute);
        (figures.bytes_per_agent, figures.tally.killed, figures.tally.again) = (1 << 20, 25, 25);
        figures
    }

    #[test]
    fn what_is_lost_counts_on_a_busy_machine_and_over_tls_and_what_is_slow_does_not() {
        assert!(line(&[slow()], true).1 && line(&[slow()], false).1, "{}", line(&[slow()], true).0);
        let plain = Figures { transport: "plain", ..slow() };
        assert!(line(&[plain], true).1);
        assert!(!line(&[Figures { transport: "plain", ..slow() }], false).1);
        type Spoil = fn(&mut Figures);
        let faults: [(&str, Spoil); 11] = [
            ("agents held", |f| f.held -= 1),
            ("orders lost, run twice", |f| f.triggers_lost = 1),
            ("orders lost, run twice", |f| f.all_lost = 1),
            ("orders lost, run twice", |f| f.back_lost = 1),
            ("orders lost, run twice", |f| f.tally.twice = 1),
            ("orders not verified", |f| f.tally.not_verified = [("expired".to_owned(), 1)].into()),
            ("not back", |f| f.back_missing = 1),
            ("starts that it did not hear of", |f| f.unheard = 1),
            ("agents killed at a start, came again", |f| f.tally.again -= 1),
            ("agents killed at a start, came again", |f| f.tally.killed = 0),
            ("answers of 5xx and 429 after it", |f| f.not_now += 1),
        ];
        for transport in ["plain", "TLS"] {
            for (row, spoil) in &faults {
                let mut figures = Figures { transport, ..slow() };
                spoil(&mut figures);
                let (said, is_good) = line(&[figures], true);
                assert!(!is_good && said.ends_with(&format!("short of: {row} ({transport})")), "{said}");
            }
        }
    }
}
