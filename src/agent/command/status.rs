use crate::changes::Untold;
use crate::command::policy::PolicyOption;
use crate::command::state_option::StateOption;
use crate::identity::Home;
use crate::schedule::{Reading, Scheduler};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{agent_file, confinement, contact, exit, health, policy_file, rounds, schedule, service, terminal};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use netsonde_contract::agent_config::UploadWhen;
use netsonde_contract::environment::Confinement;
use netsonde_contract::history::Health;
use netsonde_contract::id::AgentId;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = "Examples:\n  netsonde agent status\n  netsonde agent status --format json")]
pub(super) struct StatusCommand {
    /// What the agent measures by itself [default: /etc/netsonde/agent.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyOption,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: StatusFormat,
    #[command(flatten)]
    state: StateOption,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum StatusFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON document.
    Json,
}

/// How the agent of this machine is, as its files tell: nobody need ask the process, and a machine whose agent died can be asked, too.
#[derive(Serialize)]
struct Status {
    schema: &'static str,
    version: &'static str,
    /// An agent works with this state directory now.
    running: bool,
    /// What it gave up before it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    rights: Option<Confinement>,
    /// What that hides from it, and the switch that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_seen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enrolment: Option<Enrolment>,
    /// What keeps `agent.toml` from being read.
    #[serde(skip_serializing_if = "Option::is_none")]
    config_error: Option<String>,
    schedules: Vec<ScheduleStatus>,
    spool: SpoolStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
    /// Files of the state directory that were damaged and put aside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<String>,
}

#[derive(Serialize)]
struct Enrolment {
    agent: AgentId,
    organisation: String,
    backend: String,
    /// What becomes of orders, or that the policy counts for nothing.
    orders: String,
    paused: bool,
    /// When the backend last heard how the checks are, by this machine's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_heard: Option<Timestamp>,
    /// Changes of health that it has not heard of.
    untold_changes: usize,
}

#[derive(Serialize)]
struct ScheduleStatus {
    name: String,
    set: String,
    /// While an agent runs that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Timestamp>,
    targets: Vec<TargetStatus>,
}

#[derive(Serialize)]
struct TargetStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    health: Health,
    /// Of the required check that makes it so.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
}

#[derive(Default, Serialize)]
struct SpoolStatus {
    /// They wait to be sent, or were never meant to be.
    ready: usize,
    /// Of these, the ones that the agent sends by itself.
    to_send: usize,
    delivered: usize,
}

impl StatusCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let status = self.status()?;
        let text = match self.format {
            StatusFormat::Human => human(&status),
            StatusFormat::Json => {
                serde_json::to_string_pretty(&status)
                    .map_err(|error| Stop::usage(format!("the status cannot be printed: {error}")))?
                    + "\n"
            }
        };
        terminal::output(&text)?;
        Ok(exit::AS_EXPECTED)
    }

    fn status(&self) -> Result<Status, Stop> {
        let state = StateDirectory::existing(self.state.path());
        let (mut config, config_error) = match agent_file::load_if_there(&agent_file::path(self.config.as_deref())) {
            Ok(config) => (config.unwrap_or_default(), None),
            Err(stop) => (Default::default(), Some(stop.message)),
        };
        let mut status = Status {
            schema: "netsonde.status/1",
            version: env!("CARGO_PKG_VERSION"),
            running: false,
            rights: None,
            not_seen: None,
            enrolment: None,
            config_error,
            schedules: Vec::new(),
            spool: SpoolStatus::default(),
            metrics: config.metrics.as_ref().map(|metrics| format!("http://{}/metrics", metrics.listen)),
            damaged: Vec::new(),
        };
        let now = Reading::now();
        let mut book = health::HealthBook::default();
        let mut scheduler = None;
        if let Some(state) = &state {
            config = rounds::together(&config, &rounds::signed(state));
            let failed = |error: std::io::Error| {
                Stop::usage(format!("the state directory {} cannot be read: {error}", state.path().display()))
                    .next("read it as the user that the agent runs as")
            };
            status.running = service::is_running(state);
            status.rights = confinement::noted(state).filter(|_| status.running);
            status.not_seen = status.rights.as_ref().and_then(confinement::lost);
            status.enrolment = self.enrolment(state)?;
            book = health::load(state).map_err(failed)?;
            let scan = state.spool().look();
            status.spool = SpoolStatus {
                ready: scan.ready.len(),
                to_send: scan.ready.iter().filter(|entry| entry.sending() != UploadWhen::Never).count(),
                delivered: scan.sent.len(),
            };
            if state.has_key() {
                let agent = AgentId::of(&state.signing_key()?.verifying_key());
                let kept = schedule::load(state).map_err(failed)?;
                scheduler = Scheduler::new(&config, agent.as_str(), kept, &now).ok();
            }
            status.damaged = state.damaged();
        }
        // Where no agent runs, nobody else says that what it measured is old.
        book.tick(&config, now.wall);
        let scheduler = scheduler.filter(|_| status.running);
        for schedule in &config.schedules {
            let own = || book.checks().filter(|(series, ..)| series.schedule == schedule.name && series.required);
            let places: BTreeSet<Option<&String>> = own().map(|(series, ..)| series.target.as_ref()).collect();
            let target = |place: Option<&String>| {
                let health = book.target(&schedule.name, place.map(String::as_str));
                let since =
                    own().filter(|(series, of, _)| series.target.as_ref() == place && *of == health).map(|(.., since)| since);
                TargetStatus { target: place.cloned(), health, since: since.min() }
            };
            let next = scheduler.as_ref().and_then(|scheduler| scheduler.upcoming(&schedule.name, &now, 1).first().copied());
            let targets = places.into_iter().map(target).collect();
            status.schedules.push(ScheduleStatus { name: schedule.name.clone(), set: schedule.set.clone(), next, targets });
        }
        Ok(status)
    }

    fn enrolment(&self, state: &StateDirectory) -> Result<Option<Enrolment>, Stop> {
        let home = Home::of(state);
        let Some(identity) = home.identity()? else { return Ok(None) };
        let orders = match policy_file::load(&policy_file::path(self.policy.path())) {
            Ok(policy) => policy.remote.name().to_owned(),
            Err(stop) => format!("deny ({})", stop.message),
        };
        let untold_changes = Untold::load(state, &identity.agent).map_or(0, |untold| untold.next(usize::MAX).len());
        Ok(Some(Enrolment {
            agent: identity.agent,
            organisation: identity.organisation,
            backend: identity.backend,
            orders,
            paused: home.is_paused(),
            last_heard: contact::last(state),
            untold_changes,
        }))
    }
}

fn human(status: &Status) -> String {
    let mut text = format!("netsonde {}: {}\n", status.version, if status.running { "the agent runs" } else { "no agent runs" });
    if let Some(rights) = &status.rights {
        text += &format!("rights       {}\n", confinement::words(rights));
    }
    if let Some(not_seen) = &status.not_seen {
        text += &format!("not seen     {not_seen}\n");
    }
    match &status.enrolment {
        Some(enrolment) => {
            let paused = if enrolment.paused { ", paused" } else { "" };
            text +=
                &format!("enrolled     {} of {}, at {}\n", enrolment.agent.short(), enrolment.organisation, enrolment.backend);
            text += &format!("orders       {}{paused}\n", enrolment.orders);
            let heard = enrolment.last_heard.map_or("never".to_owned(), |at| format!("{at:.0}"));
            text += &format!("last heard   {heard}; {} changes wait to be told\n", enrolment.untold_changes);
        }
        None => text += "enrolled     no; nothing is sent\n",
    }
    let spool = &status.spool;
    text += &format!("bundles      {} here, {} of them to be sent; {} delivered\n", spool.ready, spool.to_send, spool.delivered);
    if let Some(metrics) = &status.metrics {
        text += &format!("metrics      {metrics}\n");
    }
    if !status.damaged.is_empty() {
        text += &format!("damaged      {}; put aside, to be looked at and removed\n", status.damaged.join(", "));
    }
    if let Some(error) = &status.config_error {
        text += &format!("schedules    {error}\n");
    }
    for schedule in &status.schedules {
        let next = match schedule.next {
            Some(at) => format!(", next {at:.0}"),
            None if status.running => ", next never".to_owned(),
            None => String::new(),
        };
        text += &format!("schedule     {} ({}){next}\n", schedule.name, schedule.set);
        for target in &schedule.targets {
            let since = target.since.map_or_else(String::new, |at| format!(" since {at:.0}"));
            let name = target.target.as_deref().unwrap_or("this machine");
            text += &format!("  {:8}  {name}{since}\n", target.health.name());
        }
    }
    netsonde_contract::harmless::clean_lines(&text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Asked {
        #[command(flatten)]
        status: StatusCommand,
    }

    fn status(folder: &std::path::Path) -> Status {
        let (state, config) = (folder.to_string_lossy(), folder.join("agent.toml"));
        let asked = Asked::parse_from(["status", "--state-dir", &state, "--config", &config.to_string_lossy()]);
        asked.status.status().unwrap()
    }

    #[test]
    fn what_nobody_measured_lately_is_unknown_and_no_run_is_promised_where_no_agent_runs() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        state.signing_key().unwrap();
        let text = "[[schedule]]\nname = \"s\"\nset = \"host\"\nevery = \"1m\"\n";
        std::fs::write(folder.path().join("agent.toml"), text).unwrap();
        let config = netsonde_contract::agent_config::AgentConfig::parse("x", text).unwrap();
        let series = crate::history::tests::series("s", "c");
        let told_after = |minutes: i64| {
            let mut book = health::HealthBook::default();
            for minutes in [minutes + 1, minutes] {
                let at = Reading::now().wall - jiff::SignedDuration::from_mins(minutes);
                book.observe(&config, &series, &crate::history::tests::good(at));
            }
            health::save(&state, &book).unwrap();
            let status = status(folder.path());
            (status.schedules[0].targets[0].health, status.schedules[0].next.is_some(), human(&status).contains("next"))
        };
        assert_eq!([1, 60].map(told_after), [(Health::Ok, false, false), (Health::Unknown, false, false)]);
        let agent = netsonde_disk::open_private(&folder.path().join("agent.lock")).unwrap();
        agent.try_lock().unwrap();
        assert_eq!(told_after(1), (Health::Ok, true, true));
    }

    #[test]
    fn a_schedule_that_an_engineer_signed_is_shown_as_the_files_own_are() {
        let world = crate::daemon::tests::World::new("allow");
        let (state, shelved) = (world.state(), world.shelved(1));
        crate::standing::Shelf::of(&state).put(&shelved).unwrap();
        let names: Vec<String> = status(state.path()).schedules.into_iter().map(|schedule| schedule.name).collect();
        assert_eq!(names, [crate::standing::Held::of(shelved).unwrap().name()]);
    }

    #[test]
    fn what_was_damaged_and_put_aside_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let text = || human(&status(folder.path()));
        StateDirectory::open(Some(folder.path())).unwrap();
        assert!(!text().contains("damaged"));
        std::fs::write(folder.path().join("health.json"), "{").unwrap();
        assert!(text().contains("damaged      health.damaged"), "{}", text());
    }
}
