use super::{Hours, LocalTime, Policy, Reach, Remote};
use crate::kind::{Kind, Params};
use crate::order::{Refusal, RefusalCode, Verified};
use crate::set::PlannedCheck;

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
            let checks = || verified.plan.checks.iter().find_map(|check| self.object_to_check(check, local.reach));
            return self.object_to_serving(serve).or_else(checks);
        }
        if verified.plan.budget > self.budget.time {
            let words = format!(
                "it may take {} s, and the policy gives {} s",
                verified.plan.budget.as_secs(),
                self.budget.time.as_secs()
            );
            return object("budget.time", Code::OverBudget, words);
        }
        verified
            .plan
            .targets
            .iter()
            .find_map(|target| object_to(local.reach, &target.host, target.port))
            .or_else(|| verified.plan.checks.iter().find_map(|check| self.object_to_check(check, local.reach)))
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

    fn object_to_check(&self, check: &PlannedCheck, reach: &Reach) -> Option<(&'static str, Refusal)> {
        let kind = check.params.kind();
        if !self.kinds.contains(&kind) {
            let words = format!("check `{}` is of kind {}, which the policy does not name", check.id, kind.name());
            return Some(("orders.kinds", RefusalCode::KindNotAllowed.because(words)));
        }
        let named = named_hosts(&check.params);
        named
            .iter()
            .find_map(|(host, port)| object_to(reach, host, *port))
            .map(|(key, refusal)| (key, refusal.code.because(format!("check `{}`: {}", check.id, refusal.detail))))
    }
}

fn object_to(reach: &Reach, host: &str, port: Option<u16>) -> Option<(&'static str, Refusal)> {
    let refusal = reach.host(host).err().or_else(|| {
        let address = host.parse().unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        port.and_then(|port| reach.port(address, port).err())
    })?;
    let key = match refusal.code {
        RefusalCode::PortNotAllowed => "targets.ports",
        RefusalCode::AddressNotAllowed => "targets.networks",
        _ => "targets.names",
    };
    Some((key, refusal))
}

/// Hosts that a check names by itself, with a port where it names one. What it finds out on its way, the gate holds against the policy.
fn named_hosts(params: &Params) -> Vec<(String, Option<u16>)> {
    let value = params.to_value();
    let text = |key: &str| value.get(key).and_then(|found| found.as_str()).map(str::to_owned);
    let number = |key: &str| value.get(key).and_then(serde_json::Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let mut hosts = Vec::new();
    if let Some(host) = text("host") {
        hosts.push((host, number("port")));
    }
    let url = text("url").and_then(|url| crate::target::Target::parse(&url, crate::target::TargetForm::Url).ok());
    hosts.extend(url.map(|target| (target.host, target.port)));
    if params.kind() == Kind::Dns {
        // Which name is asked for sends no packet to it; which server is asked does, and the gate sees that address.
        hosts.clear();
    }
    hosts
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
