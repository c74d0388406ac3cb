use super::case::{Agents, Case, OrderChange, Proof};
use super::tampering::{sign, tamper};
use super::trust::{Organisation, key};
use anyhow::{Context, Result};
use jiff::SignedDuration;
use netsonde_contract::id::{AgentId, CaseId, OrderId, OrganisationId};
use netsonde_contract::order::{Addressee, Addressees, Epoch, MEDIA_TYPE, MerkleProof, MerkleTree, Order, Serve};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Where the control order connects to.
pub(super) const TARGET: &str = "10.99.0.1:7000";
/// A set of one connection.
const SET: &str = r#"name = "control"
question = "Does it answer?"
target = "endpoint"
budget = "4s"

[[check]]
id = "connect"
kind = "tcp"
required = true
deadline = "2s"
with = { host = "{target.host}", port = "{target.port}", timeout_ms = 500 }
"#;
/// This agent's leaf among those of a tree.
const PLACE: usize = 50;

/// Whom an order is made for.
pub(super) struct Addressed<'a> {
    pub organisation: &'a Organisation,
    pub agent: AgentId,
    pub epoch: Epoch,
}

/// An order on its way, as one element of the backend's answer.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// What it is delivered under.
    pub id: String,
    pub item: Value,
}

/// The case's altered order. The same name gives the same id.
///
/// # Errors
/// Where the case names somebody or something that there is not.
pub(super) fn altered(case: &Case, to: &Addressed<'_>, id_of: &str) -> Result<Sent> {
    let (order, proofs) = order(&case.order, to, id_of)?;
    let payload = payload(&order, &case.order)?;
    let signers = case.order.signers.clone().unwrap_or_else(|| vec!["asha".to_owned()]);
    let mut text = sign(MEDIA_TYPE, &payload, &signers)?;
    for one in &case.tamper {
        text = tamper(&text, &payload, *one, to.organisation)?;
    }
    let proof = proofs.map(|proofs| proofs.choose(case.work.proof)).unwrap_or_default();
    let id = case.work.id.clone().unwrap_or_else(|| order.id.to_string());
    Ok(Sent { item: json!({"id": id, "envelope": text, "proof": proof}), id })
}

/// The unaltered order of the case.
///
/// # Errors
/// Where the case names somebody or something that there is not.
pub(super) fn control(case: &Case, to: &Addressed<'_>, id_of: &str) -> Result<Sent> {
    let change = &case.control.order;
    let (order, _) = order(change, to, id_of)?;
    let signers = change.signers.clone().unwrap_or_else(|| vec!["asha".to_owned()]);
    let text = sign(MEDIA_TYPE, &payload(&order, change)?, &signers)?;
    let id = order.id.to_string();
    Ok(Sent { item: json!({"id": id, "envelope": text}), id })
}

/// Orders that an engineer signed for a target that the policy does not let in, for filling memories.
///
/// # Errors
/// Where they cannot be signed.
pub(super) fn refused(count: u64, to: &Addressed<'_>) -> Result<Vec<Value>> {
    let change = OrderChange { targets: Some(vec!["198.51.100.1:7000".to_owned()]), ..OrderChange::default() };
    let one = |number: u64| {
        let (order, _) = order(&change, to, &format!("flood {number}"))?;
        let text = sign(MEDIA_TYPE, &payload(&order, &change)?, &["asha".to_owned()])?;
        Ok(json!({"id": order.id, "envelope": text}))
    };
    (0..count).map(one).collect()
}

fn payload(order: &Order, change: &OrderChange) -> Result<Vec<u8>> {
    let mut value = serde_json::to_value(order).context("writing an order")?;
    for (name, extra) in &change.extra {
        value[name] = serde_json::to_value(extra).context("writing a further key")?;
    }
    serde_json::to_vec(&value).context("writing an order")
}

/// Proofs of a tree's leaves.
struct Proofs {
    own: Option<MerkleProof>,
    other: Option<MerkleProof>,
}

impl Proofs {
    fn choose(self, which: Proof) -> Option<MerkleProof> {
        match which {
            Proof::Own => self.own,
            Proof::Other => self.other,
            Proof::Moved => self.own.map(|proof| MerkleProof { index: proof.index + 1, ..proof }),
            Proof::Longer => self.own.map(|mut proof| {
                proof.path.push("0".repeat(64));
                proof
            }),
            Proof::None => None,
        }
    }
}

fn order(change: &OrderChange, to: &Addressed<'_>, id_of: &str) -> Result<(Order, Option<Proofs>)> {
    let epoch = if change.foreign_epoch { Epoch::from_bytes([0xee; 16]) } else { to.epoch.clone() };
    let (agents, proofs) = addressees(change.agents, &Addressee { agent: to.agent.clone(), epoch });
    let now = to.organisation.now;
    let at = |minutes: i64| now + SignedDuration::from_mins(minutes);
    let digest: [u8; 32] = Sha256::digest(id_of).into();
    let id = digest.first_chunk::<16>().copied().context("a digest is that long")?;
    let own_set = change.set.is_none() && change.checks.is_empty();
    let targets = change.targets.clone().unwrap_or_else(|| if own_set { vec![TARGET.to_owned()] } else { Vec::new() });
    let set = match &change.set {
        Some(text) => text.clone(),
        None if own_set => SET.to_owned(),
        None => set_of(change)?,
    };
    let serve = change.serve.as_ref().map(|serve| Serve {
        agent: if serve.by_another { AgentId::of(&key(100).verifying_key()) } else { to.agent.clone() },
        port: serve.port,
        peers: serve.peers.clone(),
        seconds: serve.seconds,
        key: "0f".repeat(32),
    });
    let order = Order {
        organisation: if change.other_organisation { OrganisationId::new("0".repeat(64)) } else { to.organisation.id.clone() },
        id: OrderId::from_bytes(id),
        set,
        targets,
        parameters: change.parameters.clone(),
        agents,
        not_before: at(change.begins_min.unwrap_or(-1)),
        expires: at(change.ends_min.unwrap_or(60)),
        case: CaseId::new(change.case.as_deref().unwrap_or("4711")),
        requester: change.requester.clone().unwrap_or_else(|| "Asha".to_owned()),
        reason: change.reason.clone().unwrap_or_default(),
        signatures: change.signatures.unwrap_or(1),
        serve,
        repeat: change.repeat,
        bytes: change.bytes,
        deep: None,
        spread_seconds: None,
    };
    Ok((order, proofs))
}

fn addressees(which: Agents, own: &Addressee) -> (Addressees, Option<Proofs>) {
    let other = |number: u8| Addressee { agent: AgentId::of(&key(100 + number).verifying_key()), epoch: own.epoch.clone() };
    let with_own = |count: u8| -> Vec<Addressee> {
        let mut all: Vec<Addressee> = (0..count).map(other).collect();
        all[PLACE.min(usize::from(count) - 1)] = own.clone();
        all
    };
    let tree = |all: &[Addressee]| MerkleTree::new(all.iter().map(Addressee::leaf));
    let proofs = |tree: &MerkleTree| Some(Proofs { own: tree.proof(PLACE), other: tree.proof(PLACE + 1) });
    match which {
        Agents::This => (Addressees::Listed(vec![own.clone()]), None),
        Agents::Another => (Addressees::Listed(vec![other(0)]), None),
        Agents::None => (Addressees::Listed(Vec::new()), None),
        Agents::Two => (Addressees::Listed(with_own(2)), None),
        Agents::Many => (Addressees::Listed(with_own(25)), None),
        Agents::Crowd => (Addressees::Listed(with_own(101)), None),
        Agents::Tree | Agents::TreeOfOthers => {
            let all = if which == Agents::Tree { with_own(150) } else { (0..150).map(other).collect() };
            let tree = tree(&all);
            (Addressees::Tree { root: tree.root(), count: 150 }, proofs(&tree))
        }
        Agents::SmallTree => {
            let tree = tree(&with_own(60));
            (Addressees::Tree { root: tree.root(), count: 60 }, proofs(&tree))
        }
    }
}

/// A set of these checks, none of which waits for another.
fn set_of(change: &OrderChange) -> Result<String> {
    let mut text = "name = \"attack\"\nquestion = \"What can be reached?\"\nbudget = \"6s\"\n".to_owned();
    if change.targets.is_some() {
        text += "target = \"url\"\n";
    }
    for (place, check) in change.checks.iter().enumerate() {
        let with = toml::to_string(&check.with).context("writing a check")?;
        text += &format!("\n[[check]]\nid = \"c{place}\"\nkind = \"{}\"\ndeadline = \"3s\"\n[check.with]\n{with}", check.kind);
    }
    Ok(text)
}
