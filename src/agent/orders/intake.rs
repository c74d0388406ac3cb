use crate::policy_file;
use crate::stop::Stop;
use jiff::Timestamp;
use netsonde_contract::id::{AgentId, OrderId};
use netsonde_contract::order::{Epochs, MerkleProof, Refusal, RefusalCode, Situation, Verified, verify};
use netsonde_contract::policy::{Decision, Local, Policy, Reach, Verdict};
use netsonde_contract::trust::Anchor;

/// What the machine knows when an order comes.
pub(crate) struct Machine<'a> {
    pub(crate) anchor: &'a Anchor,
    pub(crate) agent: &'a AgentId,
    pub(crate) epochs: &'a Epochs,
    /// The policy in force; where it counts for nothing, why.
    pub(crate) policy: &'a Result<Policy, Stop>,
    pub(crate) resolvers: &'a [std::net::IpAddr],
    pub(crate) paused: bool,
    /// The backend that bundles go to.
    pub(crate) backend: &'a str,
    pub(crate) now: Timestamp,
}

/// What is to become of an order.
pub(crate) enum Judgement {
    /// It is for this agent, now; the policy has decided.
    Verified(Box<Verified>, Decision),
    /// It is not what it says, or not for this agent, or not now.
    Refused(Refusal),
}

/// Holds an order against what was signed and against the machine's policy. It opens nothing but what it is given.
pub(crate) fn judge(
    envelope: &[u8],
    proof: Option<&MerkleProof>,
    machine: &Machine<'_>,
    taken: &dyn Fn(&OrderId) -> bool,
) -> Judgement {
    let situation = Situation { anchor: machine.anchor, agent: machine.agent, epochs: machine.epochs, now: machine.now, taken };
    let verified = match verify(envelope, proof, &situation) {
        Ok(verified) => verified,
        Err(refusal) => return Judgement::Refused(refusal),
    };
    let decision = match machine.policy {
        Ok(policy) => decide(policy, &verified, machine),
        Err(stop) => refuse("orders.remote", RefusalCode::OrdersOff.because(stop.message.clone())),
    };
    Judgement::Verified(Box::new(verified), decision)
}

fn decide(policy: &Policy, verified: &Verified, machine: &Machine<'_>) -> Decision {
    let reach = Reach::of(policy, machine.resolvers);
    let local = Local { time: policy_file::local_time(policy, machine.now), paused: machine.paused, reach: &reach };
    let decision = policy.judge(verified, &local);
    if matches!(decision.verdict, Verdict::Refuse(_)) || sends_to(policy, machine.backend) {
        return decision;
    }
    let words = format!("the policy does not let bundles of orders go to {}", machine.backend);
    Decision { line: policy.line("upload.backends"), ..refuse("upload.backends", RefusalCode::OrdersOff.because(words)) }
}

/// An order whose bundle may go nowhere is of no use to anybody.
fn sends_to(policy: &Policy, backend: &str) -> bool {
    let same = |allowed: &String| allowed.trim_end_matches('/').eq_ignore_ascii_case(backend.trim_end_matches('/'));
    policy.backends.is_empty() || policy.backends.iter().any(same)
}

fn refuse(key: &'static str, refusal: Refusal) -> Decision {
    Decision { verdict: Verdict::Refuse(refusal), key, line: None }
}

/// What decided, for people: `orders.remote, line 7`.
pub(crate) fn place(decision: &Decision) -> String {
    match decision.line {
        Some(line) => format!("{}, line {line}", decision.key),
        None => decision.key.to_owned(),
    }
}
