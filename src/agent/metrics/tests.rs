use super::*;
use netsonde_contract::agent_config::AgentConfig;
use std::collections::{BTreeMap, BTreeSet};

/// Reads the text format strictly: heads before samples, each family once and in one piece, names, labels and escapes as they may be.
fn read(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let mut families = BTreeSet::new();
    let (mut family, mut samples) = (String::new(), BTreeMap::new());
    assert!(text.ends_with('\n'), "the last line must end");
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# HELP ") {
            family = head.split(' ').next().unwrap().to_owned();
            if !families.insert(family.clone()) {
                return Err(format!("{family} comes in two pieces"));
            }
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            if ![format!("{family} gauge"), format!("{family} counter")].contains(&kind.to_owned()) {
                return Err(format!("{line} does not belong to {family}"));
            }
        } else {
            let (labelled, value) = line.rsplit_once(' ').ok_or("no value")?;
            let (name, labels) = labelled.split_once('{').ok_or("no labels")?;
            if name != family || !name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                return Err(format!("{name} within {family}"));
            }
            let labels = labels.strip_suffix('}').ok_or("labels do not end")?;
            check_labels(labels)?;
            let value: f64 = value.parse().map_err(|_| format!("{value} is no number"))?;
            if samples.insert(labelled.to_owned(), value).is_some() {
                return Err(format!("{labelled} comes twice"));
            }
        }
    }
    Ok(samples)
}

fn check_labels(labels: &str) -> Result<(), String> {
    let mut rest = labels;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").ok_or_else(|| format!("no label in {rest}"))?;
        if !name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            return Err(format!("a label named {name}"));
        }
        let (mut end, mut escaped) = (None, false);
        for (place, c) in after.char_indices() {
            match (escaped, c) {
                (true, '\\' | '"' | 'n') => escaped = false,
                (true, other) => return Err(format!("an escape of {other}")),
                (false, '\\') => escaped = true,
                (false, '"') => {
                    end = Some(place);
                    break;
                }
                _ => {}
            }
        }
        rest = &after[end.ok_or("a label does not end")? + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Ok(())
}

fn check(name: &str, kind: Probe, sample: Sample) -> CheckHistory {
    let target = Some("https://shop.example\"\\\n{evil}".to_owned());
    CheckHistory {
        series: Series { schedule: "shop".into(), check: name.into(), kind, target, required: true },
        samples: vec![sample],
    }
}

fn sample(verdict: Verdict) -> Sample {
    Sample {
        at: "2027-01-15T12:00:00Z".parse().unwrap(),
        verdict,
        took_us: 1_500_000,
        rtt_us: Some(20_500),
        failure: None,
        phases: [("connect".to_owned(), 20_000), ("tls".to_owned(), 30_000)].into(),
        path: None,
        chain: None,
        expires: Some("2027-02-15T12:00:00Z".parse().unwrap()),
    }
}

#[test]
fn a_page_is_what_prometheus_reads_whatever_a_target_is_called() {
    let config = AgentConfig::parse("x", "[[schedule]]\nname = \"shop\"\nset = \"web\"\nevery = \"1m\"\n").unwrap();
    let checks = [
        check("answer", Probe::Http, sample(Verdict::Good)),
        check("connect", Probe::Tcp, sample(Verdict::Bad)),
        check("route", Probe::Traceroute, sample(Verdict::Unmeasured)),
    ];
    let mut book = HealthBook::default();
    for check in &checks {
        for _ in 0..3 {
            book.observe(&config, &check.series, &check.samples[0]);
        }
    }
    let text = render("0.1.0", &checks, &book, None);
    let samples = read(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    let value = |name: &str, more: &[&str]| {
        let fits = |(labelled, _): &(&String, &f64)| {
            labelled.split('{').next() == Some(name) && more.iter().all(|label| labelled.contains(label))
        };
        samples.iter().find(fits).map(|(_, value)| *value)
    };
    assert_eq!(value("probe_success", &["check=\"answer\""]), Some(1.0));
    assert_eq!(value("probe_success", &["check=\"connect\""]), Some(0.0));
    assert_eq!(value("probe_success", &["check=\"route\""]), None, "neither a pass nor a fail");
    assert_eq!(value("probe_duration_seconds", &["check=\"answer\""]), Some(1.5));
    assert_eq!(value("probe_http_duration_seconds", &["phase=\"tls\""]), Some(0.03));
    assert_eq!(value("probe_ssl_earliest_cert_expiry", &["answer"]), Some(1_802_692_800.0));
    assert_eq!(value("netsonde_round_trip_seconds", &["answer"]), Some(0.0205));
    assert_eq!(value("netsonde_health", &["answer", "state=\"ok\""]), Some(1.0));
    assert_eq!(value("netsonde_health", &["connect", "state=\"failing\""]), Some(1.0));
    assert_eq!(value("netsonde_health", &["connect", "state=\"ok\""]), Some(0.0));
}

#[test]
fn a_machine_without_measurements_has_a_page_too() {
    assert_eq!(read(&render("0.1.0", &[], &HealthBook::default(), None)).unwrap().len(), 1);
}

#[test]
fn the_strict_reader_can_fail() {
    let head = "# HELP a b\n# TYPE a gauge\n";
    for wrong in ["a{x=\"1\"} y\n", "b{x=\"1\"} 1\n", "a{x=\"\\q\"} 1\n", "a{x=\"1} 1\n", "a{x=\"1\"} 1\na{x=\"1\"} 1\n", head] {
        assert!(read(&format!("{head}{wrong}")).is_err(), "{wrong}");
    }
}

/// Every name that looks like one of our metrics.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| ["probe_", "netsonde_"].iter().any(|prefix| word.starts_with(prefix))).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_alert_rules_name_only_metrics_that_there_are() {
    let checks = [
        check("answer", Probe::Http, sample(Verdict::Good)),
        check("resolve", Probe::Dns, sample(Verdict::Good)),
        check("echo", Probe::Icmp, sample(Verdict::Good)),
    ];
    let config = AgentConfig::parse("x", "[[schedule]]\nname = \"shop\"\nset = \"web\"\nevery = \"1m\"\n").unwrap();
    let mut book = HealthBook::default();
    for check in &checks {
        book.observe(&config, &check.series, &check.samples[0]);
    }
    let figures = Figures { runs: vec![("shop".into(), Runs { measured: 3, failed: 1 })], waiting: Some(2) };
    let page = render("0.1.0", &checks, &book, Some(&figures));
    read(&page).unwrap();
    let there: BTreeSet<String> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned)).collect();
    for (file, text) in [
        ("grafana-dashboard.json", include_str!("../../../packaging/monitoring/grafana-dashboard.json")),
        ("alerts.yml", include_str!("../../../packaging/monitoring/alerts.yml")),
    ] {
        let named = names(text);
        assert!(named.len() > 3, "{file}");
        assert!(named.is_subset(&there), "{file} names {:?}", named.difference(&there));
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(include_str!("../../../packaging/monitoring/grafana-dashboard.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 5);
}
