use super::{Hours, LocalTime, Policy, Reach, Remote};
use crate::kind::Params;
use crate::order::{Refusal, RefusalCode, Repeat, Verified};
use crate::set::{Plan, PlannedCheck};
use crate::size;

/// What the machine knows when a policy is asked.
pub struct Local<'a> {
    /// On the clock of the policy's zone; nothing where that zone is unknown here.
    pub time: Option<LocalTime>,
    /// Somebody ran `netsonde pause`.
    pub paused: bool,
    pub reach: &'a Reach,
}

/// What becomes of an order, and what decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    /// The key of the policy that decided, such as `targets.names`.
    pub key: &'static str,
    /// Its line, from 1, where the file has it; a default decided otherwise.
    pub line: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Run,
    /// Somebody at the machine is asked first.
    Ask,
    Refuse(Refusal),
}

impl Policy {
    /// Puts an order that is what it says before the policy. What it allows here is held against [`Reach`] again, packet by packet.
    pub fn judge(&self, verified: &Verified, local: &Local<'_>) -> Decision {
        match self.objection(verified, local) {
            Some((key, refusal)) => self.decision(Verdict::Refuse(refusal), key),
            None if self.remote == Remote::Ask => self.decision(Verdict::Ask, "orders.remote"),
            None => self.decision(Verdict::Run, "orders.remote"),
        }
    }

    fn decision(&self, verdict: Verdict, key: &'static str) -> Decision {
        Decision { verdict, key, line: self.line(key) }
    }

    /// The first thing that speaks against the order.
    fn objection(&self, verified: &Verified, local: &Local<'_>) -> Option<(&'static str, Refusal)> {
        use RefusalCode as Code;
        let object = |key, code: Code, words: String| Some((key, code.because(words)));
        if local.paused {
            return object("pause", Code::Paused, "orders are paused on this machine".to_owned());
        }
        if self.remote == Remote::Deny {
            return object("orders.remote", Code::OrdersOff, "the policy of this machine takes no orders".to_owned());
        }
        if let Some(refused) = self.object_to_signers(verified) {
            return Some(refused);
        }
        if let Some(refused) = self.object_to_hours(local) {
            return Some(refused);
        }
        // Who serves sends nothing of its own to the targets.
        if let Some(serve) = verified.order.serve.as_ref().filter(|_| verified.serves) {
            let checks =
                || verified.plan.checks.iter().find_map(|check| self.object_to_check(check, &verified.plan, local.reach));
            return self.object_to_serving(serve, local.reach).or_else(checks);
        }
        if let Some(refused) = verified.order.repeat.as_ref().and_then(|repeat| self.object_to_repeat(repeat)) {
            return Some(refused);
        }
        if verified.plan.budget > self.budget.time {
            let words = format!(
                "it may take {} s, and the policy gives {} s",
                verified.plan.budget.as_secs(),
                self.budget.time.as_secs()
            );
            return object("budget.time", Code::OverBudget, words);
        }
        if let Some(bytes) = verified.plan.bytes.filter(|bytes| *bytes > self.budget.bytes) {
            let words = format!(
                "it may send and receive {}, and the policy gives {}",
                size::words(bytes),
                size::words(self.budget.bytes)
            );
            return object("budget.bytes", Code::OverBudget, words);
        }
        if let Some(refusal) = self.object_to_share(verified) {
            return Some(("budget.per_target_rate", refusal));
        }
        verified
            .plan
            .targets
            .iter()
            .find_map(|target| object_to(local.reach, &target.host, target.port))
            .or_else(|| verified.plan.checks.iter().find_map(|check| self.object_to_check(check, &verified.plan, local.reach)))
    }

    fn object_to_signers(&self, verified: &Verified) -> Option<(&'static str, Refusal)> {
        let allowed = |fingerprint: &String| self.signers.is_empty() || self.signers.contains(fingerprint);
        let counted = verified.signers.iter().map(|key| key.fingerprint()).filter(allowed).count();
        if counted == 0 {
            return Some(("orders.signers", RefusalCode::SignerNotAllowed.because("the policy names none of its signers")));
        }
        let needed = self.signatures.max(verified.order.needed_signatures());
        if counted < needed {
            let words = format!("{counted} of the engineers whom the policy names signed it, and {needed} must");
            return Some(("orders.signatures", RefusalCode::TooFewSignatures.because(words)));
        }
        None
    }

    fn object_to_hours(&self, local: &Local<'_>) -> Option<(&'static str, Refusal)> {
        if self.hours.is_empty() {
            return None;
        }
        let words = match local.time {
            Some(time) if self.hours.iter().any(|hours| hours.contain(time)) => return None,
            Some(_) => format!("orders run {} only", self.hours.iter().map(Hours::to_string).collect::<Vec<_>>().join(", ")),
            None => format!("the time zone `{}` of the policy is not known here", self.zone.as_deref().unwrap_or("local")),
        };
        Some(("orders.hours", RefusalCode::OutsideHours.because(words)))
    }

    fn object_to_repeat(&self, repeat: &Repeat) -> Option<(&'static str, Refusal)> {
        let object = |key, words: String| Some((key, RefusalCode::ScheduleNotAllowed.because(words)));
        let asked = repeat.in_words();
        match self.schedules.life {
            None => object("schedules.life", format!("it asks to be run {asked}, and the policy lets nothing be repeated")),
            Some(life) if repeat.life() > life => {
                object("schedules.life", format!("it asks to be run {asked}, and the policy gives {} s", life.as_secs()))
            }
            Some(_) if repeat.every() < self.schedules.every => {
                let least = self.schedules.every.as_secs();
                object("schedules.every", format!("it asks to be run {asked}, and the policy wants {least} s between two runs"))
            }
            Some(_) => None,
        }
    }

    fn object_to_check(&self, check: &PlannedCheck, plan: &Plan, reach: &Reach) -> Option<(&'static str, Refusal)> {
        let kind = check.params.kind();
        if !self.kinds.contains(&kind) {
            let words = format!("check `{}` is of kind {}, which the policy does not name", check.id, kind.name());
            return Some(("orders.kinds", RefusalCode::KindNotAllowed.because(words)));
        }
        if let Params::Dns(asked) = &check.params {
            let measured = check.target.as_ref().map(|target| target.host.as_str());
            let refusal = reach.records(&asked.name, measured).err()?;
            let key = key_of(reach, &[&asked.name], &refusal);
            return Some((key, refusal.code.because(format!("check `{}`: {}", check.id, refusal.detail))));
        }
        let named = check.params.named_hosts();
        named
            .iter()
            .find_map(|(host, port)| object_to_proxy(reach, plan, host, *port).unwrap_or_else(|| object_to(reach, host, *port)))
            .map(|(key, refusal)| (key, refusal.code.because(format!("check `{}`: {}", check.id, refusal.detail))))
    }
}

fn object_to(reach: &Reach, host: &str, port: Option<u16>) -> Option<(&'static str, Refusal)> {
    let refusal = reach.host(host).err().or_else(|| port.and_then(|port| reach.port(port).err()))?;
    Some((key_of(reach, &[host], &refusal), refusal))
}

/// What speaks against connecting to one of this machine's own proxies, which the policy need not name; none where the host is no such proxy.
fn object_to_proxy(reach: &Reach, plan: &Plan, host: &str, port: Option<u16>) -> Option<Option<(&'static str, Refusal)>> {
    let own: Vec<_> = plan.proxies.iter().filter(|own| own.proxy.host == host && Some(own.proxy.port) == port).collect();
    let first = own.first()?;
    if reach.proxies().contains(&first.proxy) {
        return Some(None);
    }
    let (proxy, target) = (first.proxy.host.as_str(), first.target.host.as_str());
    let refusal = reach.through_proxy(proxy, target, first.port()).err();
    Some(refusal.map(|refusal| (key_of(reach, &[proxy, target], &refusal), refusal)))
}

/// The key of the policy that one of these hosts was refused by.
fn key_of(reach: &Reach, hosts: &[&str], refusal: &Refusal) -> &'static str {
    match refusal.code {
        RefusalCode::PortNotAllowed => "targets.ports",
        RefusalCode::AddressNotAllowed => "targets.networks",
        RefusalCode::CannotBeChecked => "targets.proxied",
        _ => hosts.iter().find_map(|host| reach.denying_key(host)).unwrap_or("targets.names"),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
