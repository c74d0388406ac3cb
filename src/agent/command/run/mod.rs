/// After the measuring: pack, keep, send.
mod closing;
/// Again and again, until the fault shows.
mod watch;

pub(super) use watch::WatchCommand;

use super::measuring::MeasuringOptions;
use super::state_option::StateOption;
use crate::audit::Audit;
use crate::bundling::Agreement;
use crate::delivery::Route;
use crate::exit::BundleFate;
use crate::format;
use crate::interruption::Interruption;
use crate::measurement::{Bounds, Measured, Settings, measure};
use crate::proxied::proxies;
use crate::redaction::{self, MappingKey, Printed};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, preview, terminal, ticket};
use clap::Args;
use closing::Closing;
use ed25519_dalek::SigningKey;
use netsonde_contract::bundle::Consent;
use netsonde_contract::document::Asked;
use netsonde_contract::id::CaseId;
use netsonde_contract::kind::dns::parse_server;
use netsonde_contract::redaction::Level;
use netsonde_contract::set::{Plan, ProbeSet, Request};
use netsonde_contract::ticket::Ticket;
use netsonde_probes::Trust;
use netsonde_probes::origins::Origins;
use std::path::PathBuf;
use std::sync::Arc;

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
    #[arg(value_name = "SET", conflicts_with = "ticket")]
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
    /// Do only what the set says: ask nothing further where several causes remain possible.
    #[arg(long, help_heading = "Measuring")]
    no_follow_up: bool,
    #[command(flatten)]
    pub(super) measuring: MeasuringOptions,
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
    /// Agree to what the ticket does without being asked. Where nobody can be asked, nothing is sent without this or --upload.
    #[arg(long, short, help_heading = "Bundle")]
    yes: bool,
    /// Also write the bundle to this file.
    #[arg(long, value_name = "FILE", help_heading = "Bundle")]
    out: Option<PathBuf>,
    /// How much to take out of the bundle before it is signed, and of what is printed; `none` takes out nothing.
    #[arg(long, value_name = "LEVEL", default_value = "default", value_parser = ["none", "default", "strict"], help_heading = "Bundle")]
    redact: String,
    /// Keep the bundle of a ticket after it was delivered.
    #[arg(long, help_heading = "Bundle")]
    keep: bool,
    #[command(flatten)]
    state: StateOption,
}

/// Where a run's bundle is kept, and the agent's own key.
struct Place {
    /// None where no directory can be written.
    state: Option<StateDirectory>,
    /// None for a run on a ticket, and where there is no directory: then a key is made for the run.
    key: Option<SigningKey>,
}

/// What is to become of a ticket's bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// It is not to be sent.
    No,
    /// It is to be sent, but nobody is there to agree.
    Unagreed,
    Agreed(Consent),
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
        let description = preview::describe(&plan, self.level(), ticket.as_ref(), will_upload, !self.no_follow_up);
        if self.preview {
            terminal::output(&description)?;
            return Ok(exit::AS_EXPECTED);
        }
        self.measuring.check_capture()?;
        let trust = self.measuring.trust()?;
        let origins = self.measuring.origins()?;
        self.check_out()?;
        let kept = self.open_state(ticket.is_none())?;
        let settings = self.settings(trust, origins, ticket.as_ref(), self.printed(&kept)?, &plan);
        let Some(ticket) = &ticket else {
            return super::block_on(self.run(&plan, &settings, None, Sending::No, kept));
        };
        let directory = kept.state.as_ref().map(|state| state.path().to_owned());
        let done = self
            .agree(&description, will_upload)
            .and_then(|sending| super::block_on(self.run(&plan, &settings, Some(ticket), sending, kept)));
        if let (Err(_), Some(state)) = (&done, directory.as_deref().and_then(|path| StateDirectory::existing(Some(path)))) {
            // A run on a ticket that did not take place leaves nothing behind.
            state.remove_if_unused();
        }
        done
    }

    /// What whoever repeats the run has to ask beside the set and its targets.
    pub(super) fn asked(&self, ticket: Option<&Ticket>, plan: &Plan) -> Asked {
        let given = || self.param.iter().cloned().collect();
        Asked {
            parameters: ticket.map_or_else(given, |ticket| ticket.parameters.clone()),
            expect_status: self.expect_status.clone(),
            resolvers: self.resolver.clone(),
            no_follow_up: self.no_follow_up,
            ..self.measuring.asked(&plan.targets)
        }
    }

    fn settings(&self, trust: Arc<Trust>, origins: Origins, ticket: Option<&Ticket>, printed: Printed, plan: &Plan) -> Settings {
        Settings {
            trust,
            proxy: self.measuring.proxy(),
            origins,
            format: self.measuring.format,
            printed,
            case: ticket.map(|ticket| ticket.case.clone()).or(self.case.clone()),
            ticket: ticket.map(|ticket| ticket.id.clone()),
            capture: self.measuring.capture.is_some(),
            asked: Some(self.asked(ticket, plan)),
            follow_up: !self.no_follow_up,
            bounds: Bounds::PERSON,
            watcher: None,
        }
    }

    /// What is printed is redacted as the bundle is. At the strict level its tokens are those of the bundle where the agent keeps a key; for
    /// a run that leaves none behind they are made up once more.
    fn printed(&self, kept: &Place) -> Result<Printed, Stop> {
        let home = kept.state.as_ref().filter(|_| kept.key.is_some() || self.keep);
        Ok(match (self.level(), home) {
            (Level::None, _) => Printed::Whole,
            (Level::Default, _) => Printed::Default,
            (_, Some(state)) => Printed::Strict(Arc::new(state.mapping_key()?)),
            (_, None) => Printed::Strict(Arc::new(MappingKey::from_bytes(crate::state::random::<32>()?))),
        })
    }

    /// Opens the state directory and reads its keys before anything is measured, so that a damaged one costs no run. A machine without
    /// any place to write is still worth measuring: then the key is made for this run, and nothing is kept.
    fn open_state(&self, own_key: bool) -> Result<Place, Stop> {
        let none = |stop: Stop| {
            let kept = match &self.out {
                Some(out) => format!("the bundle is written to {} only", out.display()),
                None => "nothing is kept on this machine; --out FILE writes the bundle".to_owned(),
            };
            terminal::say(&format!("netsonde: {}; measuring with a key made for this run: {kept}", stop.message));
            Place { state: None, key: None }
        };
        let state = match StateDirectory::open(self.state.path()) {
            Ok(state) => state,
            Err(stop) => return Ok(none(stop)),
        };
        if !own_key {
            return Ok(Place { state: Some(state), key: None });
        }
        let key = match state.signing_key() {
            Ok(key) => key,
            Err(stop) if state.has_key() => return Err(stop),
            Err(stop) => return Ok(none(stop)),
        };
        if self.level() == Level::Strict {
            state.mapping_key()?;
        }
        Ok(Place { state: Some(state), key: Some(key) })
    }

    async fn run(
        &self,
        plan: &Plan,
        settings: &Settings,
        ticket: Option<&Ticket>,
        sending: Sending,
        place: Place,
    ) -> Result<u8, Stop> {
        let consent = if let Sending::Agreed(consent) = sending { consent } else { Consent::None };
        let interruption = Interruption::listen();
        let mut route = match ticket.filter(|_| consent != Consent::None) {
            Some(ticket) => Some(Route::explore(ticket, &settings.proxy).await?),
            None => None,
        };
        preview::load_ahead(plan).iter().for_each(|line| terminal::say(line));
        let measured = measure(plan, settings, &interruption).await?;
        self.finish(measured, ticket, sending, place, route.as_mut(), &interruption).await
    }

    /// Packs, keeps and sends what was measured, and prints it.
    async fn finish(
        &self,
        measured: Measured,
        ticket: Option<&Ticket>,
        sending: Sending,
        place: Place,
        route: Option<&mut Route<'_>>,
        interruption: &Interruption,
    ) -> Result<u8, Stop> {
        let consent = if let Sending::Agreed(consent) = sending { consent } else { Consent::None };
        let captured = self.measuring.keep_capture(&measured);
        // A run on a ticket leaves nothing behind and takes nothing along.
        let audit_head =
            place.state.as_ref().filter(|_| ticket.is_none()).and_then(|state| Audit::of(state).head().ok().flatten());
        let agreement = Agreement {
            consent,
            ticket,
            level: self.level(),
            order: None,
            because: None,
            audit_head,
            server_time: route.as_ref().and_then(|route| route.server_time),
        };
        let (mut document, report) = measured.printed.of(&measured.document);
        let closing = Closing {
            state: place.state.as_ref(),
            out: self.out.as_deref(),
            keep: self.keep,
            key: place.key,
            unagreed: sending == Sending::Unagreed,
        };
        let (place, fate) = match closing.close(measured, &agreement, route, interruption).await {
            Ok(placed) => (placed.place, placed.fate),
            Err(stop) => {
                // The bundle is lost, but not what was found: it is printed all the same.
                terminal::say_stop(&stop);
                (None, BundleFate::NotKept)
            }
        };
        let fate = if captured || fate != BundleFate::InPlace { fate } else { BundleFate::NotKept };
        document.bundle = place;
        terminal::output(&format::render(&document, self.measuring.format, self.measuring.depth()))?;
        redaction::remark(&report).iter().for_each(|remark| terminal::say(remark));
        Ok(exit::code(&document, fate))
    }

    /// What the person agrees to, said before anything is sent.
    fn agree(&self, description: &str, will_upload: bool) -> Result<Sending, Stop> {
        terminal::say(description);
        if let Some(sending) = agreement(will_upload, self.upload, self.yes, terminal::can_ask()) {
            if sending == Sending::Unagreed {
                terminal::say(
                    "netsonde: nobody can be asked here, so the bundle will be kept, not sent (--yes agrees to sending it)",
                );
            }
            return Ok(sending);
        }
        let question = if will_upload { "Run these checks and send the result?" } else { "Run these checks?" };
        if !terminal::ask(question, true) {
            return Err(Stop::refused("nothing was run and nothing was sent").next("--no-upload measures without sending"));
        }
        Ok(if will_upload { Sending::Agreed(Consent::Prompt) } else { Sending::No })
    }

    pub(super) fn plan(&self, ticket: Option<&Ticket>) -> Result<Plan, Stop> {
        let set = match ticket {
            Some(ticket) => ticket::probe_set(ticket)?,
            None => super::sets::load(self.set.as_deref().ok_or_else(super::sets::none_given)?)?,
        };
        let (targets, parameters) = match ticket {
            Some(ticket) => (ticket.targets.clone(), ticket.parameters.clone()),
            None => (self.target.clone(), self.param.iter().cloned().collect()),
        };
        let request = Request {
            proxies: proxies(&set, &targets, &self.measuring.proxy()),
            targets,
            parameters,
            expect_status: self.expect_status.clone(),
            resolvers: self.resolver.clone(),
        };
        let mut plan = set.plan(&request).map_err(|error| refuse(self.set.as_deref(), &set, &error))?;
        for target in &plan.repeated {
            terminal::say(&format!("netsonde: {target} was given more than once; it is measured once"));
        }
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

/// What a ticket's command line agrees to by itself; none where the person is to be asked. A ticket alone is no agreement: it may have
/// come from anyone, and where nobody reads what would be sent, nobody agreed.
fn agreement(will_upload: bool, upload: bool, yes: bool, can_ask: bool) -> Option<Sending> {
    match (will_upload, upload, yes, can_ask) {
        (true, true, ..) => Some(Sending::Agreed(Consent::Flag)),
        (true, false, true, _) => Some(Sending::Agreed(Consent::Ticket)),
        (true, false, false, false) => Some(Sending::Unagreed),
        (false, _, true, _) | (false, _, _, false) => Some(Sending::No),
        (_, _, false, true) => None,
    }
}

/// `given` is what the set was named by; a ticket names none but those that are built in.
fn refuse(given: Option<&str>, set: &ProbeSet, error: &netsonde_contract::set::PlanError) -> Stop {
    Stop::usage(error.to_string()).next(super::sets::wanted_by(given.unwrap_or(&set.name), set))
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
