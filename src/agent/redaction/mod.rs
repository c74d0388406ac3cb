//! Takes out what must not leave the machine, before anything is signed or printed.
//!
//! It works on typed fields: every field of a document is a name, an address, a URL, a header, a digest, a word of a closed
//! vocabulary or a text, and each of these has its own file here. Conclusions are not redacted but drawn again from the redacted
//! facts, so that no sentence can carry what its fact has lost. What was taken out is counted by reason.

/// What a run was asked.
mod asked;
/// The first words of other protocols.
mod banner;
/// `NO_PROXY`.
mod exclusion;
/// Facts of the machine and of each kind of measurement.
mod facts;
/// Response headers.
mod header;
/// Facts about the machine itself.
mod host;
/// Names that announce a secret.
mod label;
/// Names of network interfaces.
mod link;
/// Keyed tokens for names and addresses.
mod mapping;
/// The parameters of checks.
mod parameters;
/// What goes to the terminal.
mod printed;
/// Words of standards and data of the public DNS, which only look like secrets.
mod public;
/// How scheduled checks are.
mod series;
/// Texts written by systems, libraries and servers.
mod text;
/// What looks like a secret.
mod token;
/// URLs and paths.
mod url;

pub(crate) use mapping::MappingKey;
pub(crate) use printed::{Printed, remark};
pub(crate) use series::{scheduled_without_names, without_names};

use netsonde_contract::document::{Document, Run};
use netsonde_contract::environment::{Confinement, Environment};
use netsonde_contract::failure::{Failure, FailureCode, IcmpError};
use netsonde_contract::observation::{Fact, Observation};
use netsonde_contract::outcome::{Note, Outcome};
use netsonde_contract::pin::Pin;
use netsonde_contract::redaction::{Level, RedactionReport};
use netsonde_contract::target::Target;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

/// How much to take out, and what it takes to do so.
pub(crate) enum Redaction<'a> {
    None,
    Default,
    Strict(&'a MappingKey),
}

/// The redacted document, with conclusions drawn from what is left, and the count of what went.
pub(crate) fn redact(document: &Document, redaction: Redaction<'_>, user_names: &[String]) -> (Document, RedactionReport) {
    let level = match redaction {
        Redaction::None => Level::None,
        Redaction::Default => Level::Default,
        Redaction::Strict(_) => Level::Strict,
    };
    let key = match redaction {
        Redaction::None => return (document.clone(), RedactionReport { level, removed: BTreeMap::new() }),
        Redaction::Default => None,
        Redaction::Strict(key) => Some(key),
    };
    let mut redactor = Redactor::new(key, user_names);
    redactor.target_hosts = document.run.targets.iter().map(|target| target.host.clone()).collect();
    if redactor.is_strict() {
        redactor.know_names_of(document);
    }
    let environment = redactor.environment(&document.environment);
    let outcomes: Vec<Outcome> = document.outcomes.iter().map(|outcome| redactor.outcome(outcome)).collect();
    let run = redactor.run(&document.run, &outcomes);
    let diagnosis = netsonde_diagnosis::diagnose(&outcomes, &environment);
    let redacted = Document {
        schema: document.schema.clone(),
        run,
        environment,
        state: diagnosis.state,
        bundle: None,
        findings: diagnosis.findings,
        unexplained: diagnosis.unexplained,
        not_measured: diagnosis.not_measured,
        control: None,
        outcomes,
    };
    let removed = redactor.removed.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
    (redacted, RedactionReport { level, removed })
}

/// Redacts the outcomes of a run that goes on, as the run's bundle will hold them.
pub(crate) struct Stream<'a>(Option<Redactor<'a>>);

impl<'a> Stream<'a> {
    /// For a run of `targets` on the machine of that name.
    pub(crate) fn new(redaction: Redaction<'a>, targets: &[Target], hostname: &str, user_names: &'a [String]) -> Self {
        let key = match redaction {
            Redaction::None => return Self(None),
            Redaction::Default => None,
            Redaction::Strict(key) => Some(key),
        };
        let mut redactor = Redactor::new(key, user_names);
        redactor.target_hosts = targets.iter().map(|target| target.host.clone()).collect();
        if redactor.is_strict() {
            let names = redactor.target_hosts.iter().cloned().chain([hostname.to_owned()]);
            redactor.known_names = names.filter(|name| !name.is_empty() && name.parse::<IpAddr>().is_err()).collect();
        }
        Self(Some(redactor))
    }

    pub(crate) fn observation(&mut self, observation: Observation) -> Observation {
        match &mut self.0 {
            Some(redactor) => redactor.observation(&observation),
            None => observation,
        }
    }

    pub(crate) fn outcome(&mut self, outcome: Outcome) -> Outcome {
        match &mut self.0 {
            Some(redactor) => redactor.outcome(&outcome),
            None => outcome,
        }
    }
}

struct Redactor<'a> {
    key: Option<&'a MappingKey>,
    user_names: &'a [String],
    /// Names that the run is about, which at the strict level are also looked for within texts.
    known_names: Vec<String>,
    /// The hosts that the run is about.
    target_hosts: Vec<String>,
    mapped_addresses: HashMap<IpAddr, IpAddr>,
    removed: BTreeMap<&'static str, u64>,
}

impl<'a> Redactor<'a> {
    fn new(key: Option<&'a MappingKey>, user_names: &'a [String]) -> Self {
        Self {
            key,
            user_names,
            known_names: Vec::new(),
            target_hosts: Vec::new(),
            mapped_addresses: HashMap::new(),
            removed: BTreeMap::new(),
        }
    }

    fn count(&mut self, reason: &'static str) {
        *self.removed.entry(reason).or_default() += 1;
    }

    fn is_strict(&self) -> bool {
        self.key.is_some()
    }

    fn is_user_name(&self, word: &str) -> bool {
        self.user_names.iter().any(|name| name.eq_ignore_ascii_case(word))
    }

    fn is_known_name(&self, word: &str) -> bool {
        self.known_names.iter().any(|name| name.eq_ignore_ascii_case(word))
    }

    /// The names that stand in fields of their own.
    fn know_names_of(&mut self, document: &Document) {
        let targets = document.run.targets.iter().map(|target| target.host.clone());
        let names = targets.chain([document.environment.hostname.clone()]);
        let observations = document.outcomes.iter().flat_map(|outcome| &outcome.observations);
        let links = observations.filter_map(|observation| match &observation.fact {
            Fact::Interface(interface) if !link::is_systems_own(&interface.name) => Some(interface.name.clone()),
            _ => None,
        });
        self.known_names = names.chain(links).filter(|name| !name.is_empty() && name.parse::<IpAddr>().is_err()).collect();
    }

    /// A host name, or an address written as text. Names of what was asked for stay at the default level: without them a network
    /// case is worthless. What cannot be a name is treated as a text.
    fn name(&mut self, name: &str) -> String {
        if let Ok(address) = name.parse::<IpAddr>() {
            return self.address(address).to_string();
        }
        let can_be_one = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '*'));
        match self.key {
            None if !can_be_one => self.text(name),
            _ => self.public_name(name),
        }
    }

    /// A name in any form, such as a certificate's subject, that its owner publishes.
    fn public_name(&mut self, name: &str) -> String {
        match self.key {
            Some(key) if !name.is_empty() => {
                self.count("name");
                key.name(name)
            }
            _ => name.to_owned(),
        }
    }

    fn names(&mut self, names: &[String]) -> Vec<String> {
        names.iter().map(|name| self.name(name)).collect()
    }

    fn address(&mut self, address: IpAddr) -> IpAddr {
        let Some(key) = self.key else { return address };
        let mapped = *self.mapped_addresses.entry(address).or_insert_with(|| key.address(address));
        if mapped != address {
            self.count("address");
        }
        mapped
    }

    fn addresses(&mut self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        addresses.iter().map(|address| self.address(*address)).collect()
    }

    fn socket(&mut self, socket: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.address(socket.ip()), socket.port())
    }

    /// A digest in hexadecimal; anything else in its place is no digest and goes.
    fn digest(&mut self, digest: &str) -> String {
        if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) {
            return digest.to_owned();
        }
        self.count("unusual_word");
        "[redacted]".to_owned()
    }

    /// A certificate's fingerprint as it was typed, or a key's; anything else in its place goes.
    fn fingerprint(&mut self, text: &str) -> String {
        let plain = text.replace(':', "");
        match plain.len() == 64 || text.parse::<Pin>().is_err() {
            true => self.digest(&plain),
            false => text.to_owned(),
        }
    }

    fn failure(&mut self, failure: &Failure) -> Failure {
        let code = match &failure.code {
            FailureCode::Other(word) => FailureCode::Other(self.word(word)),
            known => known.clone(),
        };
        Failure {
            code,
            during: failure.during,
            text: self.text(&failure.text),
            os_error: failure.os_error,
            icmp: failure.icmp.as_ref().map(|icmp| self.icmp(icmp)),
        }
    }

    fn icmp(&mut self, icmp: &IcmpError) -> IcmpError {
        IcmpError { offender: self.address(icmp.offender), ..icmp.clone() }
    }

    fn target(&mut self, target: &Target) -> Target {
        let redacted = Target {
            text: String::new(),
            scheme: target.scheme,
            host: self.name(&target.host),
            port: target.port,
            path: target.path.as_deref().map(|path| self.path(path)),
        };
        // What was typed says nothing that the parts do not say, and may say more than may leave.
        Target { text: redacted.to_string(), ..redacted }
    }

    /// `outcomes` are redacted already.
    fn run(&mut self, run: &Run, outcomes: &[Outcome]) -> Run {
        Run {
            targets: run.targets.iter().map(|target| self.target(target)).collect(),
            limits_hit: run.limits_hit.iter().map(|limit| self.text(limit)).collect(),
            asked: run.asked.as_deref().map(|asked| Box::new(self.asked(asked, outcomes))),
            ..run.clone()
        }
    }

    fn environment(&mut self, environment: &Environment) -> Environment {
        Environment {
            version: self.word(&environment.version),
            os: self.word(&environment.os),
            os_release: self.text(&environment.os_release),
            kernel: self.text(&environment.kernel),
            architecture: self.word(&environment.architecture),
            hostname: self.name(&environment.hostname),
            confinement: environment.confinement.as_ref().map(|confinement| Confinement {
                files: confinement.files.as_ref().map(|how| self.text(how)),
                capabilities: confinement.capabilities.iter().map(|name| self.word(name)).collect(),
            }),
            ..environment.clone()
        }
    }

    fn outcome(&mut self, outcome: &Outcome) -> Outcome {
        Outcome {
            target: outcome.target.as_ref().map(|target| self.target(target)),
            parameters: self.parameters(outcome.kind, &outcome.parameters),
            note: outcome.note.as_ref().map(|note| self.note(note)),
            observations: outcome.observations.iter().map(|observation| self.observation(observation)).collect(),
            ..outcome.clone()
        }
    }

    fn note(&mut self, note: &Note) -> Note {
        Note { why: self.text(&note.why), grant: note.grant.as_deref().map(|grant| self.text(grant)) }
    }
}

#[cfg(test)]
pub(crate) mod tests;
