use super::Belongs;
use crate::app::App;
use crate::problem::Refused;
use crate::store::Origin;
use netsonde_contract::api::ProblemCode;
use netsonde_contract::bundle::Bundle;
use netsonde_contract::dsse::Envelope;
use netsonde_contract::id::{AgentId, OrderId};
use netsonde_contract::order::Order;
use netsonde_contract::set::ProbeSet;

/// Whether the bundle is this agent's.
///
/// # Errors
/// Where it is not, or the agent's enrolment was ended meanwhile.
pub(super) async fn check_own(app: &App, bundle: &Bundle, agent: &AgentId) -> Result<(), Refused> {
    let row = app.store.agent(agent.as_str()).await?.filter(|row| row.id == *agent);
    let row = row.ok_or_else(crate::fleet::unknown_agent)?;
    crate::fleet::check_enrolled(row.standing(), app.clock.now())?;
    if bundle.key != row.bundle_key {
        return Err(Refused::new(ProblemCode::UnknownKey, "The bundle is signed by another key than this agent's.")
            .next_step("Send the bundle with the agent that made it."));
    }
    Ok(())
}

/// Whether the agent's own bundle is for an order that was made for it, of the set that the order carries.
///
/// # Errors
/// Where it is not.
pub(super) async fn check_belongs(app: &App, bundle: &Bundle, agent: &AgentId) -> Result<Belongs, Refused> {
    let order = bundle.predicate.order.as_ref().ok_or_else(|| {
        let words = "The bundle names neither a ticket, nor an order, nor a schedule, so nothing says which case it is for.";
        Refused::new(ProblemCode::UnknownKey, words).next_step("Send it on a ticket's page, or ask support for an order.")
    })?;
    let place = app.store.delivery_place(order, agent).await?.ok_or_else(|| {
        Refused::new(ProblemCode::OrderUnknown, "The order that the bundle names was not made for this agent.")
            .next_step("Send the bundle to the backend that the order came from.")
    })?;
    if bundle.predicate.set.sha256 != place.set_sha256 {
        if let Some(set) = deep_set(app, bundle, order).await? {
            return Ok(Belongs { origin: Origin::Order { order: order.clone(), agent: agent.clone() }, case: place.case, set });
        }
        let words = format!("The order asks for the probe set {} and the bundle holds a run of another.", place.set);
        return Err(Refused::new(ProblemCode::TicketWrongSet, words).next_step("Run exactly what the order says."));
    }
    Ok(Belongs { origin: Origin::Order { order: order.clone(), agent: agent.clone() }, case: place.case, set: place.set })
}

/// The name of the deep set of an order that is a schedule, where this is what the bundle holds a run of.
async fn deep_set(app: &App, bundle: &Bundle, order: &OrderId) -> Result<Option<String>, Refused> {
    let row = app.store.order(order).await?.filter(|_| bundle.predicate.scheduled.is_some());
    let envelope = row.and_then(|row| Envelope::from_json(row.envelope.as_bytes()).ok());
    let text = envelope.and_then(|envelope| Order::unverified(&envelope).ok()).and_then(|order| order.deep);
    let set = text.and_then(|text| ProbeSet::parse("the order's deep set", &text).ok());
    Ok(set.filter(|set| set.reference().sha256 == bundle.predicate.set.sha256).map(|set| set.name))
}

pub(super) fn has_another() -> Refused {
    Refused::new(ProblemCode::OrderRefused, "Another bundle of this agent was received for the order already.")
        .next_step("Nothing is left to send; a new order takes a new bundle.")
}
