use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, Sending};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::failure::{Failure, FailureCode, IcmpMeaning, Step};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Lookup, LookupSource, Transport};
use netsonde_contract::outcome::Status;
use std::net::{IpAddr, SocketAddr};

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
    candidates.extend(beside(evidence));
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
    // A firewall that keeps in nothing but pings troubles nobody who did not ask for pings.
    let matters = rejects_tcp || !answers || fails_what_matters(evidence, &ids);
    let severity = if matters { Severity::Problem } else { Severity::Notice };
    let host = named(&evidence.host_at(address), address);
    let port = udp_port(evidence, &ids);
    let what = match port {
        _ if rejects_tcp => format!("connections to {host}"),
        Some(port) => format!("packets to UDP port {port} of {host}"),
        None => format!("packets of some kinds to {host}"),
    };
    let mut candidate =
        Candidate::new(severity, CONFIDENCE, format!("A firewall on this machine itself does not let {what} out."))
            .at(Place { address: Some(address), port: port.filter(|_| !rejects_tcp), ..Place::default() })
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

/// One of these observations made a check fail that matters.
fn fails_what_matters(evidence: &Evidence<'_>, ids: &[&ObservationId]) -> bool {
    let failed = evidence.outcomes.iter().filter(|outcome| matches!(outcome.status, Status::Failed | Status::TimedOut));
    let mut seen = failed.filter(|outcome| outcome.required).flat_map(|outcome| &outcome.observations);
    seen.any(|observation| ids.contains(&&observation.id))
}

/// The one UDP port that all of these were sent to; none where some were sent to another, or are pings.
fn udp_port(evidence: &Evidence<'_>, ids: &[&ObservationId]) -> Option<u16> {
    let port = |id: &&ObservationId| Some(evidence.sendings().iter().find(|sending| sending.id == *id)?.address.port());
    let first = ids.first().and_then(port)?;
    ids.iter().all(|id| port(id) == Some(first)).then_some(first)
}

/// What was sent to hosts beside the target, such as a time server that the set names.
fn beside(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let told: Vec<&ObservationId> =
        evidence.addresses().into_iter().flat_map(|address| evidence.failures_to(address)).map(|(_, id)| id).collect();
    let kept = |sending: &&Sending<'_>| {
        let refused = sending.failure.is_some_and(|failure| is_own_filter(evidence, failure));
        refused && sending.host.is_some() && !told.contains(&sending.id)
    };
    let kept: Vec<&Sending<'_>> = evidence.sendings().iter().filter(kept).collect();
    let mut ports: Vec<SocketAddr> = kept.iter().map(|sending| sending.address).collect();
    ports.sort_unstable();
    ports.dedup();
    ports.into_iter().filter_map(|port| beside_at(evidence, port, &kept)).collect()
}

fn beside_at(evidence: &Evidence<'_>, port: SocketAddr, kept: &[&Sending<'_>]) -> Option<Candidate> {
    let here: Vec<&&Sending<'_>> = kept.iter().filter(|sending| sending.address == port).collect();
    let ids: Vec<&ObservationId> = here.iter().map(|sending| sending.id).collect();
    let severity = match (fails_what_matters(evidence, &ids), here.iter().any(|sending| sending.is_time)) {
        (true, _) => Severity::Problem,
        // Nothing else says that the clock cannot be compared.
        (false, true) => Severity::Degraded,
        (false, false) => Severity::Notice,
    };
    let (host, address) = (here.first()?.host?, port.ip());
    let sentence = format!(
        "A firewall on this machine itself does not let packets to UDP port {} of {} out.",
        port.port(),
        named(host, address)
    );
    let candidate = Candidate::new(severity, CONFIDENCE, sentence)
        .at(Place { address: Some(address), port: Some(port.port()), ..Place::default() })
        .about(Spot::Endpoint(port))
        .resting_on(ids.iter().copied())
        .rejecting("host.permission_denied", "The socket was opened; only the packet to this address was refused.", ids)
        .next(Who::Customer, ACTION);
    Some(candidate)
}

/// Questions over UDP to every name server were refused at sending, whatever becomes of those over TCP.
fn towards_resolver(evidence: &Evidence<'_>) -> Option<Candidate> {
    let names = evidence.names();
    let view = names.iter().find(|view| !view.servers.is_empty() && !view.resolved())?;
    let lookups = || view.servers.iter().flat_map(|server| &server.lookups);
    let own = |lookup: &&Seen<'_, Lookup>| lookup.failure.as_ref().is_some_and(|failure| is_own_filter(evidence, failure));
    // A filter that rejects connections as well answers them as a server would: only datagrams tell whose the refusal is.
    let rejected = |lookup: &&Seen<'_, Lookup>| {
        lookup.failure.as_ref().is_some_and(|failure| !over_udp(lookup) && failure.code == FailureCode::Refused)
    };
    let mut by_udp = lookups().filter(|lookup| over_udp(lookup)).peekable();
    let kept = match by_udp.peek() {
        Some(_) => by_udp.all(|lookup| own(&lookup)),
        None => lookups().any(|lookup| own(&lookup)) && lookups().all(|lookup| own(&lookup) || rejected(&lookup)),
    };
    if !kept {
        return None;
    }
    let unanswered = lookups().filter(|lookup| lookup.reply.is_none()).map(|lookup| lookup.id);
    let ids: Vec<&ObservationId> = unanswered.chain(view.system_failures()).collect();
    let by_tcp = if lookups().any(|lookup| lookup.reply.is_some()) { " Over TCP it answers; programs ask over UDP." } else { "" };
    let resolver = view.servers.first().map(|server| server.server.ip());
    let sentence = format!(
        "A firewall on this machine itself does not let questions to the name server out, so that {} could not be looked up.{by_tcp}",
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
    // A handshake over QUIC sends by itself.
    let sends = matches!(failure.during, Step::Send | Step::Handshake);
    let refused_at_sending =
        failure.code == FailureCode::PermissionDenied && sends && failure.os_error.is_none_or(|number| number != EACCES);
    let refusal = |meaning| matches!(meaning, IcmpMeaning::PortUnreachable | IcmpMeaning::AdministrativelyProhibited);
    let own_refusal = matches!(failure.during, Step::Connect | Step::Handshake)
        && failure.icmp.as_ref().is_some_and(|icmp| refusal(icmp.meaning()) && evidence.is_own(icmp.offender));
    refused_at_sending || own_refusal
}

#[cfg(test)]
mod tests {
    use crate::scene::{
        Scene, answer, connected, dns_silent, echo, echo_failed, failure, icmp, icmp_ended, interface, no_reply, over_tcp, quic,
        refused, system, time_refused,
    };
    use netsonde_contract::failure::{Failure, FailureCode, Step};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;
    use netsonde_contract::outcome::Status;

    fn kept_in() -> Failure {
        failure(FailureCode::PermissionDenied, Step::Send)
    }

    fn asked_time(host: &str) -> Fact {
        let mut fact = time_refused("192.0.2.1:123", kept_in());
        if let Fact::TimeOffset(offset) = &mut fact {
            offset.host = host.to_owned();
        }
        fact
    }

    #[test]
    fn what_was_asked_for_and_kept_in_is_a_problem_though_the_address_answers_otherwise() {
        let pinged = || Scene::new("shop.example").check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]);
        let finding = pinged().check(Kind::Ntp, [asked_time("shop.example")]).finds("host.firewall_local");
        assert_eq!((finding.severity, finding.place.port), (Severity::Problem, Some(123)));
        assert!(finding.sentence.contains("UDP port 123"), "{}", finding.sentence);
        let one_of_two = pinged().ended(Kind::Ntp, Status::Succeeded, [asked_time("shop.example")]);
        assert_eq!(one_of_two.is_healthy(), ["host.firewall_local"]);
    }

    #[test]
    fn a_time_server_beside_the_target_that_is_not_asked_leaves_the_clock_uncompared() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]);
        let mut scene = scene.check(Kind::Ntp, [asked_time("time.example")]);
        scene.outcomes_mut().last_mut().unwrap().required = false;
        assert_eq!(scene.finds("host.firewall_local").severity, Severity::Degraded);
    }

    #[test]
    fn quic_that_is_kept_in_fails_in_its_handshake() {
        let fails = |os_error| {
            let failure = Failure { os_error, ..failure(FailureCode::PermissionDenied, Step::Handshake) };
            let scene = Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]);
            scene.check(Kind::Quic, [quic("192.0.2.1:443", |quic| quic.failure = Some(failure))])
        };
        assert_eq!(fails(Some(1)).finds("host.firewall_local").place.port, Some(443));
        assert!(!fails(Some(13)).names("host.firewall_local"), "a prohibiting route is none");
    }

    #[test]
    fn questions_over_udp_alone_that_are_kept_in_are_enough() {
        let kept = || no_reply("10.0.0.53", "shop.example", "A", kept_in());
        let by_tcp = [
            over_tcp(dns_silent("10.0.0.53", "shop.example", "A")),
            over_tcp(answer("10.0.0.53", "shop.example", &["192.0.2.1"])),
        ];
        for (tcp, answers) in by_tcp.into_iter().zip([false, true]) {
            let finding = Scene::new("shop.example")
                .check(Kind::Dns, [kept(), tcp, system("shop.example", &[])])
                .finds("host.firewall_local");
            assert_eq!(finding.sentence.contains("Over TCP it answers"), answers, "{}", finding.sentence);
        }
        let silent = dns_silent("10.0.0.54", "shop.example", "A");
        assert!(
            !Scene::new("shop.example")
                .check(Kind::Dns, [kept(), silent, system("shop.example", &[])])
                .names("host.firewall_local")
        );
    }

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
