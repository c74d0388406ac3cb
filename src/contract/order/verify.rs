use super::{
    Addressee, Addressees, Deep, Epochs, MAX_BYTES, MAX_LISTED, MAX_SIGNATURES, MAX_WINDOW, MEDIA_TYPE, MerkleProof, Order,
    Refusal, RefusalCode,
};
use crate::dsse::Envelope;
use crate::harmless::is_clean;
use crate::id::{AgentId, CaseId, OrderId};
use crate::set::{MAX_SET_BYTES, Plan, ProbeSet, Request};
use crate::size::MAX_RUN_BYTES;
use crate::trust::{Anchor, KeyList, PublicKey, Role, TrustError, fingerprint};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// A clock may be this far behind what it has seen signed: other people's clocks are not right to the second either.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// Words to the person at the machine are a line each.
const MAX_WORDS: usize = 500;

/// What the agent knows when an order comes.
pub struct Situation<'a> {
    pub anchor: &'a Anchor,
    pub agent: &'a AgentId,
    pub epochs: &'a Epochs,
    /// By the machine's wall clock, which may only refuse.
    pub now: Timestamp,
    /// Whether an order of this id was taken before.
    pub taken: &'a dyn Fn(&OrderId) -> bool,
}

/// An order that is what it says, for this agent, now.
#[derive(Clone, Debug)]
pub struct Verified {
    pub order: Order,
    pub set: ProbeSet,
    /// What it comes to: without the machine's own proxies, until whoever knows them has planned with them.
    pub plan: Plan,
    /// What it runs besides for a target that becomes failing.
    pub deep: Option<Deep>,
    /// Who signed, of those whose signatures count.
    pub signers: Vec<PublicKey>,
    /// This is the agent that serves: what it sends are answers only.
    pub serves: bool,
    /// The agent's place among the order's, from 0.
    pub place: u64,
}

/// Whether the order in `json` may be put before the machine's policy.
///
/// What says that a signature is missing is looked at before anything that the order says of itself.
///
/// # Errors
/// The first thing that speaks against it.
pub fn verify(json: &[u8], proof: Option<&MerkleProof>, situation: &Situation<'_>) -> Result<Verified, Refusal> {
    use RefusalCode as Code;
    if json.len() > MAX_BYTES {
        return Err(Code::Malformed.because(format!("the order is larger than {MAX_BYTES} bytes")));
    }
    let envelope = Envelope::from_json(json).map_err(|error| Code::Malformed.because(error.to_string()))?;
    let (order, signers) = signed_order(&envelope, situation)?;
    check_form(&order)?;
    check_time(&order, situation)?;
    check_addressee(&order, proof, situation)?;
    if (situation.taken)(&order.id) {
        return Err(Code::Replayed.because(format!("the order {} was taken before", order.id.short())));
    }
    let unusable = |what: String| Code::UnusableSet.because(what);
    let set = ProbeSet::parse("the order's set", &order.set).map_err(|error| unusable(error.to_string()))?;
    let request = Request { targets: order.targets.clone(), parameters: order.parameters.clone(), ..Request::default() };
    let plan = set.plan(&request).map_err(|error| unusable(error.to_string()))?.of_at_most(order.bytes);
    if let Some(repeat) = &order.repeat {
        repeat.check_plan(&plan).map_err(unusable)?;
    }
    let deep = Deep::of(&order, &order.targets, |_| BTreeMap::new()).map_err(unusable)?;
    let serves = order.serve.as_ref().is_some_and(|serve| serve.agent == *situation.agent);
    let plan = match &order.serve {
        Some(serve) if serves => serve.plan(plan),
        _ => plan,
    };
    let place = order.agents.place(situation.agent, proof);
    Ok(Verified { order, set, plan, deep, signers, serves, place })
}

/// The order in `json`, where enough keys of the newest list signed it, whether or not that list still lives, and whatever else speaks against
/// it. An order that was refused is known by this: it is not to run later under the same id.
pub fn signed(json: &[u8], anchor: &Anchor) -> Option<Order> {
    let list = anchor.list().filter(|_| json.len() <= MAX_BYTES)?;
    let (order, found) = read_signed(&Envelope::from_json(json).ok()?, list).ok()?;
    let is_enough = found.len() >= order.needed_signatures().max(list.order.threshold);
    (is_enough && order.organisation == *anchor.organisation()).then_some(order)
}

impl Verified {
    /// The same order as if its deep set were all that it asks for, to be judged like the other.
    pub fn as_deep(&self) -> Option<Self> {
        let Deep { set, plan } = self.deep.clone()?;
        Some(Self { set, plan, deep: None, ..self.clone() })
    }
}

/// The order, once enough keys of the live list are seen to have signed these very bytes.
fn signed_order(envelope: &Envelope, situation: &Situation<'_>) -> Result<(Order, Vec<PublicKey>), Refusal> {
    use RefusalCode as Code;
    let anchor = situation.anchor;
    check_clock(anchor, situation.now)?;
    let list = anchor.live_list(situation.now).map_err(|error| match error {
        // A clock that is fast says the same as a list that is old, and only a person can tell which.
        TrustError::Expired(expires) => {
            let held = if situation.now < expires { "; it was held for longer than it lives, so the clock is wrong" } else { "" };
            Code::KeyListExpired.because(format!("{error}, and this machine's clock says {}{held}", situation.now))
        }
        other => Code::NoKeyList.because(other.to_string()),
    })?;
    let (order, found) = read_signed(envelope, list)?;
    if order.organisation != *anchor.organisation() {
        return Err(Code::OtherOrganisation.because("the order is of another organisation"));
    }
    let needed = order.needed_signatures().max(list.order.threshold);
    if found.len() < needed {
        return Err(Code::TooFewSignatures.because(format!("{} signed it, and {needed} must", found.len())));
    }
    Ok((order, found))
}

/// The order, and whose signatures on it count: one at least.
fn read_signed(envelope: &Envelope, list: &KeyList) -> Result<(Order, Vec<PublicKey>), Refusal> {
    use RefusalCode as Code;
    let (payload, found) =
        envelope.signers(MEDIA_TYPE, list.keys(Role::Order)).map_err(|error| Code::Malformed.because(error.to_string()))?;
    if found.is_empty() {
        let gone = envelope.signers(MEDIA_TYPE, list.revoked.iter().map(PublicKey::key));
        return Err(match gone.ok().and_then(|(_, keys)| keys.first().map(|key| fingerprint(key))) {
            Some(key) => Code::SignerRevoked.because(format!("it is signed by {key}, which was revoked")),
            None => Code::SignerUnknown.because("no key that counts signed these bytes"),
        });
    }
    let order =
        serde_json::from_slice(payload).map_err(|error| Code::Malformed.because(format!("the order cannot be read: {error}")))?;
    let signers = list.order.keys.iter().filter(|key| found.contains(&key.key())).cloned().collect();
    Ok((order, signers))
}

/// A clock that shows a time before something was signed is wrong, and a wrong one would let old things live.
fn check_clock(anchor: &Anchor, now: Timestamp) -> Result<(), Refusal> {
    let signed = anchor.latest_issue();
    if now.duration_since(signed) < -CLOCK_TOLERANCE {
        let words = format!("this machine's clock says {now}, and its list of keys was signed at {signed}");
        return Err(RefusalCode::ClockWrong.because(words));
    }
    Ok(())
}

/// What no JSON shape says.
fn check_form(order: &Order) -> Result<(), Refusal> {
    let malformed = |what: &str| Err(RefusalCode::Malformed.because(what));
    if OrderId::parse(order.id.as_str()).is_none() || CaseId::parse(order.case.as_str()).is_none() {
        return malformed("the order's or the case's id is impossible");
    }
    if order.signatures == 0 || order.signatures > MAX_SIGNATURES {
        return malformed("the order asks for an impossible number of signatures");
    }
    if order.bytes.is_some_and(|bytes| bytes == 0 || bytes > MAX_RUN_BYTES) {
        return malformed("the order asks for an impossible number of bytes");
    }
    if order.set.len() > MAX_SET_BYTES || order.deep.as_ref().is_some_and(|deep| deep.len() > MAX_SET_BYTES) {
        return malformed("the order's set is too long");
    }
    if order.deep.is_some() && order.repeat.is_none() {
        return malformed("only an order that is repeated has a deep set");
    }
    let mut words = order
        .targets
        .iter()
        .chain([&order.requester, &order.reason])
        .chain(order.parameters.iter().flat_map(|(name, value)| [name, value]));
    if !words.all(|text| is_clean(text)) || order.requester.len() > MAX_WORDS || order.reason.len() > MAX_WORDS {
        return malformed("the order's words are too long, or hide something");
    }
    if let Some(serve) = &order.serve
        && let Err(why) = serve.check(&order.agents)
    {
        return malformed(why);
    }
    if let Some(repeat) = &order.repeat
        && let Err(why) = repeat.check(&order.agents, order.serve.is_some())
    {
        return malformed(why);
    }
    if let Err(why) = order.check_spread() {
        return malformed(why);
    }
    match &order.agents {
        Addressees::Listed(agents) if agents.is_empty() || agents.len() > MAX_LISTED => {
            malformed("an order lists 1 to 100 agents")
        }
        Addressees::Tree { count, .. } if *count <= MAX_LISTED as u64 => malformed("so few agents are listed"),
        _ => Ok(()),
    }
}

fn check_time(order: &Order, situation: &Situation<'_>) -> Result<(), Refusal> {
    use RefusalCode as Code;
    let window = order.expires.duration_since(order.not_before);
    if window > MAX_WINDOW || window <= SignedDuration::ZERO {
        return Err(Code::WindowTooLong.because("the order's window is not between nothing and 24 hours"));
    }
    let now = situation.now;
    if now < order.not_before - CLOCK_TOLERANCE {
        return Err(Code::NotYetValid
            .because(format!("the order holds from {} on, and this machine's clock says {now}", order.not_before)));
    }
    if now >= order.expires {
        return Err(Code::Expired.because(format!("the order expired at {}, and this machine's clock says {now}", order.expires)));
    }
    Ok(())
}

/// The order names this agent, with an epoch that this agent published lately.
fn check_addressee(order: &Order, proof: Option<&MerkleProof>, situation: &Situation<'_>) -> Result<(), Refusal> {
    use RefusalCode as Code;
    let stale = || Code::StaleEpoch.because("the order was made for an epoch of this agent that is over");
    match &order.agents {
        Addressees::Listed(agents) => {
            let own: Vec<&Addressee> = agents.iter().filter(|one| one.agent == *situation.agent).collect();
            if own.is_empty() {
                return Err(Code::OtherAgent.because("the order does not name this agent"));
            }
            if own.iter().any(|one| situation.epochs.accepts(&one.epoch)) { Ok(()) } else { Err(stale()) }
        }
        Addressees::Tree { root, count } => {
            let Some(proof) = proof else {
                return Err(Code::OtherAgent.because("no proof says that the order is for this agent"));
            };
            let holds = |epoch: &super::Epoch| {
                let own = Addressee { agent: situation.agent.clone(), epoch: epoch.clone() };
                proof.holds(&own.leaf(), root, *count)
            };
            let mut epochs = [Some(&situation.epochs.current), situation.epochs.previous.as_ref()].into_iter().flatten();
            // A stale epoch and a foreign proof look alike from here: both are leaves that this agent is not.
            if epochs.any(holds) { Ok(()) } else { Err(Code::StaleEpoch.because("the proof fits no epoch of this agent")) }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
