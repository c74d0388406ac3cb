use super::{Vantage, diagnose_against};
use crate::scene::*;
use netsonde_contract::control::{Control, ControlEffect, ControlRelation, DifferenceAbout};
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::finding::{Diagnosis, Finding, Severity, State, Who};
use netsonde_contract::id::{BundleId, RunId};
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{Fact, Handshake, TrustReason, TrustStore};

const AT: &str = "192.0.2.1:443";
const ADDRESS: &str = "192.0.2.1";

fn held(here: &mut Scene, there: &mut Scene, relation: ControlRelation) -> (Diagnosis, Control) {
    let (environment, other) = (here.environment(), there.environment());
    let (bundle, run) = (BundleId::new("c0".repeat(32)), RunId::new("control"));
    let vantage = Vantage { outcomes: there.outcomes_mut(), environment: &other, bundle: &bundle, run: &run, relation };
    let (diagnosis, control) = diagnose_against(here.outcomes_mut(), &environment, &vantage);
    let known = |id| vantage.outcomes.iter().flat_map(|outcome| &outcome.observations).any(|seen| seen.id == id);
    for says in diagnosis.findings.iter().filter_map(|finding| finding.control.as_ref()) {
        assert!(
            !says.evidence.is_empty() && says.evidence.iter().cloned().all(known),
            "{says:?} rests on what the control observed"
        );
        assert!(says.bundle == bundle && says.text.ends_with('.'), "{says:?}");
    }
    (diagnosis, control)
}

pub(super) fn elsewhere(mut here: Scene, mut there: Scene) -> (Diagnosis, Control) {
    held(&mut here, &mut there, ControlRelation::OtherMachine)
}

fn before(mut here: Scene, mut there: Scene) -> (Diagnosis, Control) {
    held(&mut here, &mut there, ControlRelation::SameMachine)
}

/// The other run may be this machine's or another's.
fn of_either(mut here: Scene, mut there: Scene) -> (Diagnosis, Control) {
    held(&mut here, &mut there, ControlRelation::Unsure)
}

pub(super) fn effect(finding: &Finding) -> Option<ControlEffect> {
    finding.control.as_ref().map(|says| says.effect)
}

fn shop() -> Scene {
    Scene::new("shop.example")
}

fn silent_port() -> Scene {
    shop().check(Kind::Tcp, [silent(AT)]).check(Kind::Icmp, [echo(ADDRESS, &[9_000; 4])])
}

#[test]
fn a_port_that_is_silent_here_and_open_elsewhere_is_filtered_on_this_way() {
    let (diagnosis, control) = elsewhere(silent_port(), shop().check(Kind::Tcp, [connected(AT)]));
    let finding = &diagnosis.findings[0];
    assert_eq!((finding.cause.as_str(), effect(finding)), ("tcp.filtered", Some(ControlEffect::Raised)));
    assert!(finding.confidence >= 0.95 && finding.next_step.who == Who::Network, "{finding:#?}");
    let reach = control.differences.iter().find(|difference| difference.about == DifferenceAbout::Reach).unwrap();
    assert_eq!((reach.here.as_str(), reach.there.as_str()), ("no answer", "connects"));
}

#[test]
fn a_port_that_is_silent_from_both_places_is_filtered_at_the_far_side() {
    let (diagnosis, control) = elsewhere(silent_port(), shop().check(Kind::Tcp, [silent(AT)]));
    let finding = &diagnosis.findings[0];
    assert_eq!((finding.cause.as_str(), finding.next_step.who), ("tcp.filtered", Who::Server), "{finding:#?}");
    assert!(control.differences.is_empty() && control.compared > 0, "{control:#?}");
}

#[test]
fn a_refusal_that_others_do_not_meet_is_doubted_and_one_that_they_meet_is_believed() {
    let here = || shop().check(Kind::Tcp, [refused(AT, 20_000)]).check(Kind::Icmp, [echo(ADDRESS, &[20_000; 4])]);
    let (doubted, _) = elsewhere(here(), shop().check(Kind::Tcp, [connected(AT)]));
    let (believed, _) = elsewhere(here(), shop().check(Kind::Tcp, [refused(AT, 3_000)]));
    assert_eq!(effect(&doubted.findings[0]), Some(ControlEffect::Lowered), "{doubted:#?}");
    assert_eq!(effect(&believed.findings[0]), Some(ControlEffect::Raised), "{believed:#?}");
    assert!(doubted.findings[0].confidence < believed.findings[0].confidence);
    assert!(doubted.findings[0].confidence >= 0.5, "what was seen here stays a problem");
}

#[test]
fn where_it_is_not_known_whose_run_it_is_only_what_holds_for_both_counts() {
    let answers = || shop().check(Kind::Tcp, [connected(AT)]).check(Kind::Icmp, [echo(ADDRESS, &[9_000; 4])]);
    let (diagnosis, _) = of_either(silent_target(), answers());
    let (finding, (mended, _)) = (&diagnosis.findings[0], before(silent_target(), answers()));
    assert_eq!((finding.cause.as_str(), effect(finding)), ("path.target_silent", Some(ControlEffect::Unchanged)), "{finding:#?}");
    assert!(finding.confidence < mended.findings[0].confidence && finding.control.as_ref().unwrap().rejects.is_empty());
    // An older run shows that the port was open; another place, that it is.
    let (port, _) = of_either(silent_port(), shop().check(Kind::Tcp, [connected(AT)]));
    let (once, _) = before(silent_port(), shop().check(Kind::Tcp, [connected(AT)]));
    let (other, _) = elsewhere(silent_port(), shop().check(Kind::Tcp, [connected(AT)]));
    let least = once.findings[0].confidence.min(other.findings[0].confidence);
    assert_eq!((port.findings[0].confidence, effect(&port.findings[0])), (least, Some(ControlEffect::Raised)), "{port:#?}");
}

fn silent_target() -> Scene {
    shop().check(Kind::Tcp, [silent(AT)]).check(Kind::Traceroute, trace(ADDRESS, &["10.0.0.1", "*", "*"]))
}

#[test]
fn a_silent_target_that_answers_elsewhere_is_alive() {
    let (diagnosis, _) = elsewhere(silent_target(), shop().check(Kind::Tcp, [connected(AT)]));
    let finding = &diagnosis.findings[0];
    assert_eq!((finding.cause.as_str(), effect(finding)), ("path.blackhole", Some(ControlEffect::Found)), "{diagnosis:#?}");
    assert!(finding.place.hop == Some(1) && finding.next_step.who == Who::Network, "{finding:#?}");
    assert!(!diagnosis.findings.iter().any(|finding| finding.cause == "path.target_silent"));
}

#[test]
fn a_target_that_is_silent_from_both_places_is_the_far_side() {
    let (diagnosis, _) = elsewhere(silent_target(), shop().check(Kind::Tcp, [silent(AT)]));
    let finding = &diagnosis.findings[0];
    assert_eq!((finding.cause.as_str(), effect(finding)), ("path.target_silent", Some(ControlEffect::Raised)), "{diagnosis:#?}");
    assert!(finding.confidence > 0.9);
}

fn many(attempts: &str) -> Scene {
    let fact = |(at, mark): (usize, char)| {
        let mut fact = if mark == '+' { connected(AT) } else { silent(AT) };
        if let Fact::Connect(connect) = &mut fact {
            connect.attempt = at as u32 + 1;
        }
        fact
    };
    let mut scene = shop().check(Kind::Host, [ports(28_000, 12, 0)]).check(Kind::Tcp, attempts.chars().enumerate().map(fact));
    scene.outcomes_mut().last_mut().unwrap().parameters = serde_json::json!({"concurrent": attempts.len()});
    scene
}

#[test]
fn a_translator_without_ports_is_sure_only_where_another_place_holds_them_all() {
    let short = "++++++++------";
    let (free, _) = elsewhere(many(short), many("++++++++++++++"));
    let (limited, _) = elsewhere(many(short), many(short));
    let (few, _) = elsewhere(many(short), many("++++"));
    for diagnosis in [&free, &limited, &few] {
        assert_eq!(diagnosis.findings[0].cause, "tcp.snat_exhausted", "{diagnosis:#?}");
    }
    assert!(free.findings[0].confidence > 0.8, "{:#?}", free.findings[0]);
    assert!(limited.findings[0].confidence <= 0.5 && limited.findings[0].next_step.who == Who::Server);
    assert_eq!(effect(&few.findings[0]), None, "fewer connections than here say nothing");
}

fn shown_by(issuer: &str, sha256: &str) -> Scene {
    let change = |handshake: &mut Handshake| {
        handshake.chain = vec![certificate("CN=shop.example", issuer)];
        handshake.chain[0].sha256 = sha256.to_owned();
        distrust(handshake, TrustReason::UnknownIssuer);
    };
    shop().check(Kind::Tls, [handshake(change)])
}

#[test]
fn another_issuer_elsewhere_shows_an_interception_that_no_name_gives_away() {
    let (diagnosis, control) = elsewhere(shown_by("CN=Corp CA", "aa"), shown_by("CN=Real CA", "bb"));
    let finding = &diagnosis.findings[0];
    assert_eq!((finding.cause.as_str(), effect(finding)), ("tls.intercepted", Some(ControlEffect::Found)), "{diagnosis:#?}");
    assert!(!diagnosis.findings.iter().any(|finding| finding.cause == "tls.unknown_issuer"), "it is refined");
    assert!(control.differences.iter().any(|difference| difference.about == DifferenceAbout::Certificate), "{control:#?}");
    assert_eq!(diagnosis.state, State::Explained);
}

/// A private authority's certificate, and whether the machine trusts it.
fn private_leaf(issuer: &str, sha256: &str, trusted: bool, self_signed: bool) -> Scene {
    let mut scene = shown_by(issuer, sha256);
    let observation = scene.outcomes_mut().last_mut().unwrap().observations.last_mut().unwrap();
    let Fact::Handshake(handshake) = &mut observation.fact else { panic!("{observation:?}") };
    handshake.chain[0].self_signed = self_signed;
    if trusted {
        for verdict in handshake.trust.iter_mut().filter(|verdict| verdict.store != TrustStore::Mozilla) {
            (verdict.trusted, verdict.reason) = (true, None);
        }
        handshake.failure = None;
    }
    scene
}

#[test]
fn an_interception_of_the_controls_own_connection_is_not_looked_for_here() {
    let here = || private_leaf("CN=Our CA", "aa", true, false);
    for there in [private_leaf("CN=Zscaler Root", "bb", false, false), private_leaf("CN=shop.example", "bb", false, true)] {
        let (diagnosis, _) = elsewhere(here(), there);
        assert!(!diagnosis.findings.iter().any(|finding| finding.cause == "tls.intercepted"), "{diagnosis:#?}");
    }
    let (open, _) = elsewhere(here(), private_leaf("CN=Other CA", "bb", true, false));
    let finding = open.findings.iter().find(|finding| finding.cause == "tls.intercepted").unwrap();
    assert!(finding.sentence.contains("on the way from here or from there"), "{}", finding.sentence);
}

#[test]
fn the_same_certificate_elsewhere_is_the_servers_own() {
    let (same, _) = elsewhere(shown_by("CN=Corp CA", "aa"), shown_by("CN=Corp CA", "aa"));
    assert_eq!((same.findings[0].cause.as_str(), effect(&same.findings[0])), ("tls.unknown_issuer", Some(ControlEffect::Raised)));
    let (product, _) = elsewhere(shown_by("CN=Zscaler Root", "aa"), shown_by("CN=Zscaler Root", "aa"));
    assert_eq!(
        (product.findings[0].cause.as_str(), effect(&product.findings[0])),
        ("tls.intercepted", Some(ControlEffect::Lowered))
    );
}

#[test]
fn a_name_that_exists_elsewhere_is_not_simply_missing() {
    let missing = || {
        shop().check(Kind::Dns, [system("shop.example", &[]), rcode("10.0.0.53", "shop.example", "A", 3, &[("example", "SOA")])])
    };
    let there = shop().check(Kind::Dns, [system("shop.example", &[ADDRESS]), answer("10.9.0.53", "shop.example", &[ADDRESS])]);
    let (doubted, _) = elsewhere(missing(), there);
    let (agreed, _) = elsewhere(missing(), missing());
    assert_eq!(
        (doubted.findings[0].cause.as_str(), effect(&doubted.findings[0])),
        ("dns.nxdomain", Some(ControlEffect::Lowered)),
        "{doubted:#?}"
    );
    assert_eq!(effect(&agreed.findings[0]), Some(ControlEffect::Raised), "{agreed:#?}");
}

#[test]
fn a_private_address_here_and_a_public_one_elsewhere_are_two_views() {
    let inside = |attempt: Fact| shop().check(Kind::Dns, [system("shop.example", &["10.1.1.1"])]).check(Kind::Tcp, [attempt]);
    let outside =
        || shop().check(Kind::Dns, [system("shop.example", &["203.0.113.9"])]).check(Kind::Tcp, [connected("203.0.113.9:443")]);
    let (works, control) = elsewhere(inside(connected("10.1.1.1:443")), outside());
    assert_eq!(
        (works.findings[0].cause.as_str(), works.findings[0].severity),
        ("dns.split_horizon", Severity::Notice),
        "{works:#?}"
    );
    assert_eq!(works.state, State::AsExpected);
    assert!(control.differences.iter().any(|difference| difference.about == DifferenceAbout::Addresses));
    let (fails, _) = elsewhere(inside(silent("10.1.1.1:443")), outside());
    assert_eq!(
        (fails.findings[0].cause.as_str(), fails.findings[0].severity),
        ("dns.split_horizon", Severity::Problem),
        "{fails:#?}"
    );
}

#[test]
fn an_older_run_of_the_machine_tells_when_it_worked_and_what_changed() {
    let now =
        shop().check(Kind::Dns, [system("shop.example", &["192.0.2.9"])]).check(Kind::Tcp, [refused("192.0.2.9:443", 9_000)]);
    let then = shop().check(Kind::Dns, [system("shop.example", &[ADDRESS])]).check(Kind::Tcp, [connected(AT)]);
    let (diagnosis, _) = before(now, then);
    let finding = &diagnosis.findings[0];
    let says = finding.control.as_ref().unwrap();
    assert_eq!((finding.cause.as_str(), says.effect), ("tcp.refused", ControlEffect::Unchanged), "{finding:#?}");
    assert!(
        says.text.contains("It worked from this machine at 2026-05-15 12:00 UTC")
            && says.text.contains("then 192.0.2.1, now 192.0.2.9"),
        "{}",
        says.text
    );
}

#[test]
fn the_hops_of_one_machine_are_held_against_each_other_and_those_of_two_are_not() {
    let way = |routers: &[&str]| shop().check(Kind::Traceroute, trace(ADDRESS, routers));
    let (old, new) = (["10.0.0.1", "10.0.1.1", ADDRESS], ["10.0.0.1", "10.0.2.1", ADDRESS]);
    let (_, control) = before(way(&new), way(&old));
    let path: Vec<_> = control.differences.iter().filter(|difference| difference.about == DifferenceAbout::Path).collect();
    assert_eq!(
        path.iter().map(|difference| difference.subject.as_str()).collect::<Vec<_>>(),
        ["192.0.2.1, hop 2"],
        "{control:#?}"
    );
    let (_, control) = elsewhere(way(&new), way(&old));
    assert!(control.differences.is_empty(), "{control:#?}");
}

#[test]
fn a_run_about_something_else_says_nothing() {
    let other = Scene::new("mail.example").check(Kind::Tcp, [connected("198.51.100.7:25")]);
    let (diagnosis, control) = elsewhere(silent_port(), other);
    assert_eq!((control.compared, control.differences.len()), (0, 0));
    assert!(diagnosis.findings.iter().all(|finding| finding.control.is_none()));
}

#[test]
fn two_ports_and_two_pages_of_one_host_are_not_compared() {
    let failed = |url: &'static str| {
        Scene::new(url).check(Kind::Http, [exchange(url, |exchange| (exchange.status, exchange.expected) = (Some(500), false))])
    };
    let worked = |url: &'static str| Scene::new(url).check(Kind::Http, [exchange(url, |_| {})]);
    for (here, there) in
        [("http://shop.example:8004/", "http://shop.example/"), ("http://shop.example/a", "http://shop.example/b")]
    {
        let (diagnosis, control) = before(failed(here), worked(there));
        assert!(control.differences.iter().all(|difference| difference.about != DifferenceAbout::Check), "{control:#?}");
        assert_eq!(diagnosis.findings[0].control, None, "{diagnosis:#?}");
    }
    let (diagnosis, _) = before(failed("http://shop.example/"), worked("http://shop.example:80/"));
    assert!(diagnosis.findings[0].next_step.action.contains("It worked at"), "{diagnosis:#?}");
}

fn rejects(finding: &Finding) -> Vec<&str> {
    finding.control.iter().flat_map(|says| &says.rejects).map(|rejected| rejected.cause.as_str()).collect()
}

fn halted_handshake() -> Scene {
    shop().check(Kind::Tcp, [connected(AT)]).check(Kind::Tls, [silent_handshake()])
}

fn silent_handshake() -> Fact {
    handshake(|handshake| {
        (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
        (handshake.took_us, handshake.failure) = (5_000_000, Some(failure(FailureCode::TimedOut, Step::Handshake)));
    })
}

#[test]
fn a_handshake_that_completes_elsewhere_is_no_silence_of_the_server() {
    let works = shop().check(Kind::Tcp, [connected(AT)]).check(Kind::Tls, [handshake(|_| {})]);
    let (diagnosis, _) = elsewhere(halted_handshake(), works);
    let finding = diagnosis.findings.iter().find(|finding| finding.cause == "tls.handshake_timeout").unwrap();
    assert_eq!(effect(finding), Some(ControlEffect::Lowered), "{finding:#?}");
    let (alike, _) = elsewhere(halted_handshake(), halted_handshake());
    let finding = alike.findings.iter().find(|finding| finding.cause == "tls.handshake_timeout").unwrap();
    assert_eq!(effect(finding), Some(ControlEffect::Raised), "{finding:#?}");
    assert!(
        rejects(finding).contains(&"path.mtu_blackhole")
            && !finding.could_not_separate.iter().any(|open| open.cause == "path.mtu_blackhole")
    );
}

#[test]
fn a_connection_that_stands_elsewhere_says_nothing_of_a_handshake_that_halts_here() {
    let (diagnosis, _) = elsewhere(halted_handshake(), shop().check(Kind::Tcp, [connected(AT)]));
    let finding = diagnosis.findings.iter().find(|finding| finding.cause == "tls.handshake_timeout").unwrap();
    assert_eq!(effect(finding), None, "{finding:#?}");
}

#[test]
fn a_port_that_is_open_elsewhere_rules_out_what_lies_with_the_server() {
    let (diagnosis, _) = elsewhere(silent_port(), shop().check(Kind::Tcp, [connected(AT)]));
    assert!(rejects(&diagnosis.findings[0]).contains(&"tcp.accept_queue_full"), "{:#?}", diagnosis.findings[0]);
    let text = &diagnosis.findings[0].control.as_ref().unwrap().rejects[0].reason;
    assert!(text.contains("in the same window"), "{text}");
}

#[test]
fn what_another_place_saw_days_ago_changes_no_confidence() {
    let (mut here, mut there) = (silent_port(), shop().check(Kind::Tcp, [connected(AT)]));
    let (environment, mut other) = (here.environment(), there.environment());
    other.began = environment.began - jiff::SignedDuration::from_hours(72);
    let (bundle, run) = (BundleId::new("c0".repeat(32)), RunId::new("control"));
    let relation = ControlRelation::OtherMachine;
    let vantage = Vantage { outcomes: there.outcomes_mut(), environment: &other, bundle: &bundle, run: &run, relation };
    let finding = &diagnose_against(here.outcomes_mut(), &environment, &vantage).0.findings[0];
    let says = finding.control.as_ref().unwrap();
    assert!(says.effect == ControlEffect::Unchanged && says.text.contains("3 days apart") && says.rejects.is_empty(), "{says:?}");
}

#[test]
fn a_port_that_once_worked_from_here_was_filtered_since() {
    let alone = silent_port().finds("tcp.filtered").confidence;
    let (diagnosis, _) = before(silent_port(), shop().check(Kind::Tcp, [connected(AT)]));
    let finding = &diagnosis.findings[0];
    assert_eq!((finding.cause.as_str(), effect(finding)), ("tcp.filtered", Some(ControlEffect::Raised)), "{finding:#?}");
    assert!(finding.confidence > alone && rejects(finding).is_empty(), "{finding:#?}");
}

#[test]
fn the_same_name_server_that_answers_elsewhere_is_there() {
    let here = || shop().check(Kind::Dns, [dns_silent("10.0.0.53", "shop.example", "A"), system("shop.example", &[])]);
    let there =
        |server: &str| shop().check(Kind::Dns, [answer(server, "shop.example", &[ADDRESS]), system("shop.example", &[ADDRESS])]);
    let (same, _) = elsewhere(here(), there("10.0.0.53"));
    let says = same.findings[0].control.as_ref().unwrap();
    assert!(same.findings[0].next_step.who == Who::Network && says.text.contains("10.0.0.53 answers"), "{same:#?}");
    let (other, _) = elsewhere(here(), there("10.9.9.53"));
    assert_eq!(effect(&other.findings[0]), None, "another name server says nothing of this one");
}

fn lossy(sent: u32, lost: u32) -> Scene {
    shop().check(Kind::Tcp, [connected(AT)]).check(Kind::Icmp, [echo_series(ADDRESS, sent, lost, |_| {})])
}

#[test]
fn loss_that_the_control_does_not_have_counts_each_packet_once_and_leaves_open_what_nothing_rules_out() {
    let (diagnosis, control) = elsewhere(lossy(20, 15), lossy(20, 0));
    let finding = &diagnosis.findings[0];
    let says = finding.control.as_ref().unwrap();
    assert!(finding.cause == "path.loss" && says.text.contains("lost 0 of 20 packets"), "{finding:#?}");
    assert!(finding.could_not_separate.iter().any(|open| open.cause == "path.icmp_rate_limited"), "{finding:#?}");
    let difference = control.differences.iter().find(|difference| difference.about == DifferenceAbout::Loss).unwrap();
    assert_eq!((difference.here.as_str(), difference.there.as_str()), ("15 of 20 pings lost", "0 of 20 pings lost"));
}

#[test]
fn loss_that_both_have_is_no_difference_and_too_few_packets_say_nothing() {
    let (same, control) = elsewhere(lossy(20, 5), lossy(20, 6));
    let text = &same.findings[0].control.as_ref().unwrap().text;
    assert!(text.contains("6 of 20") && text.contains("too") && control.differences.is_empty(), "{text} {control:#?}");
    let (few, _) = elsewhere(lossy(20, 5), lossy(5, 0));
    assert_eq!(effect(&few.findings[0]), Some(ControlEffect::Unchanged), "{few:#?}");
}

#[test]
fn a_limit_on_pings_that_both_meet_stays_a_limit() {
    let limited = || {
        let way = [("10.0.1.1", "++++++++++"), (ADDRESS, "++++++++++")];
        let scene = shop().check(Kind::Tcp, (0..22).map(|_| connected(AT))).check(Kind::Traceroute, trace_rounds(ADDRESS, &way));
        scene.check(Kind::Icmp, [echo_series(ADDRESS, 20, 15, |_| {})])
    };
    let (diagnosis, control) = elsewhere(limited(), limited());
    let causes: Vec<_> = diagnosis.findings.iter().map(|finding| finding.cause.as_str()).collect();
    assert_eq!(causes, ["path.icmp_rate_limited"], "{diagnosis:#?}");
    assert!(diagnosis.state == State::AsExpected && control.differences.is_empty(), "{control:#?}");
}
