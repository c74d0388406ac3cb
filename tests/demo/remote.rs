//! `--remote`: an organisation, two machines, and orders from the engineer's desk.

use anyhow::{Context, Result, bail};
use netsonde_contract::api::fleet::DeliveryState;
use netsonde_contract::id::OrderId;
use netsonde_tests::certificates::{Flaw, Pki};
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::servers::Server;
use netsonde_tests::stage::{Backend, Stage};
use std::path::Path;

const CASE: &str = "DEMO-2";
/// The customer of the first machine lets this machine's own addresses be measured.
const OPEN: &str = "version = 1\n[orders]\nremote = \"allow\"\n[targets]\nnetworks = [\"127.0.0.0/8\"]\n";
/// The customer of the second one allows another network only.
const CLOSED: &str = "version = 1\n[orders]\nremote = \"allow\"\n[targets]\nnetworks = [\"10.0.0.0/8\"]\n";

/// What is up while the demo is shown.
pub(crate) struct Remote {
    pub(crate) stage: Stage,
    pub(crate) backend: Backend,
    pub(crate) agents: [Agent; 2],
    pub(crate) target: String,
    _endpoint: Server,
}

/// Sets everything up and shows an order that runs, and one that a policy refuses.
pub(crate) async fn show() -> Result<Remote> {
    let stage = Stage::new()?;
    let pki = Pki::new()?;
    let root = stage.folder().join("root.pem");
    std::fs::write(&root, pki.root_pem()).context("writing the demo's root certificate")?;
    let endpoint = super::endpoint(&pki, Flaw::Expired).await?;
    let target = format!("https://{}/", endpoint.address);
    println!("Started an endpoint whose certificate has expired: {target}");
    let backend = Backend::start(&stage).await?;
    println!("Started a support backend: {}", backend.url);
    remote::found(&stage, &backend).await?;
    println!("\nThe organisation “Contoso support” has a root, one engineer who may sign orders, and a published list of keys.");
    let agents =
        [enrolled(&stage, &backend, "oslo", OPEN, &root).await?, enrolled(&stage, &backend, "rome", CLOSED, &root).await?];
    // Targets that a ticket of the case names need one signature; any other needs two.
    stage.ticket(&backend, CASE, "web", std::slice::from_ref(&target)).await?;

    println!("\nThe engineer orders the set `web` on oslo, and sees it run:\n");
    let order = trigger(&stage, &backend, &agents[0], &target, 1).await?;
    let done = remote::until(&stage, &backend, &order, DeliveryState::Uploaded).await?;
    let bundle = done.bundle.context("the order brought no bundle")?;
    let submitted = remote::order(&stage, &backend, &order).await?.order.submitted;
    if let Some(began) = agents[0].audited(&order).into_iter().find(|line| line.what == "run_began") {
        println!("From the signed order to the start of the run: {} ms", began.at.duration_since(submitted).as_millis());
    }
    println!("The bundle {} is on the case, signed by oslo's own key.", bundle.short());

    println!("\nThe same on rome, whose owner's policy does not allow that address:\n");
    let refused = trigger(&stage, &backend, &agents[1], &target, 4).await?;
    let delivery = remote::until(&stage, &backend, &refused, DeliveryState::Refused).await?;
    println!("rome refused: {} ({})", delivery.detail.unwrap_or_default(), delivery.code.unwrap_or_default());
    if agents[1].runs(&refused) != 0 {
        bail!("the refused order ran");
    }
    println!("\nThe engineer reads the case at {}/cases/{CASE}", backend.url);
    println!("  sign in as engineer with the password {}", backend.password);
    Ok(Remote { stage, backend, agents, target, _endpoint: endpoint })
}

async fn enrolled(stage: &Stage, backend: &Backend, name: &str, policy: &str, root: &Path) -> Result<Agent> {
    let mut agent = Agent::enrol(stage, backend, name, policy, Some(root)).await?;
    agent.start(stage)?;
    agent.until_online(stage, backend).await?;
    println!("The machine {name} enrolled as agent {}, and asks for orders.", agent.short());
    Ok(agent)
}

/// Triggers as an engineer does, and shows what the engineer sees.
async fn trigger(stage: &Stage, backend: &Backend, agent: &Agent, target: &str, exit: i32) -> Result<OrderId> {
    let key = remote::key(stage).to_string_lossy().into_owned();
    let arguments = ["trigger", "web", "--agent", agent.short(), "--target", target, "--case", CASE, "--key", &key, "--yes"];
    println!("  netsonde-desk {}\n", arguments[..arguments.len() - 3].join(" "));
    let output = stage.desk(backend, &[&arguments[..], &["--reason", "the shop is slow"]].concat()).await?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    println!("{said}");
    if output.status.code() != Some(exit) {
        bail!("netsonde-desk trigger ended with {}, not {exit}; the agent said:\n{}", output.status, agent.log());
    }
    said.split_whitespace().find_map(OrderId::parse).context("the desk named no order")
}

/// What a browser needs to go on where the demo ends, and how its order is to be signed.
pub(crate) fn details(remote: &Remote) -> serde_json::Value {
    serde_json::json!({
        "url": remote.backend.url,
        "password": remote.backend.password,
        "tls_pin": remote.backend.tls_pin,
        "desk_token": remote.backend.desk_token,
        "organisation": remote.stage.folder().join("config/netsonde/organisation"),
        "key": remote::key(&remote.stage),
        "case": CASE,
        "agent": remote.agents[0].id,
        "target": remote.target,
    })
}
