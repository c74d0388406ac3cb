use crate::app::App;
use crate::problem::Refused;
use crate::store::{DeliveryRow, Member, OrderRow, Standing, assign_waves};
use netsonde_contract::api::fleet::{DeliveryState, SubmitOrder};
use netsonde_contract::api::{Problem, ProblemCode};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::dsse::Envelope;
use netsonde_contract::id::AgentId;
use netsonde_contract::order::{
    Addressees, Epochs, MAX_BYTES, MerkleTree, Order, Refusal, RefusalCode, Situation, Verified, verify,
};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::time::Duration;

/// More waves than anybody watches.
const MAX_WAVES: usize = 16;
/// Agents that are looked for in one query.
const TOGETHER: usize = 1000;

/// Takes an order that the organisation's keys signed, for agents that are enrolled here. The agents verify it all again by themselves; this
/// only tells an engineer at once what they would find, and keeps nonsense out of the store.
pub(crate) async fn submit(app: &App, submitted: SubmitOrder) -> Result<OrderRow, Refused> {
    let now = app.clock.now();
    let (verified, tree) = check(app, &submitted).map_err(|refusal| refused(&refusal))?;
    if submitted.waves.len() > MAX_WAVES || submitted.stop_at_failed_percent.is_some_and(|percent| percent > 100) {
        return Err(Refused::malformed("An order has at most 16 waves, and stops at 0 to 100 percent."));
    }
    if verified.order.serve.is_some() && !submitted.waves.is_empty() {
        return Err(Refused::malformed("An order in which an agent answers the others has no waves of its own."));
    }
    let order = row(&verified, &submitted, now);
    if let Some(known) = app.store.order(&order.id).await? {
        return same(known, &order);
    }
    let agents = addressees(app, &submitted).await?;
    let serving = verified.order.serve.as_ref().map(|serve| &serve.agent);
    let deliveries = deliveries(app, &order, &submitted, &agents, (tree.as_ref(), serving));
    match app.store.add_order(&order, &deliveries).await? {
        Some(woken) => {
            app.presence.ring(&woken);
            tracing::info!(order = order.id.short(), case = %order.case, set = %order.set, agents = deliveries.len(), "order taken");
        }
        None => {
            let known = app.store.order(&order.id).await?.ok_or_else(unknown_order)?;
            return same(known, &order);
        }
    }
    if let Some(draft) = &submitted.draft {
        app.store.remove_draft(draft).await?;
    }
    Ok(order)
}

/// An order that is sent again is no second order.
fn same(known: OrderRow, order: &OrderRow) -> Result<OrderRow, Refused> {
    if known.envelope == order.envelope {
        return Ok(known);
    }
    Err(refused(&RefusalCode::Replayed.because("another order has this id already")))
}

fn check(app: &App, submitted: &SubmitOrder) -> Result<(Verified, Option<MerkleTree>), Refusal> {
    use RefusalCode as Code;
    let json = submitted.envelope.as_bytes();
    if json.len() > MAX_BYTES {
        return Err(Code::Malformed.because(format!("the order is larger than {MAX_BYTES} bytes")));
    }
    let published = app.trust.current().ok_or_else(|| Code::NoKeyList.because("no list of keys was published"))?;
    let envelope = Envelope::from_json(json).map_err(|error| Code::Malformed.because(error.to_string()))?;
    let order = Order::unverified(&envelope).map_err(|error| Code::Malformed.because(error))?;
    let first = submitted.agents.first().ok_or_else(|| Code::OtherAgent.because("the order is sent for no agent"))?;
    let (addressees, tree) = Addressees::of(&submitted.agents);
    if addressees != order.agents {
        return Err(Code::OtherAgent.because("the agents that it is sent for are not those that were signed"));
    }
    let once: HashSet<_> = submitted.agents.iter().map(|addressee| &addressee.agent).collect();
    if once.len() != submitted.agents.len() {
        return Err(Code::Malformed.because("an agent is named twice"));
    }
    let proof = tree.as_ref().and_then(|tree| tree.proof(0));
    // The first agent's place stands for all: that their epochs are current, only they can say.
    let epochs = Epochs { current: first.epoch.clone(), previous: None, boot: None, drawn: Duration::ZERO };
    let situation =
        Situation { anchor: &published.anchor, agent: &first.agent, epochs: &epochs, now: app.clock.now(), taken: &|_| false };
    verify(json, proof.as_ref(), &situation).map(|verified| (verified, tree))
}

/// The agents of the order, in its own order.
async fn addressees(app: &App, submitted: &SubmitOrder) -> Result<Vec<Member>, Refused> {
    let mut agents = Vec::with_capacity(submitted.agents.len());
    for some in submitted.agents.chunks(TOGETHER) {
        let ids: Vec<String> = some.iter().map(|addressee| addressee.agent.as_str().to_owned()).collect();
        for (member, addressee) in app.store.members(&ids).await?.into_iter().zip(some) {
            agents.push(member.filter(|member| member.id == addressee.agent).ok_or_else(|| {
                let words = format!("the agent {} is not enrolled here", addressee.agent.short());
                refused(&RefusalCode::OtherAgent.because(words))
            })?);
        }
    }
    Ok(agents)
}

fn deliveries(
    app: &App,
    order: &OrderRow,
    submitted: &SubmitOrder,
    agents: &[Member],
    (tree, serving): (Option<&MerkleTree>, Option<&AgentId>),
) -> Vec<DeliveryRow> {
    // The first waves go to who is listening: a wave of agents that are away would hold up all others.
    let mut places: Vec<usize> = (0..agents.len()).collect();
    places.sort_by_key(|place| !app.presence.is_online(&agents[*place].id));
    // Whoever answers comes before those that send.
    places.sort_by_key(|place| serving != Some(&agents[*place].id));
    let waves = assign_waves(if serving.is_some() { &[1] } else { &submitted.waves }, places.len());
    let delivery = |(place, wave): (usize, u32)| {
        let agent = &agents[place];
        let cannot = unreachable(agent.standing);
        DeliveryRow {
            order: order.id.clone(),
            agent: agent.id.clone(),
            wave,
            proof: tree.and_then(|tree| tree.proof(place)),
            state: if cannot.is_some() { DeliveryState::Failed } else { DeliveryState::Queued },
            changed: order.submitted,
            code: cannot.map(|(code, _)| code.to_owned()),
            detail: cannot.map(|(_, detail)| detail.to_owned()),
            bundle: None,
            checks_planned: 0,
            checks_done: 0,
        }
    };
    places.into_iter().zip(waves).map(delivery).collect()
}

/// Why an enrolled agent is never asked, where it is not.
fn unreachable(agent: Standing) -> Option<(&'static str, &'static str)> {
    if agent.revoked {
        return Some(("agent_revoked", "The agent's enrolment was ended."));
    }
    if agent.replaced.is_some() {
        return Some(("agent_replaced", "The agent has another bundle key now, and so another id."));
    }
    if agent.cloned {
        return Some((RefusalCode::Cloned.as_str(), "Two machines share the agent's identity."));
    }
    let too_old = (
        ProblemCode::ProtocolTooOld.as_str(),
        "The agent is too old for this backend: netsonde has to be updated on its machine.",
    );
    agent.protocol.spoken().is_err().then_some(too_old)
}

fn row(verified: &Verified, submitted: &SubmitOrder, now: jiff::Timestamp) -> OrderRow {
    let order = &verified.order;
    OrderRow {
        id: order.id.clone(),
        case: order.case.clone(),
        set: verified.set.name.clone(),
        set_sha256: hexadecimal(&Sha256::digest(&order.set)),
        targets: order.targets.clone(),
        requester: order.requester.clone(),
        reason: order.reason.clone(),
        signers: verified
            .signers
            .iter()
            .map(|key| format!("{} {}", key.fingerprint(), key.comment()).trim_end().to_owned())
            .collect(),
        envelope: submitted.envelope.clone(),
        submitted: now,
        not_before: order.not_before,
        expires: order.expires,
        cancelled: false,
        stopped: false,
        // Where nobody answers, nobody measures.
        stop_at_failed: if order.serve.is_some() { Some(0) } else { submitted.stop_at_failed_percent },
    }
}

fn refused(refusal: &Refusal) -> Refused {
    let problem = Problem::new(ProblemCode::OrderRefused, format!("No agent would take this order: {}.", refusal.detail))
        .with_next_step(refusal.code.advice());
    Problem { reason: Some(refusal.code.as_str().to_owned()), ..problem }.into()
}

pub(crate) fn unknown_order() -> Refused {
    Refused::new(ProblemCode::OrderUnknown, "There is no such order.").next_step("Look for it in the list of orders.")
}
