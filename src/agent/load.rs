//! Agents in the memory of one process, thousands of them, for measuring a backend under load.
//!
//! Enrolment, transport, pace and the verification of orders are the agent's own. Left out are the disk, the policy and the measuring: an
//! order that verifies has started, and is noted in memory as taken.

use crate::bundling;
use crate::identity::{Enrolling, Identity, accept, anchor_of};
use crate::stop::Stop;
use crate::transport::{Asker, Client, Event, Fault, Machine, Next};
use crate::upload::Backend;
use ed25519_dalek::SigningKey;
use jiff::SignedDuration;
use netsonde_contract::api::fleet::{CheckIn, DeliveryState, Introduce, PolicySummary, StateReport, Work, WorkItem};
use netsonde_contract::api::protocol::Protocol;
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::enrolment::Enrolment;
use netsonde_contract::id::OrderId;
use netsonde_contract::kind::Kind;
use netsonde_contract::order::{Addressee, Epoch, Epochs, Situation, verify};
use netsonde_contract::trust::Anchor;
pub use netsonde_probes::clock::Clock;
use netsonde_probes::context::ProxyChoice;
use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

/// A connection that ended sooner was not cut for being silent; the agent at work counts alike.
const HELD_AT_ALL: Duration = Duration::from_secs(5);
/// How often a report is tried that the backend did not hear.
const REPORT_TRIES: u32 = 20;
/// Between two tries.
const REPORT_REST: Duration = Duration::from_secs(2);

/// How one of the agents reaches the backend.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// An HTTP proxy's URL.
    pub proxy: Option<String>,
    /// The address that it comes from.
    pub source: Option<IpAddr>,
    /// How wrong its clock is at first, as its signatures show it.
    pub skew: SignedDuration,
    /// It is of an older version, and says of itself only what that one did.
    pub old: bool,
}

/// What happens to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It asks for work from now on.
    Asks,
    /// The request for work was answered.
    Answered,
    /// An order verified, for the first time.
    Started(OrderId),
    /// An order that was taken before came again and was refused.
    Again(OrderId),
    /// An order came that no agent would run; why.
    NotVerified(String),
    /// The connection gave no answer.
    NoAnswer,
    /// The backend said that it cannot now.
    NotNow(String),
    /// The signer's clock was set right.
    Skewed,
    /// The backend refused; why.
    Refused(String),
}

/// An enrolled agent without a disk.
pub struct Agent {
    client: Client,
    identity: Identity,
    anchor: Anchor,
    epochs: Epochs,
    asker: Asker,
    protocol: Protocol,
    link: Option<String>,
    clock: Clock,
    pace: Machine,
    cursor: u64,
    taken: HashSet<OrderId>,
}

impl Agent {
    /// Enrols a new agent with the code of `enrolment`.
    ///
    /// # Errors
    /// In words, where the backend cannot be reached, refuses, or shows another root.
    pub async fn enrol(enrolment: &Enrolment, way: &Way, clock: Clock) -> Result<Self, String> {
        let random = || crate::state::random::<32>().map_err(words);
        let enrolling =
            Enrolling::fresh(enrolment, &SigningKey::from_bytes(&random()?), Some("load".to_owned())).map_err(words)?;
        let Enrolling { identity, introduction } = enrolling;
        let proxy = way.proxy.clone().map_or(ProxyChoice::None, ProxyChoice::Url);
        let backend = Backend::from(&identity.backend, identity.tls_pin.as_ref(), &proxy, way.source)?;
        let client = Client::over(backend, &identity, clock).map_err(words)?;
        let epoch = Epoch::from_bytes(crate::state::random::<16>().map_err(words)?);
        let epochs = Epochs::begin(epoch, None, Duration::ZERO);
        let instance = hexadecimal(&crate::state::random::<16>().map_err(words)?);
        let protocol = if way.old { Protocol::OLDEST } else { Protocol::NEWEST };
        let body = Introduce { introduction, check_in: check_in(&epochs.current, &instance, protocol, None) };
        let answer = client.introduce(&body).await.map_err(|fault| fault.to_string())?;
        let anchor = anchor_of(&answer.trust, &identity.root).map_err(|error| error.to_string())?;
        if answer.protocol != protocol {
            return Err(format!("the backend speaks version {} with an agent of version {protocol}", answer.protocol));
        }
        if way.skew != SignedDuration::ZERO {
            client.believe(clock.wall() + way.skew);
        }
        let link = Some(answer.link);
        Ok(Self {
            client,
            identity,
            anchor,
            epochs,
            asker: Asker::new(instance),
            protocol,
            link,
            clock,
            pace: Machine::new(),
            cursor: 0,
            taken: HashSet::new(),
        })
    }

    /// What an order names it by.
    pub fn addressee(&self) -> Addressee {
        Addressee { agent: self.identity.agent.clone(), epoch: self.epochs.current.clone() }
    }

    /// Asks for work and verifies what comes, for ever.
    pub async fn work(mut self, mut hear: impl FnMut(Heard)) {
        loop {
            let event = match self.pace.next(self.clock.now()) {
                Next::Rest(rest) => {
                    tokio::time::sleep(rest).await;
                    Event::Rested
                }
                Next::CheckIn => self.check_in(&mut hear).await,
                Next::Ask { wait } => self.ask(wait, &mut hear).await,
            };
            self.pace.handle(event, self.clock.now(), chance());
        }
    }

    async fn check_in(&mut self, hear: &mut impl FnMut(Heard)) -> Event {
        let about = check_in(&self.epochs.current, &self.asker.instance, self.protocol, self.link.clone());
        match self.client.check_in(&about).await {
            Ok(answer) => {
                self.link = Some(answer.link);
                Event::CheckedIn
            }
            Err(fault) => event_of(fault, Duration::ZERO, hear),
        }
    }

    async fn ask(&mut self, wait: u32, hear: &mut impl FnMut(Heard)) -> Event {
        hear(Heard::Asks);
        let began = self.clock.now();
        let asker = self.asker.next();
        let answer = self.client.work(self.cursor, wait, Some(&self.anchor), &asker).await;
        let held = self.clock.now().saturating_sub(began);
        match answer {
            Ok(work) => {
                hear(Heard::Answered);
                self.take(work, hear).await;
                Event::Answered { held }
            }
            Err(fault) => event_of(fault, held.min(Duration::from_secs(wait.into())), hear),
        }
    }

    async fn take(&mut self, work: Work, hear: &mut impl FnMut(Heard)) {
        if let Some(documents) = &work.trust {
            // What is not in order is not taken; orders that rely on it are then refused.
            let _ = accept(&mut self.anchor, documents);
        }
        for item in &work.orders {
            if self.starts(item, hear) {
                self.report(&item.id).await;
            }
        }
        self.cursor = work.cursor;
    }

    fn starts(&mut self, item: &WorkItem, hear: &mut impl FnMut(Heard)) -> bool {
        let taken = |id: &OrderId| self.taken.contains(id);
        let situation = Situation {
            anchor: &self.anchor,
            agent: &self.identity.agent,
            epochs: &self.epochs,
            now: self.clock.wall(),
            taken: &taken,
        };
        match verify(item.envelope.as_bytes(), item.proof.as_ref(), &situation) {
            Ok(verified) => {
                let id = verified.order.id;
                self.taken.insert(id.clone());
                hear(Heard::Started(id));
                true
            }
            Err(_) if self.taken.contains(&item.id) => {
                hear(Heard::Again(item.id.clone()));
                true
            }
            Err(refusal) => {
                hear(Heard::NotVerified(format!("{}: {}", refusal.code.as_str(), refusal.detail)));
                false
            }
        }
    }

    /// Says that the order runs, until the backend has heard it.
    async fn report(&self, order: &OrderId) {
        let running = StateReport { state: DeliveryState::Running, code: None, detail: None, bundle: None };
        for _ in 0..REPORT_TRIES {
            match self.client.state(order, &running).await {
                Ok(()) | Err(Fault::Refused(_)) => return,
                Err(_) => tokio::time::sleep(REPORT_REST.mul_f64(chance())).await,
            }
        }
    }
}

fn check_in(epoch: &Epoch, instance: &str, protocol: Protocol, link: Option<String>) -> CheckIn {
    let build = bundling::build();
    CheckIn {
        epoch: epoch.clone(),
        version: build.version,
        platform: build.target,
        policy: PolicySummary { remote: "allow".to_owned(), paused: false, sha256: None },
        kinds: Kind::ALL.to_vec(),
        instance: instance.to_owned(),
        protocol,
        link,
    }
}

/// The agent at work judges alike.
fn event_of(fault: Fault, held: Duration, hear: &mut impl FnMut(Heard)) -> Event {
    if fault.is_final() {
        hear(Heard::Refused(fault.to_string()));
        return Event::Shut;
    }
    match fault {
        Fault::Skewed => {
            hear(Heard::Skewed);
            Event::Corrected
        }
        Fault::NoAnswer(_) => {
            hear(Heard::NoAnswer);
            if held >= HELD_AT_ALL { Event::Cut { held } } else { Event::Failed { retry_after: None } }
        }
        Fault::NotNow { what, retry_after } => {
            hear(Heard::NotNow(what));
            Event::Failed { retry_after }
        }
        fault => {
            hear(Heard::Refused(fault.to_string()));
            Event::Failed { retry_after: None }
        }
    }
}

fn chance() -> f64 {
    crate::state::random::<4>().map_or(0.5, |bytes| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

fn words(stop: Stop) -> String {
    stop.message
}
