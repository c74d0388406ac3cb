use super::policy::PolicyOption;
use super::state_option::StateOption;
use super::status::StatusCommand;
use crate::confinement::Wanted;
use crate::interruption::Interruption;
use crate::rounds::Files;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{agent_file, confinement, exit, platform, policy_file, service, terminal};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  netsonde agent                                  with agent.toml and the policy of this machine
  netsonde agent --config ./agent.toml --policy ./policy.toml --state-dir ./state
  netsonde agent status                           schedules, health, spool, enrolment, last contact
  systemctl reload netsonde-agent                 reads agent.toml anew (SIGHUP)";

#[derive(Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct AgentCommand {
    #[command(subcommand)]
    what: Option<What>,
    /// What the agent measures by itself [default: /etc/netsonde/agent.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyOption,
    /// See which program owns a socket (Linux, as root): for that the agent's files stay open to it, and it keeps CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH.
    #[arg(long)]
    socket_owners: bool,
    /// How the agent writes what it says.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    /// The service control manager of Windows started this process.
    #[arg(long, hide = true)]
    service: bool,
    #[command(flatten)]
    state: StateOption,
}

#[derive(Subcommand)]
enum What {
    /// Shows how the agent is: schedules, health, spool, enrolment, last contact.
    Status(Box<StatusCommand>),
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl AgentCommand {
    /// What is said is to be JSON.
    pub(super) fn logs_json(&self) -> bool {
        self.log_format == LogFormat::Json
    }

    pub(super) fn execute(self) -> Result<u8, Stop> {
        if let Some(What::Status(status)) = self.what {
            return status.execute();
        }
        if self.service {
            return self.serve();
        }
        self.work(Interruption::listen)?;
        Ok(exit::AS_EXPECTED)
    }

    #[cfg(windows)]
    fn serve(self) -> Result<u8, Stop> {
        use crate::platform::windows_events::{self, Kind};
        use crate::service_control::NAME;
        let config = agent_file::path(self.config.as_deref());
        let work = move |token| {
            terminal::say_to_event_log();
            match self.work(move || Interruption::of(token)) {
                // So a package leaves it on a new machine. That is no failure at each start of the system.
                Err(stop) if stop == service::nothing_to_do(&config) => {
                    let words = format!("{}; then as administrator: sc start {NAME}", stop.words());
                    windows_events::write(NAME, Kind::Information, &words);
                    Ok(())
                }
                done => done,
            }
        };
        crate::platform::windows_service::serve(NAME, work).map_err(|error| {
            Stop::usage(format!("only Windows itself starts a service: {error}")).next("netsonde service install")
        })?;
        Ok(exit::AS_EXPECTED)
    }

    #[cfg(not(windows))]
    fn serve(self) -> Result<u8, Stop> {
        Err(Stop::usage("only Windows starts services this way").next("netsonde service install"))
    }

    /// Until the interruption, which is made within the runtime.
    fn work(self, interruption: impl FnOnce() -> Interruption) -> Result<(), Stop> {
        platform::share_one_heap();
        let state = StateDirectory::existing(self.state.path()).map_or_else(|| StateDirectory::open(self.state.path()), Ok)?;
        let files = Files { config: agent_file::path(self.config.as_deref()), policy: policy_file::path(self.policy.path()) };
        let wanted = if self.socket_owners { Wanted::SocketOwners } else { Wanted::Least };
        let confinement = confinement::confine(state.path(), wanted);
        terminal::say(&format!("netsonde: rights: {}", confinement::words(&confinement)));
        super::block_on_one_thread(async { service::run(state, files, Some(&confinement), &interruption()).await })
    }
}
