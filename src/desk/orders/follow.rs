use super::states;
use crate::arguments::Format;
use crate::backend::Backend;
use crate::fetch::intact;
use crate::stop::{FAILED, Stop};
use crate::terminal::harmless;
use crate::{clock, show, terminal};
use jiff::SignedDuration;
use netsonde_contract::api::fleet::{Delivery, DeliveryState, OrderDetail, OrderSummary};
use netsonde_contract::api::path;
use netsonde_contract::finding::State;
use netsonde_contract::id::{AgentId, BundleId, OrderId};
use netsonde_contract::order::RefusalCode;
use netsonde_report::text::{self, Depth, Style};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A person sees a change within a second.
const PAUSE: Duration = Duration::from_secs(1);
/// A backend that restarts is back sooner than after so many failed questions.
const PATIENCE: u32 = 60;
/// Agents report that an order expired within this time; after that nobody will.
const AFTER_EXPIRY: SignedDuration = SignedDuration::from_mins(70);
/// Of so many agents every change is said; of more, the counts, and what went wrong at as many.
const ONE_BY_ONE: u32 = 20;
/// The findings of so many agents are shown in full; the case page has all.
const SHOWN: usize = 5;

/// Follows an order until nothing more can happen, and ends with what was found. 0: as expected; 1: a problem, or a run that failed; 4: only
/// refusals stand against it.
pub(super) async fn follow(backend: &Backend, id: &OrderId, format: Format) -> Result<(), Stop> {
    let detail = until_final(backend, id).await?;
    let mut verdict = Verdict::default();
    let mut texts = Vec::new();
    for delivery in &detail.deliveries {
        match (&delivery.state, &delivery.bundle) {
            (DeliveryState::Uploaded, Some(bundle)) => {
                let (state, text) = findings(backend, &delivery.agent, bundle).await?;
                verdict.problems += usize::from(matches!(state, State::Explained | State::Unexplained | State::Indeterminate));
                texts.push(text);
            }
            (DeliveryState::Refused, _) => verdict.refused += 1,
            _ => verdict.failed += 1,
        }
    }
    match format {
        Format::Json => terminal::output(&Format::json(&detail)?)?,
        Format::Human => {
            terminal::output(&texts.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n"))?;
            if texts.len() > SHOWN {
                terminal::say(&format!(
                    "{} more results are in the case: netsonde-desk show {}",
                    texts.len() - SHOWN,
                    detail.order.case
                ));
            }
        }
    }
    verdict.judge(&detail)
}

#[derive(Default)]
struct Verdict {
    problems: usize,
    failed: usize,
    refused: usize,
}

impl Verdict {
    fn judge(&self, detail: &OrderDetail) -> Result<(), Stop> {
        let case = &detail.order.case;
        let page = format!("netsonde-desk show {}", harmless(case.as_str()));
        match self {
            Self { failed: 1.., .. } => Err(Stop::failed(format!(
                "{} of {} agents did not run the order to its end",
                self.failed,
                detail.deliveries.len()
            ))
            .next(format!("see why: netsonde-desk orders show {}", detail.order.id.short()))),
            Self { problems: 1.., .. } => Err(Stop { exit: FAILED, ..Stop::failed("not everything is as expected").next(page) }),
            Self { refused: 1.., .. } => {
                let code = detail.deliveries.iter().find_map(|one| one.code.as_deref()).and_then(RefusalCode::from_code);
                Err(Stop::refused(format!("{} of {} agents refused the order", self.refused, detail.deliveries.len()))
                    .next(code.map_or("ask the customer", RefusalCode::advice)))
            }
            Self { .. } => Ok(()),
        }
    }
}

/// Says each change once. Questions that fail are asked again: what runs elsewhere runs on.
async fn until_final(backend: &Backend, id: &OrderId) -> Result<OrderDetail, Stop> {
    let mut followed = Followed::default();
    let mut failures = 0;
    loop {
        let (order, lines) = match followed.look(backend, id).await {
            Ok(seen) => seen,
            Err(stop) if failures >= PATIENCE => return Err(stop),
            Err(_) => {
                failures += 1;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        failures = 0;
        for line in lines {
            terminal::say(&line);
        }
        let all =
            |fits: fn(DeliveryState) -> bool| order.states.keys().all(|name| DeliveryState::from_name(name).is_some_and(fits));
        let held = order.stopped && all(|state| state.is_final() || state == DeliveryState::Queued);
        if held {
            let id = order.id.short();
            terminal::say(&format!(
                "Order {id} stopped: too many of a wave failed. To go on all the same: netsonde-desk orders resume {id}"
            ));
        }
        let is_over = order.cancelled || clock::now().duration_since(order.expires) > AFTER_EXPIRY;
        if held || is_over || all(DeliveryState::is_final) {
            return whole(backend, id).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Every delivery as it is now: read once, at the end.
async fn whole(backend: &Backend, id: &OrderId) -> Result<OrderDetail, Stop> {
    let mut failures = 0;
    loop {
        match backend.get("reading what became of the order", &path::order(id)).await {
            Err(_) if failures < PATIENCE => failures += 1,
            read => return read,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What was told of an order so far. Each question is for what changed since the last one, so that a fleet costs no more than its changes.
#[derive(Default)]
pub(super) struct Followed {
    cursor: u64,
    /// The last line about each agent.
    said: BTreeMap<AgentId, String>,
    /// Agents with a line of their own, of an order for many.
    named: BTreeSet<AgentId>,
    counted: String,
}

impl Followed {
    /// How the order is now, and in lines what is new.
    pub(super) async fn look(&mut self, backend: &Backend, id: &OrderId) -> Result<(OrderSummary, Vec<String>), Stop> {
        let mut lines = Vec::new();
        loop {
            let cursor = self.cursor.to_string();
            let detail: OrderDetail =
                backend.get_where("following the order", &path::order(id), &[("since", cursor.as_str())]).await?;
            let agents: u32 = detail.order.states.values().sum();
            for delivery in &detail.deliveries {
                lines.extend(self.line(delivery, agents));
            }
            // An older backend tells everything each time, and no cursor.
            if let Some(changes) = detail.changes {
                self.cursor = changes.cursor;
                if changes.more && !detail.deliveries.is_empty() {
                    continue;
                }
            }
            lines.extend(self.counts(&detail.order, agents));
            return Ok((detail.order, lines));
        }
    }

    /// What a person is told of one agent: of a few, every change; of many, what went wrong at the first of them.
    fn line(&mut self, delivery: &Delivery, agents: u32) -> Option<String> {
        let line = progress(delivery);
        let before = self.said.insert(delivery.agent.clone(), line.clone());
        if before.as_ref() == Some(&line) {
            return None;
        }
        let wrong = matches!(delivery.state, DeliveryState::Failed | DeliveryState::Refused | DeliveryState::Expired);
        let few = agents <= ONE_BY_ONE;
        let told = few || wrong && (self.named.len() < ONE_BY_ONE as usize || self.named.contains(&delivery.agent));
        if told && !few {
            self.named.insert(delivery.agent.clone());
        }
        told.then_some(line)
    }

    /// How many agents are in each state, where that has changed and there is more than one.
    fn counts(&mut self, order: &OrderSummary, agents: u32) -> Option<String> {
        let over = |name: &str| DeliveryState::from_name(name).is_some_and(DeliveryState::is_final);
        let ended: u32 = order.states.iter().filter(|(name, _)| over(name.as_str())).map(|(_, count)| *count).sum();
        let line = format!("{ended} of {agents} over: {}", states(order));
        (agents > 1 && std::mem::replace(&mut self.counted, line.clone()) != line).then_some(line)
    }
}

fn progress(delivery: &Delivery) -> String {
    let checks = match delivery.state {
        DeliveryState::Running if delivery.checks_planned > 0 => {
            format!(" {}/{} checks", delivery.checks_done, delivery.checks_planned)
        }
        _ => String::new(),
    };
    let why = why(delivery);
    let why = if why.is_empty() { why } else { format!(": {why}") };
    format!("{} {}{checks}{why}", harmless(delivery.agent.short()), delivery.state.name())
}

/// The reason of a refusal or failure, and what to do about it.
pub(super) fn why(delivery: &Delivery) -> String {
    let (Some(code), detail) = (&delivery.code, delivery.detail.as_deref().unwrap_or_default()) else { return String::new() };
    let advice = RefusalCode::from_code(code).map_or_else(String::new, |code| format!(" {}", code.advice()));
    format!("{} ({}).{advice}", harmless(detail), harmless(code))
}

/// The bundle, verified here: it must be the agent's own.
async fn findings(backend: &Backend, agent: &AgentId, id: &BundleId) -> Result<(State, String), Stop> {
    let bundle = intact(id, &backend.bundle(id).await?)?;
    let own = AgentId::of(&bundle.key) == *agent;
    let document = show::document(&bundle)?;
    let style = Style { colour: terminal::output_colour(), width: terminal::output_width(), depth: Depth::default() };
    let warning = if own { "" } else { "warning: the bundle is signed by another key than this agent's\n" };
    Ok((document.state, format!("Agent {}\n{warning}{}", harmless(agent.short()), text::render(&document, style))))
}
