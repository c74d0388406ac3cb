use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::finding::{Place, Who};
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some(
        "a capture on every interface (`tcpdump -ni any host ADDRESS`): the replies are there, on another interface than the route's",
    ),
    ..Rule::new("host.reverse_path_filter", &["path.asymmetric", "tcp.filtered"], evaluate)
};

/// The kernel counted what it dropped for this reason, as often at least as connections stayed silent; whose packets they were, it does
/// not say.
const CONFIDENCE: f64 = 0.85;

/// Packets dropped because the route back to their sender leads out of another interface (RFC 3704; `rp_filter` of ip-sysctl).
const COUNTER: &str = "TcpExt.IPReversePathFilter";

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.addresses().into_iter().filter_map(|address| towards(evidence, address)).collect()
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let counters = evidence.grown()?;
    let dropped = counters.value(COUNTER);
    let silent = evidence.silent_tcp(address);
    // Linux has no such filter for IPv6. One drop in the background is common; each silent attempt has at least one reply dropped.
    let enough = !silent.is_empty() && dropped >= u64::try_from(silent.len()).unwrap_or(u64::MAX);
    if !address.is_ipv4() || !enough || !evidence.answered(address).is_empty() {
        return None;
    }
    let sentence = format!(
        "Replies come back to this machine on another interface than the one that leads to {}, and this machine drops them itself ({dropped} during the run).",
        named(&evidence.host_at(address), address)
    );
    let route = evidence.route_of(address);
    let candidate = Candidate::new(evidence.severity_at(address), CONFIDENCE, sentence)
        .at(Place { address: Some(address), interface: route.and_then(|route| route.fact.interface.clone()), ..Place::default() })
        .about(Spot::Address(address))
        .stopping()
        .resting_on([counters.id])
        .resting_on(silent)
        .resting_on(route.map(|route| route.id))
        .rejecting("tcp.filtered", "This machine counted packets that it dropped at its own door.", [counters.id])
        .next(
            Who::Customer,
            "Let the routes out and back use the same interface (look at `ip rule` and `ip route get ADDRESS`), or loosen the check with `sysctl net.ipv4.conf.all.rp_filter=2`.",
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, grown, silent};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, InterfaceCounters};

    fn scene(dropped: u64, tcp: impl IntoIterator<Item = Fact>) -> Scene {
        let counters = grown(&[("TcpExt.IPReversePathFilter", dropped)], InterfaceCounters::default());
        Scene::new("shop.example").check(Kind::Host, [counters]).check(Kind::Tcp, tcp)
    }

    #[test]
    fn silent_connections_and_as_many_packets_dropped_at_the_own_door_belong_together() {
        let finding = scene(6, vec![silent("192.0.2.1:443"); 3]).finds("host.reverse_path_filter");
        assert!(finding.sentence.contains("6 during the run") && finding.evidence.len() == 4, "{finding:#?}");
    }

    #[test]
    fn fewer_drops_than_silent_connections_are_background() {
        assert!(!scene(1, vec![silent("192.0.2.1:443"); 3]).names("host.reverse_path_filter"));
    }

    #[test]
    fn drops_beside_connections_that_stand_are_somebody_elses() {
        assert!(scene(9, [connected("192.0.2.1:443")]).is_healthy().is_empty());
    }
}
