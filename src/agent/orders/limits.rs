use crate::measurement::Bounds;
use netsonde_contract::order::Order;
use netsonde_contract::policy::{Policy, Reach};
use netsonde_probes::gate::Limits;

/// What one order may send on this machine, and where to: the one place where policy and order become the run's limits.
pub(crate) fn bounds_for(policy: &Policy, order: &Order, resolvers: &[std::net::IpAddr]) -> Bounds {
    Bounds {
        limits: limits_for(policy, order),
        reach: Some(Reach::of(policy, resolvers)),
        at_once: usize::try_from(policy.budget.concurrency).unwrap_or(1).max(1),
    }
}

/// The rate towards one target is shared with the order's other agents, so that the fleet's holds without anybody who counts. An agent
/// sends one packet a second at least; an order for more agents than the rate is refused by nobody, and spread by its waves.
fn limits_for(policy: &Policy, order: &Order) -> Limits {
    // Who answers sends to no target.
    let measuring = order.agents.count().saturating_sub(u64::from(order.serve.is_some())).max(1);
    let share = u64::from(policy.budget.per_target_rate) / measuring;
    Limits { packets: policy.budget.packets, per_target_rate: u32::try_from(share).unwrap_or(u32::MAX).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::id::{AgentId, CaseId, OrderId, OrganisationId};
    use netsonde_contract::order::{Addressee, Addressees, Epoch};

    #[test]
    fn the_rate_towards_a_target_is_shared_by_the_orders_agents() {
        let one = Addressee { agent: AgentId::new("0".repeat(64)), epoch: Epoch::from_bytes([1; 16]) };
        let order = |agents| Order {
            organisation: OrganisationId::new("0".repeat(64)),
            id: OrderId::from_bytes([1; 16]),
            set: String::new(),
            targets: Vec::new(),
            parameters: [].into(),
            agents,
            not_before: jiff::Timestamp::UNIX_EPOCH,
            expires: jiff::Timestamp::UNIX_EPOCH,
            case: CaseId::new("1"),
            requester: String::new(),
            reason: String::new(),
            signatures: 1,
            serve: None,
        };
        let rate = |agents| bounds_for(&Policy::absent(), &order(agents), &[]).limits.per_target_rate;
        assert_eq!(rate(Addressees::Listed(vec![one.clone()])), 20);
        assert_eq!(rate(Addressees::Listed(vec![one; 5])), 4);
        assert_eq!(rate(Addressees::Tree { root: String::new(), count: 10_000 }), 1);
    }
}
