//! Metrics to an OpenTelemetry collector: OTLP over HTTP with protobuf (OpenTelemetry Protocol Specification 1.x, "OTLP/HTTP").
//!
//! Every family is one metric of the same name; gauges stay gauges, counters become cumulative sums since the agent began. What a collector does
//! not take is not kept: the next export has what is true by then, and the history has what was.

use super::exposition::{Family, Kind, Sample};
use super::server::{Source, present};
use crate::stop::with_causes;
use crate::terminal;
use crate::upload::judged_by_platform;
use jiff::Timestamp;
use netsonde_contract::agent_config::Otlp;
use netsonde_probes::clock::Clock;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, redirect};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// For one export, from the connection to the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A collector that asks for more is asked again after this.
const LONGEST_REST: Duration = Duration::from_secs(3_600);
/// A token and a tenant, and not a book.
const MAX_HEADERS_BYTES: u64 = 16 << 10;

/// Exports until it is told to stop. Needs a running runtime.
///
/// # Errors
/// Where no HTTP client can be made, in words.
pub(crate) fn export(to: Otlp, source: Arc<Source>, stop: CancellationToken) -> Result<(), String> {
    let client = client()?;
    let clock = Clock::start();
    let began = clock.wall();
    tokio::spawn(async move {
        let mut complaint = None;
        let mut rest = to.every;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
            let request = request(&present(&source).into_families(), began, clock.wall());
            let sent = tokio::select! {
                () = stop.cancelled() => return,
                sent = send(&client, &to, &request) => sent,
            };
            rest = to.every;
            match sent {
                Ok(()) if complaint.take().is_some() => terminal::say("netsonde: the collector of metrics takes them again"),
                Ok(()) => {}
                Err(Untaken { why, retry_after }) => {
                    rest = rest.max(retry_after.unwrap_or_default().min(LONGEST_REST));
                    if complaint.as_ref() != Some(&why) {
                        terminal::say(&format!("netsonde: metrics were not taken by {}: {why}", to.endpoint));
                        complaint = Some(why);
                    }
                }
            }
        }
    });
    Ok(())
}

fn client() -> Result<Client, String> {
    // An agent that runs for its schedules alone has made no client before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("netsonde/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .timeout(PATIENCE);
    judged_by_platform(builder)?.build().map_err(|error| with_causes(&error))
}

/// Why an export came to nothing.
struct Untaken {
    why: String,
    retry_after: Option<Duration>,
}

impl From<String> for Untaken {
    fn from(why: String) -> Self {
        Self { why, retry_after: None }
    }
}

async fn send(client: &Client, to: &Otlp, request: &ExportMetricsServiceRequest) -> Result<(), Untaken> {
    let headers = match &to.headers_file {
        Some(file) => {
            let file = file.clone();
            let read = tokio::task::spawn_blocking(move || headers(&file)).await;
            read.map_err(|error| error.to_string()).and_then(|headers| headers)?
        }
        None => HeaderMap::new(),
    };
    let url = format!("{}/v1/metrics", to.endpoint.trim_end_matches('/'));
    let post = client.post(url).headers(headers).header(CONTENT_TYPE, "application/x-protobuf").body(request.encode_to_vec());
    // The address may hold what is nobody's business; the file that it comes from is known to whoever reads this.
    let answer = post.send().await.map_err(|error| with_causes(&error.without_url()))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => {
            let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let waits = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status);
            let retry_after = asked.filter(|_| waits).map(Duration::from_secs);
            Err(Untaken { why: format!("it answered {status}"), retry_after })
        }
    }
}

/// Lines `Name: value`; their values are secrets, and are said nowhere.
fn headers(file: &Path) -> Result<HeaderMap, String> {
    let unusable = |why: &str| format!("{}: {why}", file.display());
    let length = std::fs::metadata(file).map_err(|error| unusable(&error.to_string()))?.len();
    if length > MAX_HEADERS_BYTES {
        return Err(unusable("it is longer than 16 KiB"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| unusable(&error.to_string()))?;
    let mut headers = HeaderMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
        let wrong = || unusable(&format!("line {} is not `Name: value`", number + 1));
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

fn request(families: &[Family], began: Timestamp, now: Timestamp) -> ExportMetricsServiceRequest {
    let span = Span { began: nanoseconds(began), now: nanoseconds(now) };
    let scope = InstrumentationScope { name: "netsonde".into(), version: env!("CARGO_PKG_VERSION").into(), ..Default::default() };
    let metrics = families.iter().map(|family| metric(family, span)).collect();
    let own = [("service.name", "netsonde"), ("service.version", env!("CARGO_PKG_VERSION"))];
    let resource = Resource { attributes: own.map(|(name, value)| attribute(name, value)).into(), ..Default::default() };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }];
    let one = ResourceMetrics { resource: Some(resource), scope_metrics, schema_url: String::new() };
    ExportMetricsServiceRequest { resource_metrics: vec![one] }
}

/// From the agent's beginning to now, in nanoseconds of Unix time.
#[derive(Clone, Copy)]
struct Span {
    began: u64,
    now: u64,
}

fn nanoseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or_default()
}

fn metric(family: &Family, span: Span) -> Metric {
    let data_points = family.samples.iter().map(|sample| point(sample, span)).collect();
    let data = match family.kind {
        Kind::Gauge => Data::Gauge(Gauge { data_points }),
        Kind::Counter => {
            Data::Sum(Sum { data_points, aggregation_temporality: AggregationTemporality::Cumulative.into(), is_monotonic: true })
        }
    };
    // The unit in the name, as Prometheus wants it, and as UCUM (https://ucum.org) has it.
    let unit = if family.name.ends_with("_seconds") { "s" } else { "1" };
    Metric {
        name: family.name.into(),
        description: family.help.into(),
        unit: unit.into(),
        data: Some(data),
        ..Default::default()
    }
}

fn point(sample: &Sample, span: Span) -> NumberDataPoint {
    NumberDataPoint {
        attributes: sample.labels.iter().map(|(name, value)| attribute(name, value)).collect(),
        start_time_unix_nano: span.began,
        time_unix_nano: span.now,
        value: Some(number_data_point::Value::AsDouble(sample.value)),
        ..Default::default()
    }
}

fn attribute(name: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: name.to_owned(), value: Some(value), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::super::exposition::Exposition;
    use super::*;
    use crate::metrics::Latest;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::RwLock;

    /// A collector that answers each request with `status`, and hands out what it got.
    fn collector(status: impl std::fmt::Display + Send + 'static) -> (String, std::sync::mpsc::Receiver<(String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (tell, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut bytes = Vec::new();
                let mut part = [0; 4096];
                let (head, body) = loop {
                    let read = stream.read(&mut part).unwrap();
                    bytes.extend_from_slice(&part[..read]);
                    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                    let length =
                        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                    let length: usize = length.unwrap_or(0);
                    if bytes.len() >= end + 4 + length {
                        break (head, bytes[end + 4..].to_vec());
                    }
                };
                let answer = format!("HTTP/1.1 {status}\r\nRetry-After: 7\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
                if tell.send((head, body)).is_err() {
                    return;
                }
            }
        });
        (endpoint, heard)
    }

    fn source(folder: &Path) -> Arc<Source> {
        Arc::new(Source {
            config: RwLock::default(),
            config_path: folder.join("agent.toml"),
            state: folder.to_owned(),
            latest: Latest::default(),
            probes: tokio::sync::Semaphore::new(1),
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_gets_what_prometheus_would_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("headers");
        std::fs::write(&file, "# for the tenant\nAuthorization: Bearer canary\n").unwrap();
        let (endpoint, heard) = collector("200 OK");
        let source = source(folder.path());
        source.latest.failed("shop");
        let stop = CancellationToken::new();
        let to = Otlp { endpoint: endpoint + "/", every: Duration::from_millis(10), headers_file: Some(file) };
        export(to, source, stop.clone()).unwrap();
        let (head, body) =
            tokio::task::spawn_blocking(move || heard.recv_timeout(Duration::from_secs(20))).await.unwrap().unwrap();
        stop.cancel();
        assert!(head.starts_with("POST /v1/metrics HTTP/1.1\r\n"), "{head}");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("content-type: application/x-protobuf") && head.contains("authorization: bearer canary"), "{head}");
        let request = ExportMetricsServiceRequest::decode(body.as_slice()).unwrap();
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let runs = metrics.iter().find(|metric| metric.name == "netsonde_schedule_runs_total").unwrap();
        let Some(Data::Sum(sum)) = &runs.data else { panic!("{runs:?}") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == AggregationTemporality::Cumulative as i32);
        let failed = sum.data_points.iter().find(|point| point.attributes.contains(&attribute("outcome", "failed"))).unwrap();
        assert_eq!(failed.value, Some(number_data_point::Value::AsDouble(1.0)));
        assert!(0 < failed.start_time_unix_nano && failed.start_time_unix_nano <= failed.time_unix_nano);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_that_is_busy_is_left_alone_for_as_long_as_it_says() {
        let (endpoint, _heard) = collector("429 Too Many Requests");
        let to = Otlp { endpoint, every: Duration::from_secs(5), headers_file: None };
        let client = client().unwrap();
        let untaken = send(&client, &to, &ExportMetricsServiceRequest::default()).await.err().unwrap();
        assert_eq!(untaken.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(untaken.why, "it answered 429 Too Many Requests");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_that_redirects_is_not_followed() {
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let status = format!("307 Temporary Redirect\r\nLocation: http://{}/", elsewhere.local_addr().unwrap());
        let (endpoint, _heard) = collector(status);
        let to = Otlp { endpoint, every: Duration::from_secs(5), headers_file: None };
        let untaken = send(&client().unwrap(), &to, &ExportMetricsServiceRequest::default()).await.err().unwrap();
        assert_eq!(untaken.why, "it answered 307 Temporary Redirect");
        assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "the other place was asked");
    }

    #[test]
    fn a_header_that_is_none_is_named_by_its_line_and_its_value_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("headers");
        std::fs::write(&file, "X-Tenant: one\ncanary\n").unwrap();
        let error = headers(&file).unwrap_err();
        assert!(error.ends_with("line 2 is not `Name: value`") && !error.contains("canary"), "{error}");
        std::fs::write(&file, "X-Tenant: one\n").unwrap();
        assert!(format!("{:?}", headers(&file).unwrap()).contains("Sensitive"));
    }

    #[test]
    fn a_family_in_seconds_says_so_and_an_empty_one_is_left_out() {
        let mut page = Exposition::default();
        page.family("probe_duration_seconds", Kind::Gauge, "How long it took.");
        page.sample(&[("target", "shop.example")], 0.25);
        page.family("netsonde_spool_bundles", Kind::Gauge, "Nothing.");
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let request = request(&page.into_families(), at, at);
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        assert_eq!(metrics.len(), 1);
        assert_eq!((metrics[0].name.as_str(), metrics[0].unit.as_str()), ("probe_duration_seconds", "s"));
    }
}
