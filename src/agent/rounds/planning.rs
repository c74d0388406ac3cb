use crate::agent_file;
use crate::command::{load_set, wanted_by};
use crate::history;
use crate::proxied::proxies;
use crate::stop::Stop;
use netsonde_contract::agent_config::Schedule;
use netsonde_contract::set::{Plan, PlanError, ProbeSet, Request};
use netsonde_probes::context::ProxyChoice;
use std::path::Path;

/// A run of `set`, the schedule's own or its deep one, for all of its targets.
///
/// # Errors
/// Where the set cannot be read, or its targets and parameters do not fit it.
pub(crate) fn plan(config: &Path, schedule: &Schedule, set: &str) -> Result<Plan, Stop> {
    plan_of(config, schedule, set, &schedule.targets)
}

/// The same for some of its targets.
///
/// # Errors
/// As [`plan`].
pub(crate) fn plan_of(config: &Path, schedule: &Schedule, set: &str, targets: &[String]) -> Result<Plan, Stop> {
    let place = |stop: Stop| Stop {
        message: format!("{}:{}: schedule `{}`: {}", config.display(), schedule.line, schedule.name, stop.message),
        ..stop
    };
    let named = agent_file::set_name(config, set);
    let set = load_set(&named).map_err(place)?;
    // Another set than the schedule's own has parameters of its own.
    let own = |name: &String| set.parameters.iter().any(|parameter| parameter.name == *name);
    let parameters = schedule.parameters.iter().filter(|(name, _)| set.name == schedule.set || own(name));
    let request = Request {
        proxies: proxies(&set, targets, &ProxyChoice::default()),
        targets: targets.to_vec(),
        parameters: parameters.map(|(name, value)| (name.clone(), value.clone())).collect(),
        ..Request::default()
    };
    // Here nobody writes a command line.
    let words = |error: PlanError| match error {
        PlanError::NoTarget { set, example } => format!("the set `{set}` needs a target: write targets = [\"{example}\"]"),
        PlanError::MissingParameter { set, name } => {
            format!("the set `{set}` needs the parameter `{name}`: write params = {{ {name} = … }}")
        }
        other => other.to_string(),
    };
    let wrong = |error: PlanError| place(Stop::usage(words(error)).next(wanted_by(&named, &set)));
    let mut plan = set.plan(&request).map_err(wrong)?;
    if let Some(budget) = schedule.budget {
        plan.budget = plan.budget.min(budget);
        for check in &mut plan.checks {
            check.deadline = check.deadline.min(budget);
        }
    }
    Ok(plan)
}

/// Those of a schedule's targets that the history knows by this name; all where it names none.
pub(super) fn targets_at(config: &Path, schedule: &Schedule, place: Option<&str>) -> Vec<String> {
    let is_there = |target: &&String| {
        let plan = plan_of(config, schedule, &schedule.set, std::slice::from_ref(*target));
        place.is_none_or(|place| plan.is_ok_and(|plan| plan.targets.iter().any(|target| history::place(target) == place)))
    };
    schedule.targets.iter().filter(is_there).cloned().collect()
}

/// A set as `agent.toml` names it.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn set(config: &Path, name: &str) -> Result<ProbeSet, Stop> {
    load_set(&agent_file::set_name(config, name))
}

/// A run of a set for one target, that no schedule asks for.
///
/// # Errors
/// Where the target does not fit the set.
pub(crate) fn plan_once(set: &ProbeSet, target: &str) -> Result<Plan, Stop> {
    let targets: Vec<String> = if target.is_empty() { Vec::new() } else { vec![target.to_owned()] };
    let request = Request { proxies: proxies(set, &targets, &ProxyChoice::default()), targets, ..Request::default() };
    set.plan(&request).map_err(|error| Stop::usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::agent_config::AgentConfig;

    #[test]
    fn what_a_schedule_lacks_is_told_in_the_files_words() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("agent.toml");
        let own = "name = \"one\"\nquestion = \"?\"\n[parameters.port]\ntype = \"integer\"\nhelp = \"The port.\"\n[[check]]\nid = \"connect\"\nkind = \"tcp\"\nwith = { host = \"127.0.0.1\", port = \"{port}\" }\n";
        std::fs::write(folder.path().join("one.toml"), own).unwrap();
        for (set, line) in [("web", "write targets = [\"https://"), ("./one.toml", "write params = { port = … }")] {
            let text = format!("[[schedule]]\nname = \"s\"\nset = \"{set}\"\nevery = \"1m\"\n");
            let parsed = AgentConfig::parse("agent.toml", &text).unwrap();
            let stop = plan(&config, &parsed.schedules[0], set).unwrap_err();
            assert!(stop.message.contains(line) && !stop.message.contains("--"), "{}", stop.message);
        }
    }
}
