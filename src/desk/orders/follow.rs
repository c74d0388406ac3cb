use crate::arguments::Format;
use crate::backend::Backend;
use crate::fetch::intact;
use crate::stop::{FAILED, Stop};
use crate::terminal::harmless;
use crate::{clock, show, terminal};
use jiff::SignedDuration;
use netsonde_contract::api::fleet::{Delivery, DeliveryState, OrderDetail};
use netsonde_contract::api::path;
use netsonde_contract::finding::State;
use netsonde_contract::id::{AgentId, BundleId, OrderId};
use netsonde_contract::order::RefusalCode;
use netsonde_report::text::{self, Depth, Style};
use std::collections::BTreeMap;
use std::time::Duration;

/// A person sees a change within a second.
const PAUSE: Duration = Duration::from_secs(1);
/// A backend that restarts is back sooner than after so many failed questions.
const PATIENCE: u32 = 60;
/// Agents report that an order expired within this time; after that nobody will.
const AFTER_EXPIRY: SignedDuration = SignedDuration::from_mins(70);
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
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    let mut failures = 0;
    loop {
        let detail: OrderDetail = match backend.get("following the order", &path::order(id)).await {
            Ok(detail) => detail,
            Err(stop) if failures >= PATIENCE => return Err(stop),
            Err(_) => {
                failures += 1;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        failures = 0;
        for delivery in &detail.deliveries {
            let line = progress(delivery);
            if said.get(delivery.agent.as_str()) != Some(&line) {
                terminal::say(&line);
                said.insert(delivery.agent.as_str().to_owned(), line);
            }
        }
        let waits = |delivery: &Delivery| delivery.state == DeliveryState::Queued;
        let held = detail.order.stopped && detail.deliveries.iter().all(|one| one.state.is_final() || waits(one));
        if held {
            let id = detail.order.id.short();
            terminal::say(&format!(
                "Order {id} stopped: too many of a wave failed. To go on all the same: netsonde-desk orders resume {id}"
            ));
            return Ok(detail);
        }
        let is_over = detail.order.cancelled || clock::now().duration_since(detail.order.expires) > AFTER_EXPIRY;
        if is_over || detail.deliveries.iter().all(|delivery| delivery.state.is_final()) {
            return Ok(detail);
        }
        tokio::time::sleep(PAUSE).await;
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
