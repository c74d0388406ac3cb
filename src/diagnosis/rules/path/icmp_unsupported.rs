use crate::candidate::Candidate;
use crate::evidence::{Evidence, LARGE_ECHO_BYTES, is_fragmented};
use crate::rule::Rule;
use crate::rules::tcp::transparent_proxy;
use crate::wording::{list, named};
use netsonde_contract::failure::IcmpError;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Trace, TraceProtocol};
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule::new("path.icmp_unsupported", &["path.blackhole", "path.target_silent"], evaluate);

/// The address answers, and diagnostic packets do not come back: there is nothing else that it could mean.
const CONFIDENCE: f64 = 0.95;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.addresses().into_iter().filter_map(|address| towards(evidence, address)).collect()
}

/// Pings or traceroute stay without the target's answer, while the target answers otherwise.
fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let tcp = evidence.answered_tcp(address);
    let (echoed, arrived) = (evidence.echoed(address), evidence.arrived(address));
    let mut works = tcp.clone();
    works.extend(echoed.iter().copied());
    works.extend(arrived.iter().copied());
    works.first()?;
    // Where refusals are the only sign of life, somebody on the way may send them in the place of a target that is gone.
    if echoed.is_empty() && arrived.is_empty() && !evidence.takes_connections(address) {
        return None;
    }
    // 0.0.0.0 and :: are this machine to a connection, and nobody to a ping.
    if address.is_unspecified() {
        return None;
    }
    // A connection that somebody else took in its place is no answer of the address.
    if echoed.is_empty() && !evidence.is_heard_of(address) && transparent_proxy::takes(evidence, address) {
        return None;
    }
    let unanswered = |echo: &&crate::evidence::Seen<'_, netsonde_contract::observation::Echo>| {
        // Large pings in pieces are dropped more often than pings are, and whole ones where large packets are lost.
        let small = !is_fragmented(echo.fact) && (echoed.is_empty() || echo.fact.size_bytes < LARGE_ECHO_BYTES);
        // One series that came back shows that pings pass, whatever kept another one.
        let told_by_others = echoed.is_empty() || !tcp.is_empty();
        small
            && told_by_others
            && echo.fact.replies.is_empty()
            && echo.fact.failure.as_ref().is_none_or(|failure| failure.icmp.is_some())
    };
    let pings: Vec<_> = evidence.echoes_of(address).filter(unanswered).collect();
    // SYNs are no diagnostic packets: a port that is filtered is another matter.
    let is_plain = |trace: &Trace| matches!(trace.protocol, TraceProtocol::Udp | TraceProtocol::Icmp);
    let traces: Vec<_> = evidence.traces_of(address).filter(|trace| !trace.fact.arrived && is_plain(trace.fact)).collect();
    let mut silent = Vec::new();
    if !pings.is_empty() {
        silent.push("ping");
    }
    if !traces.is_empty() {
        silent.push(if arrived.is_empty() { "traceroute" } else { "one kind of traceroute" });
    }
    if silent.is_empty() {
        return None;
    }
    let ids: Vec<&ObservationId> = pings.iter().map(|echo| echo.id).chain(traces.iter().map(|trace| trace.id)).collect();
    let filter = pings
        .iter()
        .flat_map(|echo| &echo.fact.errors)
        .next()
        .map(|error: &IcmpError| format!(" (the router {} says: {})", error.offender, error.words()));
    let answer = match (tcp.first(), echoed.first()) {
        (Some(_), _) => "its TCP port answers",
        (None, Some(_)) => "it answers to ping",
        (None, None) => "it answers to a traceroute of another kind",
    };
    let sentence = format!(
        "{} does not answer to {}{}, but {answer}: a filter keeps diagnostic packets out, and applications are not touched by that.",
        named(&evidence.host_at(address), address),
        list(&silent),
        filter.unwrap_or_default()
    );
    let candidate = Candidate::new(Severity::Notice, CONFIDENCE, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .resting_on(ids)
        .resting_on(works.iter().copied())
        .rejecting("path.blackhole", "The address answers otherwise.", works.iter().copied())
        .rejecting("path.target_silent", "The address answers otherwise.", works)
        .next(Who::Customer, "Nothing has to be done. Allowing ICMP makes later faults easier to find.");
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo, failure, silent, trace};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;

    #[test]
    fn a_healthy_network_that_filters_icmp_is_worth_one_notice() {
        let scene =
            Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]).check(Kind::Icmp, [echo("192.0.2.1", &[])]);
        let scene = scene.check(Kind::Traceroute, trace("192.0.2.1", &["*", "*", "*"]));
        assert_eq!(scene.is_healthy(), ["path.icmp_unsupported"]);
        assert_eq!(scene.diagnose().findings[0].severity, Severity::Notice);
    }

    #[test]
    fn a_required_trace_that_does_not_arrive_is_explained_by_it() {
        let scene = Scene::new("shop.example").check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "*", "*"])).required();
        assert_eq!(scene.check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]).is_healthy(), ["path.icmp_unsupported"]);
    }

    #[test]
    fn a_host_that_answers_another_kind_of_trace_is_there() {
        let scene = Scene::new("shop.example").check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "*", "*"])).required();
        let scene = scene.check(Kind::Icmp, [echo("192.0.2.1", &[])]);
        let scene = scene.check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "192.0.2.1"]));
        assert_eq!(scene.is_healthy(), ["path.icmp_unsupported"]);
    }

    #[test]
    fn pings_that_could_not_be_sent_say_nothing_about_filters() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]);
        let unsent = failure(FailureCode::BuffersExhausted, Step::Send);
        let scene = scene.check(Kind::Icmp, [crate::scene::echo_failed("192.0.2.1", unsent)]);
        assert!(!scene.names("path.icmp_unsupported"));
    }

    #[test]
    fn the_unspecified_address_is_nobody_to_ping() {
        let scene =
            Scene::new("zero.test").check(Kind::Tcp, [connected("0.0.0.0:443")]).check(Kind::Icmp, [echo("0.0.0.0", &[])]);
        let scene = scene.check(Kind::Traceroute, trace("0.0.0.0", &["*", "*", "*"]));
        assert!(scene.is_healthy().is_empty());
        assert_eq!((scene.diagnose().unexplained.len(), scene.diagnose().not_measured.len()), (0, 2));
    }

    #[test]
    fn without_any_answer_icmp_is_not_what_is_filtered() {
        let scene =
            Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443")]).check(Kind::Icmp, [echo("192.0.2.1", &[])]);
        assert!(!scene.names("path.icmp_unsupported"));
    }
}
