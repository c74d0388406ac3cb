use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::failure::{Failure, FailureCode, IcmpMeaning, Step};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Lookup, LookupSource, Transport};
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the rules of this machine's own firewall"),
    ..Rule::new("host.firewall_local", &["tcp.filtered", "tcp.refused", "host.permission_denied"], evaluate)
};

/// Only this machine's own filter refuses a datagram at sending, or signs an ICMP error with this machine's own address.
const CONFIDENCE: f64 = 0.93;

/// What Linux and macOS answer for a prohibiting route and for a broadcast address; a packet filter is EPERM.
const EACCES: i32 = 13;

/// Datagrams are refused by our own filter, and connections to the same address stay silent: most likely by the same.
const WITH_SILENT_TCP: f64 = 0.85;

const ACTION: &str = "Look at the firewall rules of this machine (`nft list ruleset`, Windows Defender Firewall) for outgoing traffic to this address.";

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> =
        evidence.addresses().into_iter().filter_map(|address| towards(evidence, address)).collect();
    candidates.extend(towards_resolver(evidence));
    candidates.extend(super::kept_in::candidates(evidence));
    candidates
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let ours: Vec<_> =
        evidence.failures_to(address).into_iter().filter(|(failure, _)| is_own_filter(evidence, failure)).collect();
    let ids: Vec<&ObservationId> = ours.iter().map(|(_, id)| *id).collect();
    let (first, _) = ours.first()?;
    let rejects_tcp = evidence.attempts().iter().any(|attempt| ids.contains(&attempt.id));
    let answers = !evidence.answered(address).is_empty();
    // A firewall that keeps in nothing but pings troubles nobody.
    let severity = if rejects_tcp || !answers { Severity::Problem } else { Severity::Notice };
    let host = named(&evidence.host_at(address), address);
    let what = if rejects_tcp { "connections" } else { "packets of some kinds" };
    let mut candidate =
        Candidate::new(severity, CONFIDENCE, format!("A firewall on this machine itself does not let {what} to {host} out."))
            .at(Place { address: Some(address), ..Place::default() })
            .resting_on(ids.iter().copied())
            .rejecting(
                "tcp.filtered",
                format!("The answer came from this machine itself: {}.", first.words()),
                ids.iter().copied(),
            )
            .rejecting(
                "host.permission_denied",
                "The socket was opened; only the packet to this address was refused.",
                ids.iter().copied(),
            )
            .next(Who::Customer, ACTION);
    if rejects_tcp {
        for attempt in evidence.attempts().iter().filter(|attempt| ids.contains(&attempt.id)) {
            candidate = candidate.about(Spot::Endpoint(attempt.address));
        }
        candidate = candidate.stopping().rejecting(
            "tcp.refused",
            "An ICMP error of this machine's own refused the connection, not a reset of the target.",
            ids,
        );
    } else {
        candidate = candidate.about(Spot::Address(address));
    }
    if !rejects_tcp && !answers {
        // A local rule that drops TCP is silent; beside it the refused datagrams tell who drops.
        candidate.confidence = WITH_SILENT_TCP;
        candidate = candidate.stopping().resting_on(evidence.sent_to(address));
    }
    Some(candidate)
}

/// Questions to every name server were refused at sending.
fn towards_resolver(evidence: &Evidence<'_>) -> Option<Candidate> {
    let names = evidence.names();
    let view = names.iter().find(|view| !view.servers.is_empty() && !view.resolved())?;
    let lookups = || view.servers.iter().flat_map(|server| &server.lookups);
    let own = |lookup: &&Seen<'_, Lookup>| lookup.failure.as_ref().is_some_and(|failure| is_own_filter(evidence, failure));
    // A filter that rejects connections as well answers them as a server would: only datagrams tell whose the refusal is.
    let rejected = |lookup: &&Seen<'_, Lookup>| {
        lookup.failure.as_ref().is_some_and(|failure| !over_udp(lookup) && failure.code == FailureCode::Refused)
    };
    if !lookups().any(|lookup| own(&lookup)) || !lookups().all(|lookup| own(&lookup) || rejected(&lookup)) {
        return None;
    }
    let ids: Vec<&ObservationId> = lookups().map(|lookup| lookup.id).chain(view.system_failures()).collect();
    let resolver = view.servers.first().map(|server| server.server.ip());
    let sentence = format!(
        "A firewall on this machine itself does not let questions to the name server out, so that {} could not be looked up.",
        view.name
    );
    let candidate = Candidate::new(Severity::Problem, CONFIDENCE, sentence)
        .at(Place { resolver, name: Some(view.name.to_owned()), ..Place::default() })
        .about(Spot::Name(view.name.to_owned()))
        .stopping()
        .resting_on(ids.iter().copied())
        .rejecting("host.permission_denied", "The socket was opened; only the packet was refused.", ids)
        .next(Who::Customer, ACTION);
    Some(candidate)
}

fn over_udp(lookup: &Lookup) -> bool {
    matches!(lookup.source, LookupSource::Server { transport: Transport::Udp, .. })
}

/// A datagram was refused at sending, or an ICMP refusal carries one of our own addresses.
fn is_own_filter(evidence: &Evidence<'_>, failure: &Failure) -> bool {
    let refused_at_sending =
        failure.code == FailureCode::PermissionDenied && failure.during == Step::Send && failure.os_error != Some(EACCES);
    let refusal = |meaning| matches!(meaning, IcmpMeaning::PortUnreachable | IcmpMeaning::AdministrativelyProhibited);
    let own_refusal = failure.during == Step::Connect
        && failure.icmp.as_ref().is_some_and(|icmp| refusal(icmp.meaning()) && evidence.is_own(icmp.offender));
    refused_at_sending || own_refusal
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo_failed, failure, icmp, icmp_ended, interface, no_reply, refused, system};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;

    #[test]
    fn an_icmp_refusal_with_our_own_address_is_our_own_firewall() {
        let error = icmp("10.0.0.100", 3, 3);
        let scene = Scene::new("shop.example").check(Kind::Host, [interface("10.0.0.100/24")]);
        let scene = scene.check(Kind::Tcp, [icmp_ended("192.0.2.1:443", 60, FailureCode::Refused, error)]);
        scene.finds("host.firewall_local");
    }

    #[test]
    fn questions_refused_at_sending_never_reached_the_resolver() {
        let refused = || failure(FailureCode::PermissionDenied, Step::Send);
        let scene = Scene::new("shop.example")
            .check(Kind::Dns, [no_reply("10.0.0.53", "shop.example", "A", refused()), system("shop.example", &[])]);
        scene.finds("host.firewall_local");
    }

    #[test]
    fn a_firewall_that_keeps_pings_in_is_a_notice_where_the_target_answers() {
        let refused = failure(FailureCode::PermissionDenied, Step::Send);
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]);
        let causes = scene.check(Kind::Icmp, [echo_failed("192.0.2.1", refused)]).is_healthy();
        assert_eq!(causes, ["host.firewall_local"]);
    }

    #[test]
    fn pings_refused_at_sending_explain_silent_connections_to_the_same_address() {
        let refused = failure(FailureCode::PermissionDenied, Step::Send);
        let scene = Scene::new("shop.example").check(Kind::Tcp, [crate::scene::silent("192.0.2.1:443")]);
        scene.check(Kind::Icmp, [echo_failed("192.0.2.1", refused)]).finds("host.firewall_local");
    }

    #[test]
    fn a_reset_is_not_taken_for_our_own_firewall() {
        let scene = Scene::new("shop.example").check(Kind::Host, [interface("10.0.0.100/24")]);
        scene.check(Kind::Tcp, [refused("192.0.2.1:443", 9_000)]).finds("tcp.refused");
    }
}
