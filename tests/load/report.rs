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

/// Whether a row falls short: speed and memory are promised without TLS, which a reverse proxy may speak; that nothing is lost holds always.
fn is_short(row: &Row, figures: &Figures, is_busy: bool) -> bool {
    let (what, _, short) = row;
    short(figures) && (!is_busy && figures.transport == "plain" || matches!(*what, "agents held" | "orders lost, run twice"))
}

/// One row of the report: what it is, how it reads, and whether it falls short.
type Row = (&'static str, fn(&Figures) -> String, fn(&Figures) -> bool);

const ROWS: [Row; 19] = [
    ("agents held", |f| format!("{} of {}", f.held, f.agents), |f| f.held < f.agents),
    ("enrolled in", |f| seconds(f.enrol), |_| false),
    ("held after", |f| seconds(f.hold), |_| false),
    ("backend memory per agent", |f| format!("{} bytes", f.bytes_per_agent), |f| f.bytes_per_agent > BYTES_PER_AGENT),
    ("backend memory", |f| format!("{} MiB", f.resident >> 20), |_| false),
    ("backend while it holds", |f| share(f.quiet_backend), |_| false),
    ("generator while it holds", |f| share(f.quiet_generator), |_| false),
    ("trigger to start, p50", |f| millis(f.trigger_p50), |f| f.trigger_p50 >= TRIGGER_P50),
    ("trigger to start, p99", |f| millis(f.trigger_p99), |f| f.trigger_p99 >= TRIGGER_P99 || f.triggers_lost > 0),
    ("an order for all", |f| format!("{}, {} lost", seconds(f.all), f.all_lost), |f| f.all >= ALL || f.all_lost > 0),
    ("half of them, 95 of 100 had it", |f| format!("{}, {}", seconds(f.all_half), seconds(f.all_most)), |_| false),
    ("backend then", |f| share(f.all_backend), |_| false),
    ("generator then", |f| share(f.all_generator), |_| false),
    (
        "on a core per agent: backend, generator",
        |f| format!("{}, {}", millis(f.all_backend_each), millis(f.all_generator_each)),
        |_| false,
    ),
    ("everything else on the machine then", |f| share(f.all_others), |_| false),
    (
        "all back after a kill",
        |f| format!("{}, {} missing", seconds(f.back), f.back_missing),
        |f| f.back >= BACK || f.back_missing > 0,
    ),
    (
        "orders lost, run twice",
        |f| format!("{}, {}", f.back_lost + f.triggers_lost + f.all_lost, f.tally.twice),
        |f| f.back_lost + f.tally.twice > 0 || !f.tally.not_verified.is_empty(),
    ),
    ("starts that it did not hear of", |f| f.unheard.to_string(), |f| f.unheard > 0),
    ("answers of 5xx and 429 after it", |f| f.not_now.to_string(), |f| f.not_now > f.agents.div_ceil(STORM)),
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
            one.triggers_lost + one.all_lost + one.back_lost,
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
