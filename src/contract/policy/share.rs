//! A fleet's share: the rate towards one target is divided by the agents that one order is for, so that the fleet's rate holds without anybody
//! who counts.

use super::Policy;
use crate::order::{Order, Refusal, RefusalCode, Verified};
use crate::set::Plan;
use std::time::Duration;

/// In microseconds.
const SECOND: u64 = 1_000_000;

impl Policy {
    /// The time between two packets of this machine's to one address, where its share of the rate is less than one packet a second; none where it is
    /// more.
    pub fn interval(&self, order: &Order) -> Option<Duration> {
        let (rate, agents) = (u64::from(self.budget.per_target_rate).max(1), measuring(order));
        (agents > rate).then(|| Duration::from_micros(SECOND.saturating_mul(agents) / rate))
    }

    /// Packets a second to one address, where the share is one or more.
    pub fn share(&self, order: &Order) -> u32 {
        let share = u64::from(self.budget.per_target_rate) / measuring(order);
        u32::try_from(share).unwrap_or(u32::MAX).max(1)
    }

    /// Why nothing would come of the run: its share does not let a check send within its time what the check is for, nor all checks of one host
    /// within the run's.
    pub(super) fn object_to_share(&self, verified: &Verified) -> Option<Refusal> {
        self.crowded(&verified.order, &verified.plan)
    }

    /// The same of an order that is not signed yet.
    pub fn crowded(&self, order: &Order, plan: &Plan) -> Option<Refusal> {
        let interval = self.interval(order)?;
        let object = |what: String, packets: u64, time: Duration| {
            let agents = self.most_agents(packets, time);
            RefusalCode::OverBudget.because(format!(
                "{what} in {} s; shared by the {} agents of the order, the policy's {} packets a second to one address leave each of them one in {:.1} s; \
                 make it several orders, of {agents} agents at most",
                time.as_secs(),
                measuring(order),
                self.budget.per_target_rate,
                interval.as_secs_f64()
            ))
        };
        let time_for = |packets: u64| interval.saturating_mul(u32::try_from(packets).unwrap_or(u32::MAX));
        let checks = &plan.checks;
        let slow = checks.iter().find(|check| time_for(check.params.least_packets()) > check.deadline);
        if let Some(check) = slow {
            let packets = check.params.least_packets();
            return Some(object(format!("check `{}` sends {packets} or more to one address", check.id), packets, check.deadline));
        }
        let to = |host: &str| -> u64 {
            let at = |check: &&crate::set::PlannedCheck| check.params.named_hosts().iter().any(|(named, _)| named == host);
            checks.iter().filter(at).map(|check| check.params.least_packets()).fold(0, u64::saturating_add)
        };
        let hosts = checks.iter().flat_map(|check| check.params.named_hosts()).map(|(host, _)| (to(&host), host));
        let (packets, host) = hosts.max().filter(|(packets, _)| time_for(*packets) > plan.budget)?;
        Some(object(format!("its checks send {packets} or more packets to {host}"), packets, plan.budget))
    }

    /// So many agents of one order could each send so much to one address in the time.
    fn most_agents(&self, packets: u64, time: Duration) -> u64 {
        let all = u128::from(self.budget.per_target_rate) * time.as_millis() / 1_000;
        u64::try_from(all).unwrap_or(u64::MAX) / packets.max(1)
    }
}

/// Who answers sends to no target.
fn measuring(order: &Order) -> u64 {
    order.agents.count().saturating_sub(u64::from(order.serve.is_some())).max(1)
}
