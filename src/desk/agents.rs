use crate::arguments::{AgentsCommand, Format};
use crate::backend::Backend;
use crate::stop::Stop;
use crate::terminal::harmless;
use crate::{labels, table, terminal};
use netsonde_contract::api::fleet::{AgentSummary, Labels};
use netsonde_contract::api::path;
use netsonde_contract::id::AgentId;
use reqwest::Method;

pub(crate) async fn agents(
    backend: &Backend,
    command: Option<AgentsCommand>,
    wanted: &[String],
    format: Format,
) -> Result<(), Stop> {
    match command {
        None => list(backend, wanted, format).await,
        Some(AgentsCommand::Label { id, labels }) => label(backend, &id, &labels).await,
        Some(AgentsCommand::Single { id }) => single(backend, &id).await,
        Some(AgentsCommand::Revoke { id, yes }) => revoke(backend, &id, yes).await,
    }
}

/// All enrolled agents, as the backend knows them.
pub(crate) async fn all(backend: &Backend) -> Result<Vec<AgentSummary>, Stop> {
    backend.get("listing the agents", path::AGENTS).await
}

/// The one that `text` names. The backend is asked for those that it may mean, and not believed which of them it is.
pub(crate) async fn find(backend: &Backend, text: &str) -> Result<AgentSummary, Stop> {
    named(&called(backend, text).await?, text).cloned()
}

/// Those that may be meant by `text`; of an older backend, all of them.
pub(crate) async fn called(backend: &Backend, text: &str) -> Result<Vec<AgentSummary>, Stop> {
    backend.get_where("looking for the agent", path::AGENTS, &[("named", text)]).await
}

/// Those that carry each of `labels`.
pub(crate) async fn labelled(backend: &Backend, wanted: &Labels) -> Result<Vec<AgentSummary>, Stop> {
    let json = serde_json::to_string(wanted).map_err(|error| Stop::usage(error.to_string()))?;
    let mut agents: Vec<AgentSummary> =
        backend.get_where("listing the agents", path::AGENTS, &[("labels", json.as_str())]).await?;
    // An older backend tells all of them.
    agents.retain(|agent| labels::fit(&agent.labels, wanted));
    Ok(agents)
}

/// The one that `text` names: an id, the first digits of one, or a host name. What can be an id is never taken for a host name, which each machine
/// and the backend choose as they like: another machine would be meant.
pub(crate) fn named<'a>(agents: &'a [AgentSummary], text: &str) -> Result<&'a AgentSummary, Stop> {
    let digits = AgentId::beginning(text);
    let fits = |agent: &&AgentSummary| match &digits {
        Some(digits) => agent.id.as_str().starts_with(digits),
        None => agent.host_name.as_deref() == Some(text),
    };
    let mut fitting = agents.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(agent), None) => Ok(agent),
        (Some(_), Some(_)) => {
            Err(Stop::usage(format!("more than one agent is called `{}`", harmless(text))).next("give its whole id"))
        }
        (None, _) => Err(Stop::usage(format!("no enrolled agent is called `{}`", harmless(text)))
            .next("give the first 8 digits of an id that `netsonde-desk agents` lists")),
    }
}

async fn list(backend: &Backend, wanted: &[String], format: Format) -> Result<(), Stop> {
    let wanted = labels::pairs("--label", wanted)?;
    let agents = if wanted.is_empty() { all(backend).await? } else { labelled(backend, &wanted).await? };
    match format {
        Format::Json => terminal::output(&Format::json(&agents)?),
        Format::Human if agents.is_empty() => {
            terminal::output("No agent fits. A customer enrols one with the string that `netsonde-desk enrol` makes.\n")
        }
        Format::Human => {
            let heading = ["agent", "host", "seen", "orders", "version", "platform", "labels"];
            let rows: Vec<Vec<String>> = agents.iter().map(row).collect();
            terminal::output(&table::table(&heading, &rows))
        }
    }
}

fn row(agent: &AgentSummary) -> Vec<String> {
    vec![
        harmless(agent.id.short()),
        agent.host_name.as_deref().map_or(String::new(), harmless),
        seen(agent),
        orders(agent),
        harmless(&agent.check_in.version),
        harmless(&agent.check_in.platform),
        labels::shown(&agent.labels),
    ]
}

fn seen(agent: &AgentSummary) -> String {
    match agent.last_seen {
        _ if agent.online => "now".to_owned(),
        Some(at) => table::moment(at),
        None => "never".to_owned(),
    }
}

/// What stands between the agent and an order, in a word or two.
pub(crate) fn orders(agent: &AgentSummary) -> String {
    let policy = &agent.check_in.policy;
    if agent.revoked {
        "revoked".to_owned()
    } else if agent.cloned {
        "identity shared by two machines".to_owned()
    } else if agent.check_in.protocol.spoken().is_err() {
        "too old".to_owned()
    } else if policy.paused {
        "paused".to_owned()
    } else {
        harmless(&policy.remote)
    }
}

async fn label(backend: &Backend, id: &str, given: &[String]) -> Result<(), Stop> {
    let changes = labels::pairs("label", given)?;
    let agent = find(backend, id).await?;
    let mut labels = agent.labels.clone();
    labels.extend(changes);
    labels.retain(|_, value| !value.is_empty());
    backend.tell("labelling the agent", Method::PUT, &path::agent_labels(&agent.id), &labels).await?;
    terminal::output(&format!("{}: {}\n", agent.id.short(), labels::shown(&labels)))
}

async fn single(backend: &Backend, id: &str) -> Result<(), Stop> {
    let agent = find(backend, id).await?;
    backend.tell("settling the agent", Method::POST, &path::agent_single(&agent.id), &serde_json::json!({})).await?;
    terminal::output(&format!("Agent {} is taken to be one machine; a second one would be noticed again.\n", agent.id.short()))
}

async fn revoke(backend: &Backend, id: &str, yes: bool) -> Result<(), Stop> {
    let agent = find(backend, id).await?;
    let host = agent.host_name.as_deref().map_or_else(String::new, |host| format!(" ({})", harmless(host)));
    let question = format!("End the enrolment of agent {}{host}?", agent.id.short());
    if !yes && !terminal::confirm(&question)? {
        return Err(Stop::failed("nothing was ended").next("give another id"));
    }
    backend.tell("ending the enrolment", Method::POST, &path::agent_revoke(&agent.id), &serde_json::json!({})).await?;
    terminal::output(&format!(
        "Agent {}{host} is no longer enrolled; its orders are over, schedules too, with its next request. To come back it needs a key of its own \
         (netsonde identity forget --copy, on the machine) and a new enrolment string.\n",
        agent.id.short()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_backend::agent;

    #[test]
    fn what_can_be_an_id_names_no_machine_by_its_host_name() {
        let (one, mut other) = (agent(1), agent(2));
        let whole = one.id.as_str().to_owned();
        for name in [whole.as_str(), &whole[..8], &whole[..12], &whole.to_uppercase()] {
            other.host_name = Some(name.to_owned());
            // The backend may also leave the right one out.
            assert_eq!(named(&[one.clone(), other.clone()], name).unwrap().id, one.id, "{name}");
            assert!(named(&[other.clone()], name).is_err(), "{name}");
        }
        other.host_name = Some("vm2".into());
        assert_eq!(named(&[one.clone(), other.clone()], "vm2").unwrap().id, other.id);
        let twin = AgentSummary { id: other.id.clone(), ..one.clone() };
        assert!(named(&[twin, other.clone()], other.id.as_str()).is_err(), "two that go by one id");
    }
}
