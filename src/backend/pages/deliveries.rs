//! What became of an order at each agent, and the outcomes that came so far: on the order's page, and on its case's while the order goes on.
//!
//! What went wrong stands first, and every agent of a fleet is on some page of it.

use super::shown;
use crate::app::App;
use crate::problem::Refused;
use crate::store::DeliveryRow;
use askama::Template;
use netsonde_contract::api::ProblemCode;
use netsonde_contract::api::fleet::{DeliveryState, OrderSummary};
use netsonde_contract::id::OrderId;
use netsonde_contract::order::RefusalCode;
use netsonde_contract::outcome::{Outcome, Status};
use serde::Deserialize;

/// Agents on one page: what one scrolls through, and what is read anew every few seconds.
const PAGE: u32 = 100;
/// Agents whose single checks are shown as they come; of more, only the numbers.
const MAX_FOLLOWED: u32 = 20;
/// Checks of one run that are shown as they come.
const MAX_CHECKS: usize = 200;

#[derive(Template)]
#[template(path = "deliveries.html")]
pub(super) struct Deliveries {
    order: OfOrder,
    heading: String,
    deliveries: Vec<DeliveryLine>,
    /// None on the case's page, which shows all or nothing.
    part: Option<Part>,
}

/// Which of the order's agents are asked for.
#[derive(Clone, Deserialize)]
pub(super) struct Wanted {
    /// The name of a state.
    #[serde(default)]
    state: String,
    /// From 1.
    page: Option<u32>,
}

/// Which of them are shown, and where the others are.
pub(super) struct Part {
    pub(super) filters: Vec<Filter>,
    /// Where all are, once a state is chosen.
    pub(super) unfiltered: Option<String>,
    first: u32,
    last: u32,
    total: u32,
    earlier: Option<String>,
    further: Option<String>,
}

/// How many are in a state, and the page that shows them alone.
pub(super) struct Filter {
    pub(super) link: String,
    pub(super) count: u32,
    pub(super) state: (&'static str, &'static str),
    pub(super) chosen: bool,
}

struct OfOrder {
    short: String,
    case: String,
}

impl Deliveries {
    /// Agent by agent, for the order's own page.
    pub(super) async fn of(app: &App, order: &OrderSummary, wanted: &Wanted) -> Result<Self, Refused> {
        let chosen = wanted.state()?;
        let (part, skipped) = Part::of(order, chosen, wanted.page);
        let states = chosen.map_or_else(|| DeliveryState::BY_URGENCY.to_vec(), |state| vec![state]);
        let rows = app.store.deliveries_in(&order.id, &states, skipped, PAGE).await?;
        let follow = part.total <= MAX_FOLLOWED;
        let of = OfOrder { short: order.id.short().to_owned(), case: order.case.to_string() };
        let heading = chosen
            .map_or_else(|| "Agent by agent".to_owned(), |state| format!("Agent by agent: {}", shown::delivery_state(state).0));
        Self::read(app, (of, heading), rows, (Some(part), follow)).await
    }

    /// The counts by which the order's page leads to the agents in each state.
    pub(super) fn part(&self) -> Option<&Part> {
        self.part.as_ref()
    }

    /// The same for the page of its case; nothing where single agents are not followed, since there are too many.
    pub(super) async fn on_case(app: &App, order: &OrderId, case: &str) -> Result<Option<Self>, Refused> {
        let rows = app.store.deliveries_in(order, &DeliveryState::BY_URGENCY, 0, MAX_FOLLOWED + 1).await?;
        if rows.len() > MAX_FOLLOWED as usize {
            return Ok(None);
        }
        let of = OfOrder { short: order.short().to_owned(), case: case.to_owned() };
        let heading = format!("Order {}, agent by agent", of.short);
        Ok(Some(Self::read(app, (of, heading), rows, (None, true)).await?))
    }

    async fn read(
        app: &App,
        (order, heading): (OfOrder, String),
        rows: Vec<DeliveryRow>,
        (part, follow): (Option<Part>, bool),
    ) -> Result<Self, Refused> {
        let mut deliveries = Vec::with_capacity(rows.len());
        for row in rows {
            deliveries.push(delivery_line(app, row, follow).await?);
        }
        Ok(Self { order, heading, deliveries, part })
    }
}

impl Wanted {
    /// As a query.
    pub(super) fn query(&self) -> String {
        let page = self.page.map(|page| format!("&page={page}")).unwrap_or_default();
        format!("state={}{page}", self.state)
    }

    fn state(&self) -> Result<Option<DeliveryState>, Refused> {
        if self.state.is_empty() {
            return Ok(None);
        }
        let unknown = || Refused::new(ProblemCode::NotFound, "No delivery has a state of this name.");
        DeliveryState::from_name(&self.state).map(Some).ok_or_else(unknown)
    }
}

impl Part {
    /// The page that is asked for, or the last one where there are fewer; and how many agents come before it.
    fn of(order: &OrderSummary, chosen: Option<DeliveryState>, page: Option<u32>) -> (Self, u32) {
        let there = DeliveryState::BY_URGENCY.into_iter().filter_map(|state| Some((state, *order.states.get(state.name())?)));
        let counts: Vec<(DeliveryState, u32)> = there.collect();
        let fitting = counts.iter().filter(|(state, _)| chosen.is_none_or(|chosen| chosen == *state));
        let total: u32 = fitting.map(|(_, count)| *count).sum();
        let pages = total.div_ceil(PAGE).max(1);
        let page = page.unwrap_or(1).clamp(1, pages);
        let skipped = (page - 1) * PAGE;
        let own = format!("/orders/{}", order.id);
        let link = |page: u32| match chosen {
            Some(state) => format!("{own}?state={}&page={page}", state.name()),
            None => format!("{own}?page={page}"),
        };
        let filter = |(state, count): (DeliveryState, u32)| Filter {
            link: format!("{own}?state={}", state.name()),
            count,
            state: shown::delivery_state(state),
            chosen: chosen == Some(state),
        };
        let part = Self {
            first: (skipped + 1).min(total),
            last: (skipped + PAGE).min(total),
            total,
            earlier: (page > 1).then(|| link(page - 1)),
            further: (page < pages).then(|| link(page + 1)),
            filters: counts.into_iter().map(filter).collect(),
            unfiltered: chosen.map(|_| own.clone()),
        };
        (part, skipped)
    }
}

struct DeliveryLine {
    agent: String,
    short: String,
    name: Option<String>,
    wave: u32,
    state: (&'static str, &'static str),
    changed: String,
    /// What a refusal or failure says, and what the engineer can do about it.
    why: Option<String>,
    code: Option<String>,
    advice: Option<&'static str>,
    bundle: Option<String>,
    done: u32,
    planned: u32,
    checks: Vec<CheckLine>,
}

struct CheckLine {
    check: String,
    kind: &'static str,
    target: String,
    status: (&'static str, &'static str),
    note: String,
}

async fn delivery_line(app: &App, row: DeliveryRow, follow: bool) -> Result<DeliveryLine, Refused> {
    let reported = if follow { app.store.reported(&row.order, &row.agent).await? } else { Vec::new() };
    let agent = app.store.agent(row.agent.as_str()).await?;
    Ok(DeliveryLine {
        short: row.agent.short().to_owned(),
        agent: row.agent.to_string(),
        name: agent.and_then(|agent| agent.host_name),
        wave: row.wave + 1,
        state: shown::delivery_state(row.state),
        changed: shown::time(row.changed),
        advice: row.code.as_deref().and_then(RefusalCode::from_code).map(RefusalCode::advice),
        why: row.detail,
        code: row.code,
        bundle: row.bundle.map(|bundle| bundle.to_string()),
        done: row.checks_done,
        planned: row.checks_planned,
        checks: reported.iter().take(MAX_CHECKS).map(check_line).collect(),
    })
}

fn check_line(outcome: &Outcome) -> CheckLine {
    let status = match outcome.status {
        Status::Succeeded => ("succeeded", "good"),
        Status::Failed => ("failed", "bad"),
        Status::TimedOut => ("out of time", "bad"),
        Status::NotMeasured => ("not measured", "unsure"),
        Status::Skipped => ("skipped", "off"),
    };
    CheckLine {
        check: outcome.check.to_string(),
        kind: outcome.kind.name(),
        target: outcome.target.as_ref().map(ToString::to_string).unwrap_or_default(),
        status,
        note: outcome.note.as_ref().map(|note| note.why.clone()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use netsonde_contract::id::CaseId;

    fn order(states: &[(DeliveryState, u32)]) -> OrderSummary {
        OrderSummary {
            id: OrderId::from_bytes([1; 16]),
            case: CaseId::new("4711"),
            set: String::new(),
            targets: Vec::new(),
            requester: String::new(),
            submitted: Timestamp::UNIX_EPOCH,
            expires: Timestamp::UNIX_EPOCH,
            cancelled: false,
            stopped: false,
            states: states.iter().map(|(state, count)| (state.name().to_owned(), *count)).collect(),
            codes: Default::default(),
        }
    }

    #[test]
    fn every_agent_of_ten_thousand_is_on_one_page() {
        let fleet = order(&[(DeliveryState::Uploaded, 9_990), (DeliveryState::Failed, 10)]);
        let (mut seen, mut page) = (0, Some(1));
        while let Some(number) = page {
            let (part, skipped) = Part::of(&fleet, None, Some(number));
            assert_eq!((skipped, part.first), (seen, seen + 1));
            assert!(part.last - skipped <= PAGE);
            seen = part.last;
            let next = |link: String| link.rsplit_once("page=").unwrap().1.parse().unwrap();
            page = part.further.map(next);
        }
        assert_eq!(seen, 10_000);
        assert_eq!(Part::of(&fleet, None, Some(u32::MAX)).1, 9_900, "beyond the last page is the last one");
        assert_eq!(Part::of(&fleet, None, Some(0)).1, 0);
    }

    #[test]
    fn the_counts_lead_to_the_agents_of_a_state_what_went_wrong_first() {
        let fleet = order(&[(DeliveryState::Uploaded, 900), (DeliveryState::Failed, 110), (DeliveryState::Queued, 7)]);
        let (part, _) = Part::of(&fleet, Some(DeliveryState::Failed), Some(2));
        let counts: Vec<(u32, bool)> = part.filters.iter().map(|filter| (filter.count, filter.chosen)).collect();
        assert_eq!(counts, [(110, true), (7, false), (900, false)]);
        assert!(part.filters[0].link.ends_with("?state=failed"), "{}", part.filters[0].link);
        assert_eq!((part.first, part.last, part.total), (101, 110, 110));
        assert!(part.earlier.unwrap().ends_with("?state=failed&page=1") && part.further.is_none());
        let (none, skipped) = Part::of(&fleet, Some(DeliveryState::Refused), None);
        assert_eq!((none.first, none.last, none.total, skipped), (0, 0, 0, 0));
    }
}
