use crate::policy_file;
use crate::proxied::proxies;
use crate::stop::Stop;
use jiff::Timestamp;
use netsonde_contract::id::{AgentId, OrderId};
use netsonde_contract::order::{Deep, Epochs, MerkleProof, Refusal, RefusalCode, Situation, Verified, verify};
use netsonde_contract::policy::{Decision, Local, Policy, Reach, Verdict};
use netsonde_contract::set::Request;
use netsonde_contract::trust::Anchor;
use netsonde_probes::context::ProxyChoice;

/// What the machine knows when an order comes.
pub(crate) struct Machine<'a> {
    pub(crate) anchor: &'a Anchor,
    pub(crate) agent: &'a AgentId,
    pub(crate) epochs: &'a Epochs,
    /// The policy in force; where it counts for nothing, why.
    pub(crate) policy: &'a Result<Policy, Stop>,
    pub(crate) here: Here<'a>,
}

/// What the policy is asked against.
pub(crate) struct Here<'a> {
    pub(crate) resolvers: &'a [std::net::IpAddr],
    pub(crate) paused: bool,
    /// How the machine's own proxies are chosen: what they make of the set is what runs, and so what is judged.
    pub(crate) proxy: &'a ProxyChoice,
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
    let situation =
        Situation { anchor: machine.anchor, agent: machine.agent, epochs: machine.epochs, now: machine.here.now, taken };
    let verified = match verify(envelope, proof, &situation).and_then(|verified| planned_here(verified, machine.here.proxy)) {
        Ok(verified) => verified,
        Err(refusal) => return Judgement::Refused(refusal),
    };
    let decision = match machine.policy {
        Ok(policy) => decide(policy, &verified, &machine.here),
        Err(stop) => refuse("orders.remote", RefusalCode::OrdersOff.because(stop.message.clone())),
    };
    Judgement::Verified(Box::new(verified), decision)
}

/// The order with the plan that runs on this machine, whose own proxies decide what `proxied` and `direct` in its set mean.
fn planned_here(verified: Verified, choice: &ProxyChoice) -> Result<Verified, Refusal> {
    let order = &verified.order;
    let unusable = |what: String| RefusalCode::UnusableSet.because(what);
    let deep = Deep::of(order, &order.targets, |set| proxies(set, &order.targets, choice)).map_err(unusable)?;
    let proxies = proxies(&verified.set, &order.targets, choice);
    if verified.serves || proxies.is_empty() {
        return Ok(Verified { deep, ..verified });
    }
    let request = Request { proxies, targets: order.targets.clone(), parameters: order.parameters.clone(), ..Request::default() };
    let plan = verified.set.plan(&request).map_err(|error| unusable(error.to_string()))?.of_at_most(order.bytes);
    // As for the plan without a proxy, when the order was verified.
    if let Some(repeat) = order.repeat.filter(|repeat| plan.budget > repeat.every()) {
        return Err(unusable(format!(
            "behind this machine's proxy a run may take {} s, longer than {}",
            plan.budget.as_secs(),
            repeat.in_words()
        )));
    }
    Ok(Verified { plan, deep, ..verified })
}

/// Whether the policy lets an order run, here and now: what it asks for, and what it runs besides for a target that becomes failing.
pub(crate) fn decide(policy: &Policy, verified: &Verified, here: &Here<'_>) -> Decision {
    let decision = decide_one(policy, verified, here);
    let Some(deep) = verified.as_deep().filter(|_| !matches!(decision.verdict, Verdict::Refuse(_))) else { return decision };
    let of_deep = decide_one(policy, &deep, here);
    match of_deep.verdict {
        Verdict::Refuse(refusal) => {
            let refusal = refusal.code.because(format!("its deep set: {}", refusal.detail));
            Decision { verdict: Verdict::Refuse(refusal), ..of_deep }
        }
        _ => decision,
    }
}

fn decide_one(policy: &Policy, verified: &Verified, here: &Here<'_>) -> Decision {
    let reach = Reach::of(policy, here.resolvers).for_plan(&verified.plan);
    let local = Local { time: policy_file::local_time(policy, here.now), paused: here.paused, reach: &reach };
    let decision = policy.judge(verified, &local);
    if matches!(decision.verdict, Verdict::Refuse(_)) || sends_to(policy, here.backend) {
        return decision;
    }
    let words = format!("the policy does not let bundles of orders go to {}", here.backend);
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

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use netsonde_contract::id::{CaseId, OrganisationId};
    use netsonde_contract::order::{Addressees, Order, Repeat};
    use netsonde_contract::set::ProbeSet;
    use netsonde_contract::trust::PublicKey;

    /// A schedule with a connection a minute, and a deep set that looks names up besides.
    fn schedule() -> Verified {
        let check = |id: &str, kind: &str, with: &str| {
            format!("[[check]]\nid = \"{id}\"\nkind = \"{kind}\"\nrequired = true\ndeadline = \"4s\"\nwith = {{ {with} }}\n")
        };
        let set = |name: &str, checks: &str| {
            format!("name = \"{name}\"\nversion = 1\nquestion = \"Q?\"\nbudget = \"10s\"\ntarget = \"endpoint\"\n{checks}")
        };
        let connect = check("connect", "tcp", "host = \"{target.host}\", port = \"{target.port}\"");
        let text = set("slot", &connect);
        let targets = vec!["127.0.0.1:443".to_owned()];
        let deep = set("deep", &format!("{connect}{}", check("machine", "host", "")));
        let order = Order {
            organisation: OrganisationId::new("0".repeat(64)),
            id: OrderId::from_bytes([1; 16]),
            set: text.clone(),
            targets: targets.clone(),
            parameters: [].into(),
            agents: Addressees::Listed(Vec::new()),
            not_before: Timestamp::UNIX_EPOCH,
            expires: Timestamp::UNIX_EPOCH,
            case: CaseId::new("1"),
            requester: String::new(),
            reason: String::new(),
            signatures: 1,
            serve: None,
            repeat: Some(Repeat { every_seconds: 60, life_seconds: 3_600 }),
            bytes: None,
            deep: Some(deep),
            spread_seconds: None,
        };
        let set = ProbeSet::parse("slot", &text).unwrap();
        let plan = set.plan(&Request { targets: targets.clone(), ..Request::default() }).unwrap();
        let deep = Deep::of(&order, &targets, |_| Default::default()).unwrap();
        let signers = vec![PublicKey::new(SigningKey::from_bytes(&[1; 32]).verifying_key(), "")];
        Verified { order, set, plan, deep, signers, serves: false, place: 0 }
    }

    #[test]
    fn the_policy_judges_the_deep_set_of_a_schedule_as_it_judges_the_other() {
        let here = Here {
            resolvers: &[],
            paused: false,
            proxy: &ProxyChoice::None,
            backend: "https://support.example",
            now: Timestamp::UNIX_EPOCH,
        };
        let judged = |kinds: &str, time: &str| {
            let text = format!(
                "version = 1\n[orders]\nremote = \"allow\"\nkinds = [{kinds}]\n[targets]\nnetworks = [\"127.0.0.0/8\"]\n[schedules]\nlife = \"2h\"\nevery = \"1m\"\n[budget]\ntime = \"{time}\"\n"
            );
            decide(&Policy::parse("policy", &text).unwrap(), &schedule(), &here)
        };
        assert_eq!(judged("\"tcp\", \"host\"", "60s").verdict, Verdict::Run);
        let refused = judged("\"tcp\"", "60s");
        let Verdict::Refuse(refusal) = refused.verdict else { panic!("{refused:?}") };
        assert_eq!((refused.key, refusal.code), ("orders.kinds", RefusalCode::KindNotAllowed));
        assert!(refusal.detail.starts_with("its deep set: check `machine`"), "{refusal}");
        let once = Verified { deep: None, ..schedule() };
        assert!(once.as_deep().is_none() && schedule().as_deep().is_some_and(|deep| deep.plan.checks.len() == 2));
    }
}
