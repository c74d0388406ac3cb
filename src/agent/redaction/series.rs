//! What strict redaction leaves of how scheduled checks are: the same name is the same token each time, so that one check's states stay together.

use super::MappingKey;
use netsonde_contract::api::health::{CheckState, HealthReport, NumberedChange};
use netsonde_contract::bundle::Scheduled;
use netsonde_contract::history::{Change, Series};

/// A report without what names targets, and without people's own words.
pub(crate) fn without_names(report: &HealthReport, key: &MappingKey) -> HealthReport {
    let check = |check: &CheckState| CheckState { series: series(&check.series, key), ..check.clone() };
    let change = |numbered: &NumberedChange| NumberedChange {
        // A sentence quotes its target.
        change: Change { series: series(&numbered.change.series, key), sentence: String::new(), ..numbered.change.clone() },
        ..numbered.clone()
    };
    HealthReport {
        checks: report.checks.iter().map(check).collect(),
        changes: report.changes.iter().map(change).collect(),
        partial: report.partial.as_ref().map(|names| names.iter().map(|name| key.name(name)).collect()),
        ..report.clone()
    }
}

/// The same of a bundle's reason.
pub(crate) fn scheduled_without_names(scheduled: &Scheduled, key: &MappingKey) -> Scheduled {
    Scheduled {
        schedule: key.name(&scheduled.schedule),
        target: scheduled.target.as_deref().map(|target| key.name(target)),
        why: scheduled.why,
    }
}

fn series(series: &Series, key: &MappingKey) -> Series {
    Series {
        schedule: key.name(&series.schedule),
        target: series.target.as_deref().map(|target| key.name(target)),
        ..series.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use netsonde_contract::bundle::ScheduledFor;
    use netsonde_contract::history::{Changed, Health};
    use netsonde_contract::kind::Kind;

    #[test]
    fn a_strict_report_names_nobody_and_says_the_same_as_the_bundle() {
        let key = MappingKey::from_bytes([7; 32]);
        let at = Timestamp::UNIX_EPOCH;
        let series = Series {
            schedule: "canary-schedule".into(),
            check: "connect".into(),
            kind: Kind::Tcp,
            target: Some("https://canary.example".into()),
            required: true,
        };
        let change = Change {
            at,
            began: at,
            series: series.clone(),
            what: Changed::Health { from: Health::Ok, to: Health::Failing },
            sentence: "connect of https://canary.example is failing".into(),
            silenced: false,
        };
        let report = HealthReport {
            at,
            next_within_seconds: 300,
            checks: vec![CheckState { series, health: Health::Failing, since: at, measured: Some(at), silenced: false }],
            partial: Some(vec!["canary-schedule".into()]),
            changes: vec![NumberedChange { number: 1, change, bundle: None }],
        };
        let bare = without_names(&report, &key);
        assert_eq!(bare.partial, Some(vec![bare.checks[0].series.schedule.clone()]));
        assert!(!serde_json::to_string(&bare).unwrap().contains("canary"));
        assert_eq!(bare.checks[0].series, bare.changes[0].change.series);
        let scheduled = Scheduled {
            schedule: "canary-schedule".into(),
            why: ScheduledFor::Failing,
            target: Some("https://canary.example".into()),
        };
        let bundle = scheduled_without_names(&scheduled, &key);
        assert_eq!(
            (Some(&bundle.schedule), &bundle.target),
            (Some(&bare.checks[0].series.schedule), &bare.checks[0].series.target)
        );
    }
}
