//! Metrics over HTTP on the loopback: as little of HTTP/1.1 as a scraper needs, each answer on a connection of its own.

use super::exposition::Exposition;
use super::latest::Latest;
use super::probe::{self, Asked};
use super::{Known, Spooled};
use crate::health;
use crate::state::StateDirectory;
use netsonde_contract::agent_config::AgentConfig;
use netsonde_probes::clock::Clock;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// A scraper asks one thing at a time; more than a few at once are not scrapers.
const MOST_CONNECTIONS: usize = 16;
/// Scrapers send some three hundred bytes.
const MAX_HEAD: usize = 8 << 10;
/// For the request to come, and for the answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where accepting fails, as it does with too many open files.
const AFTER_FAULT: Duration = Duration::from_millis(200);
/// The media type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What answers are made of.
pub(crate) struct Source {
    /// The file in force; it changes with each reload.
    pub(crate) config: RwLock<Arc<AgentConfig>>,
    pub(crate) config_path: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) latest: Latest,
    /// Probes that go on; each has a thread.
    pub(crate) probes: Semaphore,
}

impl Source {
    pub(crate) fn config(&self) -> Arc<AgentConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An answer.
struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

impl Answer {
    fn plain(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: body.into() + "\n" }
    }

    fn metrics(body: String) -> Self {
        Self { status: "200 OK", kind: TEXT_FORMAT, body }
    }
}

/// Listens until it is told to stop. Needs a running runtime.
///
/// # Errors
/// Where the address cannot be had.
pub(crate) fn serve(listen: SocketAddr, source: Arc<Source>, stop: CancellationToken) -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = TcpListener::from_std(listener)?;
    tokio::spawn(async move {
        let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let stream = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::debug!(%error, "no connection was taken");
                        tokio::time::sleep(AFTER_FAULT).await;
                        continue;
                    }
                },
            };
            let Ok(seat) = Arc::clone(&room).try_acquire_owned() else { continue };
            let (source, stop) = (Arc::clone(&source), stop.clone());
            tokio::spawn(async move {
                let _seat = seat;
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = converse(stream, &source) => {}
                }
            });
        }
    });
    Ok(address)
}

/// One request and its answer. Whoever is too slow, or goes away, misses it.
async fn converse(mut stream: TcpStream, source: &Source) {
    let head = tokio::time::timeout(PATIENCE, head(&mut stream)).await;
    let answer = match head {
        Ok(Ok(head)) => answer(&head, source).await,
        _ => Answer::plain("400 Bad Request", "this is no request"),
    };
    let Answer { status, kind, body } = answer;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let sending = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(PATIENCE, sending).await;
}

/// The request up to its empty line.
async fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let mut part = [0; 1024];
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = stream.read(&mut part).await?;
        if read == 0 || bytes.len() + read > MAX_HEAD {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(part.get(..read).unwrap_or_default());
    }
    String::from_utf8(bytes).map_err(std::io::Error::other)
}

async fn answer(head: &str, source: &Source) -> Answer {
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Answer::plain("400 Bad Request", "this is no request");
    };
    let header = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    // A page in a browser of this machine could name the loopback by a name of its own, and read the answer as its own.
    if !version.starts_with("HTTP/1.") || !header("host").is_some_and(names_loopback) {
        return Answer::plain("421 Misdirected Request", "ask for 127.0.0.1, [::1] or localhost");
    }
    if method != "GET" {
        return Answer::plain("405 Method Not Allowed", "only GET is answered");
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/metrics" => Answer::metrics(metrics(source)),
        "/probe" => {
            let asked = Asked::read(query, header("x-prometheus-scrape-timeout-seconds"));
            match probe::answer(asked, source).await {
                Ok(page) => Answer::metrics(page),
                Err((status, why)) => Answer::plain(status, why),
            }
        }
        "/-/healthy" => Answer::plain("200 OK", "netsonde is well"),
        "/" => Answer::plain("200 OK", "netsonde: /metrics, and /probe?target=…&module=… where agent.toml lets it"),
        _ => Answer::plain("404 Not Found", "there is /metrics and /probe"),
    }
}

fn names_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn metrics(source: &Source) -> String {
    present(source).into_text()
}

/// What is known now.
pub(super) fn present(source: &Source) -> Exposition {
    let state = StateDirectory::existing(Some(&source.state));
    let known = Known {
        checks: source.latest.checks(),
        book: state.as_ref().and_then(|state| health::load(state).ok()).unwrap_or_default(),
        runs: source.latest.runs(),
        spool: state.as_ref().map(|state| Spooled::of(&state.spool())),
    };
    super::present(known, &source.config(), Clock::start().wall())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::good;
    use netsonde_contract::history::Series;
    use netsonde_contract::kind::Kind;

    #[test]
    fn only_who_asks_for_the_loopback_is_answered() {
        for good in ["127.0.0.1:9641", "localhost", "LOCALHOST:1", "[::1]:9641", "127.0.0.1"] {
            assert!(names_loopback(good), "{good}");
        }
        for wrong in ["evil.example:9641", "127.0.0.1.evil.example", "", "[::2]", "10.0.0.1"] {
            assert!(!names_loopback(wrong), "{wrong}");
        }
    }

    #[test]
    fn silences_and_what_the_agent_is_to_send_are_served() {
        use crate::spool::Entry;
        use netsonde_contract::agent_config::UploadWhen;
        use netsonde_contract::id::BundleId;
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let schedule = |name: &str| format!("[[schedule]]\nname = \"{name}\"\nset = \"host\"\nevery = \"1m\"\n");
        let silence = "[[silence]]\nschedule = \"shop\"\nuntil = \"2999-01-01T00:00:00Z\"\nreason = \"x\"\n";
        let text = schedule("shop") + &schedule("mail") + silence;
        let source = Source {
            config: RwLock::new(Arc::new(AgentConfig::parse("x", &text).unwrap())),
            config_path: PathBuf::new(),
            state: folder.path().to_owned(),
            latest: Latest::default(),
            probes: Semaphore::new(1),
        };
        for (digit, upload) in [("a", UploadWhen::Never), ("b", UploadWhen::Now), ("c", UploadWhen::Later)] {
            let entry = Entry::of(&BundleId::new(digit.repeat(64)), "b.tar.gz".into(), b"bytes");
            let entry = Entry { schedule: Some("shop".into()), upload, ..entry };
            state.spool().put(&entry, b"bytes").unwrap();
        }
        let page = metrics(&source);
        for line in [
            "netsonde_silenced{schedule=\"shop\"} 1",
            "netsonde_silenced{schedule=\"mail\"} 0",
            "netsonde_spool_bundles{stage=\"ready\"} 3",
            "netsonde_spool_bundles{stage=\"to_send\"} 2",
        ] {
            assert!(page.lines().any(|one| one == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn what_nobody_measured_lately_is_not_served_as_the_present() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let text = "[[schedule]]\nname = \"s\"\nset = \"host\"\nevery = \"1m\"\n";
        let source = Source {
            config: RwLock::new(Arc::new(AgentConfig::parse("x", text).unwrap())),
            config_path: PathBuf::new(),
            state: folder.path().to_owned(),
            latest: Latest::default(),
            probes: Semaphore::new(1),
        };
        let series = Series { schedule: "s".into(), check: "c".into(), kind: Kind::Tcp, target: None, required: true };
        let served_after = |minutes: i64| {
            let mut book = health::HealthBook::default();
            let sample = good(Clock::start().wall() - jiff::SignedDuration::from_mins(minutes));
            book.observe(&source.config(), &series, &sample);
            health::save(&state, &book).unwrap();
            source.latest.measured("s", vec![(series.clone(), sample)]);
            metrics(&source).contains("\nprobe_success{")
        };
        assert_eq!([1, 60].map(served_after), [true, false]);
    }
}
