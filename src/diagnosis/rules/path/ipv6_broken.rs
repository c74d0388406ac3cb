use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["path.target_silent"],
    settled_by: Some("trying IPv6 addresses of other hosts: if they answer, only this target's IPv6 is broken"),
    ..Rule::new("path.ipv6_broken", &["dns.aaaa_dropped", "host.no_route"], evaluate)
};

/// Every IPv6 address of the target is silent and IPv4 works; whether it is this machine's IPv6 or the target's is open.
const CONFIDENCE: f64 = 0.85;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let sixes: Vec<IpAddr> =
        evidence.addresses().into_iter().filter(|address| address.is_ipv6() && evidence.tried_tcp(*address)).collect();
    let broken = !sixes.is_empty() && sixes.iter().all(|address| evidence.is_silent(*address));
    let by_four: Vec<&ObservationId> = evidence
        .attempts()
        .iter()
        .filter(|attempt| attempt.connected() && attempt.address.is_ipv4())
        .map(|attempt| attempt.id)
        .collect();
    if !broken || by_four.is_empty() {
        return Vec::new();
    }
    sixes.into_iter().map(|address| towards(evidence, address, &by_four)).collect()
}

fn towards(evidence: &Evidence<'_>, address: IpAddr, by_four: &[&ObservationId]) -> Candidate {
    let sent = evidence.sent_to(address);
    let sentence = format!(
        "IPv6 to {} gets no answer, while IPv4 works: programs try IPv6 first and wait before they fall back.",
        named(&evidence.host_at(address), address)
    );
    Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .stopping()
        .resting_on(sent.iter().copied())
        .resting_on(by_four.iter().copied())
        .rejecting("host.no_route", "Packets were sent: this machine has an IPv6 route.", sent.iter().copied())
        .rejecting("dns.aaaa_dropped", "The IPv6 address was found.", sent)
        .next(
            Who::Network,
            "Repair IPv6 on the way to this target, or take the IPv6 address away from this machine until it works.",
        )
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo, silent, trace};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;

    #[test]
    fn silent_ipv6_beside_working_ipv4_is_felt_as_a_delay() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [silent("[2001:db8::1]:443"), connected("192.0.2.1:443")]);
        let scene = scene.check(Kind::Traceroute, trace("2001:db8::1", &["2001:db8:1::1", "*", "*"]));
        let finding = scene.finds("path.ipv6_broken");
        assert_eq!((finding.severity, finding.refines), (Severity::Degraded, vec!["path.target_silent".to_owned()]));
    }

    #[test]
    fn without_ipv4_to_compare_with_it_is_the_target_that_is_silent() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [silent("[2001:db8::1]:443")]);
        scene.check(Kind::Traceroute, trace("2001:db8::1", &["2001:db8:1::1", "*", "*"])).finds("path.target_silent");
    }

    #[test]
    fn ipv6_that_answers_to_ping_is_filtered_on_the_port_only() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [silent("[2001:db8::1]:443"), connected("192.0.2.1:443")]);
        scene.check(Kind::Icmp, [echo("2001:db8::1", &[9_000])]).finds("tcp.filtered");
    }
}
