//! The system gives no socket, or has no room for a packet.

use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
use crate::rules::host::link_down;
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;

pub(in crate::rules) const DESCRIPTORS_RULE: Rule =
    Rule::new("host.descriptors_exhausted", &["host.permission_denied"], descriptors);

pub(in crate::rules) const BUFFERS_RULE: Rule = Rule {
    settled_by: Some("the drops of the outgoing queue (`tc -s qdisc`) and the memory that sockets use (`/proc/net/sockstat`)"),
    ..Rule::new("host.buffers_exhausted", &["host.permission_denied", "host.interface_errors"], buffers)
};

/// EMFILE and ENFILE have no other meaning.
const DESCRIPTORS: f64 = 0.97;
/// A full queue of the interface answers in the same words as missing memory.
const BUFFERS: f64 = 0.8;

/// ENFILE: the whole system's table is full, not the process's.
const ENFILE: i32 = 23;

/// Failures with the code, in every check of the target; whether one of the checks matters.
pub(in crate::rules) fn failures<'a>(
    evidence: &Evidence<'a>,
    code: &FailureCode,
) -> (Vec<(&'a Failure, &'a ObservationId)>, bool) {
    let (mut found, mut matters) = (Vec::new(), false);
    for outcome in &evidence.outcomes {
        let failures = outcome.observations.iter().filter_map(|seen| Some((seen.fact.failure()?, &seen.id)));
        let here: Vec<_> = failures.filter(|(failure, _)| failure.code == *code).collect();
        matters |= outcome.required && !here.is_empty();
        found.extend(here);
    }
    (found, matters)
}

fn descriptors(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let (found, matters) = failures(evidence, &FailureCode::DescriptorsExhausted);
    let Some((first, _)) = found.first() else { return Vec::new() };
    let capacity = evidence.capacities.first();
    let of_system = first.os_error == Some(ENFILE);
    let limit = capacity.and_then(|seen| if of_system { seen.fact.system_descriptors } else { seen.fact.own_descriptors });
    let limit = limit.map_or(String::new(), |limit| format!(" (the limit is {})", limit.limit));
    let (who, action) = if of_system {
        (
            "The whole system",
            "Find what holds so many files and sockets (`lsof | awk '{print $1}' | sort | uniq -c | sort -n`) and end it, or raise `fs.file-max`.",
        )
    } else {
        ("This program", "Give the program more descriptors (`ulimit -n 4096`, or LimitNOFILE= of its service) and run again.")
    };
    let sentence =
        format!("{who} may open no more sockets{limit}: what was not sent for that reason says nothing about the network.");
    let ids: Vec<&ObservationId> = found.iter().map(|(_, id)| *id).collect();
    let candidate = Candidate::new(severity(matters), DESCRIPTORS, sentence)
        .resting_on(ids.iter().copied())
        .resting_on(capacity.map(|capacity| capacity.id))
        .rejecting("host.permission_denied", "The system has no descriptor left; it does not refuse the right.", ids)
        .next(Who::Customer, action);
    vec![candidate]
}

fn buffers(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let (found, matters) = failures(evidence, &FailureCode::BuffersExhausted);
    let Some((first, _)) = found.first() else { return Vec::new() };
    // The queue of an interface without a link cannot drain: that it is full follows.
    if link_down::all_dead(evidence).is_some() {
        return Vec::new();
    }
    let ids: Vec<&ObservationId> = found.iter().map(|(_, id)| *id).collect();
    let sentence = format!(
        "This machine had no room for packets that were to be sent ({}): its memory for sockets or the queue of its interface was full.",
        first.text
    );
    let candidate = Candidate::new(severity(matters), BUFFERS, sentence)
        .resting_on(ids.iter().copied())
        .rejecting("host.permission_denied", "The packet had no room; it was not refused.", ids)
        .next(
            Who::Customer,
            "Look for what fills this machine's queue or memory (`ss -m`, `tc -s qdisc`, `dmesg`), and run again when it is idle.",
        );
    vec![candidate]
}

fn severity(matters: bool) -> Severity {
    if matters { Severity::Problem } else { Severity::Notice }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connect, connected, echo_failed, failure, interface, refused, route, silent};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    #[test]
    fn a_program_without_descriptors_is_told_from_one_without_the_right() {
        let failed = failure(FailureCode::DescriptorsExhausted, Step::Open);
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connect("192.0.2.1:443", 5, Some(failed))]);
        let finding = scene.finds("host.descriptors_exhausted");
        assert_eq!(finding.rejected[0].cause, "host.permission_denied");
    }

    #[test]
    fn a_full_queue_that_only_pings_met_is_worth_knowing() {
        let failed = failure(FailureCode::BuffersExhausted, Step::Send);
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]);
        assert_eq!(scene.check(Kind::Icmp, [echo_failed("192.0.2.1", failed)]).is_healthy(), ["host.buffers_exhausted"]);
    }

    #[test]
    fn a_queue_that_is_full_because_its_interface_has_no_link_is_a_consequence() {
        for carrier in [true, false] {
            let mut fact = interface("10.0.0.100/24");
            if let Fact::Interface(interface) = &mut fact {
                interface.carrier = Some(carrier);
            }
            let scene = Scene::new("shop.example").check(Kind::Host, [fact, route("192.0.2.1", Some("10.0.0.1"))]);
            let failed = failure(FailureCode::BuffersExhausted, Step::Send);
            let scene = scene.check(Kind::Tcp, [silent("192.0.2.1:443")]).check(Kind::Icmp, [echo_failed("192.0.2.1", failed)]);
            assert_eq!(scene.names("host.buffers_exhausted"), carrier);
        }
    }

    #[test]
    fn a_refusal_of_the_target_is_no_limit_of_this_machine() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [refused("192.0.2.1:443", 20_000)]);
        assert!(!scene.names("host.descriptors_exhausted") && !scene.names("host.buffers_exhausted"));
    }
}
