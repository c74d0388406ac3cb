use super::Shelved;
use crate::history;
use crate::proxied::proxies;
use crate::stop::Stop;
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::agent_config::{Schedule, Thresholds, Timing, UploadWhen};
use netsonde_contract::dsse::Envelope;
use netsonde_contract::id::{AgentId, OrderId};
use netsonde_contract::order::{Deep, MEDIA_TYPE, Order, Refusal, Repeat, Verified, schedule_name};
use netsonde_contract::set::{Plan, ProbeSet, Request};
use netsonde_contract::trust::{Anchor, PublicKey, Role};
use netsonde_probes::context::ProxyChoice;
use std::time::Duration;

/// A fleet that was given the same schedule in the same second spreads over this much of it.
const LONGEST_SPLAY: Duration = Duration::from_secs(300);

/// An order that is repeated, read from its place on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) shelved: Shelved,
    pub(crate) order: Order,
    envelope: Envelope,
    repeat: Repeat,
    set: ProbeSet,
    deep: Option<ProbeSet>,
}

/// What was found about an order that is repeated when it was to run.
#[derive(Clone, Debug)]
pub(crate) struct Weighed {
    pub(crate) order: OrderId,
    /// What it asks, in words.
    pub(crate) how: String,
    /// Why it does not run now.
    pub(crate) objection: Option<Refusal>,
}

/// Why it is repeated no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As signed.
    LifeOver,
    /// Those who signed it count no longer.
    SignersGone,
    /// Its file is gone or damaged: somebody at the machine ended it, or the disk did.
    Removed,
}

impl End {
    /// For the engineer: a stable code, and one sentence.
    pub(crate) fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::LifeOver => ("schedule_over", "its time is over"),
            Self::SignersGone => ("signer_revoked", "the keys that signed it count no longer"),
            Self::Removed => ("schedule_removed", "it was ended at the machine"),
        }
    }
}

impl Held {
    /// # Errors
    /// Where what is kept is no order that is repeated, in words.
    pub(crate) fn of(shelved: Shelved) -> Result<Self, String> {
        let envelope = Envelope::from_json(shelved.envelope.as_bytes()).map_err(|error| error.to_string())?;
        let order = Order::unverified(&envelope)?;
        let repeat = order.repeat.filter(|_| order.id == shelved.id).ok_or("it is no order that is repeated")?;
        let set = ProbeSet::parse("the order's set", &order.set).map_err(|error| error.to_string())?;
        let deep = order.deep.as_deref().map(|text| ProbeSet::parse("the order's deep set", text)).transpose();
        let deep = deep.map_err(|error| error.to_string())?;
        Ok(Self { shelved, order, envelope, repeat, set, deep })
    }

    pub(crate) fn name(&self) -> String {
        schedule_name(&self.order.id)
    }

    pub(crate) fn weighed(&self, objection: Option<Refusal>) -> Weighed {
        Weighed { order: self.order.id.clone(), how: self.repeat.in_words(), objection }
    }

    /// The order as a schedule. What it finds goes to support, who asked for it.
    pub(crate) fn schedule(&self) -> Schedule {
        Schedule {
            name: self.name(),
            line: 0,
            set: self.set.name.clone(),
            targets: self.order.targets.clone(),
            parameters: self.order.parameters.clone(),
            timing: Timing::Every(self.repeat.every()),
            zone: None,
            splay: self.repeat.every().min(LONGEST_SPLAY),
            jitter: Duration::ZERO,
            quiet: Vec::new(),
            budget: None,
            upload: UploadWhen::Now,
            deep: self.deep.as_ref().map(|set| set.name.clone()),
            health: Thresholds::default(),
        }
    }

    /// The run that was signed, with what the machine's own proxies make of it.
    ///
    /// # Errors
    /// Where the set does not fit the order: then it was never taken by this version.
    pub(crate) fn plan(&self) -> Result<Plan, Stop> {
        self.plan_of(&self.order.targets)
    }

    fn plan_of(&self, targets: &[String]) -> Result<Plan, Stop> {
        let request = Request {
            proxies: proxies(&self.set, targets, &ProxyChoice::Environment),
            targets: targets.to_vec(),
            parameters: self.order.parameters.clone(),
            ..Request::default()
        };
        let plan = self.set.plan(&request).map_err(|error| Stop::usage(error.to_string()))?;
        Ok(plan.of_at_most(self.order.bytes))
    }

    /// The deep run, or that of the schedule's own set where nothing deep was signed, for the targets that the history knows by this name, all where it names none.
    ///
    /// # Errors
    /// Where the set does not fit the order: then it was never taken by this version.
    pub(crate) fn closer(&self, place: Option<&str>) -> Result<Plan, Stop> {
        let is_there = |target: &&String| {
            let request =
                Request { targets: vec![(*target).clone()], parameters: self.order.parameters.clone(), ..Request::default() };
            let plan = self.set.plan(&request);
            place.is_none_or(|place| plan.is_ok_and(|plan| plan.targets.iter().any(|target| history::place(target) == place)))
        };
        let targets: Vec<String> = self.order.targets.iter().filter(is_there).cloned().collect();
        let deep = Deep::of(&self.order, &targets, |set| proxies(set, &targets, &ProxyChoice::Environment));
        match deep.map_err(Stop::usage)? {
            Some(deep) => Ok(deep.plan),
            None => self.plan_of(&targets),
        }
    }

    /// How many checks the backend is told of because of it; none where the set does not fit the order, which then never runs.
    pub(crate) fn checks(&self) -> usize {
        self.plan().map_or(0, |plan| plan.checks.len())
    }

    /// Whether it still runs. `passed` is on the scale of `began_ms`; clocks and time that passed may both end it, and neither lengthens it.
    pub(crate) fn end(&self, passed: Duration, now: Timestamp, anchor: Option<&Anchor>) -> Option<End> {
        let began = Duration::from_millis(self.shelved.began_ms.unwrap_or_default());
        let life = self.repeat.life();
        // Time that stands before the beginning was counted anew, and nobody knows from where.
        let by_passed = passed.checked_sub(began).is_none_or(|passed| passed >= life);
        let by_clock = now.duration_since(self.shelved.taken) >= SignedDuration::try_from(life).unwrap_or(SignedDuration::MAX);
        if by_passed || by_clock {
            return Some(End::LifeOver);
        }
        // A list that wants more signatures than before wants them of what runs on, too.
        let threshold = anchor.and_then(Anchor::list).map_or(0, |list| list.order.threshold);
        if self.signers(anchor).len() < self.order.needed_signatures().max(threshold) { Some(End::SignersGone) } else { None }
    }

    /// The order as the policy is asked about it, before each run.
    pub(crate) fn verified(&self, plan: Plan, anchor: Option<&Anchor>, agent: &AgentId) -> Verified {
        let signers = self.signers(anchor);
        let place = self.order.agents.place(agent, None);
        Verified { order: self.order.clone(), set: self.set.clone(), plan, deep: None, signers, serves: false, place }
    }

    /// Who signed, of those whom the newest list of keys names. A list that has expired refuses new orders, and ends none.
    fn signers(&self, anchor: Option<&Anchor>) -> Vec<PublicKey> {
        let Some(list) = anchor.and_then(Anchor::list) else { return Vec::new() };
        let Ok((_, found)) = self.envelope.signers(MEDIA_TYPE, list.keys(Role::Order)) else { return Vec::new() };
        list.order.keys.iter().filter(|key| found.contains(&key.key())).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::id::{CaseId, OrganisationId};
    use netsonde_contract::order::{Addressee, Addressees, Epoch};

    const TAKEN: i64 = 1_800_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(TAKEN + second).unwrap()
    }

    /// For an hour.
    fn order() -> Order {
        Order {
            organisation: OrganisationId::new("0".repeat(64)),
            id: OrderId::from_bytes([7; 16]),
            set: netsonde_contract::set::find_built_in("port").unwrap().text.to_owned(),
            targets: vec!["shop.example:443".into()],
            parameters: [].into(),
            agents: Addressees::Listed(vec![Addressee {
                agent: AgentId::new("a".repeat(64)),
                epoch: Epoch::from_bytes([1; 16]),
            }]),
            not_before: at(0),
            expires: at(60),
            case: CaseId::new("4711"),
            requester: "Asha".into(),
            reason: String::new(),
            signatures: 1,
            serve: None,
            repeat: Some(Repeat { every_seconds: 300, life_seconds: 3_600 }),
            bytes: None,
            deep: None,
            spread_seconds: None,
        }
    }

    /// Taken when 1,000 s had passed.
    fn held(order: &Order) -> Held {
        let mut envelope = order.envelope();
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        envelope.add_signature(&key.verifying_key(), [0; 64]);
        let envelope = String::from_utf8(envelope.to_json()).unwrap();
        Held::of(Shelved { id: order.id.clone(), envelope, taken: at(0), approved: false, began_ms: Some(1_000_000) }).unwrap()
    }

    #[test]
    fn its_life_is_over_by_either_clock_and_no_clock_lengthens_it() {
        let (held, passed) = (held(&order()), Duration::from_secs);
        // Nobody's keys are known here, which is looked at only while it lives.
        assert_eq!(held.end(passed(4_599), at(3_599), None), Some(End::SignersGone));
        assert_eq!(held.end(passed(4_600), at(3_599), None), Some(End::LifeOver));
        assert_eq!(held.end(passed(1_001), at(3_600), None), Some(End::LifeOver));
        assert_eq!(held.end(passed(4_600), at(-86_400), None), Some(End::LifeOver), "a clock that was set back");
        assert_eq!(held.end(passed(999), at(10), None), Some(End::LifeOver), "time that was counted anew");
    }

    #[test]
    fn it_is_a_schedule_named_after_the_order_and_nothing_else_on_the_shelf_is() {
        let held = held(&order());
        let schedule = held.schedule();
        assert_eq!((schedule.name.as_str(), schedule.upload), ("order-07070707", UploadWhen::Now));
        assert_eq!(schedule.timing, Timing::Every(Duration::from_secs(300)));
        assert_eq!(held.plan().unwrap().targets.len(), 1);
        let other = Shelved { id: OrderId::from_bytes([8; 16]), ..held.shelved.clone() };
        assert!(Held::of(other).is_err(), "an order under another one's name");
    }

    #[test]
    fn a_target_that_becomes_failing_is_looked_at_by_itself_with_what_was_signed() {
        let targets = ["shop.example:443", "mail.example:25"].map(str::to_owned).to_vec();
        let closer = |deep: Option<&str>| {
            let deep = deep.map(|name| netsonde_contract::set::find_built_in(name).unwrap().text.to_owned());
            let held = held(&Order { targets: targets.clone(), deep, ..order() });
            let plan = held.closer(Some("mail.example:25")).unwrap();
            (plan.set.name, plan.targets.iter().map(|target| target.host.clone()).collect::<Vec<_>>())
        };
        assert_eq!(closer(None), ("port".to_owned(), vec!["mail.example".to_owned()]));
        assert_eq!(closer(Some("path")), ("path".to_owned(), vec!["mail.example".to_owned()]));
    }

    #[test]
    fn no_run_of_it_takes_more_bytes_than_were_signed() {
        let deep = Some(netsonde_contract::set::find_built_in("port").unwrap().text.to_owned());
        let bytes = |bytes| {
            let held = held(&Order { bytes, deep: deep.clone(), ..order() });
            (held.plan().unwrap().bytes, held.closer(None).unwrap().bytes)
        };
        assert_eq!(bytes(Some(5_000)), (Some(5_000), Some(5_000)));
        assert_eq!(bytes(None), (None, None));
    }
}
