//! A support organisation on a [`Stage`]: its keys, and agents that are enrolled with it, all by the real programs.

/// One machine with an agent on it.
mod agent;

pub use agent::{Agent, Audited};

use crate::stage::{Backend, Stage, succeed};
use anyhow::{Context, Result, bail};
use netsonde_contract::api::fleet::{Delivery, DeliveryState, OrderDetail};
use netsonde_contract::id::OrderId;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;
use tokio::process::Command;

/// What is waited for takes a second or two; a machine that is busy building something gets this long.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// Makes the organisation with one root key and one engineer, and publishes it. Leaves the engineer's key where [`key`] says.
///
/// # Errors
/// Where a program refuses, or `ssh-keygen`, which makes the engineer's key as engineers do, is missing.
pub async fn found(stage: &Stage, backend: &Backend) -> Result<()> {
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-C", "engineer@support", "-f"]).arg(key(stage));
    succeed(make).await.context("making the engineer's key with ssh-keygen")?;
    let public = key(stage).with_extension("pub").to_string_lossy().into_owned();
    for arguments in [
        &["org", "init", "--name", "Contoso support", "--no-passphrase"][..],
        &["org", "add-signer", &public],
        &["org", "receipt-key", "--yes"],
        &["org", "sign-list"],
        &["org", "publish"],
    ] {
        desk(stage, backend, arguments).await?;
    }
    Ok(())
}

/// The engineer's private key.
pub fn key(stage: &Stage) -> PathBuf {
    stage.folder().join("engineer")
}

/// What the desk says, where it ends with 0.
///
/// # Errors
/// Where it does not.
pub async fn desk(stage: &Stage, backend: &Backend, arguments: &[&str]) -> Result<String> {
    let output = stage.desk(backend, arguments).await?;
    if !output.status.success() {
        bail!("netsonde-desk {}: {}", arguments.join(" "), said(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn json<T: DeserializeOwned>(stage: &Stage, backend: &Backend, arguments: &[&str]) -> Result<T> {
    let text = desk(stage, backend, &[arguments, &["--format", "json"]].concat()).await?;
    serde_json::from_str(&text).with_context(|| format!("reading what netsonde-desk says: {text}"))
}

/// Everything that a program said.
pub fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Signs an order with the engineer's key and submits it, without waiting for what becomes of it.
///
/// # Errors
/// Where the desk does not submit it.
pub async fn trigger(stage: &Stage, backend: &Backend, arguments: &[&str]) -> Result<OrderId> {
    let key = key(stage).to_string_lossy().into_owned();
    let all = [&["trigger"][..], arguments, &["--key", &key, "--yes", "--no-follow"]].concat();
    let text = desk(stage, backend, &all).await?;
    text.split_whitespace().find_map(OrderId::parse).with_context(|| format!("no order's id in: {text}"))
}

/// As the desk shows it.
///
/// # Errors
/// Where there is no such order.
pub async fn order(stage: &Stage, backend: &Backend, id: &OrderId) -> Result<OrderDetail> {
    json(stage, backend, &["orders", "show", id.as_str()]).await
}

/// Waits until the order's first agent is in the wanted state, or in one after which it cannot be.
///
/// # Errors
/// Where it does not come.
pub async fn until(stage: &Stage, backend: &Backend, id: &OrderId, wanted: DeliveryState) -> Result<Delivery> {
    let waiting = async {
        loop {
            if let Ok(detail) = order(stage, backend, id).await
                && let Some(delivery) = detail.deliveries.into_iter().next()
            {
                match delivery.state {
                    state if state == wanted => return Ok(delivery),
                    state if state.is_final() => bail!("wanted {}, but it is {delivery:?}", wanted.name()),
                    _ => {}
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    in_time(wanted.name(), waiting).await
}

async fn in_time<T>(what: &str, waiting: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(done) => done,
        Err(_) => bail!("`{what}` did not come within {} s", PATIENCE.as_secs()),
    }
}
