//! A machine whose name server is dead when it starts: the agent's service runs all the same, keeps what it measures, and delivers once names resolve.

use crate::tally::Tally;
use anyhow::{Context, Result, bail};
use netsonde_contract::bundle;
use netsonde_contract::enrolment::Enrolment;
use netsonde_tests::programs::program;
use netsonde_tests::remote;
use netsonde_tests::stage::{Backend, Stage};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::process::Command;

const NAME: &str = "support.test";
/// The first failures are waited for, and then what a failed try makes a bundle wait.
const PATIENCE: Duration = Duration::from_secs(300);
/// Names come from a file of this suite's, and from a name server that nobody is.
const SCRIPT: &str = r#"mount --bind "$HOSTS" /etc/hosts && mount --bind "$RESOLV" /etc/resolv.conf || exit 99; exec "$@""#;

struct Machine {
    folder: PathBuf,
}

impl Machine {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn resolve(&self, is_known: bool) -> Result<()> {
        let known = if is_known { format!("127.0.0.1 {NAME}\n") } else { String::new() };
        // In place: what is mounted is this very file.
        std::fs::write(self.file("hosts"), format!("127.0.0.1 localhost\n{known}")).context("writing the hosts file")
    }

    fn netsonde(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", SCRIPT, "sh"]).arg(program("netsonde")?).args(arguments);
        command.env("HOSTS", self.file("hosts")).env("RESOLV", self.file("resolv.conf")).env("HOME", &self.folder);
        command.arg("--state-dir").arg(self.file("state")).stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<()> {
        let waiting = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let Ok(()) = tokio::time::timeout(PATIENCE, waiting).await else { bail!("{what} did not come: {}", self.log()) };
        Ok(())
    }

    fn in_spool(&self, stage: &str) -> usize {
        self.file("state/spool").join(stage).read_dir().map_or(0, Iterator::count)
    }
}

pub(crate) async fn run() -> Result<Tally> {
    let mut tally = Tally::default();
    let stage = Stage::new()?;
    let backend = Backend::start_named(&stage, NAME).await?;
    remote::found(&stage, &backend).await?;
    let made = remote::desk(&stage, &backend, &["enrol", "--format", "json"]).await?;
    let made: serde_json::Value = serde_json::from_str(&made).context("reading the enrolment")?;
    let string = made["enrolment"].as_str().context("there is no enrolment string")?;
    // The desk knows the backend by its address; this machine by its name.
    let enrolment = Enrolment::parse(string).context("reading the enrolment string")?;
    let string = Enrolment { backend: backend.url.clone(), ..enrolment }.encode().to_string();
    let machine = Machine { folder: stage.folder().join("booting") };
    std::fs::create_dir_all(&machine.folder).context("making a folder")?;
    std::fs::write(machine.file("resolv.conf"), "nameserver 127.0.0.53\noptions timeout:1 attempts:1\n").context("writing")?;
    std::fs::write(machine.file("policy.toml"), "version = 1\n[orders]\nremote = \"deny\"\n").context("writing")?;
    machine.resolve(true)?;
    let policy = machine.file("policy.toml").to_string_lossy().into_owned();
    let enrolled = machine.netsonde(&["enroll", "--yes", &string, "--policy", &policy])?.output().await.context("enrolling")?;
    if !enrolled.status.success() {
        let said = String::from_utf8_lossy(&enrolled.stderr).into_owned();
        if enrolled.status.code() == Some(99) || said.contains("Operation not permitted") {
            tally.skipped.push(format!("names that are dead at boot: no file can be mounted ({said})"));
            return Ok(tally);
        }
        bail!("enrolling failed: {said}");
    }
    machine.resolve(false)?;
    let closed = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
    let target = closed.local_addr().context("the target's address")?;
    drop(closed);
    std::fs::write(
        machine.file("agent.toml"),
        format!("version = 1\n[[schedule]]\nname = \"shop\"\nset = \"port\"\ntargets = [\"{target}\"]\nevery = \"10s\"\nsplay = \"1ms\"\nbudget = \"8s\"\nupload = \"now\"\n[schedule.health]\nfailing_after = 1\n"),
    )
    .context("writing agent.toml")?;
    let config = machine.file("agent.toml").to_string_lossy().into_owned();
    let log = std::fs::File::create(machine.file("log")).context("making a log")?;
    let mut agent =
        machine.netsonde(&["agent", "--config", &config, "--policy", &policy])?.stderr(log).spawn().context("starting")?;
    machine.until("the bundle", |machine| machine.log().contains("is in the bundle")).await?;
    machine.until("the failed try", |machine| tried(&machine.file("state/spool/ready"))).await?;
    tally.faults += 1;
    if machine.in_spool("ready") != 1 || agent.try_wait().context("asking for the agent")?.is_some() {
        tally.lost.push(format!("with a dead name server the bundle or the agent is gone: {}", machine.log()));
    }
    machine.resolve(true)?;
    machine.until("the delivery", |machine| machine.in_spool("sent") == 1).await?;
    tally.acknowledged += 1;
    agent.kill().await.context("stopping the agent")?;
    let blobs = stage.folder().join("backend/blobs/sha256");
    let stored: Vec<PathBuf> = within(&blobs).iter().flat_map(|folder| within(folder)).collect();
    let is_whole = |file: &PathBuf| std::fs::read(file).is_ok_and(|bytes| bundle::verify(&bytes).is_ok());
    match stored.iter().filter(|file| is_whole(file)).count() {
        1 => {}
        0 => tally.lost.push("the bundle of a machine whose names were dead is not at the backend".to_owned()),
        _ => tally.duplicated.push("the bundle of a machine whose names were dead is there more than once".to_owned()),
    }
    Ok(tally)
}

fn within(folder: &Path) -> Vec<PathBuf> {
    folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Sending it failed at least once.
fn tried(ready: &Path) -> bool {
    within(ready)
        .iter()
        .any(|folder| std::fs::read_to_string(folder.join("entry.json")).is_ok_and(|text| text.contains("\"failed\"")))
}
