//! `agent.toml`: what the agent measures by itself, and when.
//!
//! The customer writes it; nothing remote does. [`AgentConfig::parse`] reads it and reports the first error with its line and column.
//! What only this machine can tell, such as whether a set's file or a time zone is there, is checked by whoever reads the file.

mod cron;
mod parse;
#[cfg(test)]
mod tests;
mod upload;

pub use cron::{Cron, CronError};
pub use parse::TEMPLATE;
pub use upload::{Metered, Rate, Upload};

use crate::config_error::ConfigError;
use crate::policy::{Hours, NamePattern};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The file's text may be this long at most.
pub const MAX_BYTES: usize = 256 * 1024;
/// Each schedule costs a state file and a share of the ring; a machine that needs more is measured from another one.
pub const MAX_SCHEDULES: usize = 64;
/// How the names of schedules begin that engineers signed, which no schedule of the file may have.
pub const SIGNED_PREFIX: &str = "order-";
/// Silences are for maintenance that is known; old ones are to be removed.
pub const MAX_SILENCES: usize = 256;
/// Nothing runs more often: a run takes seconds, and a target is somebody's server.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);
/// What comes less often is written as cron, which says on which day.
pub const LONGEST_INTERVAL: Duration = Duration::from_secs(31 * 24 * 3_600);
/// A fleet that needs more than an hour to spread out has another interval to choose.
pub const LONGEST_SPLAY: Duration = Duration::from_secs(3_600);
/// Jitter is there to break rhythms, not to move appointments.
pub const LONGEST_JITTER: Duration = Duration::from_secs(600);

/// A parsed `agent.toml`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentConfig {
    pub schedules: Vec<Schedule>,
    pub silences: Vec<Silence>,
    pub metrics: Option<Metrics>,
    pub otlp: Option<Otlp>,
    pub upload: Upload,
}

/// `[metrics]`: what is served on this machine, to this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// On the loopback; whoever wants it from elsewhere puts something in front that knows whom to let in.
    pub listen: SocketAddr,
    /// `/probe`, where `probe = true`.
    pub probes: Option<Probes>,
}

/// `[otlp]`: where the same metrics are sent to, by the OpenTelemetry protocol over HTTP (OTLP 1.x, protobuf).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// The collector's base URL, to which `/v1/metrics` is added (OTLP specification, "OTLP/HTTP Request").
    pub endpoint: String,
    /// Between two exports, 5 s to an hour.
    pub every: Duration,
    /// A file of lines `Name: value` that are sent along, such as a token; it is read anew for each export.
    pub headers_file: Option<PathBuf>,
}

/// What `/probe` measures beside the targets of schedules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    pub allow: Vec<NamePattern>,
}

/// One `[[schedule]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Unique in the file; it names the schedule's state and its history.
    pub name: String,
    /// Where the table begins, from 1.
    pub line: usize,
    /// A built-in set's name, or a file's path.
    pub set: String,
    pub targets: Vec<String>,
    /// Values of the set's parameters, as text; the set gives them their types.
    pub parameters: BTreeMap<String, String>,
    pub timing: Timing,
    /// The time zone of `cron` and `quiet`, an IANA name; the machine's own where absent.
    pub zone: Option<String>,
    /// Each agent begins at its own place within this time, so that a fleet does not begin at once.
    pub splay: Duration,
    /// Each run begins up to this much later than its slot, differently each time.
    pub jitter: Duration,
    /// When nothing runs; what was due runs once afterwards.
    pub quiet: Vec<Hours>,
    /// The time for one run; the set's own where absent.
    pub budget: Option<Duration>,
    pub upload: UploadWhen,
    /// The set that runs at once when a state becomes failing.
    pub deep: Option<String>,
    pub health: Thresholds,
}

/// When a schedule's slots come.
#[derive(Clone, Debug, PartialEq)]
pub enum Timing {
    /// Counted in elapsed time, sleep included, so that nobody who sets the clock moves them.
    Every(Duration),
    /// Counted on the wall clock of the zone.
    Cron(Cron),
}

/// What becomes of a scheduled run's bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadWhen {
    Now,
    /// Outside quiet hours and not over a metered network.
    Later,
    /// It stays on this machine.
    #[default]
    Never,
}

impl UploadWhen {
    pub const ALL: [(&'static str, Self); 3] = [("now", Self::Now), ("later", Self::Later), ("never", Self::Never)];

    pub fn name(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Later => "later",
            Self::Never => "never",
        }
    }
}

/// From which measurements on a check's health changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// So many failures in a row make a check failing.
    pub failing_after: u32,
    /// So many successes in a row make it ok again.
    pub ok_after: u32,
    /// A streak must have lasted so long, too.
    pub hold: Duration,
    /// So many failures among the last ten, though never enough in a row, make it degraded; one or none lets it become ok again.
    pub degraded_of_ten: u32,
    /// A success that took longer counts as slow; so many slow ones in a row as make a failure make it degraded.
    pub slow: Option<Duration>,
}

impl Default for Thresholds {
    /// One lost packet is no news, three failures in a row are; a minute's check tells within three minutes.
    fn default() -> Self {
        Self { failing_after: 3, ok_after: 2, hold: Duration::ZERO, degraded_of_ten: 3, slow: None }
    }
}

/// One `[[silence]]`: a time in which changes are recorded but told to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Of one schedule; of all where absent.
    pub schedule: Option<String>,
    pub from: Option<Timestamp>,
    pub until: Timestamp,
    pub reason: String,
}

impl AgentConfig {
    /// Reads the file's text. `origin` names it in errors.
    ///
    /// # Errors
    /// The first thing that is wrong, with line, column and the nearest known word.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ConfigError> {
        parse::parse(origin, text)
    }

    pub fn schedule(&self, name: &str) -> Option<&Schedule> {
        self.schedules.iter().find(|schedule| schedule.name == name)
    }

    /// Whether changes of this schedule's checks are told to nobody then.
    pub fn is_silenced(&self, schedule: &str, at: Timestamp) -> bool {
        self.silences.iter().any(|silence| silence.covers(schedule, at))
    }
}

impl Silence {
    pub fn covers(&self, schedule: &str, now: Timestamp) -> bool {
        self.schedule.as_deref().is_none_or(|name| name == schedule)
            && self.from.is_none_or(|from| from <= now)
            && now < self.until
    }
}
