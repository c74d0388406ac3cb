/// Runs what is due, or one schedule by hand.
mod running;

use super::policy::PolicyOption;
use super::state_option::StateOption;
use crate::rounds;
use crate::schedule::{Reading, Scheduler};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{agent_file, exit, health, schedule, service, terminal};
use clap::{Args, Subcommand};
use netsonde_contract::agent_config::{AgentConfig, Schedule, TEMPLATE, Timing};
use netsonde_contract::history::Health;
use netsonde_contract::id::AgentId;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

/// More coming times than these nobody reads.
const MAX_COUNT: i64 = 1_000;

#[derive(Subcommand)]
pub(super) enum ScheduleCommand {
    /// Lists the schedules with their targets' health and the next run.
    #[command(after_help = "Example:\n  netsonde schedule list")]
    List {
        #[command(flatten)]
        files: Files,
    },
    /// Shows when the next runs come, by the clocks as they go now.
    #[command(after_help = "Examples:\n  netsonde schedule next\n  netsonde schedule next shop --count 10")]
    Next {
        /// The schedule's name; all of them without it.
        name: Option<String>,
        /// So many runs of each.
        #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_COUNT))]
        count: u32,
        #[command(flatten)]
        files: Files,
    },
    /// Runs one schedule now, or all that are due, notes the result, and packs what became failing by it. Beside an agent that runs only the history has it.
    #[command(
        group = clap::ArgGroup::new("what").required(true),
        after_help = "Examples:\n  netsonde schedule run shop\n  netsonde schedule run --due    for a system timer, once a minute, where no agent runs"
    )]
    Run {
        /// The schedule's name. Its next slot comes as if this run had not been.
        #[arg(group = "what")]
        name: Option<String>,
        /// Runs what is due, one after the other; what was missed runs once.
        #[arg(long, group = "what")]
        due: bool,
        #[command(flatten)]
        policy: PolicyOption,
        #[command(flatten)]
        files: Files,
    },
    /// Checks agent.toml, the sets it names and their targets, and says what is wrong, and where.
    #[command(after_help = "Example:\n  netsonde schedule check --config ./agent.toml")]
    Check {
        #[command(flatten)]
        files: Files,
    },
    /// Prints an agent.toml with every key and what it means, or makes a file of it.
    #[command(
        after_help = "Examples:\n  netsonde schedule template\n  netsonde schedule template --out /etc/netsonde/agent.toml    makes the folder, too; overwrites nothing"
    )]
    Template {
        /// Writes it there, where nothing is yet.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// What schedules are read from and kept in.
#[derive(Args)]
pub(super) struct Files {
    /// The schedules [default: /etc/netsonde/agent.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    state: StateOption,
}

impl ScheduleCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        match self {
            Self::List { files } => list(&files),
            Self::Next { name, count, files } => next(name.as_deref(), count, &files),
            Self::Run { name: Some(name), policy, files, .. } => running::run_one(&name, &files, &policy),
            Self::Run { policy, files, .. } => running::run_due(&files, &policy),
            Self::Check { files } => check(&files),
            Self::Template { out: None } => terminal::output(TEMPLATE).map(|()| exit::AS_EXPECTED),
            Self::Template { out: Some(path) } => write_template(&path),
        }
    }
}

impl Files {
    fn path(&self) -> PathBuf {
        agent_file::path(self.config.as_deref())
    }

    fn load(&self) -> Result<AgentConfig, Stop> {
        agent_file::load(&self.path())
    }

    /// What the file has, and what engineers signed; the file may be missing where there is some of the latter.
    fn load_all(&self, state: Option<&StateDirectory>) -> Result<AgentConfig, Stop> {
        let signed = state.map(rounds::signed).unwrap_or_default();
        let file = if signed.is_empty() { self.load()? } else { agent_file::load_if_there(&self.path())?.unwrap_or_default() };
        Ok(rounds::together(&file, &signed))
    }
}

/// The schedules as they stand on disk. Places in the splay hang on the agent's key; where there is none yet, on no key at all.
fn scheduler(config: &AgentConfig, state: Option<&StateDirectory>, now: &Reading) -> Result<Scheduler, Stop> {
    let agent = match state.filter(|state| state.has_key()) {
        Some(state) => AgentId::of(&state.signing_key()?.verifying_key()).as_str().to_owned(),
        None => String::new(),
    };
    let kept = match state {
        Some(state) => schedule::load(state).map_err(|error| unreadable(state, &error))?,
        None => None,
    };
    Scheduler::new(config, &agent, kept, now)
}

fn write_template(path: &Path) -> Result<u8, Stop> {
    let failed = |error: std::io::Error| {
        let stop = Stop::usage(format!("{} cannot be written: {error}", path.display()));
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => stop.next("it is there already: edit it, and then netsonde schedule check"),
            _ => stop.next("run it as root, on Windows as administrator, or name another file with --out FILE"),
        }
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = std::fs::File::create_new(path).map_err(failed)?;
    file.write_all(TEMPLATE.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    terminal::say(&format!("netsonde: wrote {}; fill it in, and then netsonde schedule check", path.display()));
    Ok(exit::AS_EXPECTED)
}

fn unreadable(state: &StateDirectory, error: &std::io::Error) -> Stop {
    Stop::usage(format!("the schedules' state in {} cannot be used: {error}", state.path().display()))
        .next("run it as the user that the agent runs as, or name another place with --state-dir DIR")
}

fn list(files: &Files) -> Result<u8, Stop> {
    terminal::output(&listed(files)?)?;
    Ok(exit::AS_EXPECTED)
}

fn listed(files: &Files) -> Result<String, Stop> {
    let state = StateDirectory::existing(files.state.path());
    let config = files.load_all(state.as_ref())?;
    let now = Reading::now();
    let scheduler = scheduler(&config, state.as_ref(), &now)?;
    // Where none runs, whatever calls `schedule run --due` takes what is due, or nobody does.
    let (next_is, by_whom) =
        if state.as_ref().is_some_and(service::is_running) { ("next", "") } else { ("due", ", but no agent runs") };
    let mut text = String::new();
    if config.schedules.is_empty() {
        terminal::say(&format!(
            "netsonde: {} has no schedules; netsonde schedule template shows how they are written",
            files.path().display()
        ));
    }
    let mut book = match &state {
        Some(state) => health::load(state).map_err(|error| unreadable(state, &error))?,
        None => health::HealthBook::default(),
    };
    // Where no agent runs, nobody else says that what it measured is old.
    book.tick(&config, now.wall);
    for schedule in &config.schedules {
        let next = match scheduler.upcoming(&schedule.name, &now, 1).first() {
            Some(at) => format!("{next_is} {at:.0}{by_whom}"),
            None => format!("{next_is} never"),
        };
        text += &format!("{}  {} {}, {next}\n", schedule.name, schedule.set, when(schedule));
        let measured: BTreeSet<Option<&str>> = book
            .checks()
            .filter(|(series, ..)| series.schedule == schedule.name)
            .map(|(series, ..)| series.target.as_deref())
            .collect();
        for target in measured {
            let health = book.target(&schedule.name, target);
            text += &format!("  {:8}  {}\n", health.name(), target.unwrap_or("this machine"));
            for (series, own, since) in book.checks().filter(|(_, own, _)| health > Health::Unknown && *own > Health::Unknown) {
                if series.schedule == schedule.name && series.target.as_deref() == target {
                    text += &format!("    {:8}  {} since {since:.0}\n", own.name(), series.check);
                }
            }
        }
    }
    Ok(text)
}

fn when(schedule: &Schedule) -> String {
    match &schedule.timing {
        Timing::Every(interval) => {
            format!("every {:#}", jiff::SignedDuration::try_from(*interval).unwrap_or_default())
        }
        Timing::Cron(cron) => format!("at \"{cron}\" {}", schedule.zone.as_deref().unwrap_or("in the machine's zone")),
    }
}

fn next(name: Option<&str>, count: u32, files: &Files) -> Result<u8, Stop> {
    let state = StateDirectory::existing(files.state.path());
    let config = files.load_all(state.as_ref())?;
    let now = Reading::now();
    let scheduler = scheduler(&config, state.as_ref(), &now)?;
    if let Some(name) = name {
        named(&config, name)?;
    }
    let mut runs: Vec<_> = config
        .schedules
        .iter()
        .filter(|schedule| name.is_none_or(|name| name == schedule.name))
        .flat_map(|schedule| {
            let times = scheduler.upcoming(&schedule.name, &now, usize::try_from(count).unwrap_or(usize::MAX));
            times.into_iter().map(|at| (at, schedule.name.as_str()))
        })
        .collect();
    runs.sort_unstable();
    let zone = jiff::tz::TimeZone::try_system().unwrap_or(jiff::tz::TimeZone::UTC);
    let line = |(at, name): &(jiff::Timestamp, &str)| {
        format!("{}  {name}\n", at.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S %:z"))
    };
    terminal::output(&runs.iter().map(line).collect::<String>())?;
    Ok(exit::AS_EXPECTED)
}

fn check(files: &Files) -> Result<u8, Stop> {
    let (path, config) = (files.path(), files.load()?);
    let now = Reading::now();
    let scheduler = scheduler(&config, None, &now)?;
    rounds::check(&path, &config)?;
    for schedule in &config.schedules {
        if scheduler.upcoming(&schedule.name, &now, 1).is_empty() {
            terminal::say(&format!(
                "{}:{}: `{}` never runs: its quiet hours leave no time",
                path.display(),
                schedule.line,
                schedule.name
            ));
        }
    }
    terminal::say(&format!(
        "{}: in order ({} schedules, {} silences)",
        path.display(),
        config.schedules.len(),
        config.silences.len()
    ));
    Ok(exit::AS_EXPECTED)
}

fn named<'a>(config: &'a AgentConfig, name: &str) -> Result<&'a Schedule, Stop> {
    config.schedule(name).ok_or_else(|| {
        let known = || config.schedules.iter().map(|schedule| schedule.name.as_str());
        let stop = Stop::usage(format!("there is no schedule `{name}`"));
        match netsonde_contract::nearest::nearest(name, known()) {
            Some(meant) => stop.next(format!("did you mean `{meant}`? netsonde schedule list shows all")),
            None => stop.next("netsonde schedule list shows all"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{good, series};
    use clap::Parser;

    #[derive(Parser)]
    struct Asked {
        #[command(flatten)]
        files: Files,
    }

    #[test]
    fn the_template_is_written_where_nothing_is_and_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/agent.toml");
        assert_eq!(write_template(&path), Ok(exit::AS_EXPECTED));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), TEMPLATE);
        std::fs::write(&path, "own").unwrap();
        let stop = write_template(&path).unwrap_err();
        assert!(stop.next.is_some_and(|next| next.contains("edit it")));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "own");
    }

    #[test]
    fn the_list_has_whole_seconds_and_calls_nothing_well_that_nobody_measured_lately() {
        let folder = tempfile::tempdir().unwrap();
        let (config, path) = (folder.path().join("agent.toml"), folder.path().join("state"));
        let state = StateDirectory::open(Some(&path)).unwrap();
        let text = "[[schedule]]\nname = \"s\"\nset = \"host\"\nevery = \"1m\"\n";
        std::fs::write(&config, text).unwrap();
        let parsed = AgentConfig::parse("x", text).unwrap();
        let listed_after = |minutes: i64| {
            let mut book = health::HealthBook::default();
            for minutes in [minutes + 1, minutes] {
                let at = Reading::now().wall - jiff::SignedDuration::from_mins(minutes);
                book.observe(&parsed, &series("s", "c"), &good(at));
            }
            health::save(&state, &book).unwrap();
            let asked = ["x", "--config", &config.to_string_lossy(), "--state-dir", &path.to_string_lossy()].map(str::to_owned);
            listed(&Asked::parse_from(asked).files).unwrap()
        };
        let [young, old] = [1, 60].map(listed_after);
        assert!(young.contains("  ok        this machine\n"), "{young}");
        assert!(old.contains("  unknown   this machine\n"), "{old}");
        assert!(young.contains(", due 20") && young.contains("Z, but no agent runs\n") && !young.contains('.'), "{young}");
        let agent = netsonde_disk::open_private(&path.join("agent.lock")).unwrap();
        agent.try_lock().unwrap();
        let running = listed_after(1);
        assert!(running.contains(", next 20") && running.contains("Z\n") && !running.contains('.'), "{running}");
    }
}
