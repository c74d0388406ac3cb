use super::*;
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
    let text = page(&checks, &book, &Figures::default());
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
    assert_eq!(read(&page(&[], &HealthBook::default(), &Figures::default())).unwrap().len(), 1);
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
fn the_dashboard_and_the_alert_rules_ask_only_for_what_is_served() {
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
    let figures = figures(&[("shop", false)]);
    let page = self::page(&checks, &book, &figures);
    let samples = samples(&page);
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
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 5);
    let queries = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries = queries.map(|query| query["expr"].as_str().unwrap().to_owned());
    let expressions: Vec<String> = queries.chain(alerts().into_values()).collect();
    assert!(expressions.len() > 12, "{expressions:?}");
    for expression in &expressions {
        check_expression(expression, &samples).unwrap_or_else(|error| panic!("{expression}: {error}"));
    }
    for wrong in [
        "netsonde_health{state=\"bad\"} == 1",
        "netsonde_health{status=\"failing\"} == 1",
        "netsonde_spool_bundles{stage=\"waiting\"} > 200",
        "netsonde_health{state=\"failing\"} == 1 unless on (schedul) netsonde_silenced == 1",
        "netsonde_health == 1 unles netsonde_silenced == 1",
        "sum(netsonde_health",
        "probe_success{required=\"true\"}",
    ] {
        assert!(check_expression(wrong, &samples).is_err(), "{wrong}");
    }
}

fn page(checks: &[CheckHistory], book: &HealthBook, figures: &Figures) -> String {
    expose("0.1.0", checks, book, figures).into_text()
}

fn figures(silenced: &[(&str, bool)]) -> Figures {
    Figures {
        runs: vec![("shop".into(), Runs { measured: 3, failed: 1 })],
        spool: Some(Spooled { ready: 300, to_send: 2 }),
        silenced: silenced.iter().map(|(name, silenced)| ((*name).to_owned(), *silenced)).collect(),
    }
}

/// A sample as a rule sees it.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn samples(page: &str) -> Vec<Seen> {
    let seen = |(labelled, value): (String, f64)| {
        let (name, labels) = labelled.split_once('{').unwrap();
        let labels = labels.strip_suffix("\"}").unwrap().split("\",").map(|label| label.split_once("=\"").unwrap());
        Seen { name: name.into(), labels: labels.map(|(label, of)| (label.into(), of.into())).collect(), value }
    };
    read(page).unwrap().into_iter().map(seen).collect()
}

/// The rules' expressions by the alerts' names.
fn alerts() -> BTreeMap<String, String> {
    let (mut name, mut alerts) = (String::new(), BTreeMap::new());
    for line in include_str!("../../../packaging/monitoring/alerts.yml").lines().map(str::trim) {
        if let Some(alert) = line.strip_prefix("- alert: ") {
            name = alert.to_owned();
        } else if let Some(expression) = line.strip_prefix("expr: ") {
            alerts.insert(name.clone(), expression.to_owned());
        }
    }
    alerts
}

/// Takes a metric's name with its matchers from the beginning of `text`: who fits, and what is left.
fn select<'a>(text: &'a str, samples: &[Seen]) -> Result<(Vec<Seen>, &'a str), String> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut fitting: Vec<Seen> = samples.iter().filter(|sample| sample.name == name).cloned().collect();
    if let Some(matchers) = rest.strip_prefix('{') {
        let (matchers, after) = matchers.split_once('}').ok_or("matchers do not end")?;
        rest = after;
        for matcher in matchers.split(',') {
            let (label, value) = matcher.split_once('=').ok_or_else(|| format!("{matcher} matches nothing"))?;
            // A dashboard's variable stands for any value.
            let of = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let is_variable = value.strip_prefix("~\"$").is_some_and(|variable| variable.ends_with('"'));
            if of.is_none() && !is_variable {
                return Err(format!("{matcher} cannot be read"));
            }
            fitting.retain(|sample| sample.labels.get(label).is_some_and(|own| is_variable || Some(own.as_str()) == of));
        }
    }
    if fitting.is_empty() { Err(format!("no sample fits {}", &text[..text.len() - rest.len()])) } else { Ok((fitting, rest)) }
}

/// Whether each selector fits something that is served, each word is one of PromQL's that we use, and each label in a list is one of all metrics
/// beside it; Prometheus itself adds `job` and `instance`.
fn check_expression(expression: &str, samples: &[Seen]) -> Result<(), String> {
    const WORDS: [&str; 8] = ["sum", "count", "increase", "time", "by", "on", "or", "unless"];
    let (mut rest, mut depth, mut selected, mut lists) = (expression, 0, Vec::new(), Vec::new());
    let mut before = "";
    while let Some(c) = rest.chars().next() {
        let word = &rest[..rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())];
        if word.starts_with("probe_") || word.starts_with("netsonde_") {
            let (fitting, after) = select(rest, samples)?;
            selected.extend(fitting);
            (rest, before) = (after, "");
        } else if c == '(' && ["by", "on"].contains(&before) {
            let (list, after) = rest[1..].split_once(')').ok_or("a list of labels does not end")?;
            lists.extend(list.split(',').map(|label| label.trim().to_owned()));
            (rest, before) = (after, "");
        } else if !word.is_empty() {
            let is_number = word.trim_end_matches('m').parse::<u64>().is_ok();
            if !is_number && !WORDS.contains(&word) {
                return Err(format!("`{word}` is no word"));
            }
            (rest, before) = (&rest[word.len()..], word);
        } else {
            depth += match c {
                '(' | '[' => 1,
                ')' | ']' => -1,
                ' ' | '=' | '>' | '<' | '*' | '/' | '-' => 0,
                other => return Err(format!("`{other}` is no sign")),
            };
            if depth < 0 {
                return Err("what was not opened is closed".to_owned());
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    let is_there = |label: &String| {
        ["job", "instance"].contains(&label.as_str()) || selected.iter().all(|sample| sample.labels.contains_key(label))
    };
    match lists.iter().find(|label| !is_there(label)) {
        _ if depth != 0 => Err("a bracket stays open".to_owned()),
        Some(label) => Err(format!("not all have the label {label}")),
        None if selected.is_empty() => Err("nothing is asked for".to_owned()),
        None => Ok(()),
    }
}

/// What `SELECTOR == 1 unless on (…, schedule) SELECTOR == 1` gives, by check and schedule.
fn fires(expression: &str, samples: &[Seen]) -> Vec<(String, String)> {
    let (wanted, unless) = expression.split_once(" unless on (job, instance, schedule) ").expect("a rule that silences quieten");
    let side = |text: &str| -> Vec<Seen> {
        let (fitting, rest) = select(text, samples).unwrap();
        assert_eq!(rest, " == 1");
        fitting.into_iter().filter(|sample| sample.value == 1.0).collect()
    };
    let silenced = side(unless);
    let is_silenced = |sample: &Seen| silenced.iter().any(|other| other.labels["schedule"] == sample.labels["schedule"]);
    let told = side(wanted).into_iter().filter(|sample| !is_silenced(sample));
    told.map(|sample| (sample.labels["schedule"].clone(), sample.labels["check"].clone())).collect()
}

#[test]
fn alerts_speak_of_required_checks_outside_silences_and_of_bundles_that_are_to_be_sent() {
    let schedule = |name: &str| {
        format!("[[schedule]]\nname = \"{name}\"\nset = \"web\"\nevery = \"1m\"\n[schedule.health]\nslow = \"1s\"\n")
    };
    let config = AgentConfig::parse("x", &(schedule("shop") + &schedule("night"))).unwrap();
    let slow = Sample { rtt_us: Some(2_000_000), ..sample(Verdict::Good) };
    for (alert, sample) in [
        ("NetsondeTargetFailing", sample(Verdict::Bad)),
        ("NetsondeTargetDegraded", slow),
        ("NetsondeNotMeasured", sample(Verdict::Unmeasured)),
    ] {
        let mut book = HealthBook::default();
        for (schedule, check, required) in [("shop", "connect", true), ("shop", "ping", false), ("night", "connect", true)] {
            let series =
                Series { schedule: schedule.into(), check: check.into(), kind: Probe::Tcp, target: Some("t".into()), required };
            for _ in 0..3 {
                book.observe(&config, &series, &sample);
            }
        }
        let page = |silenced: bool| self::page(&[], &book, &figures(&[("shop", false), ("night", silenced)]));
        let told = |silenced: bool| fires(&alerts()[alert], &samples(&page(silenced)));
        let (shop, night) = (("shop".to_owned(), "connect".to_owned()), ("night".to_owned(), "connect".to_owned()));
        assert_eq!(told(true), std::slice::from_ref(&shop), "{alert}");
        assert_eq!(told(false), [night, shop], "{alert}");
    }
    let (bundles, bound) =
        alerts()["NetsondeBundlesPileUp"].split_once(" > ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let page = samples(&self::page(&[], &HealthBook::default(), &figures(&[])));
    let (fitting, _) = select(&bundles, &page).unwrap();
    assert!(
        fitting.iter().all(|sample| sample.value < bound.parse::<f64>().unwrap()),
        "300 stay here, and 2 are to be sent: {fitting:?}"
    );
}
