//! Two machines with one identity, as a virtual machine and its copy are that was made while a bundle waited: both deliver what they have, what both have is at the
//! backend once, and both are told of the other.

use crate::backlog;
use crate::scheduled::within;
use crate::tally::Tally;
use anyhow::{Context, Result};
use netsonde_agent::load::Clock;
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::{Backend, Stage};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;
use tokio::process::Command;

const POLICY: &str = "version = 1\n[orders]\nremote = \"deny\"\n";
/// The bundle that waited when the machine was copied, and one that each made since.
const OF_EACH: usize = 2;
/// A first try may meet a backend that is told of two machines; then its wait is over, too.
const PATIENCE: Duration = Duration::from_secs(240);
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(crate) async fn run() -> Result<Tally> {
    let mut tally = Tally::default();
    let stage = Stage::new()?;
    let mut backend = Backend::start(&stage).await?;
    remote::found(&stage, &backend).await?;
    let mut original = Agent::enrol(&stage, &backend, "original", POLICY, None).await?;
    // Nothing leaves the machine before it is copied.
    original.configure(&schedule("before", "later", "always")?)?;
    original.start(&stage)?;
    original.until_says("is in the bundle").await?;
    original.stop().await?;
    let folder = |name: &str| stage.folder().join(name);
    let copying = Command::new("cp").arg("-a").arg(folder("original")).arg(folder("copied")).status().await;
    anyhow::ensure!(copying.context("running cp")?.success(), "the machine cannot be copied");
    let mut copied = Agent::on(&stage, "copied", POLICY, None)?;
    copied.id = original.id.clone();
    tally.faults += 1;
    let mut machines = [("original", original), ("copied", copied)];
    for (name, agent) in &mut machines {
        agent.configure(&schedule(name, "now", "never")?)?;
        agent.start(&stage)?;
    }
    for (name, agent) in &machines {
        until_delivered(name, agent, &mut tally).await;
        agent.until_says("Another machine uses this agent's identity").await?;
    }
    let mut digests = BTreeSet::new();
    for (name, agent) in &mut machines {
        let sent = within(&agent.state().join("spool/sent"));
        if sent.len() > OF_EACH {
            tally.duplicated.push(format!("the {name} machine delivered {} bundles: {}", sent.len(), agent.log()));
        }
        for file in sent.iter().flat_map(|folder| within(folder)).filter(|file| file.to_string_lossy().ends_with(".tar.gz")) {
            let bytes = std::fs::read(&file).context("reading a delivered bundle")?;
            let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            let stored = folder("backend/blobs/sha256").join(&digest[..2]).join(&digest);
            if std::fs::read(stored).ok() != Some(bytes) {
                tally.lost.push(format!("the bundle {} of the {name} machine is not at the backend", file.display()));
            }
            digests.insert(digest);
        }
        if !agent.stop().await?.success() {
            tally.wanting.push(format!("the agent of the {name} machine did not end well: {}", agent.log()));
        }
    }
    // One of the bundles is the same on both.
    let expected = machines.len() * OF_EACH - 1;
    if digests.len() != expected {
        tally.wanting.push(format!("both machines delivered {} different bundles, and {expected} were to be", digests.len()));
    }
    tally.acknowledged += digests.len() as u64;
    backend.kill().await?;
    backlog::verify(&stage, &mut tally).await?;
    Ok(tally)
}

/// One, on a target where nobody listens.
fn schedule(name: &str, upload: &str, metered: &str) -> Result<String> {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).context("an address")?;
    Ok(format!(
        "version = 1\n[upload]\nmetered = \"{metered}\"\n[[schedule]]\nname = \"{name}\"\nset = \"port\"\ntargets = [\"{closed}\"]\nevery = \"10s\"\nsplay = \"1ms\"\nbudget = \"8s\"\nupload = \"{upload}\"\n[schedule.health]\nfailing_after = 1\n"
    ))
}

/// Both of the machine's bundles are there.
async fn until_delivered(name: &str, agent: &Agent, tally: &mut Tally) {
    let (began, in_spool) = (Clock::start(), |stage: &str| within(&agent.state().join("spool").join(stage)).len());
    while in_spool("sent") < OF_EACH || in_spool("ready") > 0 {
        if began.now() > PATIENCE {
            tally.lost.push(format!(
                "of the {name} machine's bundles {} are delivered and {} wait: {}",
                in_spool("sent"),
                in_spool("ready"),
                agent.log()
            ));
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
