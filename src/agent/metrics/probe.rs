//! `/probe?target=…&module=…`, as blackbox_exporter has it: a set run now, its result as metrics without labels.

use super::exposition::{Exposition, Kind};
use super::server::Source;
use crate::exit::{self, BundleFate};
use crate::history::samples;
use crate::rounds;
use netsonde_contract::agent_config::{AgentConfig, Probes};
use netsonde_contract::document::Document;
use netsonde_contract::history::{Sample, Series};
use netsonde_contract::kind::Kind as ProbeKind;
use netsonde_contract::observation::Fact;
use netsonde_contract::set::{ProbeSet, find_built_in};
use netsonde_contract::target::{Target, TargetForm};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Probes at the same time; each has a thread.
pub(crate) const MOST_PROBES: usize = 4;
/// Prometheus gives up after ten seconds where nobody said otherwise.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(120);
/// For the way back, as blackbox_exporter leaves it.
const WAY_BACK: Duration = Duration::from_millis(500);

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    target: String,
    module: String,
    timeout: Duration,
}

impl Asked {
    /// Of the query, and of the header in which Prometheus says how long it waits.
    pub(super) fn read(query: &str, timeout: Option<&str>) -> Self {
        let value = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| decoded(value)).next().unwrap_or_default()
        };
        let seconds = timeout.and_then(|text| text.parse::<f64>().ok()).filter(|seconds| *seconds > 0.0);
        let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(USUAL_TIMEOUT);
        let timeout = timeout.min(LONGEST_TIMEOUT).saturating_sub(WAY_BACK).max(WAY_BACK);
        Self { target: value("target"), module: value("module"), timeout }
    }
}

/// Percent-decoding (RFC 3986 section 2.1), with `+` for a space as forms have it. What does not decode stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (first, digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The page, or a status and why there is none.
pub(super) async fn answer(asked: Asked, source: &Source) -> Result<String, (&'static str, String)> {
    let config = source.config();
    let Some(probes) = config.metrics.as_ref().and_then(|metrics| metrics.probes.as_ref()) else {
        return Err(("403 Forbidden", "agent.toml has no `probe = true` under [metrics]".to_owned()));
    };
    let set = set(&asked.module, &config, source).map_err(|why| ("400 Bad Request", why))?;
    if !may_probe(&asked.target, &config, probes, set.target) {
        return Err((
            "403 Forbidden",
            "the target is none of a schedule's, and fits no pattern of `allow` under [metrics]".to_owned(),
        ));
    }
    let Ok(_seat) = source.probes.try_acquire() else {
        return Err(("503 Service Unavailable", format!("{MOST_PROBES} probes go on already")));
    };
    let mut plan = rounds::plan_once(&set, &asked.target).map_err(|stop| ("400 Bad Request", stop.message))?;
    plan.budget = plan.budget.min(asked.timeout);
    for check in &mut plan.checks {
        check.deadline = check.deadline.min(asked.timeout);
    }
    let cancel = CancellationToken::new();
    // A scraper that goes away ends its probe.
    let _guard = cancel.clone().drop_guard();
    let measured = rounds::measure_apart(plan, cancel).await.map_err(|why| ("500 Internal Server Error", why))?;
    Ok(page(&measured))
}

/// A built-in set, or one that a schedule names.
fn set(module: &str, config: &AgentConfig, source: &Source) -> Result<ProbeSet, String> {
    let is_named = config.schedules.iter().any(|schedule| schedule.set == module);
    if find_built_in(module).is_none() && !is_named {
        return Err(format!("there is no module `{module}`: it is a built-in set, or one that a schedule in agent.toml names"));
    }
    rounds::set(&source.config_path, module).map_err(|stop| stop.message)
}

/// Whether the customer's file lets anybody on this machine have that target measured.
fn may_probe(target: &str, config: &AgentConfig, probes: &Probes, form: Option<TargetForm>) -> bool {
    let is_listed = config.schedules.iter().any(|schedule| schedule.targets.iter().any(|own| own == target));
    let host = form.and_then(|form| Target::parse(target, form).ok()).map(|target| target.host);
    is_listed || host.is_some_and(|host| probes.allow.iter().any(|pattern| pattern.fits(&host)))
}

/// The result under blackbox_exporter's names.
fn page(document: &Document) -> String {
    let measured: Vec<(Series, Sample)> = samples("probe", document);
    let mut page = Exposition::default();
    page.family("probe_success", Kind::Gauge, "Whether the probe was a success.");
    page.sample(&[], f64::from(u8::from(exit::code(document, BundleFate::InPlace) == exit::AS_EXPECTED)));
    page.family("probe_duration_seconds", Kind::Gauge, "How long the probe took to complete in seconds.");
    page.sample(&[], super::seconds(document.run.took_us));
    let facts = || document.outcomes.iter().flat_map(|outcome| outcome.observations.iter().map(|observation| &observation.fact));
    let lookups = || facts().filter_map(|fact| if let Fact::Lookup(lookup) = fact { lookup.took_us } else { None });
    if let Some(took) = lookups().next() {
        page.family("probe_dns_lookup_time_seconds", Kind::Gauge, "How long the name lookup took in seconds.");
        page.sample(&[], super::seconds(took));
    }
    let exchanges = || facts().filter_map(|fact| if let Fact::Exchange(exchange) = fact { Some(exchange) } else { None });
    if let Some(status) = exchanges().filter_map(|exchange| exchange.status).next_back() {
        page.family("probe_http_status_code", Kind::Gauge, "Response HTTP status code.");
        page.sample(&[], f64::from(status));
        page.family("probe_http_ssl", Kind::Gauge, "Whether TLS was used for the final request.");
        let tls = exchanges().next_back().is_some_and(|exchange| exchange.url.starts_with("https://"));
        page.sample(&[], f64::from(u8::from(tls)));
    }
    let mut addresses = exchanges().filter_map(|exchange| exchange.address).map(|address| address.is_ipv4());
    if let Some(is_v4) = addresses.next_back() {
        page.family("probe_ip_protocol", Kind::Gauge, "Whether it was IP 4 or IP 6.");
        page.sample(&[], if is_v4 { 4.0 } else { 6.0 });
    }
    phases(&mut page, "probe_http_duration_seconds", ProbeKind::Http, &measured);
    phases(&mut page, "probe_icmp_duration_seconds", ProbeKind::Icmp, &measured);
    phases(&mut page, "probe_dns_duration_seconds", ProbeKind::Dns, &measured);
    if let Some(expires) = measured.iter().filter_map(|(_, sample)| sample.expires).min() {
        page.family("probe_ssl_earliest_cert_expiry", Kind::Gauge, "Earliest certificate end, in Unix time.");
        page.sample(&[], super::whole(expires.as_second()));
    }
    page.family("netsonde_finding", Kind::Gauge, "A cause that was found, by its code.");
    let causes: BTreeMap<&str, ()> = document.findings.iter().map(|finding| (finding.cause.as_str(), ())).collect();
    for cause in causes.keys() {
        page.sample(&[("cause", cause)], 1.0);
    }
    page.into_text()
}

/// The phases of all checks of one kind together.
fn phases(page: &mut Exposition, name: &'static str, kind: ProbeKind, measured: &[(Series, Sample)]) {
    let mut phases: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, sample) in measured.iter().filter(|(series, _)| series.kind == kind) {
        for (phase, took_us) in &sample.phases {
            *phases.entry(phase).or_default() += took_us;
        }
    }
    page.family(name, Kind::Gauge, "How long each phase took in seconds.");
    for (phase, took_us) in phases {
        page.sample(&[("phase", phase)], super::seconds(took_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_prometheus_is_read_as_it_is_meant() {
        let asked = Asked::read("module=web&target=https%3A%2F%2Fshop.example%2F%3Fa%3D1&debug=true", Some("5"));
        assert_eq!((asked.module.as_str(), asked.target.as_str()), ("web", "https://shop.example/?a=1"));
        assert_eq!(asked.timeout, Duration::from_millis(4_500));
        assert_eq!(Asked::read("", Some("-1")).timeout, USUAL_TIMEOUT - WAY_BACK);
        assert_eq!(Asked::read("target=%zz%4", Some("1e99")).target, "%zz%4");
    }

    #[test]
    fn only_what_the_file_names_is_probed() {
        let text = "[metrics]\nlisten = \"127.0.0.1:9641\"\nprobe = true\nallow = [\"*.shop.example\"]\n[[schedule]]\nname = \"a\"\nset = \"port\"\ntargets = [\"db.example:5432\"]\nevery = \"1m\"\n";
        let config = AgentConfig::parse("agent.toml", text).unwrap();
        let probes = config.metrics.as_ref().unwrap().probes.as_ref().unwrap();
        let may = |target: &str| may_probe(target, &config, probes, Some(TargetForm::Endpoint));
        assert!(may("db.example:5432") && may("eu.shop.example:443"));
        for wrong in ["db.example:22", "evil.example:443", "169.254.169.254:80", "", "shop.example.evil.example:443"] {
            assert!(!may(wrong), "{wrong}");
        }
    }
}
