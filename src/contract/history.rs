//! The recent past of scheduled checks: compact measurements, states of health and their changes. `history.json` of a bundle.

use crate::kind::Kind;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of [`History`]'s shape; a new field does not change it, a changed meaning does.
pub const SCHEMA: &str = "netsonde.history/1";
/// A bundle carries this many measurements at most: a day of one check a minute, or an hour of two dozen.
pub const MAX_SAMPLES: usize = 1_440;

/// `history.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    pub schema: String,
    pub checks: Vec<CheckHistory>,
    /// The oldest first.
    #[serde(default)]
    pub changes: Vec<Change>,
}

impl History {
    /// Without what names targets, people's own words, or paths: what strict redaction leaves. Checks stay apart by their numbers.
    pub fn without_names(&self) -> Self {
        let mut known: Vec<&Series> = self.checks.iter().map(|check| &check.series).collect();
        known.extend(self.changes.iter().map(|change| &change.series));
        let mut schedules: Vec<&str> = known.iter().map(|series| series.schedule.as_str()).collect();
        let mut targets: Vec<&str> = known.iter().filter_map(|series| series.target.as_deref()).collect();
        for names in [&mut schedules, &mut targets] {
            names.sort_unstable();
            names.dedup();
        }
        let number = |names: &[&str], name: &str| names.iter().position(|known| *known == name).map_or(0, |place| place + 1);
        let bare = |series: &Series| Series {
            schedule: format!("schedule {}", number(&schedules, &series.schedule)),
            target: series.target.as_deref().map(|target| format!("target {}", number(&targets, target))),
            ..series.clone()
        };
        let sample = |sample: &Sample| Sample { path: None, chain: None, ..sample.clone() };
        let check = |check: &CheckHistory| CheckHistory {
            series: bare(&check.series),
            samples: check.samples.iter().map(sample).collect(),
        };
        // A sentence quotes its target.
        let change = |change: &Change| Change { series: bare(&change.series), sentence: String::new(), ..change.clone() };
        Self {
            schema: self.schema.clone(),
            checks: self.checks.iter().map(check).collect(),
            changes: self.changes.iter().map(change).collect(),
        }
    }
}

/// The past of one check of one schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckHistory {
    #[serde(flatten)]
    pub series: Series,
    /// The oldest first.
    pub samples: Vec<Sample>,
}

/// What is measured again and again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    pub schedule: String,
    pub check: String,
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The state of the target rests on it.
    pub required: bool,
}

/// One measurement, as little as tells a good one from a bad one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// When it began, by the machine's clock.
    #[serde(rename = "t")]
    pub at: Timestamp,
    #[serde(rename = "v")]
    pub verdict: Verdict,
    /// How long the whole measurement took, in microseconds.
    #[serde(rename = "d", default)]
    pub took_us: u64,
    /// How long the other side took: a round trip, a connection, a handshake or an answer, in microseconds.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// The failure's code, where it failed, or where the machine that measures had nothing left to measure with.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Its phases by name, in microseconds.
    #[serde(rename = "h", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub phases: BTreeMap<String, u64>,
    /// A digest of the routers on the path, as far as they answered.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A digest of the certificates shown.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// When the server's certificate ends.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Good,
    Bad,
    /// It could not be measured, which is neither.
    Unmeasured,
}

/// How a check, or a target, is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Ok,
    /// Nothing was measured, or not lately.
    #[default]
    Unknown,
    /// It works slowly, or not each time.
    Degraded,
    Failing,
}

impl Health {
    pub const ALL: [Self; 4] = [Self::Ok, Self::Unknown, Self::Degraded, Self::Failing];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
        }
    }
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    pub at: Timestamp,
    /// When what led to it began.
    pub began: Timestamp,
    pub series: Series,
    pub what: Changed,
    /// In words, with its reason.
    pub sentence: String,
    /// Known maintenance: it is recorded and told to nobody.
    #[serde(default)]
    pub silenced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum Changed {
    /// Both are the same where a silence ended, and nobody had been told.
    Health {
        from: Health,
        to: Health,
    },
    NewPath,
    NewChain,
    /// The certificate ends within so many days.
    Expiry {
        days: u16,
    },
    /// Away from what it usually is, or back.
    Rtt {
        usual_us: u64,
        now_us: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_redaction_leaves_no_name_and_keeps_checks_apart() {
        let series = |target: &str| Series {
            schedule: "canary-schedule".into(),
            check: "connect".into(),
            kind: Kind::Tcp,
            target: Some(target.into()),
            required: true,
        };
        let at = Timestamp::UNIX_EPOCH;
        let sample = Sample {
            at,
            verdict: Verdict::Bad,
            took_us: 9,
            rtt_us: Some(7),
            phases: BTreeMap::new(),
            failure: Some("timed_out".into()),
            path: Some("canary-path".into()),
            chain: Some("canary-chain".into()),
            expires: Some(at),
        };
        let change = Change {
            at,
            began: at,
            series: series("canary-b"),
            what: Changed::NewPath,
            sentence: "canary-sentence".into(),
            silenced: false,
        };
        let check = |target: &str| CheckHistory { series: series(target), samples: vec![sample.clone()] };
        let history =
            History { schema: SCHEMA.into(), checks: vec![check("canary-a"), check("canary-b")], changes: vec![change] };
        let bare = history.without_names();
        let text = serde_json::to_string(&bare).unwrap();
        assert!(!text.contains("canary"), "{text}");
        assert_ne!(bare.checks[0].series, bare.checks[1].series);
        assert_eq!(bare.checks[1].series, bare.changes[0].series);
        assert_eq!(serde_json::from_str::<History>(&text).unwrap(), bare);
    }
}
