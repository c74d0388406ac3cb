use super::data_dir::DataDir;
use super::{ready, stop};
use crate::alerts::{self, Alerts};
use crate::app::{App, Parts, Place};
use crate::blobs::Blobs;
use crate::clock::Clock;
use crate::fleet::{Trust, flush_seen, tend};
use crate::home::{Home, TlsFiles};
use crate::ingest::{sweep_at_start, sweep_stale};
use crate::limits::{Limits, MOST_SCHEDULED_BUNDLES};
use crate::router::router;
use crate::staging::Staging;
use crate::store::{Setting, Sqlite, Store};
use crate::{accept, health};
use anyhow::{Context, bail};
use clap::Args;
use netsonde_disk::Disk;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[derive(Args)]
pub(super) struct Serve {
    /// Where to listen; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443", env = "NETSONDE_BACKEND_LISTEN")]
    listen: SocketAddr,
    #[command(flatten)]
    data: DataDir,
    /// How agents and browsers reach this server, such as https://support.example [default: the address it listens on]
    #[arg(long, value_name = "URL", env = "NETSONDE_BACKEND_PUBLIC_URL")]
    public_url: Option<String>,
    /// Speak plain HTTP; only on a loopback address
    #[arg(long)]
    plain: bool,
    /// Who is told of changes, and how [default: alerts.toml in the data directory, where it is there]
    #[arg(long, value_name = "FILE", env = "NETSONDE_BACKEND_ALERTS")]
    alerts: Option<PathBuf>,
    /// Bundles of schedules that are taken of one agent in 24 hours; more for agents that come back with what they kept for long
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().scheduled_bundles, env = "NETSONDE_BACKEND_SCHEDULED_BUNDLES",
        value_parser = clap::value_parser!(u64).range(1..=MOST_SCHEDULED_BUNDLES))]
    scheduled_bundles: u64,
    /// Write the address, and on the first run the secrets, to this file as JSON, readable by its owner only
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// What a server is started with.
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) public_url: Option<String>,
    pub(crate) plain: bool,
    pub(crate) alerts: Option<PathBuf>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
}

/// A server that is bound and swept, and accepts once [`Running::until`] is awaited.
pub(crate) struct Running {
    pub(crate) app: Arc<App>,
    pub(crate) address: SocketAddr,
    /// The first run's secrets, which are kept nowhere and work once [`Running::keep_first_run`] is done.
    pub(crate) first_run: Option<ready::FirstRun>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    _lock: std::fs::File,
}

/// For the database to fold its log into its file, at the end; a kill instead costs nothing but the next start's time.
const CLOSING: Duration = Duration::from_secs(5);
/// Between two sweeps of what nobody continued.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let settings = Settings {
            listen: self.listen,
            data: self.data.path()?,
            public_url: self.public_url,
            plain: self.plain,
            alerts: self.alerts,
            limits: Limits { scheduled_bundles: self.scheduled_bundles, ..Limits::default() },
            clock: Clock::system(),
        };
        raise_descriptor_limit();
        let stopped = stop::signal().context("cannot watch for the signal to stop")?;
        let running = Running::start(settings).await?;
        ready::announce(&running, self.ready_file.as_deref())?;
        running.keep_first_run().await?;
        running
            .until(async {
                let _ = stopped.await;
            })
            .await;
        Ok(())
    }
}

impl Running {
    /// Opens everything, sweeps what a kill left behind, and binds the address.
    pub(crate) async fn start(settings: Settings) -> anyhow::Result<Self> {
        let Settings { listen, data, public_url, plain, alerts, mut limits, clock } = settings;
        if plain {
            // Every connection comes from this machine: from the proxy that speaks TLS in our place.
            limits.connections_per_address = limits.connections;
        }
        if plain && !listen.ip().is_loopback() {
            bail!("--plain speaks HTTP without TLS, which is only for loopback; listen on 127.0.0.1, or leave --plain away");
        }
        if listen.ip().is_unspecified() && public_url.is_none() {
            bail!(
                "--listen {listen} names no address that a ticket could carry; say with --public-url how agents reach this server"
            );
        }
        let home = Home::create(&data)?;
        let alerts = read_alerts(alerts, &data)?;
        let lock = home.lock()?;
        // Before the receipt key is made: what belongs to a database must never be there without one.
        let store = Sqlite::open(&home.database()).await?;
        store.expect_whole().await?;
        expect_own_database(&home, &store).await?;
        let receipt_key = home.receipt_key()?;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr().context("the listener has no address")?;
        let url = public_url_of(public_url.as_deref(), plain, address)?;
        let tls = if plain { None } else { Some(TlsFiles::of(&home, host_of(&url))?) };
        let tls_pin = tls.as_ref().and_then(TlsFiles::pin);
        let tls = tls.map(TlsFiles::server_config).transpose().context("the TLS key does not work")?;
        let app = App::new(Parts {
            store: Arc::new(store),
            blobs: Blobs::in_folder(&home.blobs(), Disk::system()),
            staging: Staging::in_folder(&home.uploads(), Disk::system()),
            clock,
            limits,
            place: Place { url, tls_pin },
            receipt_key,
            alerts,
        });
        app.store.set(Setting::Place, &serde_json::to_string(&app.place)?).await?;
        Trust::load(&app)
            .await
            .map_err(|refused| anyhow::anyhow!("cannot read the organisation's keys: {}", refused.explained()))?;
        let first_run = ready::first_run(&app).await?;
        sweep_at_start(&app)
            .await
            .map_err(|refused| anyhow::anyhow!("cannot sweep the data directory: {}", refused.explained()))?;
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        Ok(Self { app, address, first_run, listener, tls, _lock: lock })
    }

    /// To be called once the first run's secrets were announced.
    pub(crate) async fn keep_first_run(&self) -> anyhow::Result<()> {
        match &self.first_run {
            Some(first) => ready::keep(&self.app, first).await,
            None => Ok(()),
        }
    }

    /// Serves until `stop` resolves, then finishes what runs.
    pub(crate) async fn until(self, stop: impl Future<Output = ()>) {
        let app = Arc::clone(&self.app);
        let sweeping = tokio::spawn(sweep_now_and_then(Arc::clone(&app)));
        let tending = tokio::spawn({
            let app = Arc::clone(&app);
            async move { tokio::join!(tend(&app), health::tend(&app), alerts::send(&app)) }
        });
        let stopping = app.stopping.clone();
        let stop = async move {
            stop.await;
            stopping.cancel();
        };
        accept::serve(self.listener, self.tls, router(Arc::clone(&app)), app.limits.clone(), stop).await;
        sweeping.abort();
        tending.abort();
        if let Err(refused) = flush_seen(&app).await {
            tracing::warn!(error = refused.explained(), "when agents were last seen was not written down");
        }
        app.tasks.close();
        if tokio::time::timeout(app.limits.drain, app.tasks.wait()).await.is_err() {
            tracing::warn!("a bundle was still being stored; nothing that was acknowledged is lost");
        }
        if tokio::time::timeout(CLOSING, app.store.close()).await.is_err() {
            tracing::warn!("the database was still at work; its log is read at the next start");
        }
    }
}

/// Each connection takes a descriptor, and most systems start a service with a thousand of them although it may have more.
#[cfg(unix)]
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| (soft, hard)));
    match raised {
        Ok((before, now)) => tracing::debug!(before, now, "descriptors that may be open"),
        Err(error) => tracing::warn!(%error, "the limit of open descriptors stays as it is, and with it the number of agents"),
    }
}

#[cfg(not(unix))]
fn raise_descriptor_limit() {}

/// The file that was named, or the one in the data directory, where it is there.
fn read_alerts(named: Option<PathBuf>, data: &Path) -> anyhow::Result<Alerts> {
    let own = data.join("alerts.toml");
    match named.or_else(|| own.exists().then_some(own)) {
        Some(file) => alerts::read(&file),
        None => Ok(Alerts::default()),
    }
}

/// Whether database and directory belong together. The first start writes the same name into both, the database first.
async fn expect_own_database(home: &Home, store: &Sqlite) -> anyhow::Result<()> {
    match (store.setting(Setting::Installation).await?, home.installation()?) {
        (Some(named), Some(kept)) if named == kept => {}
        (Some(named), None) => home.set_installation(&named)?,
        (None, None) => {
            let new = crate::random::token()?;
            store.set(Setting::Installation, &new).await?;
            home.set_installation(&new)?;
        }
        _ => bail!(
            "{} belongs to another installation than the directory that it is in; restore the database and the directory from the same backup",
            home.database().display()
        ),
    }
    if store.setting(Setting::DeskTokenDigest).await?.is_some() && !home.has_receipt_key() {
        bail!("receipt.key is missing, which every ticket names and every receipt was signed with; restore it from the backup");
    }
    Ok(())
}

async fn sweep_now_and_then(app: Arc<App>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        if let Err(refused) = sweep_stale(&app).await {
            tracing::warn!(error = refused.explained(), "the sweep failed; the next one tries again");
        }
    }
}

fn public_url_of(given: Option<&str>, plain: bool, address: SocketAddr) -> anyhow::Result<String> {
    let Some(url) = given else {
        let scheme = if plain { "http" } else { "https" };
        return Ok(format!("{scheme}://{address}"));
    };
    let url = url.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://").filter(|_| plain));
    match rest {
        Some(rest) if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@".contains(&byte)) => {
            Ok(url.to_owned())
        }
        _ => bail!("--public-url {url} must be https:// and a host, with a port where it is not 443, and no path"),
    }
}

/// The host of a URL that [`public_url_of`] made.
fn host_of(url: &str) -> &str {
    let authority = url.split_once("://").map_or(url, |(_, authority)| authority);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_scheme_and_a_host() {
        let address = "[::1]:8443".parse().unwrap();
        assert_eq!(public_url_of(None, false, address).unwrap(), "https://[::1]:8443");
        assert_eq!(public_url_of(Some("https://support.example/"), false, address).unwrap(), "https://support.example");
        for wrong in ["support.example", "http://support.example", "https://", "https://a/b", "https://u@a", "ftp://a"] {
            assert!(public_url_of(Some(wrong), false, address).is_err(), "{wrong}");
        }
        assert_eq!(host_of("https://[::1]:8443"), "[::1]");
        assert_eq!(host_of("https://[::1]"), "[::1]");
        assert_eq!(host_of("https://support.example"), "support.example");
    }
}
