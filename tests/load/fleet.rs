use crate::backend::Backend;
use crate::organisation::Organisation;
use crate::path::Path;
use anyhow::{Context, Result, bail};
use jiff::SignedDuration;
use netsonde_agent::load::{Agent, Clock, Heard, Way};
use netsonde_contract::enrolment::{Enrolment, EnrolmentCode};
use netsonde_contract::id::OrderId;
use netsonde_contract::order::Addressee;
use netsonde_contract::pin::Pin;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// So many enrol at once.
const TOGETHER: usize = 32;
/// Of so many agents one has a disk, from which it begins anew when it is killed; more of them in a large fleet would measure the disk …
const DISK_EVERY: usize = 20;
/// … so that about so many have one at most.
const DISKS: usize = 100;
/// Whoever has a wrong clock has one that is wrong by this.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Which share of the agents is of what kind, in percent.
#[derive(Clone, Copy, Default)]
pub(crate) struct Mix {
    pub(crate) slow: u32,
    pub(crate) skewed: u32,
    pub(crate) proxied: u32,
    pub(crate) old: u32,
}

/// All agents of a run, and what they have heard.
pub(crate) struct Fleet {
    pub(crate) addressees: Vec<Addressee>,
    pub(crate) log: Arc<Log>,
    idle: Vec<(Agent, Way)>,
    at_work: JoinSet<()>,
}

/// What the agents have heard, as it comes.
pub(crate) struct Log {
    pub(crate) clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Since when each agent asks; none while it does not.
    asking: Vec<Option<Duration>>,
    /// Who has been answered since the last failure.
    answered: Vec<bool>,
    /// When each agent began each order.
    started: HashMap<OrderId, HashMap<usize, Duration>>,
    /// Who has a disk.
    disks: Vec<bool>,
    /// At the start of this order everybody with a disk is killed.
    deadly: Option<OrderId>,
    tally: Tally,
}

/// How often what happened.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    /// Agents that were killed when they had noted an order and told nobody, and began anew.
    pub(crate) killed: usize,
    pub(crate) again: usize,
    pub(crate) twice: usize,
    pub(crate) skewed: usize,
    pub(crate) no_answer: usize,
    pub(crate) not_now: BTreeMap<String, usize>,
    pub(crate) not_verified: BTreeMap<String, usize>,
    pub(crate) refused: BTreeMap<String, usize>,
}

impl Log {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Breaks off where the agent is killed.
    fn hear(&self, agent: usize, heard: Heard) -> ControlFlow<()> {
        let now = self.clock.now();
        let mut state = self.state();
        if heard == Heard::Asks {
            state.asking[agent] = Some(now);
            return ControlFlow::Continue(());
        }
        if !matches!(heard, Heard::Started(_) | Heard::Again(_) | Heard::NotVerified(_)) {
            state.asking[agent] = None;
        }
        if matches!(heard, Heard::NoAnswer | Heard::NotNow(_) | Heard::Refused(_) | Heard::Answered) {
            state.answered[agent] = heard == Heard::Answered;
        }
        match heard {
            Heard::Started(order) => {
                let is_deadly = state.disks[agent] && state.deadly.as_ref() == Some(&order);
                if state.started.entry(order).or_default().insert(agent, now).is_some() {
                    state.tally.twice += 1;
                } else if is_deadly {
                    state.tally.killed += 1;
                    (state.asking[agent], state.answered[agent]) = (None, false);
                    return ControlFlow::Break(());
                }
            }
            Heard::Again(_) => state.tally.again += 1,
            Heard::NoAnswer => state.tally.no_answer += 1,
            Heard::Skewed => state.tally.skewed += 1,
            Heard::NotNow(why) => *state.tally.not_now.entry(why).or_default() += 1,
            Heard::NotVerified(why) => *state.tally.not_verified.entry(why).or_default() += 1,
            Heard::Refused(why) => *state.tally.refused.entry(why).or_default() += 1,
            Heard::Asks | Heard::Answered => {}
        }
        ControlFlow::Continue(())
    }

    /// Has every agent with a disk killed once it has noted this order and before it tells anybody.
    pub(crate) fn kill_at(&self, order: &OrderId) {
        self.state().deadly = Some(order.clone());
    }

    /// How many agents are held: they were answered since their last failure, or have waited for an answer since before this time.
    pub(crate) fn held_since(&self, time: Duration) -> usize {
        let state = self.state();
        let waits = state.asking.iter().map(|since| since.is_some_and(|since| since <= time));
        waits.zip(&state.answered).filter(|(waits, answered)| *waits || **answered).count()
    }

    /// How many agents began the order.
    pub(crate) fn started(&self, order: &OrderId) -> usize {
        self.state().started.get(order).map_or(0, HashMap::len)
    }

    /// When the agents began the order, in the order of time.
    pub(crate) fn starts(&self, order: &OrderId) -> Vec<Duration> {
        let mut starts: Vec<Duration> =
            self.state().started.get(order).map(|by| by.values().copied().collect()).unwrap_or_default();
        starts.sort_unstable();
        starts
    }

    pub(crate) fn tally(&self) -> Tally {
        self.state().tally.clone()
    }
}

/// What so many agents enrol with.
pub(crate) async fn enrolment(backend: &Backend, organisation: &Organisation, uses: u32) -> Result<Enrolment> {
    let issued = backend.code(uses).await?;
    Ok(Enrolment {
        id: issued.id,
        backend: backend.url.clone(),
        // Without TLS the pin is never looked at; it spares each agent the machine's certificates in memory.
        tls_pin: Some(backend.tls_pin.clone().unwrap_or_else(|| Pin::of_public_key_info(b"none"))),
        organisation: "Load".into(),
        root: organisation.fingerprint(),
        receipt_key: backend.receipt_key()?,
        expires: issued.expires,
        code: EnrolmentCode::parse(&issued.code).context("the enrolment code cannot be read")?,
    })
}

impl Fleet {
    /// Enrols `count` agents, each with keys of its own.
    pub(crate) async fn enrol(
        backend: &Backend,
        organisation: &Organisation,
        paths: &Path,
        (count, mix): (usize, Mix),
        clock: Clock,
        folder: &std::path::Path,
    ) -> Result<Self> {
        let enrolment = Arc::new(enrolment(backend, organisation, u32::try_from(count)?).await?);
        let (mut idle, mut enrolling) = (Vec::with_capacity(count), JoinSet::new());
        let mut next = 0;
        while idle.len() < count {
            while next < count && enrolling.len() < TOGETHER {
                let has_disk = next % DISK_EVERY.max(count / DISKS) == 0;
                let state = has_disk.then(|| folder.join(format!("agent-{next}")));
                let (enrolment, way) = (Arc::clone(&enrolment), Way { state, ..way(next, count, mix, paths)? });
                enrolling.spawn(async move { Ok::<_, String>((Agent::enrol(&enrolment, &way, clock).await?, way)) });
                next += 1;
            }
            match enrolling.join_next().await {
                Some(Ok(Ok(agent))) => idle.push(agent),
                Some(Ok(Err(why))) => bail!("agent {next} could not enrol: {why}"),
                _ => bail!("an agent ended while it enrolled"),
            }
        }
        let log = Arc::new(Log { clock, state: Mutex::default() });
        {
            let mut state = log.state();
            (state.asking, state.answered) = (vec![None; count], vec![false; count]);
            // They are in the order in which they had enrolled.
            state.disks = idle.iter().map(|(_, way): &(Agent, Way)| way.state.is_some()).collect();
        }
        let addressees = idle.iter().map(|(agent, _)| agent.addressee()).collect();
        Ok(Self { addressees, log, idle, at_work: JoinSet::new() })
    }

    /// Sets the agents to work, spread evenly over `ramp`.
    pub(crate) fn go(&mut self, ramp: Duration) {
        let count = u32::try_from(self.idle.len()).unwrap_or(u32::MAX).max(1);
        for (number, (mut agent, way)) in self.idle.drain(..).enumerate() {
            let log = Arc::clone(&self.log);
            let after = ramp / count * u32::try_from(number).unwrap_or(u32::MAX);
            self.at_work.spawn(async move {
                tokio::time::sleep(after).await;
                loop {
                    agent.work(|heard| log.hear(number, heard)).await;
                    match Agent::again(&way, log.clock) {
                        Ok(another) => agent = another,
                        Err(why) => {
                            let _ = log.hear(number, Heard::Refused(why));
                            return;
                        }
                    }
                }
            });
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.addressees.len()
    }
}

/// The shares lie beside each other: first the slow agents, then those with a wrong clock, those behind a proxy, those of an older version.
fn way(number: usize, count: usize, mix: Mix, paths: &Path) -> Result<Way> {
    let percent = u32::try_from(number * 100 / count.max(1))?;
    let [_, high, middle, low] = u32::try_from(number)?.to_be_bytes();
    // Agents come from many addresses, as they would; all of them are this machine's.
    let source = Some(IpAddr::V4(Ipv4Addr::new(127, high.saturating_add(1), middle, low)));
    let direct = Way { source, ..Way::default() };
    Ok(if percent < mix.slow {
        Way { proxy: Some(paths.slow.clone()), source: None, ..direct }
    } else if percent < mix.slow + mix.skewed {
        Way { skew: SKEW, ..direct }
    } else if percent < mix.slow + mix.skewed + mix.proxied {
        Way { proxy: Some(paths.proxy.clone()), source: None, ..direct }
    } else if percent < mix.slow + mix.skewed + mix.proxied + mix.old {
        Way { old: true, ..direct }
    } else {
        direct
    })
}
