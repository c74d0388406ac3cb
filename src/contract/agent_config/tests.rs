use super::*;

const GOOD: &str = r#"version = 1

[[schedule]]
name = "shop"
set = "web"
targets = ["https://shop.example/"]
params = { count = 5, types = ["A", "AAAA"], fast = true }
every = "1m"
jitter = "5s"
quiet = ["sat-sun 00:00-24:00"]
budget = "30s"
upload = "later"
deep = "full"

[schedule.health]
failing_after = 4
hold = "2m"
slow = "800ms"

[[schedule]]
name = "night"
set = "quick"
cron = "30 2 * * *"
zone = "Europe/Berlin"

[[silence]]
schedule = "shop"
from = "2027-03-28T01:00:00Z"
until = "2027-03-28T06:00:00+02:00"
reason = "the database moves"
"#;

#[test]
fn a_splay_a_jitter_and_a_hold_may_be_nothing_and_an_interval_may_not() {
    let schedule = |every: &str| {
        let text = format!(
            "[[schedule]]\nname = \"s\"\nset = \"web\"\nevery = \"{every}\"\nsplay = \"0s\"\njitter = \"0s\"\n[schedule.health]\nhold = \"0s\"\n"
        );
        AgentConfig::parse("agent.toml", &text)
    };
    let config = schedule("1m").unwrap();
    let schedule_of = &config.schedules[0];
    assert_eq!(
        (schedule_of.splay, schedule_of.jitter, schedule_of.health.hold),
        (Duration::ZERO, Duration::ZERO, Duration::ZERO)
    );
    assert!(schedule("0s").is_err());
}

#[test]
fn a_whole_file_is_read_with_its_defaults() {
    let config = AgentConfig::parse("agent.toml", GOOD).unwrap();
    let shop = config.schedule("shop").unwrap();
    assert_eq!(shop.parameters["types"], "A,AAAA");
    assert_eq!((shop.parameters["count"].as_str(), shop.parameters["fast"].as_str()), ("5", "true"));
    assert_eq!((shop.splay, shop.line), (Duration::from_secs(60), 3));
    assert_eq!(
        shop.health,
        Thresholds {
            failing_after: 4,
            hold: Duration::from_secs(120),
            slow: Some(Duration::from_millis(800)),
            ..Thresholds::default()
        }
    );
    let night = config.schedule("night").unwrap();
    assert_eq!((night.splay, night.upload, night.zone.as_deref()), (Duration::ZERO, UploadWhen::Never, Some("Europe/Berlin")));
    let at = |text: &str| text.parse().unwrap();
    assert!(config.silences[0].covers("shop", at("2027-03-28T01:00:00Z")));
    assert!(
        !config.silences[0].covers("shop", at("2027-03-28T04:00:00Z"))
            && !config.silences[0].covers("night", at("2027-03-28T02:00:00Z"))
    );
}

#[test]
fn a_schedule_that_engineers_signed_is_silenced_by_its_name() {
    let text = GOOD.replacen("schedule = \"shop\"", "schedule = \"order-0f3a9c21\"", 1);
    let silence = AgentConfig::parse("agent.toml", &text).unwrap().silences.remove(0);
    let at = "2027-03-28T01:00:00Z".parse().unwrap();
    assert!(silence.covers("order-0f3a9c21", at) && !silence.covers("shop", at));
}

#[test]
fn the_template_is_read_as_it_is_and_with_every_line_in_force() {
    assert_eq!(AgentConfig::parse("agent.toml", TEMPLATE).unwrap(), AgentConfig::default());
    let in_force = |line: &str| {
        let bare = line.trim_start_matches("# ");
        let is_toml = bare.starts_with('[') || bare.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        // Two ways of timing exclude each other.
        if is_toml && !bare.starts_with("cron") { bare.to_owned() } else { String::new() }
    };
    let text = TEMPLATE.lines().map(in_force).collect::<Vec<_>>().join("\n");
    let config = AgentConfig::parse("agent.toml", &text).unwrap();
    assert_eq!((config.schedules.len(), config.silences.len()), (1, 1));
    assert!(config.schedules[0].deep.is_some() && config.schedules[0].health.slow.is_some());
}

#[test]
fn each_slip_is_reported_at_its_place_with_what_was_meant() {
    let cases = [
        ("every = \"1m\"", "evry = \"1m\"", "agent.toml:8:1: unknown key `evry` (did you mean `every`?)"),
        ("every = \"1m\"", "every = \"5s\"", "agent.toml:8:9: `every` is shorter than 10 s"),
        ("every = \"1m\"", "every = \"1m\"\ncron = \"* * * * *\"", "agent.toml:9:8: a schedule has either"),
        ("every = \"1m\"", "", "agent.toml:3:1: `every` is missing"),
        ("jitter = \"5s\"", "jitter = \"31s\"", "agent.toml:9:10: `jitter` is longer than half"),
        ("sat-sun 00", "sat-sunday 00", "does not fit `quiet` (write it as"),
        ("upload = \"later\"", "upload = \"latr\"", "unknown time `latr` (did you mean `later`?)"),
        ("failing_after = 4", "failing_after = 0", "agent.toml:16:17: `failing_after` is not between 1 and 1000"),
        ("30 2 * * *", "30 2 30 2 *", "`30 2 30 2 *` is no time: no such day ever comes"),
        ("30 2 * * *", "30 26 * * *", "agent.toml:23:8: `30 26 * * *` is no time"),
        (
            "name = \"night\"",
            "name = \"order-0f3a9c21\"",
            "names that begin with `order-` are those of schedules that engineers signed",
        ),
        ("name = \"night\"", "name = \"shop\"", "`shop` is the name of the schedule in line 3 already"),
        ("schedule = \"shop\"", "schedule = \"shpo\"", "unknown schedule `shpo` (did you mean `shop`?)"),
        ("until = \"2027-03-28T06", "until = \"2027-03-27T06", "`until` is not after `from`"),
        ("set = \"quick\"", "set = \"\"", "agent.toml:22:7: `set` is empty"),
    ];
    for (from, to, expected) in cases {
        assert!(GOOD.contains(from), "{from}");
        let error = AgentConfig::parse("agent.toml", &GOOD.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}

#[test]
fn metrics_are_sent_where_the_file_says_and_not_more_often_than_is_decent() {
    let read = |text: &str| AgentConfig::parse("agent.toml", &format!("[otlp]\n{text}"));
    let otlp = read("endpoint = \"https://collector.example:4318/otel/\"\n").unwrap().otlp.unwrap();
    assert_eq!((otlp.endpoint.as_str(), otlp.every.as_secs()), ("https://collector.example:4318/otel", 60));
    assert_eq!(otlp.headers_file, None);
    for wrong in [
        "endpoint = \"collector.example\"\n",
        "",
        "endpoint = \"http://c.example\"\nevery = \"4s\"\n",
        "endpoint = \"http://c.example?token=1\"\n",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn metrics_are_for_the_loopback_and_probes_for_who_asks_for_them() {
    let read = |text: &str| AgentConfig::parse("agent.toml", &format!("[metrics]\n{text}"));
    let metrics = read("listen = \"[::1]:9641\"\nprobe = true\nallow = [\"*.shop.example\"]\n").unwrap().metrics.unwrap();
    assert!(metrics.listen.ip().is_loopback() && metrics.probes.unwrap().allow[0].fits("eu.shop.example"));
    assert_eq!(read("listen = \"127.0.0.1:9641\"\n").unwrap().metrics.unwrap().probes, None);
    for (wrong, expected) in [
        ("listen = \"0.0.0.0:9641\"\n", "agent.toml:2:10: `0.0.0.0` is not this machine's loopback"),
        ("listen = \"9641\"\n", "agent.toml:2:10: `9641` is no address with a port"),
        ("", "`listen` is missing"),
        ("listen = \"127.0.0.1:1\"\nallow = [\"shop.example\"]\n", "`allow` is for /probe, which is off"),
        ("listen = \"127.0.0.1:1\"\nprobe = true\nallow = [\"10.0.0.0/8\"]\n", "is no name"),
        ("lisen = \"127.0.0.1:1\"\n", "did you mean `listen`?"),
    ] {
        let error = read(wrong).unwrap_err().to_string();
        assert!(error.contains(expected), "{wrong}: {error}");
    }
}
