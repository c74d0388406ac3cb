//! Agents in the memory of one process, thousands of them, for measuring a backend under load.
//!
//! Enrolment, transport, pace and the verification of orders are the agent's own. Left out are the policy and the measuring: an order that verifies has
//! started. A few agents have a disk and note there what they took, as the agent at work does, and begin anew from it; the others note it in memory.

use crate::bundling;
use crate::identity::{Enrolling, Home, Identity, accept, anchor_of, held_epochs};
use crate::orders::Taken;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::transport::{Asker, Client, Event, Fault, Machine, Next, event_of};
use crate::upload::Backend;
use ed25519_dalek::SigningKey;
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::api::fleet::{CheckIn, DeliveryState, Introduce, PolicySummary, StateReport, Work, WorkItem};
use netsonde_contract::api::protocol::Protocol;
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::enrolment::Enrolment;
use netsonde_contract::id::OrderId;
use netsonde_contract::kind::Kind;
use netsonde_contract::order::{Addressee, Epoch, Epochs, Order, Situation, verify};
use netsonde_contract::trust::Anchor;
pub use netsonde_probes::clock::Clock;
use netsonde_probes::context::ProxyChoice;
use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Its state directory, where it has a disk.
    pub state: Option<PathBuf>,
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

/// Ids of the orders that an agent took.
enum Noted {
    InMemory(HashSet<OrderId>),
    OnDisk(Taken),
}

impl Noted {
    fn contains(&self, id: &OrderId) -> bool {
        match self {
            Self::InMemory(ids) => ids.contains(id),
            Self::OnDisk(taken) => taken.contains(id),
        }
    }

    fn add(&mut self, order: &Order, epochs: &Epochs, now: Timestamp) -> io::Result<()> {
        match self {
            Self::InMemory(ids) => {
                ids.insert(order.id.clone());
                Ok(())
            }
            Self::OnDisk(taken) => taken.add(&order.id, order.expires, epochs, now),
        }
    }
}

/// An enrolled agent.
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
    taken: Noted,
    state: Option<StateDirectory>,
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
        let client = client(&identity, way, clock)?;
        let state = way.state.as_deref().map(|path| StateDirectory::open(Some(path))).transpose().map_err(words)?;
        let (epochs, taken) = match &state {
            Some(state) => kept(state)?,
            None => {
                let epoch = Epoch::from_bytes(crate::state::random::<16>().map_err(words)?);
                (Epochs::begin(epoch, None, Duration::ZERO), Noted::InMemory(HashSet::new()))
            }
        };
        let asker = asker()?;
        let protocol = protocol(way);
        let body = Introduce { introduction, check_in: check_in(&epochs.current, &asker.instance, protocol, None) };
        let answer = client.introduce(&body).await.map_err(|fault| fault.to_string())?;
        let anchor = anchor_of(&answer.trust, &identity.root).map_err(|error| error.to_string())?;
        if answer.protocol != protocol {
            return Err(format!("the backend speaks version {} with an agent of version {protocol}", answer.protocol));
        }
        if let Some(home) = state.as_ref().map(Home::of) {
            let kept = home.save_anchor(&anchor).and_then(|()| home.save_link(&answer.link));
            kept.and_then(|()| home.save_identity(&identity)).map_err(|error| error.to_string())?;
        }
        if way.skew != SignedDuration::ZERO {
            client.believe(clock.wall() + way.skew);
        }
        let link = Some(answer.link);
        let pace = Machine::new();
        Ok(Self { client, identity, anchor, epochs, asker, protocol, link, clock, pace, cursor: 0, taken, state })
    }

    /// Another process of an agent that ended: it has what its state directory has, and nothing else.
    ///
    /// # Errors
    /// In words, where the way names no state directory, or what is there cannot be read.
    pub fn again(way: &Way, clock: Clock) -> Result<Self, String> {
        let state = way.state.as_deref().and_then(|path| StateDirectory::existing(Some(path)));
        let state = state.ok_or("an agent without a disk cannot begin anew")?;
        let home = Home::of(&state);
        let identity = home.enrolled().map_err(words)?;
        let anchor = home.anchor().map_err(words)?.ok_or("there is no anchor on its disk")?;
        let link = home.link();
        let (epochs, taken) = kept(&state)?;
        let (client, asker, pace) = (client(&identity, way, clock)?, asker()?, Machine::new());
        let (protocol, state) = (protocol(way), Some(state));
        Ok(Self { client, identity, anchor, epochs, asker, protocol, link, clock, pace, cursor: 0, taken, state })
    }

    /// What an order names it by.
    pub fn addressee(&self) -> Addressee {
        Addressee { agent: self.identity.agent.clone(), epoch: self.epochs.current.clone() }
    }

    /// Asks for work and verifies what comes, until `hear` breaks off at an order that has started: it ends then as a process that is killed, which
    /// has noted the order and told nobody.
    pub async fn work(mut self, mut hear: impl FnMut(Heard) -> ControlFlow<()>) {
        loop {
            let event = match self.pace.next(self.clock.now()) {
                Next::Rest(rest) => {
                    tokio::time::sleep(rest).await;
                    Event::Rested
                }
                Next::CheckIn => self.check_in(&mut hear).await,
                Next::Ask { wait } => match self.ask(wait, &mut hear).await {
                    ControlFlow::Continue(event) => event,
                    ControlFlow::Break(()) => return,
                },
            };
            self.pace.handle(event, self.clock.now(), chance());
        }
    }

    async fn check_in(&mut self, hear: &mut impl FnMut(Heard) -> ControlFlow<()>) -> Event {
        let about = check_in(&self.epochs.current, &self.asker.instance, self.protocol, self.link.clone());
        match self.client.check_in(&about).await {
            Ok(answer) => {
                // Where the disk refuses, its next process is taken for a copy, which the report then shows.
                let _ = self.state.as_ref().map(|state| Home::of(state).save_link(&answer.link));
                self.link = Some(answer.link);
                Event::CheckedIn
            }
            Err(fault) => not_heard(&fault, Duration::ZERO, hear),
        }
    }

    async fn ask(&mut self, wait: u32, hear: &mut impl FnMut(Heard) -> ControlFlow<()>) -> ControlFlow<(), Event> {
        let _ = hear(Heard::Asks);
        let asker = self.asker.next();
        let (held, answer) = self.client.work(self.cursor, wait, Some(&self.anchor), &asker).await;
        match answer {
            Ok(work) => {
                let _ = hear(Heard::Answered);
                self.take(work, hear).await?;
                ControlFlow::Continue(Event::Answered { held })
            }
            Err(fault) => ControlFlow::Continue(not_heard(&fault, held, hear)),
        }
    }

    async fn take(&mut self, work: Work, hear: &mut impl FnMut(Heard) -> ControlFlow<()>) -> ControlFlow<()> {
        if let Some(documents) = &work.trust {
            // What is not in order is not taken; orders that rely on it are then refused.
            let _ = accept(&mut self.anchor, documents);
        }
        for item in &work.orders {
            if self.starts(item, hear)? {
                self.report(&item.id).await;
            }
        }
        self.cursor = work.cursor;
        ControlFlow::Continue(())
    }

    fn starts(&mut self, item: &WorkItem, hear: &mut impl FnMut(Heard) -> ControlFlow<()>) -> ControlFlow<(), bool> {
        let taken = |id: &OrderId| self.taken.contains(id);
        let situation = Situation {
            anchor: &self.anchor,
            agent: &self.identity.agent,
            epochs: &self.epochs,
            now: self.clock.wall(),
            taken: &taken,
        };
        let refused = match verify(item.envelope.as_bytes(), item.proof.as_ref(), &situation) {
            Ok(verified) => match self.taken.add(&verified.order, &self.epochs, self.clock.wall()) {
                Ok(()) => {
                    hear(Heard::Started(verified.order.id))?;
                    return ControlFlow::Continue(true);
                }
                Err(error) => format!("it could not be noted: {error}"),
            },
            Err(_) if self.taken.contains(&item.id) => {
                let _ = hear(Heard::Again(item.id.clone()));
                return ControlFlow::Continue(true);
            }
            Err(refusal) => format!("{}: {}", refusal.code.as_str(), refusal.detail),
        };
        let _ = hear(Heard::NotVerified(refused));
        ControlFlow::Continue(false)
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

fn client(identity: &Identity, way: &Way, clock: Clock) -> Result<Client, String> {
    let proxy = way.proxy.clone().map_or(ProxyChoice::None, ProxyChoice::Url);
    let backend = Backend::from(&identity.backend, identity.tls_pin.as_ref(), &proxy, way.source)?;
    Client::over(backend, identity, clock).map_err(words)
}

fn protocol(way: &Way) -> Protocol {
    if way.old { Protocol::OLDEST } else { Protocol::NEWEST }
}

fn asker() -> Result<Asker, String> {
    Ok(Asker::new(hexadecimal(&crate::state::random::<16>().map_err(words)?)))
}

/// What a state directory has of epochs and of orders that were taken.
fn kept(state: &StateDirectory) -> Result<(Epochs, Noted), String> {
    let taken = Taken::open(state).map_err(|error| error.to_string())?;
    Ok((held_epochs(&Home::of(state)).map_err(words)?, Noted::OnDisk(taken)))
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

/// What a request that failed means to the pace, as the agent at work has it.
fn not_heard(fault: &Fault, held: Duration, hear: &mut impl FnMut(Heard) -> ControlFlow<()>) -> Event {
    // Only an order's start is an end.
    let _ = hear(match fault {
        Fault::Skewed => Heard::Skewed,
        Fault::NoAnswer(_) | Fault::Unreachable(_) => Heard::NoAnswer,
        Fault::NotNow { what, .. } => Heard::NotNow(what.clone()),
        Fault::Interposed { status, .. } => Heard::NotNow(format!("HTTP status {status}")),
        fault => Heard::Refused(fault.to_string()),
    });
    event_of(fault, held)
}

fn chance() -> f64 {
    crate::state::random::<4>().map_or(0.5, |bytes| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

fn words(stop: Stop) -> String {
    stop.message
}
