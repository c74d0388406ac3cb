//! The real service behind a proxy that turns its tunnels away, or answers in the backend's place. None of it counts as a delivery, and once a tunnel leads to the
//! backend the bundle comes.

use crate::backlog;
use crate::scheduled::within;
use crate::tally::Tally;
use anyhow::{Context, Result, bail};
use netsonde_agent::load::Clock;
use netsonde_contract::enrolment::Enrolment;
use netsonde_tests::certificates::{Flaw, Pki};
use netsonde_tests::programs::program;
use netsonde_tests::remote;
use netsonde_tests::servers::{Server, serve_inspecting_proxy, server_config};
use netsonde_tests::stage::{Backend, Stage, signal};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// A name that only the proxy knows.
const HOST: &str = "support.example";
const SIGN_IN: &str = "asha:s3cret";
/// How a proxy answers a request for a tunnel. A page in place of it comes with a status that says the tunnel is there.
const ANSWERS: [(&str, &str); 4] = [
    (
        "407",
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    (
        "502",
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>",
    ),
    ("page", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>"),
    ("silence", ""),
];
/// The first failure is waited for, then the first try, and then what a failed try makes a bundle wait.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A request's head is this long at most.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// A machine for each answer, side by side: they wait most of their time.
pub(crate) async fn run() -> Result<Tally> {
    let stage = Arc::new(Stage::new()?);
    let pki = Pki::new()?;
    std::fs::write(stage.folder().join("root.pem"), pki.root_pem()).context("writing the authority's certificate")?;
    let mut backend = Backend::start_behind(&stage, &format!("https://{HOST}")).await?;
    remote::found(&stage, &backend).await?;
    let identity = server_config(pki.identity(&[HOST.to_owned()], Flaw::None)?)?;
    let address: SocketAddr = backend.listens.parse().context("the backend's address")?;
    let (office, _) = serve_inspecting_proxy(SocketAddr::from(([127, 0, 0, 1], 0)), SIGN_IN, identity, address).await?;
    let mut machines = tokio::task::JoinSet::new();
    for (name, answer) in ANSWERS {
        let machine = Machine::enrol(&stage, &backend, &office, name, answer).await?;
        machines.spawn(async move { machine.meet().await.with_context(|| format!("behind the proxy that answers with {name}")) });
    }
    let mut tally = Tally::default();
    while let Some(met) = machines.join_next().await {
        tally.add(met.context("one of the machines")??);
    }
    backend.kill().await?;
    backlog::verify(&stage, &mut tally).await?;
    Ok(tally)
}

struct Machine {
    stage: Arc<Stage>,
    name: &'static str,
    proxy: Proxy,
}

impl Machine {
    /// Enrolled while the proxy still lets it through.
    async fn enrol(
        stage: &Arc<Stage>,
        backend: &Backend,
        office: &Server,
        name: &'static str,
        answer: &'static str,
    ) -> Result<Self> {
        let machine = Self { stage: Arc::clone(stage), name, proxy: Proxy::before(office.address, answer).await? };
        std::fs::create_dir_all(machine.file("state")).context("making the machine's folder")?;
        std::fs::write(machine.file("policy.toml"), "version = 1\n[orders]\nremote = \"deny\"\n")
            .context("writing the policy")?;
        let closed = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
        let target = closed.local_addr().context("the target's address")?;
        drop(closed);
        std::fs::write(
            machine.file("agent.toml"),
            format!("version = 1\n[[schedule]]\nname = \"shop\"\nset = \"port\"\ntargets = [\"{target}\"]\nevery = \"10s\"\nsplay = \"1ms\"\nbudget = \"8s\"\nupload = \"now\"\n[schedule.health]\nfailing_after = 1\n"),
        )
        .context("writing agent.toml")?;
        let made = remote::desk(stage, backend, &["enrol", "--format", "json"]).await?;
        let made: serde_json::Value = serde_json::from_str(&made).context("reading the enrolment")?;
        let enrolment = Enrolment::parse(made["enrolment"].as_str().context("there is no enrolment string")?);
        // The desk knows the backend by its own way to it; this machine has another.
        let enrolment = Enrolment { backend: backend.url.clone(), ..enrolment.context("reading the enrolment string")? };
        machine.proxy.lead_on(true);
        let enrolled = machine.netsonde(&["enroll", "--yes", enrolment.encode().as_ref()])?.output().await?;
        machine.proxy.lead_on(false);
        if !enrolled.status.success() {
            bail!("enrolling through a proxy failed: {}", remote::said(&enrolled));
        }
        Ok(machine)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.stage.folder().join(self.name).join(name)
    }

    /// With nothing but this proxy, and with trust in the authority that it signs with.
    fn netsonde(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(program("netsonde")?);
        command.args(arguments).arg("--policy").arg(self.file("policy.toml")).arg("--state-dir").arg(self.file("state"));
        for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "HTTPS_PROXY"] {
            command.env_remove(variable);
        }
        command.env("HOME", self.stage.folder()).env("https_proxy", format!("http://{SIGN_IN}@{}", self.proxy.address));
        command.env("SSL_CERT_FILE", self.stage.folder().join("root.pem")).stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    fn in_spool(&self, stage: &str) -> Vec<PathBuf> {
        within(&self.file("state/spool").join(stage))
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<()> {
        let began = Clock::start();
        while !is_so(self) {
            if began.now() > PATIENCE {
                bail!("{what} did not come: {}", self.log());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Keeps a bundle that the proxy has turned away, and delivers it once there is a way.
    async fn meet(self) -> Result<Tally> {
        let (mut tally, name) = (Tally::default(), self.name);
        let log = std::fs::File::create(self.file("log")).context("making a log")?;
        let config = self.file("agent.toml").to_string_lossy().into_owned();
        let agent = self.netsonde(&["agent", "--config", &config])?.stdout(Stdio::null()).stderr(log).spawn();
        let mut agent = agent.context("starting netsonde agent")?;
        self.until("the failed try", |machine| machine.in_spool("ready").iter().any(|folder| was_tried(folder))).await?;
        tally.faults += 1;
        let turned_away = self.proxy.turned_away.load(Ordering::SeqCst);
        println!("  behind a proxy that answers with {name}: {turned_away} requests for a tunnel by the first failed try");
        if turned_away == 0 {
            tally.wanting.push(format!("the proxy that answers with {name} was never asked"));
        }
        if self.in_spool("ready").len() != 1 || !self.in_spool("sent").is_empty() || agent.try_wait()?.is_some() {
            tally
                .lost
                .push(format!("a proxy that answers with {name} counts as delivery, or took bundle or agent: {}", self.log()));
        }
        self.proxy.lead_on(true);
        self.until("the delivery", |machine| !machine.in_spool("sent").is_empty()).await?;
        tally.acknowledged += 1;
        if !self.in_spool("ready").is_empty() || self.in_spool("sent").len() > 1 {
            tally
                .duplicated
                .push(format!("after a proxy that answers with {name} there is more than one bundle: {}", self.log()));
        }
        for bytes in self.in_spool("sent").iter().flat_map(|folder| within(folder)).filter(|file| is_bundle(file)) {
            let bytes = std::fs::read(bytes).context("reading a delivered bundle")?;
            let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            let stored = self.stage.folder().join("backend/blobs/sha256").join(&digest[..2]).join(&digest);
            if std::fs::read(stored).ok() != Some(bytes) {
                tally.lost.push(format!("after a proxy that answers with {name} the bundle is not at the backend"));
            }
        }
        if !ended(&mut agent).await?.success() {
            tally.wanting.push(format!("the agent did not end well: {}", self.log()));
        }
        Ok(tally)
    }
}

/// As a service manager ends it.
async fn ended(agent: &mut Child) -> Result<std::process::ExitStatus> {
    signal(agent.id().context("no agent runs")?, "TERM").await?;
    tokio::time::timeout(PATIENCE, agent.wait()).await.context("the agent goes on")?.context("waiting for the agent")
}

/// Sending it failed at least once.
fn was_tried(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("entry.json")).is_ok_and(|entry| entry.contains("\"failed\""))
}

fn is_bundle(file: &Path) -> bool {
    file.to_string_lossy().ends_with(".tar.gz")
}

/// Answers each request for a tunnel in the same way, until it leads on to one that makes tunnels.
struct Proxy {
    address: SocketAddr,
    leads_on: Arc<AtomicBool>,
    turned_away: Arc<AtomicU64>,
}

impl Proxy {
    async fn before(office: SocketAddr, answer: &'static str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
        let address = listener.local_addr().context("the proxy's address")?;
        let (leads_on, turned_away) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (leads, turned) = (Arc::clone(&leads_on), Arc::clone(&turned_away));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if leads.load(Ordering::SeqCst) {
                    tokio::spawn(pass(client, office));
                } else {
                    tokio::spawn(turn_away(client, answer, Arc::clone(&turned)));
                }
            }
        });
        Ok(Self { address, leads_on, turned_away })
    }

    fn lead_on(&self, leads_on: bool) {
        self.leads_on.store(leads_on, Ordering::SeqCst);
    }
}

async fn pass(mut client: TcpStream, office: SocketAddr) {
    if let Ok(mut office) = TcpStream::connect(office).await {
        // Either end may go away in the middle.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut office).await;
    }
}

/// Whoever asks for something else than a tunnel to the backend hears nothing, and is not counted.
async fn turn_away(mut client: TcpStream, answer: &str, turned: Arc<AtomicU64>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD_BYTES || !matches!(client.read_buf(&mut head).await, Ok(1..)) {
            return;
        }
    }
    if head.starts_with(format!("CONNECT {HOST}:443 ").as_bytes()) {
        turned.fetch_add(1, Ordering::SeqCst);
        let _ = client.write_all(answer.as_bytes()).await;
        let _ = client.shutdown().await;
    }
}
