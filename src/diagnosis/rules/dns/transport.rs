//! Replies that do not come through as they should: over TCP, with EDNS, or in one piece.

use super::resolver;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, NameView, Seen, ServerView, went_out};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Lookup, LookupSource, Transport};

pub(in crate::rules) const TCP_BLOCKED_RULE: Rule =
    Rule::new("dns.tcp_blocked", &["dns.edns_dropped", "dns.resolver_unreachable"], tcp_blocked);

pub(in crate::rules) const EDNS_DROPPED_RULE: Rule = Rule {
    settled_by: Some("asking the same server again with and without EDNS (`dig +noedns`)"),
    ..Rule::new("dns.edns_dropped", &["dns.resolver_unreachable", "dns.tcp_blocked", "path.loss"], edns_dropped)
};

pub(in crate::rules) const MALFORMED_RULE: Rule = Rule {
    refines: &["dns.resolver_unreachable"],
    settled_by: Some("a capture of port 53 on this machine, and the same question over TCP"),
    ..Rule::new("dns.malformed_reply", &["dns.spoofed", "dns.resolver_unreachable"], malformed)
};

/// The server itself says that the answer is longer, and TCP to it leads nowhere.
const CUT: f64 = 0.95;
/// So often at least are queries with EDNS lost and those without answered in turn: once may be chance.
const LEAST_ALTERNATIONS: usize = 2;
/// Each of several queries with EDNS was lost, and each one without was answered.
const SEVERAL_LOST: f64 = 0.92;
/// So few lost queries leave chance possible.
const FEW_LOST: usize = 2;
const FEW_LOST_SURE: f64 = 0.8;
/// Something came each time, and none of it could be read.
const UNREADABLE: f64 = 0.88;

fn each_server(evidence: &Evidence<'_>, of: impl Fn(&NameView<'_>, &ServerView<'_>) -> Option<Candidate>) -> Vec<Candidate> {
    let names = evidence.names();
    let each = names.iter().flat_map(|view| view.servers.iter().map(move |server| (view, server)));
    each.filter_map(|(view, server)| of(view, server)).collect()
}

/// A name that nobody can use is a problem; one that arrives all the same, late or by another server, is a nuisance.
fn severity(view: &NameView<'_>) -> Severity {
    if view.resolved() { Severity::Degraded } else { Severity::Problem }
}

/// What stops the name stops everything behind it.
fn felt(candidate: Candidate, view: &NameView<'_>) -> Candidate {
    match candidate.severity {
        Severity::Problem => candidate.about(Spot::Name(view.name.to_owned())).stopping().resting_on(view.system_failures()),
        _ => candidate,
    }
}

fn over(lookup: &Lookup, wanted: Transport) -> bool {
    matches!(lookup.source, LookupSource::Server { transport, .. } if transport == wanted)
}

fn tcp_blocked(evidence: &Evidence<'_>) -> Vec<Candidate> {
    each_server(evidence, |view, server| {
        let is_cut = |lookup: &&Seen<'_, Lookup>| {
            over(lookup, Transport::Udp) && lookup.reply.as_ref().is_some_and(|reply| reply.flags.tc)
        };
        let fails = |cut: &Seen<'_, Lookup>| {
            let by_tcp = |other: &&Seen<'_, Lookup>| {
                over(other, Transport::Tcp) && other.record_type == cut.record_type && other.reply.is_none()
            };
            server.lookups.iter().filter(by_tcp).find(|other| other.failure.as_ref().is_some_and(went_out)).copied()
        };
        let (cut, failed) = server.lookups.iter().filter(is_cut).find_map(|cut| Some((*cut, fails(cut)?)))?;
        let address = server.server.ip();
        let sentence = format!(
            "The answer of the name server {address} for {} is too long for one packet and has to be asked for over TCP, which does not get through to it.",
            view.name
        );
        let candidate = Candidate::new(severity(view), CUT, sentence)
            .at(resolver(view.name, address))
            .resting_on([cut.id, failed.id])
            .rejecting("dns.resolver_unreachable", "It answers over UDP.", [cut.id])
            .rejecting("dns.edns_dropped", "The cut reply itself came through.", [cut.id])
            .next(Who::Network, format!("Allow TCP port 53 to {address} on every firewall on the way: DNS needs it (RFC 7766)."));
        Some(felt(candidate, view))
    })
}

fn edns_dropped(evidence: &Evidence<'_>) -> Vec<Candidate> {
    each_server(evidence, |view, server| {
        let over_udp = || server.lookups.iter().filter(|lookup| over(lookup, Transport::Udp));
        let concerned: Vec<Seen<'_, Lookup>> = over_udp().filter(|lookup| alternations(lookup) > 0).copied().collect();
        let times: usize = concerned.iter().map(|lookup| alternations(lookup)).sum();
        let sent = || over_udp().flat_map(|lookup| &lookup.sent);
        let lost = sent().filter(|sent| sent.edns && sent.rcode.is_none()).count();
        // A reply to any query with EDNS shows that such queries get through, and a plain one that is lost, that loss is by chance.
        let by_chance = sent().any(|sent| sent.edns == sent.rcode.is_some());
        // What was answered, if in a way that cannot be taken, was not dropped.
        let answered = over_udp().any(|lookup| unusable(lookup).is_some());
        if times < LEAST_ALTERNATIONS || by_chance || answered {
            return None;
        }
        let ids: Vec<&ObservationId> = concerned.iter().map(|lookup| lookup.id).collect();
        let address = server.server.ip();
        let sentence = format!(
            "The name server {address} answers plain questions only: none of {lost} with extensions (EDNS) was answered, and each of those without was, {times} times in turn. Every program that uses them waits first."
        );
        let candidate = Candidate::new(severity(view), if lost > FEW_LOST { SEVERAL_LOST } else { FEW_LOST_SURE }, sentence)
            .at(resolver(view.name, address))
            .resting_on(ids.iter().copied())
            .rejecting("dns.resolver_unreachable", "It answers the question without extensions.", ids.iter().copied())
            .rejecting("dns.tcp_blocked", "The answer came over UDP and was not cut.", ids.iter().copied())
            .rejecting("path.loss", "Each question without extensions was answered, and none with them.", ids)
            .next(Who::Network, format!("Let DNS packets with EDNS and of more than 512 bytes pass to and from {address} (firewall DNS inspection), or update that server."));
        Some(felt(candidate, view))
    })
}

/// How often in this lookup a query without EDNS was answered after those with it were lost.
fn alternations(lookup: &Lookup) -> usize {
    let (mut times, mut lost) = (0, false);
    for sent in &lookup.sent {
        match (sent.edns, sent.rcode.is_some()) {
            (true, false) => lost = true,
            (false, true) if lost => (times, lost) = (times + 1, false),
            _ => {}
        }
    }
    times
}

/// Why the first message that came beside the replies is none.
fn unusable(lookup: &Lookup) -> Option<&str> {
    lookup.others.iter().find(|other| !other.second_reply).map(|other| other.why.as_str())
}

fn malformed(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let mut candidates = each_server(evidence, wholly_malformed);
    candidates.extend(each_server(evidence, malformed_with_extensions));
    candidates
}

/// Questions with extensions got messages that are no replies to them, and those without were answered: a server or box that spoils what it
/// does not know, or somebody who forges replies and cannot see the questions.
fn malformed_with_extensions(view: &NameView<'_>, server: &ServerView<'_>) -> Option<Candidate> {
    let spoilt = |lookup: &&Seen<'_, Lookup>| {
        let plain_only = lookup.sent.iter().all(|sent| sent.edns != sent.rcode.is_some());
        alternations(lookup) > 0 && plain_only && unusable(lookup.fact).is_some()
    };
    let concerned: Vec<Seen<'_, Lookup>> = server.lookups.iter().filter(spoilt).copied().collect();
    let why = unusable(concerned.first()?.fact)?;
    let ids: Vec<&ObservationId> = concerned.iter().map(|lookup| lookup.id).collect();
    let address = server.server.ip();
    let sentence = format!(
        "What the name server {address} sends to questions with extensions (EDNS) for {} cannot be used: {why}. Only those without are answered, and every program that uses extensions waits first.",
        view.name
    );
    let candidate = Candidate::new(severity(view), UNREADABLE, sentence)
        .at(resolver(view.name, address))
        .resting_on(ids.iter().copied())
        .rejecting("dns.resolver_unreachable", "It answers the question without extensions.", ids)
        .next(Who::Network, format!("Update the name server {address}, or what stands in front of it such as a router's DNS proxy; where neither is at fault, somebody sends replies in its place."));
    Some(felt(candidate, view))
}

fn wholly_malformed(view: &NameView<'_>, server: &ServerView<'_>) -> Option<Candidate> {
    let unread = |lookup: &&Seen<'_, Lookup>| lookup.reply.is_none() && !lookup.others.is_empty();
    let concerned: Vec<Seen<'_, Lookup>> = server.lookups.iter().filter(unread).copied().collect();
    let why = concerned.first()?.others.first().map(|other| other.why.clone())?;
    if !server.answers().is_empty() {
        return None;
    }
    let ids: Vec<&ObservationId> = concerned.iter().map(|lookup| lookup.id).collect();
    let address = server.server.ip();
    let sentence =
        format!("What comes back from the name server {address} for {} is no reply that can be used: {why}.", view.name);
    let candidate = Candidate::new(severity(view), UNREADABLE, sentence)
        .at(resolver(view.name, address))
        .resting_on(ids.iter().copied())
        .rejecting("dns.resolver_unreachable", "Something answers.", ids.iter().copied())
        .rejecting("dns.spoofed", "No good reply came beside it.", ids)
        .next(Who::Network, format!("Look at what is between this machine and {address}, such as a router's DNS proxy, and update it; ask another name server meanwhile."));
    Some(felt(candidate, view))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answer, dns_silent, other_message, over_tcp, rcode, sent, system, with_lookup, with_reply};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, QueryReason};

    const NAME: &str = "shop.example";
    const SERVER: &str = "10.0.0.53";

    fn scene(facts: impl IntoIterator<Item = Fact>) -> Scene {
        Scene::new(NAME).check(Kind::Dns, facts)
    }

    fn cut() -> Fact {
        with_reply(rcode(SERVER, NAME, "A", 0, &[]), |reply| reply.flags.tc = true)
    }

    #[test]
    fn a_cut_answer_that_cannot_be_asked_for_over_tcp_is_blocked_there() {
        let finding = scene([cut(), over_tcp(dns_silent(SERVER, NAME, "A")), system(NAME, &[])]).finds("dns.tcp_blocked");
        assert_eq!((finding.severity, finding.rejected.len()), (Severity::Problem, 2));
    }

    #[test]
    fn a_cut_answer_that_comes_over_tcp_is_as_it_should_be() {
        let whole = over_tcp(answer(SERVER, NAME, &["192.0.2.1"]));
        assert!(scene([cut(), whole, system(NAME, &["192.0.2.1"])]).is_healthy().is_empty());
    }

    fn plain_only(with_edns: Option<&str>) -> Fact {
        with_lookup(answer(SERVER, NAME, &["192.0.2.1"]), |lookup| {
            lookup.sent = vec![
                sent(QueryReason::First, true, with_edns),
                sent(QueryReason::Silence, true, None),
                sent(QueryReason::SilenceWithEdns, false, Some("NOERROR")),
                sent(QueryReason::EdnsAgain, true, None),
                sent(QueryReason::SilenceWithEdns, false, Some("NOERROR")),
                sent(QueryReason::PlainAgain, false, Some("NOERROR")),
            ];
            lookup.attempts = 6;
        })
    }

    #[test]
    fn a_server_that_answers_only_without_edns_delays_everybody() {
        let finding = scene([plain_only(None), system(NAME, &["192.0.2.1"])]).finds("dns.edns_dropped");
        assert!(finding.severity == Severity::Degraded && finding.sentence.contains("none of 3"), "{}", finding.sentence);
    }

    #[test]
    fn one_turn_of_lost_and_answered_is_chance() {
        let once = with_lookup(answer(SERVER, NAME, &["192.0.2.1"]), |lookup| {
            lookup.sent = vec![sent(QueryReason::First, true, None), sent(QueryReason::SilenceWithEdns, false, Some("NOERROR"))];
        });
        assert!(!scene([once, system(NAME, &["192.0.2.1"])]).names("dns.edns_dropped"));
    }

    #[test]
    fn plain_questions_that_are_lost_too_are_lost_by_chance() {
        let by_turns = with_lookup(plain_only(None), |lookup| {
            lookup.sent.last_mut().unwrap().rcode = None;
        });
        assert!(!scene([by_turns, system(NAME, &["192.0.2.1"])]).names("dns.edns_dropped"));
    }

    #[test]
    fn one_answer_with_edns_shows_that_it_gets_through() {
        assert!(scene([plain_only(Some("NOERROR")), system(NAME, &["192.0.2.1"])]).is_healthy().is_empty());
    }

    #[test]
    fn replies_with_a_cookie_that_was_not_sent_are_spoilt_and_not_dropped() {
        let spoilt = with_lookup(plain_only(None), |lookup| {
            lookup.others = vec![other_message(false, None, "it has a DNS cookie that was not sent")];
        });
        let finding = scene([spoilt, system(NAME, &["192.0.2.1"])]).finds("dns.malformed_reply");
        assert!(finding.sentence.contains("a DNS cookie that was not sent"), "{}", finding.sentence);
        assert_eq!(finding.severity, Severity::Degraded);
    }

    #[test]
    fn a_second_reply_beside_dropped_extensions_is_none_to_them() {
        let doubled = with_lookup(plain_only(None), |lookup| lookup.others = vec![other_message(true, None, "")]);
        scene([doubled, system(NAME, &["192.0.2.1"])]).finds("dns.edns_dropped");
    }

    #[test]
    fn a_reply_that_cannot_be_read_is_no_silence() {
        let garbled = with_lookup(dns_silent(SERVER, NAME, "A"), |lookup| {
            lookup.others = vec![other_message(false, None, "it is no DNS message")];
        });
        let finding = scene([garbled, system(NAME, &[])]).finds("dns.malformed_reply");
        assert!(finding.sentence.contains("it is no DNS message") && finding.refines == ["dns.resolver_unreachable"]);
    }

    #[test]
    fn rubbish_beside_a_good_reply_does_not_matter() {
        let fine = with_lookup(answer(SERVER, NAME, &["192.0.2.1"]), |lookup| {
            lookup.others = vec![other_message(false, None, "another id")];
        });
        assert!(scene([fine, system(NAME, &["192.0.2.1"])]).is_healthy().is_empty());
    }
}
