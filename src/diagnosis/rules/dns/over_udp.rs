//! Name servers that are there, and whose answers over UDP do not come at all, or do not all come.

use super::resolver;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, NameView, Seen, ServerView};
use crate::rules::path::loss;
use crate::spot::Spot;
use crate::threshold::SLOW_LOOKUP_US;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Lookup, LookupSource, QueryReason, SentQuery, Transport};

/// So many packets over UDP without an answer are no chance beside TCP, which answers.
const MANY: usize = 4;
const MANY_SILENT: f64 = 0.9;
const FEW_SILENT: f64 = 0.75;

/// So many questions tell a share of loss from a pause.
const ENOUGH: u32 = 12;
const LOSSY: f64 = 0.8;
const LOSSY_BY_FEW: f64 = 0.65;
/// Pings of its machine come back, so that it is questions alone that are dropped.
const QUESTIONS_ALONE: f64 = 0.6;
/// The lower end of the interval: below it one packet that was lost makes no fault of the way.
const LOST_SHARE: f64 = 0.05;
/// The same, from which on every tenth name or so is waited for.
const FELT_SHARE: f64 = 0.1;

fn is_over(lookup: &Lookup, wanted: Transport) -> bool {
    matches!(lookup.source, LookupSource::Server { transport, .. } if transport == wanted)
}

/// The packets of the lookup over UDP: those that lead to TCP are none of them.
fn packets(lookup: &Lookup) -> impl Iterator<Item = &SentQuery> {
    lookup.sent.iter().filter(|sent| sent.why != QueryReason::Truncated)
}

fn severity(view: &NameView<'_>) -> Severity {
    let late = view.system.iter().any(|lookup| lookup.took_us.is_some_and(|took_us| took_us > SLOW_LOOKUP_US));
    match (view.resolved(), late) {
        (false, _) => Severity::Problem,
        (true, true) => Severity::Degraded,
        (true, false) => Severity::Notice,
    }
}

/// What stops the name stops everything behind it.
fn felt(candidate: Candidate, view: &NameView<'_>) -> Candidate {
    match candidate.severity {
        Severity::Problem => candidate.about(Spot::Name(view.name.to_owned())).stopping().resting_on(view.system_failures()),
        _ => candidate,
    }
}

/// Silent over UDP to all that it was asked, and not over TCP.
pub(super) fn dead(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let names = evidence.names();
    let each = names.iter().flat_map(|view| view.servers.iter().map(move |server| (view, server)));
    each.filter_map(|(view, server)| only_tcp(evidence, &names, view, server)).collect()
}

fn only_tcp(evidence: &Evidence<'_>, names: &[NameView<'_>], view: &NameView<'_>, server: &ServerView<'_>) -> Option<Candidate> {
    let silent = |lookup: &Seen<'_, Lookup>| {
        let timed_out =
            lookup.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut && failure.icmp.is_none());
        lookup.reply.is_none() && timed_out && lookup.others.is_empty()
    };
    let by_udp: Vec<_> = server.lookups.iter().filter(|lookup| is_over(lookup, Transport::Udp)).collect();
    let by_tcp: Vec<_> =
        server.lookups.iter().filter(|lookup| is_over(lookup, Transport::Tcp) && lookup.reply.is_some()).collect();
    let same = names.iter().flat_map(|view| &view.servers).filter(|other| other.server == server.server);
    let asked = same.flat_map(|other| other.lookups.iter().copied()).chain(evidence.beside_of(server.server));
    let answers = asked.filter(|lookup| is_over(lookup, Transport::Udp)).any(|lookup| lookup.reply.is_some());
    if by_udp.is_empty() || by_tcp.is_empty() || answers || !by_udp.iter().all(|lookup| silent(lookup)) {
        return None;
    }
    let sent: usize = by_udp.iter().map(|lookup| packets(lookup.fact).count().max(1)).sum();
    let address = server.server.ip();
    let effect = match severity(view) {
        Severity::Problem => format!(", so that {} and other names cannot be turned into addresses", view.name),
        Severity::Degraded => ", and every program waits for it first".to_owned(),
        Severity::Notice => String::new(),
    };
    let sentence = format!(
        "The name server {address} does not answer over UDP{effect}: none of {sent} packets got an answer, while it answers over TCP. It runs, and something on the way, or in front of it, drops UDP to or from its port {}.",
        server.server.port()
    );
    let udp_ids: Vec<&ObservationId> = by_udp.iter().map(|lookup| lookup.id).collect();
    let tcp_ids: Vec<&ObservationId> = by_tcp.iter().map(|lookup| lookup.id).collect();
    // Without a plain question among them, what drops extensions would look the same.
    let plain = by_udp.iter().any(|lookup| packets(lookup.fact).any(|sent| !sent.edns));
    let candidate = Candidate::new(severity(view), if sent >= MANY && plain { MANY_SILENT } else { FEW_SILENT }, sentence)
        .at(resolver(view.name, address))
        .resting_on(udp_ids)
        .resting_on(tcp_ids.iter().copied())
        .rejecting("dns.tcp_blocked", "It answers over TCP.", tcp_ids.iter().copied())
        .rejecting("dns.name_unanswered", "It answers for the same name over TCP.", tcp_ids.iter().copied())
        .rejecting("host.no_route", "It answers over TCP: there is a way to it.", tcp_ids)
        .next(
            Who::Network,
            format!("Let UDP port {} pass to and from {address} on every firewall on the way; until then this machine can ask over TCP (`options use-vc` in /etc/resolv.conf).", server.server.port()),
        );
    Some(felt(candidate, view))
}

/// Some packets of one question are lost and others are answered, over and over: for the cause path.loss, on the way to a name server.
pub(in crate::rules) fn lossy(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let names = evidence.names();
    let each = names.iter().flat_map(|view| view.servers.iter().map(move |server| (view, server)));
    each.filter_map(|(view, server)| loses_questions(evidence, view, server)).collect()
}

fn loses_questions(evidence: &Evidence<'_>, view: &NameView<'_>, server: &ServerView<'_>) -> Option<Candidate> {
    let share = server.lost_questions();
    let sent = || server.lookups.iter().flat_map(|lookup| packets(lookup.fact));
    // What loses every packet of one kind, and none of another, is no chance.
    let of_kind = |edns: bool, answered: bool| sent().any(|sent| sent.edns == edns && sent.rcode.is_some() == answered);
    let by_kind = (of_kind(true, false) && !of_kind(true, true))
        || (of_kind(false, false) && !of_kind(false, true) && !of_kind(true, false));
    if !share.exceeds(LOST_SHARE) || by_kind {
        return None;
    }
    let address = server.server.ip();
    // What nobody waited for this time is felt by others, where it is many questions for sure.
    let often = share.of >= ENOUGH && share.interval().0 > FELT_SHARE;
    let severity = severity(view).max(if often { Severity::Degraded } else { Severity::Notice });
    // What nobody waits for is felt by nobody; and where pings of the address are lost too, or connections lose packets, the
    // same loss is told of all packets to it. Names that are not found are told all the same.
    let told = severity < Severity::Problem && loss::share(evidence, address).is_some();
    if severity < Severity::Degraded || told {
        return None;
    }
    let pings = evidence.lost_calmly(address);
    let alone = pings.cases == 0 && share.interval().0 > pings.interval().1;
    let pinged = if alone {
        format!(
            " Of {} pings of its machine none was lost: the server, or a limit in front of it, drops questions, and not the way.",
            pings.of
        )
    } else {
        String::new()
    };
    let sentence = format!(
        "The name server {address} answers only some of its questions: {} of the packets over UDP got no answer, and the same questions were answered at another time. Names are found late or not at all, by chance.{pinged}",
        share.words()
    );
    let confidence = match (alone, share.of >= ENOUGH) {
        (true, _) => QUESTIONS_ALONE,
        (false, true) => LOSSY,
        (false, false) => LOSSY_BY_FEW,
    };
    let settled_by = if alone {
        "the name server's own counters of questions that it dropped or limited (response rate limiting)"
    } else {
        "many questions at a calm pace to this name server, and pings beside them: where no ping is lost, the server or a limit in front of it drops questions"
    };
    let candidate = Candidate::new(severity, confidence, sentence)
        .at(resolver(view.name, address))
        .resting_on(share.ids)
        .resting_on(pings.ids.into_iter().filter(|_| alone))
        .settled_by(settled_by)
        .next(
            Who::Network,
            format!("Look for loss on the way to {address} and for a server that is overloaded or limits questions (response rate limiting); give this machine a second name server meanwhile."),
        );
    Some(felt(candidate, view))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answer, dns_silent, echo_series, over_tcp, sent, system, with_lookup};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, QueryReason};

    const NAME: &str = "shop.example";
    const SERVER: &str = "10.0.0.53";

    fn dead() -> Fact {
        with_lookup(dns_silent(SERVER, NAME, "A"), |lookup| {
            lookup.sent = [true, true, true, false].map(|edns| sent(QueryReason::Silence, edns, None)).to_vec();
        })
    }

    fn tcp() -> Fact {
        over_tcp(answer(SERVER, NAME, &["192.0.2.1"]))
    }

    #[test]
    fn a_server_that_answers_over_tcp_alone_is_not_reached_over_udp() {
        let finding = Scene::new(NAME)
            .check(Kind::Dns, [dead(), system(NAME, &[])])
            .check(Kind::Dns, [tcp()])
            .finds("dns.resolver_unreachable");
        assert!(finding.sentence.contains("answers over TCP") && finding.confidence >= 0.9, "{}", finding.sentence);
        for cause in ["dns.tcp_blocked", "dns.name_unanswered"] {
            assert!(finding.rejected.iter().any(|rejected| rejected.cause == cause), "{cause}");
        }
    }

    #[test]
    fn one_answer_over_udp_is_no_silence_over_udp() {
        let facts = [dead(), answer(SERVER, NAME, &["2001:db8::1"]), system(NAME, &["2001:db8::1"])];
        let scene = Scene::new(NAME).check(Kind::Dns, facts).check(Kind::Dns, [tcp()]);
        assert!(!scene.names("dns.resolver_unreachable"));
    }

    /// Lookups of one question, each lost so many times before its answer.
    fn after(losses: &[usize]) -> Vec<Fact> {
        let lookup = |lost: &usize| {
            with_lookup(answer(SERVER, NAME, &["192.0.2.1"]), |lookup| {
                lookup.sent = vec![sent(QueryReason::Silence, true, None); *lost];
                lookup.sent.push(sent(QueryReason::Silence, true, Some("NOERROR")));
            })
        };
        losses.iter().map(lookup).collect()
    }

    #[test]
    fn questions_that_are_lost_by_chance_are_loss_on_the_way_to_the_name_server() {
        let facts = after(&[1, 0, 2, 1]).into_iter().chain([system(NAME, &[])]);
        let finding = Scene::new(NAME).check(Kind::Dns, facts).finds("path.loss");
        assert!(finding.severity == Severity::Problem && finding.sentence.contains("4 of 8"), "{}", finding.sentence);
        assert!(finding.could_not_separate.iter().any(|open| open.cause == "dns.resolver_unreachable"), "{finding:?}");
    }

    #[test]
    fn pings_of_the_name_server_that_all_come_back_leave_the_server_or_a_limit() {
        let scene = |pinged: bool| {
            let facts = after(&[1, 0, 2, 1, 2, 2]).into_iter().chain([system(NAME, &[])]);
            let scene = Scene::new(NAME).check(Kind::Dns, facts);
            if pinged { scene.check(Kind::Icmp, [echo_series(SERVER, 20, 0, |_| {})]) } else { scene }
        };
        let finding = scene(true).finds("path.loss");
        assert!(finding.confidence == 0.6 && finding.sentence.contains("a limit in front of it"), "{finding:?}");
        assert!(!finding.settled_by.unwrap().contains("pings"), "they were sent");
        assert!(scene(false).finds("path.loss").confidence > 0.7);
    }

    #[test]
    fn the_machine_of_a_name_server_that_loses_questions_is_pinged() {
        let asks = |scene: &Scene| {
            let mut environment = scene.environment();
            environment.ping_sockets = true;
            let asked = crate::follow_up::follow_ups(scene.outcomes(), &environment, &scene.diagnose());
            asked.iter().any(|ask| ask.params.kind() == Kind::Icmp && ask.params.to_value()["host"] == SERVER)
        };
        let lossy = |losses: &[usize]| Scene::new(NAME).check(Kind::Dns, after(losses).into_iter().chain([system(NAME, &[])]));
        assert!(asks(&lossy(&[1, 0, 2, 1])));
        assert!(!asks(&lossy(&[1, 0, 0, 0])), "one lost question is chance");
    }

    #[test]
    fn one_lost_question_is_chance() {
        let facts = after(&[1, 0, 0, 0]).into_iter().chain([system(NAME, &["192.0.2.1"])]);
        assert!(Scene::new(NAME).check(Kind::Dns, facts).is_healthy().is_empty());
    }

    #[test]
    fn what_is_lost_with_extensions_only_is_another_cause() {
        let facts = (0..3).map(|_| {
            with_lookup(answer(SERVER, NAME, &["192.0.2.1"]), |lookup| {
                lookup.sent =
                    vec![sent(QueryReason::First, true, None), sent(QueryReason::SilenceWithEdns, false, Some("NOERROR"))];
            })
        });
        assert!(!Scene::new(NAME).check(Kind::Dns, facts).names("path.loss"));
    }
}
