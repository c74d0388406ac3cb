use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Capacity, Conntrack};
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["host.firewall_local"],
    settled_by: Some("the kernel's own word, `dmesg | grep 'table full'`, and `conntrack -S`"),
    ..Rule::new("host.conntrack_full", &["tcp.filtered", "path.loss", "host.firewall_local"], evaluate)
};

/// The table is full, and new connections die.
const WITH_FAILURES: f64 = 0.9;
/// The table is nearly full, and all works so far.
const NEARLY: f64 = 0.7;

/// The table counts as full, and as nearly full, from so many per cent on: entries come and go between the count and the packet.
const FULL_PERCENT: u64 = 98;
const NEARLY_PERCENT: u64 = 90;

const ACTION: &str = "Find what opens so many connections (`conntrack -L | awk '{print $4,$5}' | sort | uniq -c | sort -n`), and raise `net.netfilter.nf_conntrack_max` if they are meant to be.";

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let known = evidence.capacities.iter().find_map(|capacity| Some((capacity, capacity.fact.conntrack.as_ref()?)));
    let Some((capacity, table)) = known.filter(|(_, table)| is_above(table, NEARLY_PERCENT)) else { return Vec::new() };
    let full = is_above(table, FULL_PERCENT);
    let hit: Vec<Candidate> = if full {
        evidence.addresses().into_iter().filter_map(|address| towards(evidence, address, capacity, table)).collect()
    } else {
        Vec::new()
    };
    if hit.is_empty() { vec![nearly(capacity, table)] } else { hit }
}

fn is_above(table: &Conntrack, percent: u64) -> bool {
    table.max > 0 && table.count.saturating_mul(100) >= table.max.saturating_mul(percent)
}

fn towards(evidence: &Evidence<'_>, address: IpAddr, capacity: &Seen<'_, Capacity>, table: &Conntrack) -> Option<Candidate> {
    // The kernel refuses a datagram at sending (EPERM) and drops a SYN in silence.
    let refused = evidence.failures_to(address).into_iter();
    let refused = refused.filter(|(failure, _)| failure.code == FailureCode::PermissionDenied && failure.during == Step::Send);
    let mut lost: Vec<&ObservationId> = evidence.silent_tcp(address);
    lost.extend(refused.map(|(_, id)| id));
    lost.first()?;
    let works = !evidence.answered(address).is_empty();
    let severity = if works { Severity::Degraded } else { Severity::Problem };
    let sentence = format!(
        "The table in which this machine's firewall keeps its connections is full ({} of {}): new packets to {} are dropped before they leave.",
        table.count,
        table.max,
        named(&evidence.host_at(address), address)
    );
    let candidate = Candidate::new(severity, WITH_FAILURES, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .resting_on([capacity.id])
        .resting_on(lost)
        .rejecting("host.firewall_local", "No rule is needed to drop what the full table has no entry for.", [capacity.id])
        .next(Who::Customer, ACTION);
    Some(if works { candidate } else { candidate.stopping() })
}

fn nearly(capacity: &Seen<'_, Capacity>, table: &Conntrack) -> Candidate {
    let sentence = format!(
        "The table in which this machine's firewall keeps its connections is nearly full ({} of {}); once it is, new connections are dropped.",
        table.count, table.max
    );
    Candidate::new(Severity::Notice, NEARLY, sentence).resting_on([capacity.id]).next(Who::Customer, ACTION)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, conntrack, echo_failed, failure, silent};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;

    fn scene(count: u64) -> Scene {
        Scene::new("shop.example").check(Kind::Host, [conntrack(count, 10_000)])
    }

    #[test]
    fn a_full_table_explains_silence_and_refused_datagrams() {
        let refused = failure(FailureCode::PermissionDenied, Step::Send);
        let scene = scene(10_000).check(Kind::Tcp, [silent("192.0.2.1:443")]);
        let finding = scene.check(Kind::Icmp, [echo_failed("192.0.2.1", refused)]).finds("host.conntrack_full");
        assert!(finding.sentence.contains("10000 of 10000"), "{}", finding.sentence);
    }

    #[test]
    fn a_table_that_fills_up_is_worth_knowing_while_all_works() {
        assert_eq!(scene(9_300).check(Kind::Tcp, [connected("192.0.2.1:443")]).is_healthy(), ["host.conntrack_full"]);
    }

    #[test]
    fn a_table_with_room_explains_nothing() {
        assert!(!scene(5_000).check(Kind::Tcp, [silent("192.0.2.1:443")]).names("host.conntrack_full"));
    }
}
