use super::material;
use super::network::{Network, SERVER_V4, SERVER_V6, TRIAL_LIMIT, router};
use super::now;
use super::placing::{self, Named};
use super::scenario::{Control, Expect, Family, STEAL_PERIOD_MS, Scenario, Service, ServiceKind, User};
use super::vantage::{self, Shelf};
use anyhow::{Context, Result};
use netsonde_contract::control::ControlRelation;
use netsonde_contract::document::Document;
use netsonde_contract::finding::Severity;
use netsonde_contract::kind::Kind;
use netsonde_tests::certificates::Pki;
use netsonde_tests::platform;
use netsonde_tests::programs::program;
use nix::sys::signal::{Signal, kill};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// What all scenarios share: the program under test, where everybody may run it, and the certificates.
pub(crate) struct Bench {
    folder: TempDir,
    netsonde: PathBuf,
    pki: Pki,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The network with its fault off: nothing may be reported.
    Healthy,
    /// The fault is on: its cause must come first.
    Fault,
    /// A healthy network with an oddity that hurts nobody: nothing may be reported.
    Odd,
}

/// One question put to netsonde, and its answer.
pub(crate) struct Trial {
    pub scenario: String,
    pub stage: Stage,
    pub family: Family,
    pub user: User,
    pub seconds: f64,
    /// What netsonde printed.
    pub transcript: String,
    pub expect: Option<Expect>,
    /// Notices that are true of the network.
    pub true_notices: Vec<String>,
    /// The notice that must be among the findings.
    notice: Option<String>,
    /// What the answer was held against.
    control: Option<Control>,
    /// What the control showed.
    other: Option<Document>,
    answer: Result<(Document, i32)>,
    /// The answer to the same question without follow-ups, where that is to be compared.
    alone: Option<Result<(Document, i32)>>,
}

impl Bench {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("netsonde-lab-").tempdir().context("making a folder")?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).context("opening the folder to everybody")?;
        let netsonde = folder.path().join("netsonde");
        fs::copy(program("netsonde")?, &netsonde).context("copying the program to where everybody may run it")?;
        let pki = Pki::new()?;
        fs::write(folder.path().join("root.pem"), pki.root_pem()).context("writing the root certificate")?;
        Ok(Self { folder, netsonde, pki })
    }

    pub(crate) fn pki(&self) -> &Pki {
        &self.pki
    }

    /// Every trial of one scenario. A network that cannot be built is one failed trial.
    pub(crate) fn run(&self, scenario: &Scenario, stopped: &AtomicBool) -> Vec<Trial> {
        self.run_and_keep(scenario, stopped).0
    }

    /// The same, with the network as the last trial left it.
    pub(crate) fn run_and_keep(&self, scenario: &Scenario, stopped: &AtomicBool) -> (Vec<Trial>, Option<Network>) {
        let mut trials = Vec::new();
        let network = self.run_in_network(scenario, stopped, &mut trials);
        let kept = match network {
            Ok(network) => Some(network),
            Err(error) => {
                trials.push(Trial {
                    scenario: scenario.name.clone(),
                    stage: Stage::Fault,
                    family: Family::V4,
                    user: User::Root,
                    seconds: 0.0,
                    transcript: format!("{error:#}"),
                    expect: scenario.expect.clone(),
                    true_notices: Vec::new(),
                    notice: None,
                    control: None,
                    other: None,
                    answer: Err(error),
                    alone: None,
                });
                None
            }
        };
        (trials, kept)
    }

    fn run_in_network(&self, scenario: &Scenario, stopped: &AtomicBool, trials: &mut Vec<Trial>) -> Result<Network> {
        let mut network = Network::of(scenario)?;
        network.settle()?;
        self.start_services(scenario, &mut network)?;
        for oddity in &scenario.oddity {
            network.inject(oddity)?;
        }
        let mut shelves = BTreeMap::new();
        let ask_off = scenario.ask_off.as_ref().unwrap_or(&scenario.ask);
        let stages = match &scenario.expect {
            Some(_) => [(Stage::Healthy, ask_off), (Stage::Fault, &scenario.ask)],
            None => [(Stage::Healthy, ask_off), (Stage::Odd, &scenario.ask)],
        };
        for (stage, ask) in stages {
            if stage != Stage::Healthy {
                for fault in &scenario.fault {
                    network.inject(fault)?;
                }
                if let Some(lines) = &scenario.hosts {
                    network.hosts("c", lines)?;
                }
            }
            for family in &scenario.families {
                let own = vec!["{s}".to_owned()];
                let resolvers = scenario.resolvers.as_ref().filter(|_| stage != Stage::Healthy).unwrap_or(&own);
                let search = scenario.search.as_deref().filter(|_| stage != Stage::Healthy);
                let resolvers: Vec<String> = resolvers.iter().map(|server| fill(server, *family)).collect();
                network.resolvers(*family, &resolvers, search)?;
                for user in &scenario.users {
                    if stopped.load(Ordering::Relaxed) {
                        return Ok(network);
                    }
                    if stage != Stage::Healthy {
                        std::thread::sleep(Duration::from_secs(scenario.quiet_s));
                    }
                    let shelf = match shelves.entry((family.name(), user.name())) {
                        Entry::Occupied(entry) => entry.into_mut(),
                        Entry::Vacant(entry) => entry.insert(Shelf::below(self.folder.path())?),
                    };
                    trials.push(self.ask(scenario, &network, stage, ask, (*family, *user), shelf));
                }
            }
        }
        Ok(network)
    }

    pub(crate) fn start_services(&self, scenario: &Scenario, network: &mut Network) -> Result<()> {
        let mut nodes: Vec<&str> = scenario.service.iter().map(|service| service.node.as_str()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            let folder = self.folder.path().join(network.namespace(node));
            fs::create_dir_all(&folder).context("making a folder for servers")?;
            for service in scenario.service.iter().filter(|service| service.node == node && service.kind == ServiceKind::Cloud) {
                network.cloud_addresses(node, &service.text)?;
            }
            let services: Vec<&Service> = scenario.service.iter().filter(|service| service.node == node).collect();
            fs::write(folder.join("middle.crt"), self.pki.middle_der()).context("writing the intermediate's certificate")?;
            for service in services.iter().filter(|service| service.kind.has_identity()) {
                let names: Vec<String> = service.names.iter().flat_map(|name| each_family(name)).collect();
                fs::write(folder.join(format!("{}.pem", service.port)), self.pki.identity(&names, service.flaw)?.to_pem())
                    .context("writing a certificate")?;
                if let Some(material) = service.material {
                    material::make(&folder, &self.pki, service.port, &names, material)?;
                }
            }
            let list = folder.join("services.json");
            fs::write(&list, serde_json::to_vec(&services).context("listing services")?)
                .context("writing the list of services")?;
            let own = std::env::current_exe().context("finding the lab's own path")?;
            let mut command = network.command(node, User::Root, own);
            command.arg("serve").arg(&list).arg(&folder);
            network.start(command)?;
        }
        Ok(())
    }

    /// The command line of the last trial.
    pub(crate) fn question(&self, scenario: &Scenario) -> String {
        let family = scenario.families.last().copied().unwrap_or(Family::V4);
        let variables = scenario.env.iter().map(|(name, value)| format!("{name}={} ", fill(value, family)));
        let arguments: Vec<String> = scenario.ask.iter().map(|argument| fill(argument, family)).collect();
        let variables: String = variables.collect();
        let environment = if variables.is_empty() { String::new() } else { format!("env {variables}") };
        let root = self.folder.path().join("root.pem");
        format!("{environment}{} {} --trust {}", self.netsonde.display(), arguments.join(" "), root.display())
    }

    fn ask(
        &self,
        scenario: &Scenario,
        network: &Network,
        stage: Stage,
        ask: &[String],
        (family, user): (Family, User),
        shelf: &mut Shelf,
    ) -> Trial {
        let env = scenario.env_off.as_ref().filter(|_| stage == Stage::Healthy).unwrap_or(&scenario.env);
        let ask: Vec<String> = match self.set_of(scenario) {
            Ok(set) => ask.iter().map(|argument| argument.replace("{set}", &set)).collect(),
            Err(error) => vec![format!("{error:#}")],
        };
        let pressure = if stage == Stage::Healthy { Pressure::default() } else { Pressure::of(scenario) };
        let run = Run { node: "c", ask: &ask, env, pressure, family, user, kept: None };
        let measured = scenario.control.as_ref().map(|control| self.measure_control(control, network, &run, stage, shelf));
        let began = now();
        let answer = match measured {
            Some(measured) => measured.and_then(|()| self.held_against(network, &run, stage, shelf)),
            None => self.run_netsonde(network, &run),
        };
        let seconds = began.elapsed().as_secs_f64();
        let expect = (stage == Stage::Fault).then(|| scenario.expectation(user).cloned()).flatten();
        let alone = expect.as_ref().and_then(|expect| expect.alone_below).map(|_| {
            std::thread::sleep(Duration::from_secs(scenario.quiet_s));
            read(&self.run_netsonde(network, &Run { ask: &without_follow_ups(&ask), ..run })?)
        });
        let notice = scenario.notice.clone().filter(|_| stage != Stage::Healthy);
        let (transcript, answer) = match answer {
            Ok(output) => {
                (format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)), read(&output))
            }
            Err(error) => (format!("{error:#}"), Err(error)),
        };
        let true_notices = scenario.true_notices.clone();
        Trial {
            scenario: scenario.name.clone(),
            stage,
            family,
            user,
            seconds,
            transcript,
            expect,
            true_notices,
            notice,
            control: scenario.control.clone(),
            other: shelf.control().cloned(),
            answer,
            alone,
        }
    }

    /// The program under test.
    pub(crate) fn netsonde(&self) -> &Path {
        &self.netsonde
    }

    /// The file of the scenario's own set; where it has none, no argument names one.
    fn set_of(&self, scenario: &Scenario) -> Result<String> {
        let Some(text) = &scenario.set else { return Ok(String::new()) };
        let path = self.folder.path().join(format!("{}.toml", scenario.name));
        fs::write(&path, text).context("writing the scenario's set")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).context("opening the set to everybody")?;
        Ok(path.display().to_string())
    }

    pub(crate) fn run_netsonde(&self, network: &Network, run: &Run<'_>) -> Result<Output> {
        let Run { node, ask, env, pressure, family, user, kept } = *run;
        let state = tempfile::Builder::new().prefix("state-").tempdir_in(self.folder.path()).context("making a state folder")?;
        fs::set_permissions(state.path(), fs::Permissions::from_mode(0o777)).context("opening the state folder")?;
        let mut command = match pressure.descriptors {
            Some(most) => {
                let mut limited = network.command(node, user, "prlimit");
                limited.arg(format!("--nofile={most}")).arg("--").arg(&self.netsonde);
                limited
            }
            None => network.command(node, user, &self.netsonde),
        };
        if pressure.no_connections {
            platform::deny_connections(&mut command)?;
        }
        command.args(ask.iter().map(|argument| fill(argument, family)));
        command.args(["--format", "json"]);
        // Evidence is what was measured, before anything is taken out; unless what is left of it is the matter of the scenario.
        if !ask.iter().any(|argument| argument == "--redact") {
            command.args(["--redact", "none"]);
        }
        // A single probe keeps and sends nothing.
        if ask.first().is_some_and(|first| first == "run") {
            command.args(["--no-upload", "--state-dir"]).arg(kept.map_or(state.path(), |kept| &kept.state));
            command.args(kept.iter().flat_map(|kept| [OsStr::new("--out"), kept.bundle.as_os_str()]));
        }
        if heeds_trust(ask) {
            command.arg("--trust").arg(self.folder.path().join("root.pem"));
        }
        for variable in [
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "NO_PROXY",
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
            "SSL_CERT_FILE",
        ] {
            command.env_remove(variable);
        }
        command.envs(env.iter().map(|(name, value)| (name, fill(value, family))));
        command.env("HOME", state.path());
        run_bounded(command, state.path(), pressure.stolen_ms)
    }
}

/// A probe of a kind that judges no certificate takes no roots.
fn heeds_trust(ask: &[String]) -> bool {
    let kind = ask.get(1).filter(|_| ask.first().is_some_and(|first| first == "probe")).and_then(|name| Kind::from_name(name));
    kind.is_none_or(|kind| Kind::JUDGING_CERTIFICATES.contains(&kind))
}

/// One run of netsonde in a network.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    /// The node that measures.
    pub node: &'a str,
    ask: &'a [String],
    env: &'a BTreeMap<String, String>,
    pressure: Pressure,
    family: Family,
    user: User,
    /// Where what is left of it is kept; none where that ends with it.
    kept: Option<&'a Kept>,
}

impl<'a> Run<'a> {
    /// The same at this node.
    pub(crate) fn at(self, node: &'a str) -> Self {
        Self { node, ..self }
    }

    /// The same, of which is kept what is left.
    pub(crate) fn kept(self, kept: &'a Kept) -> Self {
        Self { kept: Some(kept), ..self }
    }

    /// The same on a machine that keeps nothing from it.
    pub(crate) fn unpressed(self) -> Self {
        Self { pressure: Pressure::default(), ..self }
    }
}

/// What is left of a run.
pub(crate) struct Kept {
    /// The folder that has the key by which a machine's runs are its own.
    pub state: PathBuf,
    pub bundle: PathBuf,
}

/// What the machine keeps from netsonde.
#[derive(Clone, Copy, Default)]
struct Pressure {
    descriptors: Option<u32>,
    stolen_ms: u64,
    no_connections: bool,
}

impl Pressure {
    fn of(scenario: &Scenario) -> Self {
        Self { descriptors: scenario.descriptors, stolen_ms: scenario.stolen_ms, no_connections: scenario.no_connections }
    }
}

/// Runs a command to its end, or kills it at the trial's limit. Output goes to files, so that no full pipe holds it up. Of each
/// [`STEAL_PERIOD_MS`] it stands still for `stolen_ms`.
fn run_bounded(mut command: std::process::Command, folder: &Path, stolen_ms: u64) -> Result<Output> {
    let (out, err) = (folder.join("stdout"), folder.join("stderr"));
    let file = |path: &Path| fs::File::create(path).with_context(|| format!("making {}", path.display()));
    command.stdin(Stdio::null()).stdout(file(&out)?).stderr(file(&err)?);
    let mut child = command.spawn().context("starting netsonde")?;
    let began = now();
    let status = loop {
        if let Some(status) = child.try_wait().context("waiting for netsonde")? {
            break status;
        }
        if began.elapsed() > TRIAL_LIMIT {
            child.kill().context("ending netsonde, which took too long")?;
            break child.wait().context("waiting for netsonde's end")?;
        }
        match stolen_ms {
            0 => std::thread::sleep(Duration::from_millis(20)),
            _ => steal(&child, Duration::from_millis(stolen_ms)),
        }
    };
    Ok(Output {
        status,
        stdout: fs::read(out).context("reading the output")?,
        stderr: fs::read(err).context("reading the messages")?,
    })
}

/// Stops the program for so long, and lets it run for the rest of the period: one that fits into no interval at which netsonde measures,
/// so that it meets some measurements at each of their phases.
fn steal(child: &std::process::Child, time: Duration) {
    const PERIOD: Duration = Duration::from_millis(STEAL_PERIOD_MS);
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap_or(i32::MAX));
    // One that has ended meanwhile is seen at the next look.
    let _ = kill(pid, Signal::SIGSTOP);
    std::thread::sleep(time);
    let _ = kill(pid, Signal::SIGCONT);
    std::thread::sleep(PERIOD.saturating_sub(time));
}

/// A run asks further unless it is told not to; a probe, only if it is told to.
fn without_follow_ups(ask: &[String]) -> Vec<String> {
    let mut ask: Vec<String> = ask.iter().filter(|argument| *argument != "--follow-up").cloned().collect();
    if ask.first().is_some_and(|first| first == "run") {
        ask.push("--no-follow-up".to_owned());
    }
    ask
}

fn read(output: &Output) -> Result<(Document, i32)> {
    let code = output.status.code().context("netsonde was ended by a signal")?;
    let document =
        serde_json::from_slice(&output.stdout).with_context(|| format!("netsonde printed no document (exit {code})"))?;
    Ok((document, code))
}

fn fill(argument: &str, family: Family) -> String {
    let url = |address: &str| if family == Family::V6 { format!("[{address}]") } else { address.to_owned() };
    let server = if family == Family::V6 { SERVER_V6 } else { SERVER_V4 };
    let plain = argument.replace("{s}", server).replace("{url}", &url(server)).replace("{family}", family.name());
    (1..=9).fold(plain, |text, number| {
        let address = router(number, family);
        text.replace(&format!("{{r{number}}}"), &url(&address)).replace(&format!("{{r{number}.plain}}"), &address)
    })
}

fn each_family(name: &str) -> Vec<String> {
    let mut names: Vec<String> = [Family::V4, Family::V6].iter().map(|family| fill(name, *family)).collect();
    names.dedup();
    names
}

impl Trial {
    pub(crate) fn name(&self) -> String {
        let stage = match self.stage {
            Stage::Healthy => "off",
            Stage::Fault => "on",
            Stage::Odd => "odd",
        };
        format!("{} {stage} {} {}", self.scenario, self.family.name(), self.user.name())
    }

    /// What netsonde said, where it said anything.
    pub(crate) fn document(&self) -> Option<&Document> {
        self.answer.as_ref().ok().map(|(document, _)| document)
    }

    /// What the answer was held against: what that is to it, and what it showed.
    pub(crate) fn held(&self) -> Option<(ControlRelation, &Document)> {
        let relation = self.document()?.control.as_ref()?.relation;
        Some((relation, self.other.as_ref()?))
    }

    /// The causes that are right wherever they stand among the findings; none where nothing is wrong.
    pub(crate) fn right_causes(&self) -> Vec<&str> {
        let Some(expect) = &self.expect else { return Vec::new() };
        let listed = expect.or.iter().chain(&expect.behind).chain(expect.named.iter().flatten());
        std::iter::once(&expect.cause).chain(listed).map(String::as_str).collect()
    }

    pub(crate) fn expected_cause(&self) -> &str {
        self.expect.as_ref().map_or("nothing", |expect| expect.cause.as_str())
    }

    /// The first cause that is more than a notice, or what else was said.
    pub(crate) fn said(&self) -> String {
        match &self.answer {
            Err(_) => "no answer".into(),
            Ok((document, _)) => match document.findings.iter().find(|finding| finding.severity >= Severity::Degraded) {
                Some(finding) => finding.cause.clone(),
                None if document.unexplained.iter().any(|failure| failure.required) => "unexplained".into(),
                None => "nothing".into(),
            },
        }
    }

    /// What is wrong with the answer; none where it is right.
    pub(crate) fn fault(&self) -> Option<String> {
        let (document, code) = match &self.answer {
            Ok(answer) => answer,
            Err(error) => return Some(format!("{error:#}")),
        };
        let said = self.said();
        if let Some(notice) = &self.notice
            && !document.findings.iter().any(|finding| finding.severity == Severity::Notice && finding.cause == *notice)
        {
            return Some(format!("no notice of {notice}"));
        }
        let held = || self.control.as_ref().and_then(|control| vantage::fault(control, document, self.stage));
        let Some(expect) = &self.expect else {
            let wrong = said != "nothing" || *code != 0;
            return wrong.then(|| format!("nothing is wrong, but netsonde said {said} and ended with {code}")).or_else(held);
        };
        if said != expect.cause && !expect.or.contains(&said) {
            return Some(format!("expected {}", expect.cause));
        }
        if let Some(missing) = expect.named.iter().find(|causes| !document.findings.iter().any(|f| causes.contains(&f.cause))) {
            return Some(format!("did not name {}", missing.join(" or ")));
        }
        if *code != expect.exit {
            return Some(format!("ended with {code} instead of {}", expect.exit));
        }
        let first = document.findings.first()?;
        if expect.hop.is_some() && first.place.hop != expect.hop {
            return Some(format!("named hop {:?} instead of {:?}", first.place.hop, expect.hop));
        }
        if expect.places.iter().any(|place| placing::named(place, document) == Some(Named::Wrong)) {
            return Some(format!("named the wrong place: {:?}", first.place));
        }
        if let Some(least) = expect.least.filter(|least| first.confidence < *least) {
            return Some(format!("sure to {} only, instead of {least}", first.confidence));
        }
        if let (Some(below), Some(alone)) = (expect.alone_below, &self.alone) {
            let (alone, _) = match alone {
                Ok(alone) => alone,
                Err(error) => return Some(format!("without follow-ups: {error:#}")),
            };
            let named = alone.findings.iter().find(|finding| finding.cause == expect.cause);
            if let Some(named) = named.filter(|named| named.confidence >= below) {
                return Some(format!("sure to {} without any follow-up", named.confidence));
            }
        }
        // Nothing that is wrong may be told beside what is: a remark may, unless the scenario is a near miss of its cause.
        let is_right = |cause: &String| {
            let named = expect.named.iter().flatten();
            *cause == expect.cause || expect.or.iter().chain(&expect.behind).chain(named).any(|right| right == cause)
        };
        let wrongly = document.findings.iter().find(|finding| {
            expect.never.contains(&finding.cause) || (finding.severity >= Severity::Degraded && !is_right(&finding.cause))
        });
        wrongly.map(|finding| format!("also said {}", finding.cause)).or_else(held)
    }
}
