//! Which question to ask next: the measurement that would tell apart, at the least cost, the causes that are still possible.
//!
//! [`follow_ups`] looks at what a run has found so far. Where a finding is not settled, or a check that matters failed without a cause,
//! it names measurements whose answers would decide: another port or another protocol of the same address, a smaller hello, larger
//! packets, the same name server asked for something else. It names none whose answer is already there, none twice, and none to an
//! address, host or name server that the run did not ask before. Whoever runs the checks takes them within its own bounds, and asks again.

/// What is still open about one target.
mod doubt;
/// TLS and what is carried over it: names, sizes, versions.
mod exchange;
/// Loss, queues and parallel ways.
mod loss;
/// Name servers.
mod names;
/// Ports and addresses that are silent or refuse.
mod reach;
#[cfg(test)]
mod tests;

use crate::evidence::{Evidence, SLOW_SPREAD_MS};
use doubt::Doubt;
use netsonde_contract::environment::Environment;
use netsonde_contract::finding::Diagnosis;
use netsonde_contract::kind::{Kind, Params, TracerouteProtocol};
use netsonde_contract::outcome::Outcome;
use netsonde_contract::target::Target;
use serde_json::Value;
use std::time::Duration;

/// A measurement that would tell apart causes that are still possible.
#[derive(Clone, Debug, PartialEq)]
pub struct FollowUp {
    pub params: Params,
    /// The target of the checks that left the question open.
    pub target: Option<Target>,
    /// The causes between which it decides, the one that is thought of first at the front.
    pub between: Vec<&'static str>,
    pub cost: Cost,
    /// How much of the doubt its answer is likely to remove, 0 to 1.
    pub separation: f64,
}

/// What a measurement costs at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    pub packets: u32,
    pub time: Duration,
}

/// So many packets weigh as much as a second of waiting: what a ping sends in that time at its fastest.
const PACKETS_A_SECOND: f64 = 50.0;

/// A question is never free, or the cheapest would come before all that tell more.
const LEAST_COST_S: f64 = 0.5;

impl FollowUp {
    /// What is learnt for what it costs.
    fn worth(&self) -> f64 {
        let cost = self.cost.time.as_secs_f64() + f64::from(self.cost.packets) / PACKETS_A_SECOND;
        self.separation / (cost + LEAST_COST_S)
    }

    /// Beside each other they would meet a limit on pings, or on connections, that slow ones alone do not: both send some to the same host, one
    /// slowly.
    pub fn disturbs(&self, other: &Self) -> bool {
        let connections = |follow_up: &Self| match &follow_up.params {
            Params::Tcp(tcp) => Some((tcp.host.clone(), tcp.spread_ms >= SLOW_SPREAD_MS)),
            _ => None,
        };
        let meet = |left: Option<(String, bool)>, right: Option<(String, bool)>| {
            left.zip(right).is_some_and(|((host, slow), (others, theirs))| host == others && (slow || theirs))
        };
        let pings = |follow_up: &Self| match &follow_up.params {
            Params::Icmp(echo) => Some((echo.host.clone(), loss::is_slow(echo))),
            Params::Traceroute(trace) if trace.protocol == TracerouteProtocol::Auto => Some((trace.host.clone(), false)),
            _ => None,
        };
        meet(pings(self), pings(other)) || meet(connections(self), connections(other))
    }
}

/// What one family of questions proposes; the target is added here.
struct Question {
    params: Params,
    between: &'static [&'static str],
    separation: f64,
    packets: u32,
    time: Duration,
    /// It looks at the way to something else than the target, and says nothing of the target by itself.
    elsewhere: bool,
}

impl Question {
    fn new(params: Params, between: &'static [&'static str], separation: f64, packets: u32, time: Duration) -> Self {
        Self { params, between, separation, packets, time, elsewhere: false }
    }
}

/// Each looks at the doubts of its own area.
const FAMILIES: [fn(&Doubt<'_, '_>) -> Vec<Question>; 4] =
    [reach::questions, exchange::questions, names::questions, loss::questions];

/// The measurements that would tell more, the most for its cost first; none where nothing is open or nothing would help.
pub fn follow_ups(outcomes: &[Outcome], environment: &Environment, diagnosis: &Diagnosis) -> Vec<FollowUp> {
    let mut found: Vec<FollowUp> = Vec::new();
    for target in crate::engine::targets(outcomes) {
        let evidence = Evidence::of(outcomes, target, environment);
        let Some(doubt) = Doubt::of(&evidence, diagnosis) else { continue };
        for question in FAMILIES.iter().flat_map(|questions| questions(&doubt)) {
            let Question { params, between, separation, packets, time, elsewhere } = question;
            let follow_up = FollowUp {
                params,
                target: target.filter(|_| !elsewhere).cloned(),
                between: between.to_vec(),
                cost: Cost { packets, time },
                separation,
            };
            let again = found.iter().any(|other| other.params == follow_up.params && other.target == follow_up.target);
            if !again && !was_asked(outcomes, &follow_up) {
                found.push(follow_up);
            }
        }
    }
    found.sort_by(|left, right| right.worth().total_cmp(&left.worth()));
    found
}

/// The same measurement was made before.
fn was_asked(outcomes: &[Outcome], follow_up: &FollowUp) -> bool {
    let parameters = follow_up.params.to_value();
    outcomes.iter().any(|outcome| {
        outcome.kind == follow_up.params.kind() && outcome.target == follow_up.target && outcome.parameters == parameters
    })
}

/// Parameters within their bounds; none where a value is not, which its question then does without.
fn params(kind: Kind, value: Value) -> Option<Params> {
    Params::parse(kind, value).ok()
}

/// The parameters of a check that was made, with some changed.
fn changed(outcome: &Outcome, changes: &Value) -> Option<Params> {
    let mut parameters = outcome.parameters.as_object()?.clone();
    parameters.extend(changes.as_object()?.clone());
    params(outcome.kind, Value::Object(parameters))
}
