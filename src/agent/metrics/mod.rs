//! What scheduled checks measured last, as Prometheus reads it: text format 0.0.4. Where blackbox_exporter has a name for it, it is that
//! name, so that existing dashboards work; all else is `netsonde_*`. Pure, but for [`server`].

/// Families, samples and their escaping.
mod exposition;
/// What was measured last, in memory.
mod latest;
/// The same families as OpenTelemetry has them.
#[cfg(feature = "otlp")]
mod otlp;
/// Where no OpenTelemetry is built in.
#[cfg(not(feature = "otlp"))]
#[path = "no_otlp.rs"]
mod otlp;
/// `/probe`.
mod probe;
/// The loopback's HTTP.
mod server;
#[cfg(test)]
mod tests;

use crate::health::HealthBook;
use crate::spool::Spool;
use exposition::{Exposition, Kind};
use jiff::Timestamp;
use netsonde_contract::agent_config::AgentConfig;
use netsonde_contract::history::{CheckHistory, Health, Sample, Series, Verdict};
use netsonde_contract::kind::Kind as Probe;

pub(crate) use latest::{Latest, Runs};
pub(crate) use otlp::export;
pub(crate) use probe::MOST_PROBES;
pub(crate) use server::{Source, serve};

/// What is counted beside the measurements.
#[derive(Default)]
struct Figures {
    runs: Vec<(String, Runs)>,
    spool: Option<Spooled>,
    /// Each schedule, and whether its changes are told to nobody now.
    silenced: Vec<(String, bool)>,
}

/// Bundles in the spool that were not delivered.
#[derive(Clone, Copy)]
pub(crate) struct Spooled {
    ready: usize,
    /// Of these, the ones that the agent sends by itself.
    to_send: usize,
}

impl Spooled {
    pub(crate) fn of(spool: &Spool) -> Self {
        Self { ready: spool.count_ready(), to_send: spool.count_to_send() }
    }
}

/// What this machine has on its disk or in memory of what was measured.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) checks: Vec<CheckHistory>,
    pub(crate) book: HealthBook,
    /// Where an agent runs.
    pub(crate) runs: Vec<(String, Runs)>,
    pub(crate) spool: Option<Spooled>,
}

/// What is known at this time, as a page in Prometheus' text format.
pub(crate) fn render(known: Known, config: &AgentConfig, now: Timestamp) -> String {
    present(known, config, now).into_text()
}

/// What was measured last is no present where nothing was measured since, whether or not anybody took a note of that.
fn present(known: Known, config: &AgentConfig, now: Timestamp) -> Exposition {
    let Known { mut checks, mut book, runs, spool } = known;
    checks.retain(|check| !book.is_stale(config, &check.series, now));
    book.tick(config, now);
    let silenced = config.schedules.iter().map(|one| (one.name.clone(), config.is_silenced(&one.name, now))).collect();
    expose(env!("CARGO_PKG_VERSION"), &checks, &book, &Figures { runs, spool, silenced })
}

fn expose(version: &str, checks: &[CheckHistory], book: &HealthBook, figures: &Figures) -> Exposition {
    let mut page = Exposition::default();
    let last: Vec<(&Series, &Sample)> = checks.iter().filter_map(|check| Some((&check.series, check.samples.last()?))).collect();

    page.family("probe_success", Kind::Gauge, "Whether the last measurement was as expected.");
    for (series, sample) in last.iter().filter(|(_, sample)| sample.verdict != Verdict::Unmeasured) {
        page.sample(&labels(series), f64::from(u8::from(sample.verdict == Verdict::Good)));
    }
    page.family("probe_duration_seconds", Kind::Gauge, "How long the last measurement took.");
    for (series, sample) in &last {
        page.sample(&labels(series), seconds(sample.took_us));
    }
    phases(&mut page, "probe_http_duration_seconds", Probe::Http, &last);
    phases(&mut page, "probe_icmp_duration_seconds", Probe::Icmp, &last);
    phases(&mut page, "probe_dns_duration_seconds", Probe::Dns, &last);
    page.family("probe_ssl_earliest_cert_expiry", Kind::Gauge, "When the server's certificate ends, in Unix time.");
    for (series, sample) in &last {
        if let Some(expires) = sample.expires {
            page.sample(&labels(series), whole(expires.as_second()));
        }
    }
    page.family("netsonde_round_trip_seconds", Kind::Gauge, "How long the other side took in the last measurement.");
    for (series, sample) in &last {
        if let Some(rtt) = sample.rtt_us {
            page.sample(&labels(series), seconds(rtt));
        }
    }
    page.family("netsonde_last_measured_timestamp_seconds", Kind::Gauge, "When the last measurement began, in Unix time.");
    for (series, sample) in &last {
        page.sample(&labels(series), whole(sample.at.as_second()));
    }
    health(&mut page, book);
    own(&mut page, figures);
    page.family("netsonde_build_info", Kind::Gauge, "The agent's version.");
    page.sample(&[("version", version)], 1.0);
    page
}

fn phases(page: &mut Exposition, name: &'static str, probe: Probe, last: &[(&Series, &Sample)]) {
    page.family(name, Kind::Gauge, "How long each phase of the last measurement took.");
    for (series, sample) in last.iter().filter(|(series, _)| series.kind == probe) {
        for (phase, took_us) in &sample.phases {
            let mut labels = labels(series);
            labels.push(("phase", phase));
            page.sample(&labels, seconds(*took_us));
        }
    }
}

fn health(page: &mut Exposition, book: &HealthBook) {
    page.family("netsonde_health", Kind::Gauge, "The check's state of health: 1 for the one it has.");
    for (series, own, _) in book.checks() {
        for state in Health::ALL {
            let mut labels = labels_of_health(series);
            labels.push(("state", state.name()));
            page.sample(&labels, f64::from(u8::from(own == state)));
        }
    }
    page.family("netsonde_health_since_timestamp_seconds", Kind::Gauge, "Since when the check has that state, in Unix time.");
    for (series, _, since) in book.checks() {
        page.sample(&labels_of_health(series), whole(since.as_second()));
    }
}

fn own(page: &mut Exposition, figures: &Figures) {
    page.family("netsonde_schedule_runs_total", Kind::Counter, "Runs of each schedule since the agent began, by how they ended.");
    for (schedule, runs) in &figures.runs {
        for (outcome, count) in [("measured", runs.measured), ("failed", runs.failed)] {
            page.sample(&[("schedule", schedule), ("outcome", outcome)], count as f64);
        }
    }
    page.family(
        "netsonde_silenced",
        Kind::Gauge,
        "Whether a silence covers the schedule now: 1 where its changes are told to nobody.",
    );
    for (schedule, silenced) in &figures.silenced {
        page.sample(&[("schedule", schedule)], f64::from(u8::from(*silenced)));
    }
    if let Some(Spooled { ready, to_send }) = figures.spool {
        let help = "Bundles on this machine that were not delivered: all that are ready, and those of them that the agent sends by itself.";
        page.family("netsonde_spool_bundles", Kind::Gauge, help);
        page.sample(&[("stage", "ready")], ready as f64);
        page.sample(&[("stage", "to_send")], to_send as f64);
    }
}

/// Dashboards of blackbox_exporter know no `required`; the states of health are netsonde's own.
fn labels_of_health(series: &Series) -> Vec<(&'static str, &str)> {
    let mut labels = labels(series);
    labels.push(("required", if series.required { "true" } else { "false" }));
    labels
}

fn labels(series: &Series) -> Vec<(&'static str, &str)> {
    vec![
        ("schedule", &series.schedule),
        ("check", &series.check),
        ("kind", series.kind.name()),
        ("target", series.target.as_deref().unwrap_or_default()),
    ]
}

fn seconds(us: u64) -> f64 {
    std::time::Duration::from_micros(us).as_secs_f64()
}

/// Unix times are below 2^53, up to which a double is exact.
fn whole(number: i64) -> f64 {
    number as f64
}
