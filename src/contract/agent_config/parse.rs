//! From the text of `agent.toml` to an [`AgentConfig`], keeping the place of every error.

use super::{
    AgentConfig, Cron, CronError, LONGEST_INTERVAL, LONGEST_JITTER, LONGEST_SPLAY, MAX_BYTES, MAX_SCHEDULES, MAX_SILENCES,
    Metered, Metrics, Otlp, Probes, Rate, SHORTEST_INTERVAL, SIGNED_PREFIX, Schedule, Silence, Thresholds, Timing, Upload,
    UploadWhen,
};
use crate::config_error::{ConfigError, Source};
use crate::config_table::Table;
use crate::policy::{Hours, NamePattern};
use crate::set::{MAX_BUDGET, MAX_TARGETS};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use toml::de::DeTable;

const TABLES: [&str; 6] = ["version", "schedule", "silence", "metrics", "otlp", "upload"];
const UPLOAD: [&str; 4] = ["max_rate", "metered", "quiet", "zone"];
const OTLP: [&str; 3] = ["endpoint", "every", "headers_file"];
/// A collector is somebody's server; what is older than an hour is read from the history.
const SHORTEST_EXPORT: Duration = Duration::from_secs(5);
const LONGEST_EXPORT: Duration = Duration::from_secs(3_600);
const USUAL_EXPORT: Duration = Duration::from_secs(60);
const METRICS: [&str; 3] = ["listen", "probe", "allow"];
/// More patterns than this nobody reads.
const MAX_ALLOWED: usize = 256;
const SCHEDULE: [&str; 14] = [
    "name", "set", "targets", "params", "every", "cron", "zone", "splay", "jitter", "quiet", "budget", "upload", "deep", "health",
];
const HEALTH: [&str; 5] = ["failing_after", "ok_after", "hold", "degraded_of_ten", "slow"];
const SILENCE: [&str; 4] = ["schedule", "from", "until", "reason"];
/// A week has this many hours; more entries than that say nothing more.
const MAX_QUIET: usize = 168;
/// Longer than any outage would be waited for.
const MAX_STREAK: i64 = 1_000;
const MAX_HOLD: Duration = Duration::from_secs(24 * 3_600);
/// No check runs longer.
const MAX_SLOW: Duration = crate::set::MAX_DEADLINE;

/// What `netsonde schedule template` writes: one schedule, commented.
pub const TEMPLATE: &str = include_str!("template.toml");

pub(super) fn parse(origin: &str, text: &str) -> Result<AgentConfig, ConfigError> {
    let source = Source { origin, text };
    if text.len() > MAX_BYTES {
        return Err(source.error(0..0, format!("the file is longer than {MAX_BYTES} bytes")));
    }
    let document = DeTable::parse(text).map_err(|error| source.error(error.span().unwrap_or(0..0), error.message()))?;
    let root = Table { source, span: 0..0, table: document.get_ref() };
    root.refuse_unknown_keys("key", &TABLES)?;
    if root.integer("version")?.is_some_and(|version| version != 1) {
        return Err(root.at("version", "this netsonde reads agent.toml of version 1"));
    }
    let mut config = AgentConfig::default();
    for value in at_most(&root, "schedule", MAX_SCHEDULES)? {
        let table = root.sub(value, "schedule")?;
        let schedule = schedule(&table)?;
        if let Some(earlier) = config.schedule(&schedule.name) {
            let words = format!("`{}` is the name of the schedule in line {} already", schedule.name, earlier.line);
            return Err(table.at("name", words).with_help("its state and history are kept under its name"));
        }
        config.schedules.push(schedule);
    }
    for value in at_most(&root, "silence", MAX_SILENCES)? {
        let silence = silence(&root.sub(value, "silence")?, &config)?;
        config.silences.push(silence);
    }
    if let Some(value) = root.table.get("metrics") {
        config.metrics = Some(metrics(&root.sub(value, "metrics")?)?);
    }
    if let Some(value) = root.table.get("otlp") {
        config.otlp = Some(otlp(&root.sub(value, "otlp")?)?);
    }
    if let Some(value) = root.table.get("upload") {
        config.upload = upload(&root.sub(value, "upload")?)?;
    }
    Ok(config)
}

fn upload(table: &Table<'_>) -> Result<Upload, ConfigError> {
    table.refuse_unknown_keys("key", &UPLOAD)?;
    let rate = || {
        let (text, span) = table.spanned_text("max_rate")?;
        text.parse::<Rate>().map_err(|()| {
            let help = "write it as \"250kB/s\", \"2MB/s\", \"2000kbit/s\" or \"16Mbit/s\"; from 1 kB/s to 1250 MB/s";
            table.source.error(span, format!("`{text}` is no rate")).with_help(help)
        })
    };
    Ok(Upload {
        max_rate: table.table.get("max_rate").map(|_| rate()).transpose()?,
        metered: table.optional_word("metered", "answer", &Metered::ALL)?.unwrap_or_default(),
        quiet: quiet(table)?,
        zone: table.table.get("zone").map(|_| filled(table, "zone")).transpose()?,
    })
}

fn otlp(table: &Table<'_>) -> Result<Otlp, ConfigError> {
    table.refuse_unknown_keys("key", &OTLP)?;
    let (text, span) = table.spanned_text("endpoint")?;
    let wrong = || table.source.error(span.clone(), format!("`{text}` is no base URL of a collector"));
    let endpoint =
        crate::pasted::base_url(&text).ok_or_else(|| wrong().with_help("write it as \"https://collector.example:4318\""))?;
    let every = table.duration("every", USUAL_EXPORT, LONGEST_EXPORT)?;
    if every < SHORTEST_EXPORT {
        return Err(table.at("every", format!("`every` is shorter than {} s", SHORTEST_EXPORT.as_secs())));
    }
    let headers_file = table.table.get("headers_file").map(|_| filled(table, "headers_file")).transpose()?;
    Ok(Otlp { endpoint, every, headers_file: headers_file.map(Into::into) })
}

fn metrics(table: &Table<'_>) -> Result<Metrics, ConfigError> {
    table.refuse_unknown_keys("key", &METRICS)?;
    let (text, span) = table.spanned_text("listen")?;
    let wrong = |words: String| table.source.error(span.clone(), words).with_help("write it as \"127.0.0.1:9641\"");
    let listen: SocketAddr = text.parse().map_err(|_| wrong(format!("`{text}` is no address with a port")))?;
    if !listen.ip().is_loopback() {
        return Err(wrong(format!("`{}` is not this machine's loopback, and nobody is asked who they are", listen.ip())));
    }
    let probe = table.boolean("probe")?.unwrap_or(false);
    let pattern = |value: &toml::Spanned<toml::de::DeValue<'_>>| {
        let text = table.as_text(value, "allow")?;
        let wrong = || table.source.error(value.span(), format!("`{text}` is no name"));
        text.parse::<NamePattern>().map_err(|_| wrong().with_help("write it as \"shop.example\" or \"*.shop.example\""))
    };
    let allow = at_most(table, "allow", MAX_ALLOWED)?.into_iter().map(pattern).collect::<Result<Vec<_>, _>>()?;
    if !probe && !allow.is_empty() {
        return Err(table.at("allow", "`allow` is for /probe, which is off").with_help("probe = true"));
    }
    Ok(Metrics { listen, probes: probe.then_some(Probes { allow }) })
}

/// A name that no schedule which an engineer signed can have: state and history are kept under it.
fn own_name(table: &Table<'_>) -> Result<String, ConfigError> {
    let name = table.word("name")?;
    if name.starts_with(SIGNED_PREFIX) {
        let words = format!("names that begin with `{SIGNED_PREFIX}` are those of schedules that engineers signed");
        return Err(table.at("name", words).with_help("choose another one: its state and history begin anew"));
    }
    Ok(name)
}

fn schedule(table: &Table<'_>) -> Result<Schedule, ConfigError> {
    table.refuse_unknown_keys("key", &SCHEDULE)?;
    let timing = timing(table)?;
    let jitter = table.duration_or_nothing("jitter", LONGEST_JITTER)?.unwrap_or_default();
    let splay = table.duration_or_nothing("splay", LONGEST_SPLAY)?;
    if let Timing::Every(interval) = timing {
        if jitter > interval / 2 {
            return Err(table.at("jitter", "`jitter` is longer than half of `every`"));
        }
        if splay.is_some_and(|splay| splay > interval) {
            return Err(table.at("splay", "`splay` is longer than `every`"));
        }
    }
    // Intervals have no appointed time, so that a fleet spreads over the whole of one; cron names a time, which is kept.
    let usual = match timing {
        Timing::Every(interval) => interval.min(LONGEST_SPLAY),
        Timing::Cron(_) => Duration::ZERO,
    };
    Ok(Schedule {
        name: own_name(table)?,
        line: table.source.error(table.span.clone(), "").line,
        set: filled(table, "set")?,
        targets: targets(table)?,
        parameters: parameters(table)?,
        timing,
        zone: table.table.get("zone").map(|_| filled(table, "zone")).transpose()?,
        splay: splay.unwrap_or(usual),
        jitter,
        quiet: quiet(table)?,
        budget: optional(table, "budget", MAX_BUDGET)?,
        upload: table.optional_word("upload", "time", &UploadWhen::ALL)?.unwrap_or_default(),
        deep: table.table.get("deep").map(|_| filled(table, "deep")).transpose()?,
        health: table.table.get("health").map_or(Ok(Thresholds::default()), |value| health(&table.sub(value, "health")?))?,
    })
}

fn timing(table: &Table<'_>) -> Result<Timing, ConfigError> {
    match (table.table.contains_key("every"), table.table.contains_key("cron")) {
        (true, true) => Err(table.at("cron", "a schedule has either `every` or `cron`, not both")),
        (false, false) => Err(table.missing("every").with_help("or `cron = \"*/5 8-18 * * mon-fri\"`")),
        (true, false) => match table.duration("every", Duration::ZERO, LONGEST_INTERVAL)? {
            interval if interval < SHORTEST_INTERVAL => {
                Err(table.at("every", format!("`every` is shorter than {} s", SHORTEST_INTERVAL.as_secs())))
            }
            // Slots are numbered in milliseconds of elapsed time.
            interval if interval.subsec_nanos() != 0 => Err(table.at("every", "`every` is not a whole number of seconds")),
            interval => Ok(Timing::Every(interval)),
        },
        (false, true) => {
            let (text, span) = table.spanned_text("cron")?;
            Cron::parse(&text).map(Timing::Cron).map_err(|error| {
                let help = match error {
                    CronError::Syntax(_) => "minute hour day month weekday, such as \"*/5 8-18 * * mon-fri\"",
                    CronError::Never => "choose a day that every year, or every fourth, has",
                };
                table.source.error(span, format!("`{text}` is no time: {error}")).with_help(help)
            })
        }
    }
}

fn health(table: &Table<'_>) -> Result<Thresholds, ConfigError> {
    table.refuse_unknown_keys("key", &HEALTH)?;
    let usual = Thresholds::default();
    let count = |key, usual, maximum| Ok(bounded(table, key, maximum)?.unwrap_or(usual));
    Ok(Thresholds {
        failing_after: count("failing_after", usual.failing_after, MAX_STREAK)?,
        ok_after: count("ok_after", usual.ok_after, MAX_STREAK)?,
        hold: table.duration_or_nothing("hold", MAX_HOLD)?.unwrap_or_default(),
        degraded_of_ten: count("degraded_of_ten", usual.degraded_of_ten, 10)?,
        slow: optional(table, "slow", MAX_SLOW)?,
    })
}

fn silence(table: &Table<'_>, config: &AgentConfig) -> Result<Silence, ConfigError> {
    table.refuse_unknown_keys("key", &SILENCE)?;
    let schedule = match table.table.get("schedule") {
        None => None,
        Some(value) => {
            let name = table.as_text(value, "schedule")?;
            // What engineers sign comes and goes without this file.
            if config.schedule(&name).is_none() && !name.starts_with(SIGNED_PREFIX) {
                let known = config.schedules.iter().map(|schedule| schedule.name.as_str());
                return Err(table.source.unknown(value.span(), "schedule", &name, known));
            }
            Some(name)
        }
    };
    let time = |key: &str| {
        let (text, span) = table.spanned_text(key)?;
        text.parse::<jiff::Timestamp>().map_err(|_| {
            let error = table.source.error(span, format!("`{key}` is not a time"));
            error.with_help("write it as \"2027-03-28T06:00:00+02:00\"")
        })
    };
    let from = table.table.get("from").map(|_| time("from")).transpose()?;
    let until = time("until")?;
    if from.is_some_and(|from| from >= until) {
        return Err(table.at("until", "`until` is not after `from`"));
    }
    Ok(Silence { schedule, from, until, reason: table.text("reason")? })
}

fn targets(table: &Table<'_>) -> Result<Vec<String>, ConfigError> {
    let list = at_most(table, "targets", MAX_TARGETS)?;
    list.into_iter().map(|value| table.as_text(value, "targets")).collect()
}

/// `params = { count = 5, types = ["A", "AAAA"] }`, as the texts that a command line would give.
fn parameters(table: &Table<'_>) -> Result<BTreeMap<String, String>, ConfigError> {
    let Some(value) = table.table.get("params") else { return Ok(BTreeMap::new()) };
    let params = table.sub(value, "params")?;
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    };
    params.table.iter().map(|(key, value)| Ok((key.get_ref().to_string(), text(&params.json(value)?)))).collect()
}

fn quiet(table: &Table<'_>) -> Result<Vec<Hours>, ConfigError> {
    let one = |value: &toml::Spanned<toml::de::DeValue<'_>>| {
        let text = table.as_text(value, "quiet")?;
        let wrong = || table.source.error(value.span(), format!("`{text}` does not fit `quiet`"));
        text.parse::<Hours>().map_err(|()| wrong().with_help("write it as \"mon-fri 22:00-06:00\""))
    };
    at_most(table, "quiet", MAX_QUIET)?.into_iter().map(one).collect()
}

fn at_most<'a>(table: &Table<'a>, key: &str, most: usize) -> Result<Vec<&'a toml::Spanned<toml::de::DeValue<'a>>>, ConfigError> {
    let list = table.list(key)?;
    if list.len() > most {
        return Err(table.at(key, format!("`{key}` has {} entries, but may have {most} at most", list.len())));
    }
    Ok(list)
}

fn optional(table: &Table<'_>, key: &str, maximum: Duration) -> Result<Option<Duration>, ConfigError> {
    table.table.get(key).map(|_| table.duration(key, Duration::ZERO, maximum)).transpose()
}

fn filled(table: &Table<'_>, key: &str) -> Result<String, ConfigError> {
    match table.text(key)? {
        text if text.trim().is_empty() => Err(table.at(key, format!("`{key}` is empty"))),
        text => Ok(text),
    }
}

fn bounded(table: &Table<'_>, key: &str, maximum: i64) -> Result<Option<u32>, ConfigError> {
    match table.integer(key)? {
        None => Ok(None),
        Some(number) => match u32::try_from(number).ok().filter(|_| (1..=maximum).contains(&number)) {
            Some(number) => Ok(Some(number)),
            None => Err(table.at(key, format!("`{key}` is not between 1 and {maximum}"))),
        },
    }
}
