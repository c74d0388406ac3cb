use super::{hypothesis, unexplained};
use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
use crate::scene::{
    Scene, answer, certificate, clock, connect, connected, distrust, dns_silent, echo, echo_failed, exchange, failure, handshake,
    icmp, icmp_ended, interface, no_route, rcode, refused, route, silent, slowly, system, timestamp, trace,
};
use netsonde_contract::environment::Environment;
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::finding::{Severity, State};
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::TrustReason;
use netsonde_contract::outcome::Status;

const NAME: &str = "shop.example";
const URL: &str = "https://shop.example/";

/// All that a web run sees on a healthy dual-stack machine without privileges.
fn healthy() -> Scene {
    Scene::new(URL)
        .check(
            Kind::Host,
            [interface("10.0.0.100/24"), route("192.0.2.1", Some("10.0.0.1")), no_route("2001:db8::1"), clock(Some(true))],
        )
        .check(
            Kind::Dns,
            [
                answer("10.0.0.53", NAME, &["192.0.2.1"]),
                answer("10.0.0.53", NAME, &["2001:db8::1"]),
                system(NAME, &["2001:db8::1", "192.0.2.1"]),
            ],
        )
        .check(
            Kind::Tcp,
            [
                connect("[2001:db8::1]:443", 20, Some(failure(FailureCode::NetworkUnreachable, Step::Connect))),
                connected("192.0.2.1:443"),
            ],
        )
        .check(Kind::Tls, [handshake(|_| {})])
        .check(Kind::Http, [exchange(URL, |_| {})])
        .ended(Kind::Icmp, Status::NotMeasured, [])
        .check(Kind::Traceroute, trace("192.0.2.1", &["10.0.0.1", "*", "10.9.0.1", "192.0.2.1"]))
}

#[test]
fn a_healthy_web_run_finds_nothing_and_says_what_was_not_measured() {
    let diagnosis = healthy().diagnose();
    assert_eq!(diagnosis.state, State::AsExpected);
    assert!(diagnosis.findings.is_empty() && diagnosis.unexplained.is_empty(), "{diagnosis:#?}");
    assert_eq!(diagnosis.not_measured.len(), 1);
    assert!(!diagnosis.not_measured[0].required);
}

#[test]
fn a_required_check_that_could_not_be_measured_is_indeterminate() {
    let diagnosis = Scene::new(NAME).ended(Kind::Tcp, Status::NotMeasured, []).diagnose();
    assert_eq!(diagnosis.state, State::Indeterminate);
}

#[test]
fn a_check_that_netsonde_held_back_itself_was_not_measured() {
    for code in [FailureCode::BudgetExhausted, FailureCode::NotAllowed] {
        let diagnosis =
            Scene::new(NAME).check(Kind::Tcp, [connect("192.0.2.1:443", 0, Some(failure(code, Step::Send)))]).diagnose();
        assert_eq!((diagnosis.state, diagnosis.not_measured.len()), (State::Indeterminate, 1), "{diagnosis:#?}");
    }
}

#[test]
fn one_target_in_order_says_nothing_about_the_other() {
    let expired = handshake(|handshake| {
        handshake.chain[0].not_after = timestamp("2026-05-03T08:00:00Z");
        distrust(handshake, TrustReason::Expired);
    });
    let scene = healthy().target("https://old.example/").check(Kind::Tls, [expired]);
    let finding = scene.finds("tls.expired");
    assert_eq!(finding.target.as_deref(), Some("https://old.example/"));
    let rejected: Vec<_> = finding.rejected.iter().map(|rejected| rejected.cause.as_str()).collect();
    assert_eq!(rejected, ["host.clock_skew"], "the machine and its clock are the same for both, and nothing else is taken");
}

#[test]
fn facts_of_checks_without_a_target_count_for_every_target() {
    let mut scene = Scene::new(NAME).check(Kind::Host, [clock(Some(true))]);
    scene.outcomes_mut()[0].target = None;
    let expired = handshake(|handshake| {
        handshake.chain[0].not_after = timestamp("2026-05-03T08:00:00Z");
        distrust(handshake, TrustReason::Expired);
    });
    assert_eq!(scene.check(Kind::Tls, [expired]).finds("tls.expired").rejected[0].cause, "host.clock_skew");
}

#[test]
fn two_faults_of_one_certificate_are_both_named_and_the_surer_first() {
    let fact = handshake(|handshake| {
        handshake.chain = vec![certificate("CN=old", "CN=old")];
        handshake.name.as_mut().unwrap().fits = false;
        distrust(handshake, TrustReason::UnknownIssuer);
    });
    let diagnosis = Scene::new(URL).check(Kind::Tls, [fact]).diagnose();
    let causes: Vec<_> = diagnosis.findings.iter().map(|finding| finding.cause.as_str()).collect();
    assert_eq!(causes, ["tls.self_signed", "tls.name_mismatch"]);
    assert!(diagnosis.findings.is_sorted_by(|left, right| left.confidence >= right.confidence));
}

#[test]
fn a_problem_stands_before_a_delay_further_up() {
    let scene = Scene::new(URL)
        .check(
            Kind::Dns,
            [dns_silent("10.0.0.53", NAME, "A"), answer("10.0.0.54", NAME, &["192.0.2.1"]), slowly(system(NAME, &["192.0.2.1"]))],
        )
        .check(Kind::Tcp, [refused("192.0.2.1:443", 9_000)]);
    let causes: Vec<_> = scene.diagnose().findings.into_iter().map(|finding| (finding.cause, finding.severity)).collect();
    assert_eq!(causes, [("tcp.refused".into(), Severity::Problem), ("dns.resolver_unreachable".into(), Severity::Degraded)]);
}

#[test]
fn what_follows_from_a_fault_further_up_is_recorded_there() {
    let rejected = icmp_ended("192.0.2.1:443", 9_000, FailureCode::Refused, icmp("10.0.3.1", 3, 13));
    let scene = Scene::new(NAME).check(Kind::Tcp, [rejected, refused("192.0.2.1:443", 9_000)]);
    assert_eq!(scene.finds("path.admin_prohibited").suppressed, ["tcp.refused"]);
}

#[test]
fn a_later_check_that_meets_the_same_closed_port_is_explained_as_well() {
    let closed = |exchange: &mut netsonde_contract::observation::Exchange| {
        (exchange.status, exchange.failure) = (None, Some(failure(FailureCode::Refused, Step::Connect)));
    };
    let scene = Scene::new(URL).check(Kind::Tcp, [refused("192.0.2.1:443", 9_000)]);
    assert_eq!(scene.check(Kind::Http, [exchange(URL, closed)]).finds("tcp.refused").evidence.len(), 2);
}

#[test]
fn a_request_that_fails_in_the_handshake_is_explained_by_what_answers_there() {
    let http = exchange(URL, |exchange| {
        (exchange.status, exchange.failure) = (None, Some(failure(FailureCode::ProtocolError, Step::Handshake)))
    });
    let tls = handshake(|handshake| {
        (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
        (handshake.plain_reply, handshake.failure) =
            (Some("SSH-2.0-x".into()), Some(failure(FailureCode::NotTls, Step::Handshake)));
    });
    Scene::new(URL).check(Kind::Tls, [tls]).check(Kind::Http, [http]).finds("tls.not_tls");
}

#[test]
fn a_name_that_does_not_resolve_for_the_request_is_explained_by_the_name_server() {
    let http = exchange(URL, |exchange| {
        (exchange.status, exchange.address, exchange.failure) =
            (None, None, Some(failure(FailureCode::ResolveFailed, Step::Resolve)));
    });
    let scene = Scene::new(URL).check(Kind::Dns, [rcode("10.0.0.53", NAME, "A", 2, &[]), system(NAME, &[])]);
    scene.check(Kind::Http, [http]).finds("dns.servfail");
}

#[test]
fn an_unexplained_failure_says_what_was_seen_and_what_is_in_order() {
    let too_large = exchange(URL, |exchange| {
        (exchange.status, exchange.failure) = (None, Some(failure(FailureCode::TooLarge, Step::Receive)))
    });
    let scene = Scene::new(URL)
        .check(Kind::Dns, [answer("10.0.0.53", NAME, &["192.0.2.1"]), system(NAME, &["192.0.2.1"])])
        .check(Kind::Tcp, [connected("192.0.2.1:443")])
        .check(Kind::Tls, [handshake(|_| {})])
        .check(Kind::Http, [too_large]);
    let diagnosis = scene.is_unexplained();
    let gap = &diagnosis.unexplained[0];
    assert!(gap.required && gap.what == "GET https://shop.example/: toolarge.", "{}", gap.what);
    let ruled_out: Vec<_> = gap.ruled_out.iter().map(|rejected| rejected.cause.as_str()).collect();
    assert_eq!(ruled_out, ["dns.resolver_unreachable", "path.target_silent", "tcp.filtered", "tls.unknown_issuer"]);
    assert!(gap.ruled_out.iter().all(|rejected| !rejected.evidence.is_empty()));
}

#[test]
fn a_supporting_check_without_a_cause_does_not_change_the_state() {
    let unsent = echo_failed("192.0.2.1", failure(FailureCode::TooLarge, Step::Send));
    let diagnosis = Scene::new(NAME).check(Kind::Tcp, [connected("192.0.2.1:443")]).check(Kind::Icmp, [unsent]).diagnose();
    assert_eq!((diagnosis.state, diagnosis.unexplained.len()), (State::AsExpected, 1));
}

#[test]
fn a_packet_that_the_own_interface_does_not_take_was_not_measured() {
    let unsent = echo_failed("192.0.2.1", failure(FailureCode::MessageTooLong, Step::Send));
    let diagnosis = Scene::new(NAME).check(Kind::Icmp, [unsent]).diagnose();
    assert_eq!((diagnosis.unexplained.len(), diagnosis.not_measured.len()), (0, 1), "{diagnosis:?}");
}

#[test]
fn a_check_that_ran_out_of_time_without_a_fault_further_up_is_unexplained() {
    let scene = Scene::new(URL).check(Kind::Tcp, [connected("192.0.2.1:443")]).ended(Kind::Http, Status::TimedOut, []);
    assert!(scene.is_unexplained().unexplained[0].what.starts_with("It ran out of time"));
}

#[test]
fn a_check_that_saw_only_good_things_until_its_time_was_over_is_not_measured() {
    let scene = Scene::new(NAME).ended(Kind::Icmp, Status::TimedOut, [echo("192.0.2.1", &[9_000])]);
    let diagnosis = scene.diagnose();
    assert!(diagnosis.unexplained.is_empty(), "{diagnosis:?}");
    assert!(diagnosis.not_measured[0].why.starts_with("its time was over"), "{diagnosis:?}");
}

#[test]
fn a_budget_that_leaves_no_time_is_no_fault_of_the_network() {
    let mut scene = Scene::new(NAME).ended(Kind::Icmp, Status::TimedOut, [echo("192.0.2.1", &[])]).required();
    scene.outcomes_mut()[0].took_us = 1_000;
    let diagnosis = scene.diagnose();
    assert!(diagnosis.unexplained.is_empty(), "{diagnosis:?}");
    assert!(diagnosis.not_measured[0].grant.as_deref().unwrap().contains("--budget"));
}

#[test]
fn a_delay_elsewhere_does_not_explain_a_check_that_ran_out_of_time() {
    let tcp = [refused("[2001:db8::1]:443", 9_000), connected("192.0.2.1:443")];
    let diagnosis = Scene::new(URL).check(Kind::Tcp, tcp).ended(Kind::Http, Status::TimedOut, []).diagnose();
    assert_eq!(diagnosis.state, State::Unexplained);
}

#[test]
fn what_is_wrong_with_two_targets_is_two_findings() {
    let scene = Scene::new("a.example").check(Kind::Tcp, [refused("192.0.2.1:443", 9_000)]);
    let diagnosis = scene.target("b.example").check(Kind::Tcp, [refused("192.0.2.2:443", 9_000)]).diagnose();
    let targets: Vec<_> = diagnosis.findings.iter().map(|finding| finding.target.as_deref()).collect();
    assert_eq!(targets, [Some("a.example"), Some("b.example")]);
}

#[test]
fn a_path_that_only_filters_traceroute_and_pings_beside_a_dropped_port_is_one_problem() {
    let scene = Scene::new(NAME)
        .check(Kind::Tcp, [silent("192.0.2.1:443"), silent("192.0.2.1:443")])
        .check(Kind::Icmp, [echo("192.0.2.1", &[9_000])])
        .check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "*", "*"]));
    scene.finds("tcp.filtered");
}

#[test]
fn what_is_only_worth_knowing_explains_no_failure_that_matters() {
    static RULE: Rule = Rule::new("tcp.refused", &[], |_| Vec::new());
    let told = |severity, required| {
        let mut scene = Scene::new(NAME).check(Kind::Tcp, [silent("192.0.2.1:443")]);
        scene.outcomes_mut()[0].required = required;
        let environment = scene.environment();
        let outcomes = scene.outcomes();
        let evidence = Evidence::of(outcomes, outcomes[0].target.as_ref(), &environment);
        let candidate = Candidate::new(severity, 0.9, "x.").resting_on([&outcomes[0].observations[0].id]);
        unexplained::of(&evidence, &[hypothesis(&RULE, candidate, &environment)]).0.len()
    };
    assert_eq!(told(Severity::Notice, true), 1);
    assert_eq!(told(Severity::Degraded, true), 0);
    assert_eq!(told(Severity::Notice, false), 0);
}

#[test]
fn without_raw_sockets_a_rule_claims_no_more_than_its_cap() {
    static RULE: Rule = Rule { unprivileged_cap: 0.6, ..Rule::new("tcp.refused", &[], |_| Vec::new()) };
    let candidate = || Candidate::new(Severity::Problem, 0.9, "x.");
    let with = |raw_sockets| Environment { raw_sockets, ..Scene::new(NAME).environment() };
    assert_eq!(hypothesis(&RULE, candidate(), &with(false)).candidate.confidence, 0.6);
    assert_eq!(hypothesis(&RULE, candidate(), &with(true)).candidate.confidence, 0.9);
}

#[test]
fn the_same_facts_give_the_same_diagnosis() {
    assert_eq!(healthy().diagnose(), healthy().diagnose());
    let run = || Scene::new(NAME).check(Kind::Tcp, [refused("192.0.2.1:443", 9_000), silent("192.0.2.2:443")]).diagnose();
    assert_eq!(run(), run());
}
