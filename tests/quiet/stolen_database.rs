//! The whole database of the real backend in an attacker's hands: rows edited, orders re-addressed, lists swapped. No packet leaves the agent.

use super::watch::Watch;
use crate::small_network::possible;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use netsonde_contract::api::fleet::DeliveryState as State;
use netsonde_contract::id::OrderId;
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::{Backend, Stage};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;

const CASE: &str = "D-1";
/// The organisation's documents, as the backend has them.
const TRUST: &str = "SELECT value FROM settings WHERE name = 'trust'";

/// What the attacker's own tool says of a backend's database.
fn sqlite(stage: &Stage, statement: &str) -> String {
    let database = stage.folder().join("backend/netsonde.db");
    let output = Command::new("sqlite3").arg("-bail").arg(database).arg(statement).output().unwrap();
    assert!(output.status.success(), "{statement}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// As a text of SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The order for another target, beside the signatures of before.
fn aimed_elsewhere(envelope: &str, target: &str, elsewhere: &str) -> String {
    let mut envelope: serde_json::Value = serde_json::from_str(envelope).unwrap();
    let payload = String::from_utf8(STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap();
    assert!(payload.contains(target), "{payload}");
    envelope["payload"] = STANDARD.encode(payload.replace(target, elsewhere)).into();
    envelope.to_string()
}

/// A backend that is robbed, beside the agent on whose network every packet is seen.
struct Robbed {
    watch: Watch,
    stage: Stage,
    backend: Backend,
    agent: Agent,
}

impl Robbed {
    /// Edits the database between two lives of the backend, while the agent is away.
    async fn edit(&mut self, statement: &str) {
        self.agent.kill().await.unwrap();
        self.backend.kill().await.unwrap();
        sqlite(&self.stage, statement);
        self.backend.restart(&self.stage).await.unwrap();
        self.watch.forget();
        self.agent.start(&self.stage).unwrap();
    }

    /// The same, after which this order's agent is the one that is watched, and the order has not been given to it.
    async fn edit_order(&mut self, order: &OrderId, change: &str) {
        let agent = quoted(self.agent.id.as_str());
        self.edit(&format!(
            "UPDATE sequence SET value = value + 1; {change}; UPDATE deliveries SET agent_id = {agent}, state = 'queued', code = NULL, detail = NULL, \
             bundle_id = NULL, sequence = (SELECT value FROM sequence) WHERE order_id = '{order}'"
        ))
        .await;
    }

    /// The agent refuses the order with this code, and has sent nothing but to its backend.
    async fn refuses(&self, order: &OrderId, code: &str) {
        let delivery = remote::until(&self.stage, &self.backend, order, State::Refused).await.unwrap();
        assert_eq!(delivery.code.as_deref(), Some(code), "{delivery:?}");
        let mut seen = self.watch.seen();
        seen.remove(&IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert!(seen.is_empty(), "{code}: it sent to {seen:?}");
    }

    /// An order that nobody has touched runs, and its packets are seen.
    async fn obeys(&self, wanted: &[&str], target: IpAddr) -> OrderId {
        self.agent.until_online(&self.stage, &self.backend).await.unwrap();
        self.watch.forget();
        let order = remote::trigger(&self.stage, &self.backend, wanted).await.unwrap();
        remote::until(&self.stage, &self.backend, &order, State::Uploaded).await.unwrap();
        self.agent.until_told(&order, State::Uploaded).await.unwrap();
        assert!(self.watch.seen().contains(&target), "{:?}", self.watch.seen());
        order
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_edits_the_backends_database_makes_no_agent_send_a_packet() {
    if !possible("that an edited database sends no packet") {
        return;
    }
    if Command::new("sqlite3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "the stolen database needs sqlite3");
        eprintln!("skipped: a stolen database: it needs sqlite3, with which it is edited");
        return;
    }
    let watch = Watch::new("d", 92);
    let (server, router) = (watch.servers()[0], watch.network.router()[0].clone());
    let [stage, mallory] = [(); 2].map(|()| Stage::new().unwrap());
    for stage in [&stage, &mallory] {
        stage.enter(&watch.network.node("c"));
    }
    let backend = Backend::start(&stage).await.unwrap();
    remote::found(&stage, &backend).await.unwrap();
    let (target, elsewhere) = (format!("{server}:80"), format!("{router}:80"));
    stage.ticket(&backend, CASE, "port", &[target.clone(), elsewhere.clone()]).await.unwrap();
    // The router, too, so that nothing but the order's signature speaks against it.
    let policy = format!(
        "version = 1\n[orders]\nremote = \"allow\"\n[targets]\nresolvers = false\nnetworks = [\"{server}/32\", \"{router}/32\"]\n"
    );
    let agent = Agent::enrol(&stage, &backend, "oslo", &policy, None).await.unwrap();
    let other = Agent::enrol(&stage, &backend, "rome", &policy, None).await.unwrap();
    let (oslo, rome) = (agent.short().to_owned(), other.short().to_owned());
    let for_agent = |agent: &str| ["port", "--agent", agent, "--target", &target, "--case", CASE].map(str::to_owned);
    let [for_oslo, for_rome] = [&oslo, &rome].map(|agent| for_agent(agent));
    let [for_oslo, for_rome] = [&for_oslo, &for_rome].map(|words| words.each_ref().map(String::as_str));
    let mut robbed = Robbed { watch, stage, backend, agent };
    robbed.agent.start(&robbed.stage).unwrap();

    // It ran, and its row says again that it did not.
    let ran = robbed.obeys(&for_oslo, server).await;
    robbed.edit_order(&ran, "").await;
    robbed.refuses(&ran, "replayed").await;

    // An order for another agent, which never came for it.
    let theirs = remote::trigger(&robbed.stage, &robbed.backend, &for_rome).await.unwrap();
    robbed.edit_order(&theirs, "").await;
    robbed.refuses(&theirs, "other_agent").await;

    // Another target beside the engineer's signature.
    robbed.agent.kill().await.unwrap();
    let altered = remote::trigger(&robbed.stage, &robbed.backend, &for_oslo).await.unwrap();
    let envelope = sqlite(&robbed.stage, &format!("SELECT envelope FROM orders WHERE id = '{altered}'"));
    let envelope = quoted(&aimed_elsewhere(&envelope, &target, &elsewhere));
    robbed.edit_order(&altered, &format!("UPDATE orders SET envelope = {envelope} WHERE id = '{altered}'")).await;
    robbed.refuses(&altered, "signer_unknown").await;

    // The attacker's own organisation in the place of the customer's support: the backend takes its engineer's orders.
    let mut own = Backend::start(&mallory).await.unwrap();
    remote::found(&mallory, &own).await.unwrap();
    // A newer list than the agent has: of one that is as old the backend tells it nothing.
    for arguments in [["org", "sign-list"], ["org", "publish"]] {
        remote::desk(&mallory, &own, &arguments).await.unwrap();
    }
    own.kill().await.unwrap();
    let honest = sqlite(&robbed.stage, TRUST);
    robbed.edit(&format!("UPDATE settings SET value = {} WHERE name = 'trust'", quoted(&sqlite(&mallory, TRUST)))).await;
    let forged = remote::trigger(&mallory, &robbed.backend, &for_oslo).await.unwrap();
    robbed.refuses(&forged, "signer_unknown").await;
    assert_eq!(robbed.agent.runs(&forged), 0);
    assert!(refused_trust(&robbed.agent.state()), "the documents were refused, and that was noted");

    // Put right again, it goes on: what was refused before would have been seen.
    robbed.edit(&format!("UPDATE settings SET value = {} WHERE name = 'trust'", quoted(&honest))).await;
    robbed.obeys(&for_oslo, server).await;
    for order in [&theirs, &altered] {
        assert_eq!(robbed.agent.runs(order), 0);
    }
    assert_eq!(robbed.agent.runs(&ran), 1);
}

fn refused_trust(state: &Path) -> bool {
    std::fs::read_to_string(state.join("audit.jsonl")).unwrap().lines().any(|line| line.contains("trust_refused"))
}
