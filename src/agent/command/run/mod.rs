/// After the measuring: pack, keep, send.
mod closing;

use super::measuring::MeasuringOptions;
use crate::bundling::Agreement;
use crate::delivery::Route;
use crate::format;
use crate::interruption::Interruption;
use crate::measurement::{Settings, measure};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, preview, terminal, ticket};
use clap::Args;
use closing::Closing;
use netsonde_contract::bundle::Consent;
use netsonde_contract::id::CaseId;
use netsonde_contract::kind::dns::parse_server;
use netsonde_contract::redaction::Level;
use netsonde_contract::set::{Plan, ProbeSet, Request};
use netsonde_contract::ticket::Ticket;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  netsonde run web --target https://shop.example/
  netsonde run port --target db.example:5432 --case 4711 --out evidence.tar.gz
  netsonde run path --target 192.0.2.1 --param count=50 --format json
  netsonde run --ticket nst1_…              runs what support asked for and sends it, once you agree
  netsonde run --ticket - --preview         asks for the ticket, and only shows what it would do
  netsonde run mine.toml --target https://shop.example/";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunCommand {
    /// A built-in set (`netsonde sets list`), a set's file, or `-` for one on standard input. A ticket names its own.
    #[arg(value_name = "SET", required_unless_present = "ticket", conflicts_with = "ticket")]
    set: Option<String>,
    /// What to measure: a URL, host:port or host, as the set wants it. May be given several times.
    #[arg(long, value_name = "TARGET", conflicts_with = "ticket")]
    target: Vec<String>,
    /// A parameter of the set; `netsonde sets show SET` lists them.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_parameter, conflicts_with = "ticket")]
    param: Vec<(String, String)>,
    /// The statuses that http checks take as expected, such as 2xx,401.
    #[arg(long, value_name = "STATUS,…", value_delimiter = ',', value_parser = parse_status)]
    expect_status: Vec<String>,
    /// Ask these name servers instead of the system's.
    #[arg(long, value_name = "ADDR", value_parser = parse_resolver)]
    resolver: Vec<String>,
    /// Show what would be done and sent, and send nothing to anyone.
    #[arg(long)]
    preview: bool,
    #[command(flatten)]
    measuring: MeasuringOptions,
    /// The support case that this belongs to; a ticket names its own.
    #[arg(long, value_name = "ID", value_parser = parse_case, conflicts_with = "ticket", help_heading = "Bundle")]
    case: Option<CaseId>,
    /// The ticket from support, or `-` to be asked for it (or read it from standard input).
    #[arg(long, value_name = "nst1_…|-", help_heading = "Bundle")]
    ticket: Option<String>,
    /// Send the bundle to the ticket's backend without asking.
    #[arg(long, conflicts_with = "no_upload", help_heading = "Bundle")]
    upload: bool,
    /// Send nothing; say where the bundle is.
    #[arg(long, help_heading = "Bundle")]
    no_upload: bool,
    /// Agree to what the ticket does without being asked.
    #[arg(long, short, help_heading = "Bundle")]
    yes: bool,
    /// Also write the bundle to this file.
    #[arg(long, value_name = "FILE", help_heading = "Bundle")]
    out: Option<PathBuf>,
    /// How much to take out of the bundle before it is signed.
    #[arg(long, value_name = "LEVEL", default_value = "default", value_parser = ["none", "default", "strict"], help_heading = "Bundle")]
    redact: String,
    /// Keep the bundle of a ticket after it was delivered.
    #[arg(long, help_heading = "Bundle")]
    keep: bool,
    /// Where key, sequence number and bundles are kept [default: /var/lib/netsonde for root, else $XDG_STATE_HOME/netsonde].
    #[arg(long, env = "NETSONDE_STATE_DIR", value_name = "DIR", help_heading = "Bundle")]
    state_dir: Option<PathBuf>,
}

impl RunCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let ticket = self.ticket.as_deref().map(ticket::read).transpose()?;
        if self.upload && ticket.is_none() {
            return Err(Stop::usage("--upload has nowhere to send the bundle to: only a ticket names a backend")
                .next("ask support for a ticket, or run without --upload and hand over the file"));
        }
        let plan = self.plan(ticket.as_ref())?;
        let will_upload = ticket.is_some() && !self.no_upload;
        let description = preview::describe(&plan, self.level(), ticket.as_ref(), will_upload);
        if self.preview {
            terminal::output(&description)?;
            return Ok(exit::AS_EXPECTED);
        }
        let trust = self.measuring.trust()?;
        self.check_out()?;
        let state = StateDirectory::open(self.state_dir.as_deref())?;
        let settings = Settings {
            trust,
            proxy: self.measuring.proxy(),
            format: self.measuring.format,
            case: ticket.as_ref().map(|ticket| ticket.case.clone()).or(self.case.clone()),
            ticket: ticket.as_ref().map(|ticket| ticket.id.clone()),
        };
        let Some(ticket) = &ticket else {
            return super::block_on(self.run(&plan, &settings, None, Consent::None, &state));
        };
        let done = self
            .consent(&description, will_upload)
            .and_then(|consent| super::block_on(self.run(&plan, &settings, Some(ticket), consent, &state)));
        if done.is_err() {
            // A run on a ticket that did not take place leaves nothing behind.
            state.remove_if_unused();
        }
        done
    }

    async fn run(
        &self,
        plan: &Plan,
        settings: &Settings,
        ticket: Option<&Ticket>,
        consent: Consent,
        state: &StateDirectory,
    ) -> Result<u8, Stop> {
        let interruption = Interruption::listen();
        let mut route = match ticket.filter(|_| consent != Consent::None) {
            Some(ticket) => Some(Route::explore(ticket, &settings.proxy).await?),
            None => None,
        };
        let measured = measure(plan, settings, &interruption).await?;
        let agreement =
            Agreement { consent, ticket, level: self.level(), server_time: route.as_ref().and_then(|route| route.server_time) };
        let mut document = measured.document.clone();
        let closing = Closing { state, out: self.out.as_deref(), keep: self.keep };
        let (place, not_uploaded) = match closing.close(measured, &agreement, route.as_mut(), &interruption).await {
            Ok(placed) => (Some(placed.place), placed.not_uploaded),
            Err(stop) => {
                // The bundle is lost, but not what was found: it is printed all the same.
                terminal::say_stop(&stop);
                (None, true)
            }
        };
        document.bundle = place;
        terminal::output(&format::render(&document, self.measuring.format, self.measuring.detail))?;
        Ok(exit::code(&document, not_uploaded))
    }

    /// What the person agrees to, said before anything is sent.
    fn consent(&self, description: &str, will_upload: bool) -> Result<Consent, Stop> {
        terminal::say(description);
        let consent = match agreement(self.upload, self.yes, terminal::can_ask()) {
            Some(consent) => consent,
            None => {
                let question = if will_upload { "Run these checks and send the result?" } else { "Run these checks?" };
                if !terminal::ask(question, true) {
                    return Err(
                        Stop::refused("nothing was run and nothing was sent").next("--no-upload measures without sending")
                    );
                }
                Consent::Prompt
            }
        };
        Ok(if will_upload { consent } else { Consent::None })
    }

    fn plan(&self, ticket: Option<&Ticket>) -> Result<Plan, Stop> {
        let set = match ticket {
            Some(ticket) => ticket::probe_set(ticket)?,
            None => super::sets::load(self.set.as_deref().unwrap_or_default())?,
        };
        let (targets, parameters) = match ticket {
            Some(ticket) => (ticket.targets.clone(), ticket.parameters.clone()),
            None => (self.target.clone(), self.param.iter().cloned().collect()),
        };
        let request =
            Request { targets, parameters, expect_status: self.expect_status.clone(), resolvers: self.resolver.clone() };
        let mut plan = set.plan(&request).map_err(|error| refuse(&set, &error))?;
        if let Some(budget) = self.measuring.budget {
            plan.budget = budget;
            for check in &mut plan.checks {
                check.deadline = check.deadline.min(budget);
            }
        }
        Ok(plan)
    }

    fn level(&self) -> Level {
        // What this version does not know counts as strict.
        Level::ALL.into_iter().find(|(name, _)| *name == self.redact).map_or(Level::Strict, |(_, level)| level)
    }

    /// A file that cannot be written is better known before the run than after it.
    fn check_out(&self) -> Result<(), Stop> {
        let Some(out) = &self.out else { return Ok(()) };
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
        let refused = |why: &str| Err(Stop::usage(format!("the bundle cannot be written to {}: {why}", out.display())));
        if out.is_dir() {
            return refused("it is a folder").map_err(|stop: Stop| stop.next("name a file in it"));
        }
        if !folder.is_dir() {
            return refused("its folder does not exist")
                .map_err(|stop: Stop| stop.next(format!("mkdir -p {}", folder.display())));
        }
        Ok(())
    }
}

/// What a ticket's command line agrees to by itself; none where the person is to be asked. Whoever gives a ticket where nobody can
/// be asked has agreed to what a ticket says it does: run one set and send its bundle once.
fn agreement(upload: bool, yes: bool, can_ask: bool) -> Option<Consent> {
    match (upload, yes, can_ask) {
        (true, ..) => Some(Consent::Flag),
        (false, true, _) | (false, false, false) => Some(Consent::Ticket),
        (false, false, true) => None,
    }
}

fn refuse(set: &ProbeSet, error: &netsonde_contract::set::PlanError) -> Stop {
    Stop::usage(error.to_string()).next(format!("netsonde sets show {} tells what the set wants", set.name))
}

fn parse_parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_status(text: &str) -> Result<String, String> {
    let digits = |part: &str, count: usize| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
    let fits = digits(text, 3) || text.strip_suffix("xx").is_some_and(|class| digits(class, 1));
    if fits { Ok(text.to_owned()) } else { Err("write a status such as 401 or a class such as 2xx".to_owned()) }
}

fn parse_resolver(text: &str) -> Result<String, String> {
    parse_server(text)
        .map(|_| text.to_owned())
        .ok_or_else(|| "write an address, or an address and a port: 192.0.2.53 or [2001:db8::53]:5353".to_owned())
}

fn parse_case(text: &str) -> Result<CaseId, String> {
    CaseId::parse(text).ok_or_else(|| "a case is 1 to 64 letters, digits, `-`, `_` and `.`".to_owned())
}

#[cfg(test)]
mod tests;
