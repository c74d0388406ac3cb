use crate::measurement::Bounds;
use jiff::Timestamp;
use netsonde_contract::order::Order;
use netsonde_contract::policy::{Policy, Reach};
use netsonde_contract::set::Plan;
use netsonde_probes::gate::Limits;
use netsonde_probes::slots::Slots;
use std::time::Duration;

/// When a run begins, and as which of the order's agents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// The agent's place among the order's agents, from 0.
    pub(crate) place: u64,
    pub(crate) now: Timestamp,
}

/// What one order may send on this machine, and where to: the one place where policy and order become the run's limits.
pub(crate) fn bounds_for(policy: &Policy, order: &Order, plan: &Plan, resolvers: &[std::net::IpAddr], turn: Turn) -> Bounds {
    Bounds {
        limits: limits_for(policy, order, turn),
        reach: Some(Reach::of(policy, resolvers).for_plan(plan)),
        at_once: usize::try_from(policy.budget.concurrency).unwrap_or(1).max(1),
    }
}

/// The rate towards one target is shared with the order's other agents, so that the fleet's holds without anybody who counts. Where a share is
/// less than one packet a second, agents take turns by their places in the order: whenever each begins, they never send at once.
fn limits_for(policy: &Policy, order: &Order, turn: Turn) -> Limits {
    let slots = policy.interval(order).map(|interval| Slots { interval, first: first(interval, order, turn) });
    Limits { packets: policy.budget.packets, bytes: policy.budget.bytes, per_target_rate: policy.share(order), slots }
}

/// How long after its beginning the run may send first: rounds are counted from the order's own beginning, which all of its agents know.
fn first(interval: Duration, order: &Order, turn: Turn) -> Duration {
    let round = i128::try_from(interval.as_nanos()).unwrap_or(i128::MAX).max(1);
    let agents = i128::from(order.agents.count().max(1));
    let own = round.saturating_mul(i128::from(turn.place)) / agents;
    let passed = turn.now.as_nanosecond() - order.not_before.as_nanosecond();
    let wait = (own - passed).rem_euclid(round);
    Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::id::{AgentId, CaseId, OrderId, OrganisationId};
    use netsonde_contract::order::{Addressee, Addressees, Epoch};

    fn order(agents: u64) -> Order {
        let one = Addressee { agent: AgentId::new("0".repeat(64)), epoch: Epoch::from_bytes([1; 16]) };
        Order {
            organisation: OrganisationId::new("0".repeat(64)),
            id: OrderId::from_bytes([1; 16]),
            set: String::new(),
            targets: Vec::new(),
            parameters: [].into(),
            agents: match agents {
                0..=100 => Addressees::Listed(vec![one; agents as usize]),
                count => Addressees::Tree { root: String::new(), count },
            },
            not_before: Timestamp::UNIX_EPOCH,
            expires: Timestamp::UNIX_EPOCH,
            case: CaseId::new("1"),
            requester: String::new(),
            reason: String::new(),
            signatures: 1,
            serve: None,
            repeat: None,
            bytes: None,
            deep: None,
            spread_seconds: None,
        }
    }

    fn limits(agents: u64, place: u64, after_ms: i64) -> Limits {
        let now = Timestamp::from_millisecond(after_ms).unwrap();
        limits_for(&Policy::absent(), &order(agents), Turn { place, now })
    }

    #[test]
    fn the_rate_towards_a_target_is_shared_by_the_orders_agents() {
        for (agents, rate) in [(1, 20), (5, 4), (20, 1)] {
            assert_eq!((limits(agents, 0, 0).per_target_rate, limits(agents, 0, 0).slots), (rate, None), "{agents}");
        }
        let interval = |agents| limits(agents, 0, 0).slots.unwrap().interval;
        assert_eq!(interval(30), Duration::from_millis(1_500));
        assert_eq!(interval(10_000), Duration::from_secs(500));
        assert!(interval(u64::MAX) > Duration::from_secs(1 << 30));
    }

    /// Every agent sends whenever it may, and each begins at another time: counted in whole seconds of the wall clock.
    #[test]
    fn ten_thousand_agents_send_no_faster_than_the_rate_of_one() {
        let mut seconds = std::collections::BTreeMap::new();
        for place in 0..10_000 {
            let began = (place as i64 * 7_919) % 90_000;
            let slots = limits(10_000, place, began).slots.unwrap();
            for round in 0..3 {
                let at = Duration::from_millis(began as u64) + slots.first + slots.interval * round;
                *seconds.entry(at.as_secs()).or_insert(0) += 1;
            }
        }
        assert!(seconds.values().all(|packets| *packets <= 20), "{:?}", seconds.values().max());
    }
}
