use super::Prepared;
use crate::signing::Signer;
use crate::table;
use crate::terminal::harmless;
use netsonde_contract::document::SetReference;
use netsonde_contract::order::{AGENTS_OF_ONE_SIGNATURE, Deep, Order};
use netsonde_contract::set::{PlannedCheck, ProbeSet, Request, Way, name_taken_by};
use netsonde_contract::size;
use netsonde_report::cost::{aims, cost};
use std::collections::BTreeMap;
use std::fmt::Write;

/// So many agents are named; more are counted.
const NAMED: usize = 12;

/// What will run where, as the engineer sees it before signing. It is made from the order that will be signed, not from what was asked for.
pub(crate) fn describe(prepared: &Prepared, organisation: &str, signer: &Signer) -> String {
    let (order, plan) = (&prepared.order, &prepared.plan);
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = writeln!(text, "Order {} of {organisation}", order.id);
    let _ =
        writeln!(text, "  set       {} (version {}): {}", harmless(&plan.set.name), plan.set.version, harmless(&plan.question));
    let _ = writeln!(text, "  sha256    {}", plan.set.sha256);
    text += &not_own(&plan.set);
    for target in &plan.targets {
        let _ = writeln!(text, "  target    {}", harmless(&target.to_string()));
    }
    for (name, value) in &order.parameters {
        let _ = writeln!(text, "  parameter {}", harmless(&format!("{name}={value}")));
    }
    let _ = writeln!(text, "  case      {}", harmless(order.case.as_str()));
    let _ = writeln!(text, "  asked by  {}", harmless(&order.requester));
    if !order.reason.is_empty() {
        let _ = writeln!(text, "  reason    {}", harmless(&order.reason));
    }
    let _ = writeln!(text, "  window    {} to {}", table::moment(order.not_before), table::moment(order.expires));
    let bytes = plan.bytes.map_or_else(String::new, |bytes| format!(", and at most {} sent and received", size::words(bytes)));
    let _ = writeln!(text, "  takes     at most {} s on each agent{bytes}", plan.budget.as_secs_f64());
    if let Some(seconds) = order.spread_seconds {
        let _ = writeln!(text, "  spread    each agent begins within {seconds} s of getting it, at a moment of its own");
    }
    if let Some(repeat) = &order.repeat {
        let _ = writeln!(text, "  repeated  {}; a bundle comes where its health changes to failing", repeat.in_words());
    }
    let deep = Deep::of(order, &order.targets, |_| BTreeMap::new()).ok().flatten();
    if let Some(Deep { set, plan }) = &deep {
        let (name, longest) = (harmless(&set.name), plan.budget.as_secs_f64());
        let _ = writeln!(
            text,
            "  deep      {name} (version {}) at once for a target that becomes failing, at most {longest} s",
            set.version
        );
        let _ = writeln!(text, "  sha256    {}", plan.set.sha256);
        text += &not_own(&plan.set);
    }
    text += &agents(prepared);
    if let Some(serve) = &order.serve {
        let peers: Vec<String> = serve.peers.iter().map(ToString::to_string).collect();
        let (agent, port, seconds) = (harmless(serve.agent.short()), serve.port, serve.seconds);
        let _ = writeln!(
            text,
            "  answers   {agent} at UDP port {port}, {} only, for at most {seconds} s; it measures nothing",
            peers.join(", ")
        );
    }
    text.push_str("Checks, and what each agent sends for each at most, as far as its policy allows:\n");
    for (check, way) in either_way(order, &order.set, &plan.checks) {
        text += &line(&check, way);
    }
    if let Some(deep) = &deep {
        text.push_str("The same of the deep set:\n");
        for (check, way) in either_way(order, &deep.set.text, &deep.plan.checks) {
            text += &line(&check, way);
        }
    }
    for warning in &prepared.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text + &signatures(prepared, signer)
}

fn agents(prepared: &Prepared) -> String {
    let count = prepared.addressees.len();
    let names: Vec<String> = match prepared.agents.is_empty() {
        true => prepared.addressees.iter().take(NAMED).map(|one| harmless(one.agent.short())).collect(),
        false => prepared.agents.iter().take(NAMED).cloned().collect(),
    };
    let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
    let mut text = format!("  agents    {count}: {}{more}\n", names.join(", "));
    if !prepared.waves.is_empty() {
        let waves: Vec<String> = prepared.waves.iter().map(u32::to_string).collect();
        let stop =
            prepared.stop_at.map_or_else(String::new, |percent| format!("; the next waits where more than {percent}% failed"));
        text += &format!("  waves     {}, then the rest{stop}\n", waves.join(", "));
    }
    text
}

/// Every check that an agent may come to run: which of them a proxy of its own brings or leaves out, nobody here knows.
fn either_way(order: &Order, set: &str, planned: &[PlannedCheck]) -> Vec<(PlannedCheck, Way)> {
    let request = Request { targets: order.targets.clone(), parameters: order.parameters.clone(), ..Request::default() };
    let set = ProbeSet::parse("the order's set", set).ok();
    let all = set.and_then(|set| set.either_way(&request).ok());
    all.unwrap_or_else(|| planned.iter().map(|check| (check.clone(), Way::Either)).collect())
}

fn line(check: &PlannedCheck, way: Way) -> String {
    let only = match way {
        Way::Either => "",
        Way::Direct => "; only where no proxy is used",
        Way::Proxied => "; only where the agent uses a proxy",
    };
    let need = if check.required { "required" } else { "supporting" };
    let id = harmless(check.id.as_str());
    let aims = aims(check).map_or_else(String::new, |aims| format!("  {:<12} {}\n", "", harmless(&aims)));
    format!("  {id:<12} {:<10} {need:<10} {}{only}\n{aims}", check.params.kind().name(), harmless(&cost(check)))
}

/// That a set goes by a name of the catalogue's and is another one.
fn not_own(set: &SetReference) -> String {
    name_taken_by(set).map_or_else(String::new, |known| format!("  NOT the catalogue's {known}: another set under its name\n"))
}

fn signatures(prepared: &Prepared, signer: &Signer) -> String {
    let key = format!("Would be signed with {} {}\n", signer.public().fingerprint(), signer.public().comment());
    if prepared.needed < 2 {
        return key;
    }
    let why = if prepared.order.agents.count() > AGENTS_OF_ONE_SIGNATURE {
        format!("it is for more than {AGENTS_OF_ONE_SIGNATURE} agents")
    } else if prepared.order.signatures > 1 {
        "a target is none of the case's".to_owned()
    } else {
        "the organisation's list of keys asks for it".to_owned()
    };
    format!(
        "{} engineers must sign, because {why}. Without enough signatures the order is written to a file, which the next engineer signs with `netsonde-desk sign FILE`.\n{key}",
        prepared.needed
    )
}
