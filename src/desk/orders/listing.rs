use super::follow;
use crate::arguments::{Format, OrdersCommand};
use crate::backend::Backend;
use crate::stop::Stop;
use crate::terminal::harmless;
use crate::{table, terminal};
use netsonde_contract::api::fleet::{Delivery, DeliveryState, OrderDetail, OrderSummary};
use netsonde_contract::api::path;
use netsonde_contract::id::OrderId;
use reqwest::Method;

/// So many digits of an order's id name it.
const FEWEST_DIGITS: usize = 8;

pub(crate) async fn orders(backend: &Backend, command: OrdersCommand, format: Format) -> Result<(), Stop> {
    match command {
        OrdersCommand::List { case } => list(backend, case.as_deref(), format).await,
        OrdersCommand::Show { id, follow: true } => follow::follow(backend, &find(backend, &id).await?, format).await,
        OrdersCommand::Show { id, follow: false } => show(backend, &id, format).await,
        OrdersCommand::Resume { id, yes } => resume(backend, &id, yes, format).await,
        OrdersCommand::Cancel { id } => cancel(backend, &id).await,
    }
}

async fn all(backend: &Backend) -> Result<Vec<OrderSummary>, Stop> {
    backend.get("listing the orders", path::ORDERS).await
}

/// A whole id, or the first digits of one.
async fn find(backend: &Backend, text: &str) -> Result<OrderId, Stop> {
    if let Some(id) = OrderId::parse(text) {
        return Ok(id);
    }
    let orders = all(backend).await?;
    let mut fitting = orders.iter().filter(|order| text.len() >= FEWEST_DIGITS && order.id.as_str().starts_with(text));
    match (fitting.next(), fitting.next()) {
        (Some(order), None) => Ok(order.id.clone()),
        _ => Err(Stop::usage(format!("not one order is called `{}`", harmless(text)))
            .next("give 8 digits or more of an id that `netsonde-desk orders list` shows")),
    }
}

async fn list(backend: &Backend, case: Option<&str>, format: Format) -> Result<(), Stop> {
    let mut orders = all(backend).await?;
    orders.retain(|order| case.is_none_or(|case| order.case.as_str() == case));
    match format {
        Format::Json => terminal::output(&Format::json(&orders)?),
        Format::Human if orders.is_empty() => {
            terminal::output("There are no orders yet: netsonde-desk trigger SET --agent ID --case CASE\n")
        }
        Format::Human => {
            let rows: Vec<Vec<String>> = orders.iter().map(row).collect();
            terminal::output(&table::table(&["order", "case", "set", "targets", "submitted", "by", "agents"], &rows))
        }
    }
}

fn row(order: &OrderSummary) -> Vec<String> {
    vec![
        order.id.short().to_owned(),
        harmless(order.case.as_str()),
        harmless(&order.set),
        harmless(&order.targets.join(" ")),
        table::moment(order.submitted),
        harmless(&order.requester),
        states(order),
    ]
}

/// Such as `3 uploaded, 1 refused`. That an order was cancelled is said where its agents' states do not say it.
pub(crate) fn states(order: &OrderSummary) -> String {
    let mut words: Vec<String> = order
        .states
        .iter()
        .map(|(state, count)| format!("{count} {}{}", harmless(state), reasons(order, state, *count)))
        .collect();
    let is_open = |state: &String| DeliveryState::from_name(state).is_some_and(|state| !state.is_final());
    if order.cancelled && order.states.keys().any(is_open) {
        words.push("being cancelled".to_owned());
    } else if order.cancelled && !order.states.contains_key(DeliveryState::Cancelled.name()) {
        words.push("cancelled too late".to_owned());
    }
    if order.stopped {
        words.push("stopped: too many of a wave failed".to_owned());
    }
    words.join(", ")
}

/// Such as ` (declined)`, or ` (2 paused, 1 by support)`: who ended it, or why.
fn reasons(order: &OrderSummary, state: &str, count: u32) -> String {
    let codes = order.codes.get(state);
    let mut reasons: Vec<(String, u32)> = codes.into_iter().flatten().map(|(code, count)| (harmless(code), *count)).collect();
    // What support cancelled before an agent had it has no code of an agent's; nor has what runs, which is told so.
    let without = count.saturating_sub(reasons.iter().map(|(_, count)| count).sum());
    if state == DeliveryState::Cancelled.name() {
        let by_support = reasons.iter().position(|(code, _)| code == state).map_or(0, |place| reasons.remove(place).1);
        match by_support + without {
            0 => {}
            count => reasons.push(("by support".to_owned(), count)),
        }
    }
    match reasons.as_slice() {
        [] => String::new(),
        [(reason, all)] if *all == count => format!(" ({reason})"),
        several => {
            let words: Vec<String> = several.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            format!(" ({})", words.join(", "))
        }
    }
}

async fn show(backend: &Backend, id: &str, format: Format) -> Result<(), Stop> {
    let id = find(backend, id).await?;
    let detail: OrderDetail = backend.get("reading the order", &path::order(&id)).await?;
    match format {
        Format::Json => terminal::output(&Format::json(&detail)?),
        Format::Human => {
            let order = &detail.order;
            let mut deliveries: Vec<&Delivery> = detail.deliveries.iter().collect();
            deliveries.sort_by_key(|delivery| delivery.state.urgency());
            let rows: Vec<Vec<String>> = deliveries.into_iter().map(delivery).collect();
            let spread =
                detail.spread_seconds.map_or_else(String::new, |seconds| format!(", each agent begins within {seconds} s"));
            terminal::output(&format!(
                "Order {} for case {}: {} {}\n  asked by {}, expires {}{spread}, {}\n\n{}",
                order.id,
                harmless(order.case.as_str()),
                harmless(&order.set),
                harmless(&order.targets.join(" ")),
                harmless(&order.requester),
                table::moment(order.expires),
                states(order),
                table::table(&["agent", "state", "since", "checks", "why", "bundle"], &rows)
            ))
        }
    }
}

fn delivery(delivery: &Delivery) -> Vec<String> {
    vec![
        harmless(delivery.agent.short()),
        delivery.state.name().to_owned(),
        table::moment(delivery.changed),
        format!("{}/{}", delivery.checks_done, delivery.checks_planned),
        follow::why(delivery),
        delivery.bundle.as_ref().map_or(String::new(), |bundle| harmless(bundle.short())),
    ]
}

/// What failed is shown first: whoever lets the rest go on has seen it.
async fn resume(backend: &Backend, id: &str, yes: bool, format: Format) -> Result<(), Stop> {
    let id = find(backend, id).await?;
    show(backend, id.as_str(), format).await?;
    if !yes && !terminal::confirm("Let the next wave go on?")? {
        return Err(Stop::failed("the order stays stopped").next("netsonde-desk orders cancel ID ends it"));
    }
    backend.tell("resuming the order", Method::POST, &path::order_resume(&id), &serde_json::json!({})).await?;
    terminal::say(&format!("Order {id} goes on with its next wave, which is judged by its own failures alone."));
    Ok(())
}

async fn cancel(backend: &Backend, id: &str) -> Result<(), Stop> {
    let id = find(backend, id).await?;
    backend.tell("cancelling the order", Method::POST, &path::order_cancel(&id), &serde_json::json!({})).await?;
    terminal::output(&format!("Order {id} is cancelled: no agent begins it any more, and those that run it are told to stop.\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use netsonde_contract::id::CaseId;
    use std::collections::BTreeMap;

    fn summary(states: &[(&str, u32)], codes: &[(&str, &str, u32)], cancelled: bool) -> OrderSummary {
        let mut by_state: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
        for (state, code, count) in codes {
            by_state.entry((*state).to_owned()).or_default().insert((*code).to_owned(), *count);
        }
        OrderSummary {
            id: OrderId::from_bytes([1; 16]),
            case: CaseId::new("4711"),
            set: String::new(),
            targets: Vec::new(),
            requester: String::new(),
            submitted: Timestamp::UNIX_EPOCH,
            expires: Timestamp::UNIX_EPOCH,
            cancelled,
            stopped: false,
            states: states.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect(),
            codes: by_state,
        }
    }

    #[test]
    fn that_an_order_was_cancelled_is_said_once() {
        let words = |states: &[(&str, u32)], cancelled: bool| super::states(&summary(states, &[], cancelled));
        assert_eq!(words(&[("cancelled", 1)], true), "1 cancelled (by support)");
        assert_eq!(words(&[("cancelled", 1), ("running", 2)], true), "1 cancelled (by support), 2 running, being cancelled");
        assert_eq!(words(&[("uploaded", 2)], true), "2 uploaded, cancelled too late");
        assert_eq!(words(&[("cancelled", 1), ("uploaded", 2)], true), "1 cancelled (by support), 2 uploaded");
        assert_eq!(words(&[("running", 2)], false), "2 running");
    }

    #[test]
    fn who_ended_an_order_and_why_is_said() {
        let words = |count: u32, codes: &[(&str, &str, u32)]| super::states(&summary(&[("cancelled", count)], codes, false));
        assert_eq!(words(1, &[("cancelled", "paused", 1)]), "1 cancelled (paused)");
        assert_eq!(words(1, &[("cancelled", "cancelled", 1)]), "1 cancelled (by support)");
        assert_eq!(
            words(4, &[("cancelled", "paused", 2), ("cancelled", "cancelled", 1)]),
            "4 cancelled (2 paused, 2 by support)"
        );
        let refused = summary(&[("refused", 2)], &[("refused", "declined", 2)], false);
        assert_eq!(super::states(&refused), "2 refused (declined)");
    }
}
