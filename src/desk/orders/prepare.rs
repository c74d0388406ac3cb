use super::{Wish, serving};
use crate::backend::Backend;
use crate::organisation::Organisation;
use crate::stop::Stop;
use crate::terminal::harmless;
use crate::{agents, labels, random};
use jiff::{SignedDuration, Timestamp, Unit};
use netsonde_contract::api::fleet::{AgentSummary, SubmitOrder};
use netsonde_contract::api::{CaseDetail, CaseSummary, path};
use netsonde_contract::dsse::Envelope;
use netsonde_contract::harmless::is_clean;
use netsonde_contract::id::{CaseId, OrderId};
use netsonde_contract::order::{Addressee, Addressees, Deep, MAX_WINDOW, Order};
use netsonde_contract::policy::Policy;
use netsonde_contract::set::{Plan, ProbeSet, Request, built_in};
use netsonde_contract::target::{Target, TargetForm};
use netsonde_contract::trust::Role;
use std::collections::{BTreeMap, BTreeSet};

/// Two engineers must agree where a target is none of the case's.
const FOR_FOREIGN_TARGETS: usize = 2;
/// Words to the person at the machine are a line each, as agents bound them.
const MAX_WORDS: usize = 500;
/// So many agents are asked for by their names; a group has labels, and the whole fleet is one question.
const ONE_BY_ONE: usize = 16;
/// So many foreign targets are named in the warning.
const MAX_FOREIGN: usize = 8;

/// An order that is ready to be shown and signed: what is signed are the bytes of this `envelope`.
pub(crate) struct Prepared {
    pub(crate) order: Order,
    pub(crate) envelope: Envelope,
    pub(crate) plan: Plan,
    /// All addressees, in the order of the tree's leaves.
    pub(crate) addressees: Vec<Addressee>,
    /// The addressees in words, where the backend was asked for them.
    pub(crate) agents: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// So many engineers must sign, by the order and by the list of keys.
    pub(crate) needed: usize,
    pub(crate) waves: Vec<u32>,
    pub(crate) stop_at: Option<u8>,
    pub(crate) draft: Option<String>,
}

/// How a group goes that is larger than these waves.
const WAVES: [u32; 2] = [1, 10];
/// Of ten, two may fail for reasons of their own.
const STOP_AT: u8 = 20;

/// Makes the order: resolves agents and their epochs, and finds out whether a second engineer must sign.
pub(crate) async fn prepare(backend: &Backend, own: &Organisation, wish: Wish, now: Timestamp) -> Result<Prepared, Stop> {
    check_words(&wish)?;
    let plan = plan(&wish.set, &wish)?;
    let deep =
        wish.deep.as_deref().map(|text| Deep::parse(text, &wish.targets, &wish.parameters, |_| BTreeMap::new())).transpose();
    let deep = deep.map_err(|why| Stop::usage(harmless(&why)).next("see what the set asks for: netsonde sets show NAME"))?;
    let all = candidates(backend, &wish).await?;
    let (chosen, mut warnings) = choose(&all, &wish)?;
    let serve = serving::serve(&wish, &all, &chosen, &plan)?;
    warnings.extend(hindrances(&chosen, &plan, deep.as_ref()));
    let foreign = all_foreign(backend, &wish.case, (&wish.set, &plan), deep.as_ref()).await?;
    let addressees: Vec<Addressee> =
        chosen.iter().map(|agent| Addressee { agent: agent.id.clone(), epoch: agent.check_in.epoch.clone() }).collect();
    let signatures = if foreign.is_empty() { 1 } else { FOR_FOREIGN_TARGETS };
    if !foreign.is_empty() {
        warnings.push(format!("no ticket of case {} is for {}: two engineers must sign", wish.case, listed(&foreign)));
    }
    let not_before = now.round(Unit::Second).unwrap_or(now);
    if let Some(repeat) = wish.repeat.filter(|repeat| plan.budget > repeat.every()) {
        let words = format!(
            "a run may take {} s, which is longer than the {} s between two",
            plan.budget.as_secs(),
            repeat.every_seconds
        );
        return Err(Stop::usage(words).next("give a longer --every, or a set with a smaller budget"));
    }
    let order = Order {
        organisation: own.anchor.organisation().clone(),
        id: OrderId::from_bytes(random::bytes()?),
        set: wish.set,
        targets: wish.targets,
        parameters: wish.parameters,
        agents: Addressees::of(&addressees).0,
        not_before,
        expires: not_before + wish.life.min(MAX_WINDOW),
        case: wish.case,
        requester: wish.requester,
        reason: wish.reason,
        signatures,
        serve,
        repeat: wish.repeat,
        bytes: wish.bytes,
        deep: wish.deep,
        spread_seconds: wish.spread,
    };
    warnings.extend(crowding(&order, &plan));
    let words = chosen.iter().map(|agent| in_words(agent)).collect();
    let together = order.serve.is_some() || order.repeat.is_some();
    let (waves, stop_at) = waves(&wish.waves, wish.stop_at, together, addressees.len());
    let submitted =
        SubmitOrder { envelope: String::new(), agents: addressees, waves, stop_at_failed_percent: stop_at, draft: wish.draft };
    let envelope = order.envelope();
    let mut prepared = assemble(order, envelope, plan, submitted, own);
    (prepared.agents, prepared.warnings) = (words, warnings);
    Ok(prepared)
}

/// In which waves the agents get the order, and at which share of failures the next one waits. What goes wrong goes wrong for few, also where
/// nobody thought of it; an engineer who wants all at once says so. Agents that measure each other go `together`, and those of a schedule, which
/// is not over before days have passed.
pub(super) fn waves(asked: &[u32], stop_at: Option<u8>, together: bool, agents: usize) -> (Vec<u32>, Option<u8>) {
    if !asked.is_empty() {
        return (asked.iter().copied().filter(|size| *size > 0).collect(), stop_at);
    }
    if together || agents <= WAVES.iter().sum::<u32>() as usize {
        return (Vec::new(), None);
    }
    (WAVES.to_vec(), Some(STOP_AT))
}

/// What may keep the agents from running it.
fn hindrances(agents: &[&AgentSummary], plan: &Plan, deep: Option<&Deep>) -> Vec<String> {
    let of_deep = |agent: &&AgentSummary| Some(format!("{} for the deep set", missing(agent, &deep?.plan)?));
    agents.iter().filter_map(|agent| hindrance(agent, plan)).chain(agents.iter().filter_map(of_deep)).collect()
}

/// What an order's file warns of, which its first engineer was warned of as well: a file has no place for warnings that anybody would have to believe.
///
/// # Errors
/// Where the backend does not answer.
async fn warnings_of(backend: &Backend, prepared: &Prepared) -> Result<(Vec<String>, Vec<String>), Stop> {
    let (order, plan) = (&prepared.order, &prepared.plan);
    let deep = Deep::of(order, &order.targets, |_| BTreeMap::new()).map_err(|why| Stop::failed(harmless(&why)))?;
    let named: BTreeSet<&str> = prepared.addressees.iter().map(|one| one.agent.as_str()).collect();
    let all = addressed(backend, &named).await?;
    let chosen: Vec<&AgentSummary> = all.iter().filter(|agent| named.contains(agent.id.as_str())).collect();
    let mut warnings = hindrances(&chosen, plan, deep.as_ref());
    let unknown = named.len().saturating_sub(chosen.len());
    if unknown > 0 {
        warnings.push(format!("the backend knows {unknown} of its agents no longer"));
    }
    let foreign = all_foreign(backend, &order.case, (&order.set, plan), deep.as_ref()).await?;
    if !foreign.is_empty() {
        let asks = if order.signatures < FOR_FOREIGN_TARGETS { ", and the order asks for one only" } else { "" };
        warnings.push(format!("no ticket of case {} is for {}: two engineers must sign{asks}", order.case, listed(&foreign)));
    }
    warnings.extend(crowding(order, plan));
    let words = if unknown == 0 { chosen.iter().map(|agent| in_words(agent)).collect() } else { Vec::new() };
    Ok((warnings, words))
}

/// An order that somebody signed already, as its file has it. Nobody's word is taken for what it says of its addressees.
pub(super) async fn of_submitted(backend: &Backend, submitted: SubmitOrder, own: &Organisation) -> Result<Prepared, Stop> {
    let mut prepared = read_submitted(submitted, own)?;
    match warnings_of(backend, &prepared).await {
        Ok((warnings, words)) => (prepared.warnings, prepared.agents) = (warnings, words),
        // It may be signed where there is no way to the backend, by somebody who knows that nobody looked.
        Err(stop) => prepared.warnings.push(format!(
            "the backend could not be asked whether a ticket of case {} is for these targets: {}",
            harmless(prepared.order.case.as_str()),
            stop.message
        )),
    }
    Ok(prepared)
}

fn read_submitted(submitted: SubmitOrder, own: &Organisation) -> Result<Prepared, Stop> {
    let unusable = |why: &str| Stop::failed(format!("the order's file cannot be used: {why}")).next("ask for the file again");
    let envelope = Envelope::from_json(submitted.envelope.as_bytes()).map_err(|error| unusable(&error.to_string()))?;
    let order = Order::unverified(&envelope).map_err(|error| unusable(&error))?;
    if order.organisation != *own.anchor.organisation() {
        return Err(unusable("it is of another organisation"));
    }
    if Addressees::of(&submitted.agents).0 != order.agents {
        return Err(unusable("it is to go to other agents than the order names"));
    }
    let window = order.expires.duration_since(order.not_before);
    if window > MAX_WINDOW || window <= SignedDuration::ZERO {
        return Err(unusable("its window is longer than 24 hours, or none"));
    }
    let request = Request { targets: order.targets.clone(), parameters: order.parameters.clone(), ..Request::default() };
    let set = ProbeSet::parse("the order's set", &order.set).map_err(|error| unusable(&error.to_string()))?;
    let plan = set.plan(&request).map_err(|error| unusable(&error.to_string()))?.of_at_most(order.bytes);
    Ok(assemble(order, envelope, plan, submitted, own))
}

fn assemble(order: Order, envelope: Envelope, plan: Plan, submitted: SubmitOrder, own: &Organisation) -> Prepared {
    let threshold = own.anchor.list().map_or(1, |list| list.role(Role::Order).threshold);
    Prepared {
        needed: order.needed_signatures().max(threshold),
        order,
        envelope,
        plan,
        addressees: submitted.agents,
        agents: Vec::new(),
        warnings: Vec::new(),
        waves: submitted.waves,
        stop_at: submitted.stop_at_failed_percent,
        draft: submitted.draft,
    }
}

fn plan(set: &str, wish: &Wish) -> Result<Plan, Stop> {
    let wrong = |error: &dyn std::fmt::Display| {
        Stop::usage(harmless(&error.to_string())).next("see what the set asks for: netsonde sets show NAME")
    };
    let request = Request { targets: wish.targets.clone(), parameters: wish.parameters.clone(), ..Request::default() };
    ProbeSet::parse("the set", set)
        .map_err(|error| wrong(&error))?
        .plan(&request)
        .map(|plan| plan.of_at_most(wish.bytes))
        .map_err(|error| wrong(&error))
}

/// The agents among whom the wish chooses, each once: a few names are asked for one by one, many with the whole fleet.
async fn candidates(backend: &Backend, wish: &Wish) -> Result<Vec<AgentSummary>, Stop> {
    let names: BTreeSet<&str> =
        wish.agents.iter().chain(wish.with.as_ref().map(|(agent, _)| agent)).map(String::as_str).collect();
    if names.len() > ONE_BY_ONE {
        return agents::all(backend).await;
    }
    let mut found = Vec::new();
    for name in names {
        found.push(agents::find(backend, name).await?);
    }
    if !wish.labels.is_empty() {
        found.extend(agents::labelled(backend, &wish.labels).await?);
    }
    let mut seen = BTreeSet::new();
    found.retain(|agent: &AgentSummary| seen.insert(agent.id.clone()));
    Ok(found)
}

/// What the backend knows of an order's addressees; of more than a few, with the rest of the fleet.
async fn addressed(backend: &Backend, ids: &BTreeSet<&str>) -> Result<Vec<AgentSummary>, Stop> {
    if ids.len() > ONE_BY_ONE {
        return agents::all(backend).await;
    }
    let mut found = Vec::new();
    for id in ids {
        found.extend(agents::called(backend, id).await?.into_iter().filter(|agent| agent.id.as_str() == *id));
    }
    Ok(found)
}

/// The agents that are named and those that carry the labels, each once; revoked, cloned and too old ones are left out, and named in a warning.
fn choose<'a>(all: &'a [AgentSummary], wish: &Wish) -> Result<(Vec<&'a AgentSummary>, Vec<String>), Stop> {
    let mut chosen = Vec::new();
    for text in wish.agents.iter().chain(wish.with.as_ref().map(|(agent, _)| agent)) {
        chosen.push(agents::named(all, text)?);
    }
    if !wish.labels.is_empty() {
        chosen.extend(all.iter().filter(|agent| labels::fit(&agent.labels, &wish.labels)));
    }
    let mut seen = BTreeSet::new();
    chosen.retain(|agent| seen.insert(agent.id.as_str()));
    let can_take = |agent: &&AgentSummary| !agent.revoked && !agent.cloned && agent.check_in.protocol.spoken().is_ok();
    let (usable, left): (Vec<_>, Vec<_>) = chosen.into_iter().partition(can_take);
    let left = left.into_iter().map(|agent| format!("left out: {} ({})", in_words(agent), agents::orders(agent))).collect();
    if usable.is_empty() {
        return Err(Stop::usage("the order is for no agent that could take it")
            .next("name one with --agent ID or --label NAME=VALUE; `netsonde-desk agents` lists them"));
    }
    Ok((usable, left))
}

fn in_words(agent: &AgentSummary) -> String {
    let host = agent.host_name.as_deref().map_or_else(String::new, |host| format!(" {}", harmless(host)));
    format!("{}{host}", agent.id.short())
}

/// That so many agents share the rate towards one target that nothing would come of any run: said before the order is signed, since all of them
/// would refuse it alike. What rate their policies give, nobody here knows; most give the usual one.
fn crowding(order: &Order, plan: &Plan) -> Option<String> {
    let refusal = Policy::absent().crowded(order, plan)?;
    Some(format!(
        "every agent with the usual policy will refuse it ({}): {}; or have the customer's `budget.per_target_rate` be higher, or choose a set that sends less or takes longer",
        refusal.code, refusal.detail
    ))
}

/// Why an agent will probably not run it, as far as it has said.
fn hindrance(agent: &AgentSummary, plan: &Plan) -> Option<String> {
    let said = &agent.check_in;
    let why = match said.policy.remote.as_str() {
        _ if said.policy.paused => "is paused",
        "deny" => "takes no orders, by its policy",
        "ask" => "will ask the person at the machine first",
        _ => return missing(agent, plan),
    };
    Some(format!("{} {why}", in_words(agent)))
}

/// The kinds of the plan that an agent does not have.
fn missing(agent: &AgentSummary, plan: &Plan) -> Option<String> {
    let kinds = plan.checks.iter().map(|check| check.params.kind()).filter(|kind| !agent.check_in.kinds.contains(kind));
    let missing: BTreeSet<&str> = kinds.map(|kind| kind.name()).collect();
    let all = missing.iter().copied().collect::<Vec<_>>().join(", ");
    (!missing.is_empty()).then(|| format!("{} cannot measure {all}", in_words(agent)))
}

/// Those of an order's set, and of its deep one, each once.
async fn all_foreign(
    backend: &Backend,
    case: &CaseId,
    (set, plan): (&str, &Plan),
    deep: Option<&Deep>,
) -> Result<Vec<String>, Stop> {
    let mut foreign = foreign_targets(backend, case, set, plan).await?;
    if let Some(deep) = deep {
        let more = foreign_targets(backend, case, &deep.set.text, &deep.plan).await?;
        foreign.extend(more.into_iter().filter(|target| !foreign.contains(target)).collect::<Vec<_>>());
    }
    Ok(foreign)
}

/// Targets, and hosts that the checks name by themselves, that no ticket of the case names. What a set of the catalogue names in its own text is
/// nobody's choice.
async fn foreign_targets(backend: &Backend, case: &CaseId, set: &str, plan: &Plan) -> Result<Vec<String>, Stop> {
    let destinations: BTreeSet<String> = plan.checks.iter().flat_map(|check| check.params.destinations()).collect();
    if plan.targets.is_empty() && destinations.is_empty() {
        return Ok(Vec::new());
    }
    let cases: Vec<CaseSummary> = backend.get("looking for the case", path::CASES).await?;
    let tickets = match cases.iter().any(|known| known.id == *case) {
        true => backend.get::<CaseDetail>("reading the case", &path::case(case)).await?.tickets,
        false => Vec::new(),
    };
    let known: BTreeSet<&str> = tickets.iter().flat_map(|ticket| &ticket.targets).map(String::as_str).collect();
    // A ticket keeps what was typed; the plan has it in its own spelling as well.
    let is_known = |target: &&Target| known.contains(target.text.as_str()) || known.contains(target.to_string().as_str());
    let foreign = plan.targets.iter().filter(|target| !is_known(target)).map(|target| harmless(&target.to_string()));
    let host = |text: &&str| Target::parse(text, TargetForm::Url).ok().map(|target| target.host);
    let mut hosts: BTreeSet<String> = known.iter().filter_map(host).collect();
    // Of a target that is foreign, its host is not told once more.
    hosts.extend(plan.targets.iter().map(|target| target.host.clone()));
    let in_catalogue = |host: &String| is_in_catalogue(set, host);
    let named = destinations.iter().filter(|host| !hosts.contains(*host) && !in_catalogue(host)).map(|host| harmless(host));
    Ok(foreign.chain(named).collect())
}

/// Whether the set is the catalogue's own, and gives the host as the default of a parameter.
fn is_in_catalogue(set: &str, host: &str) -> bool {
    built_in().iter().any(|known| known.text == set) && set.contains(&format!("\"{host}\""))
}

/// The first few, and how many more.
fn listed(foreign: &[String]) -> String {
    let shown = foreign.iter().take(MAX_FOREIGN).cloned().collect::<Vec<_>>().join(", ");
    let more = foreign.len().saturating_sub(MAX_FOREIGN);
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn check_words(wish: &Wish) -> Result<(), Stop> {
    let words = wish.targets.iter().chain([&wish.requester, &wish.reason]).chain(wish.parameters.values());
    if words.into_iter().any(|text| !is_clean(text) || text.len() > MAX_WORDS) {
        return Err(Stop::usage("a word of the order is too long, or hides something").next("write plain text on one line"));
    }
    Ok(())
}
