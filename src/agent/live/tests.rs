use super::frame::draw;
use super::joined::Rounds;
use super::view::{Key, View};
use super::words;
use netsonde_contract::failure::IcmpError;
use netsonde_contract::id::{CheckId, ObservationId};
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{
    Echo, EchoReply, Fact, Hop, HopProbe, HopReply, Multipath, Observation, ReplyKind, Share, Trace, TracePath, TraceProtocol,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Modifier;
use std::net::IpAddr;
use std::time::Duration;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn hop(target: &str, ttl: u8, from: Option<&str>, rtt_us: u64) -> Fact {
    let kind = if from == Some(target) { ReplyKind::Arrived } else { ReplyKind::TimeExceeded };
    let reply = |from: &str| HopReply {
        from: address(from),
        rtt_us,
        kind,
        icmp: None,
        reply_ttl: None,
        return_hops: None,
        labels: Vec::new(),
        quoted: None,
    };
    Fact::Hop(Hop {
        target: address(target),
        protocol: TraceProtocol::Icmp,
        ttl,
        probes: vec![HopProbe { round: 0, reply: from.map(reply), duplicates: 0, late_us: None }],
        names: Vec::new(),
        origins: Vec::new(),
        mtu_bytes: None,
        mtu_silent_bytes: None,
        rate: None,
    })
}

fn trace(target: &str, distance: Option<u8>, multipath: Option<Multipath>) -> Fact {
    Fact::Trace(Trace {
        host: target.to_owned(),
        target: address(target),
        protocol: TraceProtocol::Icmp,
        arrived: distance.is_some(),
        distance,
        max_ttl: 30,
        rounds: 1,
        privileged: true,
        took_us: 1_000,
        failure: None,
        ids: None,
        clock: None,
        lacks: Vec::new(),
        unmatched: 0,
        changes: Vec::new(),
        multipath,
    })
}

fn echo(target: &str, sent: u32, answered: &[u16]) -> Fact {
    Fact::Echo(Echo {
        host: target.to_owned(),
        address: address(target),
        sent,
        replies: answered
            .iter()
            .map(|sequence| EchoReply { sequence: *sequence, rtt_us: 1_500, ..EchoReply::default() })
            .collect(),
        errors: Vec::new(),
        size_bytes: 56,
        clock: "process".to_owned(),
        socket: None,
        dont_fragment: false,
        dscp: 0,
        extra: Vec::new(),
        statistics: None,
        failure: None,
    })
}

/// Rounds of a trace; `answers(round, ttl)` says who answers, the last distance being the target.
fn traced(target: &str, last: u8, rounds: u32, answers: impl Fn(u32, u8) -> Option<&'static str>) -> View {
    let mut view = View::new(Kind::Traceroute, target, false, Duration::ZERO);
    for round in 0..rounds {
        for ttl in 1..=last {
            view.observe(&hop(target, ttl, answers(round, ttl), u64::from(ttl) * 1_000));
        }
        view.observe(&trace(target, answers(round, last).filter(|from| *from == target).map(|_| last), None));
        view.round_ended();
    }
    view
}

const ROUTERS: [&str; 4] = ["10.0.1.1", "10.0.2.1", "10.0.3.1", "10.0.9.9"];

fn routers(ttl: u8) -> Option<&'static str> {
    ROUTERS.get(usize::from(ttl) - 1).copied()
}

/// What is drawn, line by line, and whether each line has a bold cell.
fn drawn(view: &View, width: u16, height: u16) -> Vec<(String, bool)> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, view, Duration::from_secs(13))).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y: u16| (0..width).map(move |x| &buffer[(x, y)]);
    (0..height)
        .map(|y| {
            let text: String = row(y).map(|cell| cell.symbol()).collect();
            (text.trim_end().to_owned(), row(y).any(|cell| cell.modifier.contains(Modifier::BOLD)))
        })
        .collect()
}

fn text(view: &View, width: u16, height: u16) -> String {
    drawn(view, width, height).into_iter().map(|(line, _)| line + "\n").collect()
}

#[test]
fn an_empty_start_says_that_it_waits() {
    let view = View::new(Kind::Traceroute, "shop.example", false, Duration::ZERO);
    for (width, height) in [(80, 24), (40, 12), (200, 50)] {
        let text = text(&view, width, height);
        assert!(text.contains("traceroute shop.example") && text.contains("Waiting for the first replies."), "{text}");
        assert!(text.contains("q end"), "{text}");
    }
}

#[test]
fn eighty_columns_hold_every_column_and_the_target_is_bold() {
    let view = traced("10.0.9.9", 4, 5, |_, ttl| routers(ttl));
    let lines = drawn(&view, 80, 24);
    for head in ["address", "sent", "loss%", "(95%)", "last", "best", "median", "worst", "jitter"] {
        assert!(lines[1].0.contains(head), "{head}: {}", lines[1].0);
    }
    assert!(lines[2].0.starts_with("  1 10.0.1.1 ") && !lines[2].1, "{lines:?}");
    assert!(lines[5].0.starts_with("  4 10.0.9.9 ") && lines[5].1, "the target's line is bold: {lines:?}");
    assert!(lines[5].0.contains(" 0–43") && lines[5].0.contains("4.00"), "{}", lines[5].0);
    assert!(text(&view, 200, 50).contains("█████"));
}

#[test]
fn forty_columns_keep_what_matters_most() {
    let view = traced("10.0.9.9", 4, 5, |_, ttl| routers(ttl));
    let lines = drawn(&view, 40, 12);
    assert!(lines[1].0.contains("loss%") && lines[1].0.contains("last") && lines[1].0.contains("median"), "{lines:?}");
    assert!(lines[5].0.starts_with("  4 10.0.9.9") && lines[5].0.contains("4.00"), "{lines:?}");
}

#[test]
fn a_window_too_small_says_so_at_every_size() {
    let view = traced("10.0.9.9", 4, 5, |_, ttl| routers(ttl));
    assert!(text(&view, 30, 8).contains("too small"));
    for (width, height) in [(1, 1), (0, 0), (5, 2), (34, 6), (35, 5), (3, 60), (300, 1)] {
        drawn(&view, width, height);
    }
}

#[test]
fn more_hops_than_lines_hide_the_middle_and_never_the_target() {
    let view = traced("10.0.9.9", 30, 3, |_, ttl| Some(if ttl == 30 { "10.0.9.9" } else { "10.0.1.1" }));
    let lines = drawn(&view, 80, 12);
    let text: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    assert!(text.contains("lines more in a taller window"), "{text}");
    assert!(lines.iter().any(|(line, bold)| *bold && line.starts_with(" 30 10.0.9.9")), "{text}");
}

#[test]
fn loss_that_reaches_the_target_is_told_from_where_it_begins() {
    let lossy = |round: u32, ttl: u8| routers(ttl).filter(|_| ttl < 3 || !(round + u32::from(ttl)).is_multiple_of(5));
    let view = traced("10.0.9.9", 4, 50, lossy);
    assert_eq!(words::of(&view), ["Loss begins at hop 3 and reaches the target: 20 % (11–33)."]);
}

/// A router that limits its answers looks the same as one behind which the loss begins: only a clean hop before it tells them apart.
#[test]
fn loss_that_every_hop_seems_to_have_is_not_pinned_on_the_first() {
    let view = traced("10.0.9.9", 4, 20, |round, ttl| routers(ttl).filter(|_| (round + u32::from(ttl)) % 5 != 0));
    let said = words::of(&view).concat();
    assert!(said.starts_with("Loss reaches the target: 20 % (8–42). It may begin at hop 1, if"), "{said}");
}

#[test]
fn loss_at_one_router_alone_is_its_limit() {
    let view = traced("10.0.9.9", 4, 20, |round, ttl| routers(ttl).filter(|_| ttl != 3 || round % 4 == 0));
    assert_eq!(words::of(&view), ["Only hop 3 answers rarely; later hops do not: it limits its answers, nothing is lost."]);
}

#[test]
fn a_router_that_answers_nine_of_ten_is_not_said_to_answer_rarely() {
    let seldom = |hops: &'static [u8]| {
        let view = traced("10.0.9.9", 4, 20, |round, ttl| routers(ttl).filter(|_| !hops.contains(&ttl) || round % 10 != 0));
        words::of(&view).concat()
    };
    assert!(seldom(&[2]).starts_with("Only hop 2 leaves some probes unanswered; later hops do not"), "{}", seldom(&[2]));
    assert!(seldom(&[1, 2]).starts_with("Hops 1 and 2 leave some probes unanswered"), "{}", seldom(&[1, 2]));
}

#[test]
fn one_probe_does_not_show_that_nothing_is_lost() {
    let traced = |rounds| words::of(&traced("10.0.9.9", 4, rounds, |_, ttl| routers(ttl))).concat();
    assert!(traced(1).starts_with("Every hop and the target have answered the first probes"), "{}", traced(1));
    assert!(traced(3).contains("nothing is lost"));
    let pinged = |sent: u32| {
        let mut view = View::new(Kind::Icmp, "10.0.9.9", false, Duration::ZERO);
        view.observe(&echo("10.0.9.9", sent, &(0..sent as u16).collect::<Vec<_>>()));
        words::of(&view).concat()
    };
    assert!(pinged(1).starts_with("The first request is answered"), "{}", pinged(1));
    assert!(pinged(3).starts_with("Nothing is lost"));
}

#[test]
fn a_long_first_round_is_not_called_none() {
    let mut view = View::new(Kind::Traceroute, "10.0.9.9", true, Duration::ZERO);
    view.observe(&hop("10.0.9.9", 1, Some("10.0.1.1"), 500));
    assert!(text(&view, 80, 24).contains("first round, 13 s"));
    view.round_ended();
    assert!(text(&view, 80, 24).contains("1 round, 13 s"));
    view.observe(&hop("10.0.9.9", 1, Some("10.0.1.1"), 500));
    assert!(text(&view, 80, 24).contains("2 rounds, 13 s"), "the figures hold the second round's probes already");
}

#[test]
fn loss_at_the_target_alone_is_told_as_such() {
    let view = traced("10.0.9.9", 4, 40, |round, ttl| routers(ttl).filter(|_| ttl < 4 || round % 4 != 0));
    let said = words::of(&view).concat();
    assert!(said.starts_with("Loss at the target only: 25 %"), "{said}");
}

#[test]
fn a_silent_hop_before_an_answering_target_loses_nothing() {
    let view = traced("10.0.9.9", 4, 20, |_, ttl| routers(ttl).filter(|_| ttl != 2));
    assert_eq!(words::of(&view), ["Hop 2 never answers, and what lies behind it does: it keeps silent, nothing is lost."]);
    assert!(text(&view, 80, 24).contains("  2 no reply"));
}

#[test]
fn a_target_that_never_answers_names_the_last_that_does() {
    let view = traced("10.0.9.9", 30, 5, |_, ttl| routers(ttl).filter(|_| ttl < 3));
    assert!(words::of(&view).concat().starts_with("Nothing answers beyond hop 2 (10.0.2.1)"));
    let text = text(&view, 80, 24);
    assert!(text.contains("  3 no reply") && !text.contains("  4 no reply"), "{text}");
}

/// A round in which the target's own probe was lost finds it at a longer distance; that is no hop of its own.
#[test]
fn a_target_that_misses_a_probe_does_not_grow_a_second_line() {
    let mut view = traced("10.0.9.9", 4, 5, |_, ttl| routers(ttl));
    view.observe(&hop("10.0.9.9", 4, None, 0));
    view.observe(&hop("10.0.9.9", 5, Some("10.0.9.9"), 4_000));
    view.observe(&trace("10.0.9.9", Some(5), None));
    let text = text(&view, 80, 24);
    assert_eq!(text.lines().skip(1).filter(|line| line.contains(" 10.0.9.9 ")).count(), 1, "{text}");
    assert!(words::of(&view).concat().contains("one of 6 probes so far"), "{}", words::of(&view).concat());
}

#[test]
fn routers_that_share_a_distance_each_have_their_line() {
    let view = traced("10.0.9.9", 4, 6, |round, ttl| if ttl == 2 && round % 3 == 0 { Some("10.0.2.2") } else { routers(ttl) });
    let lines = drawn(&view, 80, 24);
    assert!(lines[3].0.starts_with("  2 10.0.2.1") && lines[4].0.starts_with("    10.0.2.2"), "{lines:?}");
}

#[test]
fn both_families_of_a_host_are_shown_each_with_its_meaning() {
    let mut view = traced("10.0.9.9", 4, 5, |_, ttl| routers(ttl));
    let six = "2001:db8:1234:5678:9abc:def0:1234:5678";
    for _ in 0..5 {
        view.observe(&hop(six, 1, Some("2001:db8::1"), 700));
        view.observe(&hop(six, 2, Some(six), 900));
        view.observe(&trace(six, Some(2), None));
    }
    let text = text(&view, 80, 24);
    assert!(text.contains("to 10.0.9.9 by ICMP") && text.contains(&format!("  2 {six}")), "{text}");
    assert_eq!(words::of(&view).len(), 2);
    drawn(&view, 40, 12);
}

#[test]
fn paths_are_shown_beside_the_hops_with_their_own_loss() {
    let path = |middle: &str, answered| TracePath {
        flow: 0,
        flows: 3,
        hops: vec![Some(address("10.0.1.1")), Some(address(middle)), Some(address("10.0.9.9"))],
        sent: 20,
        answered,
        loss: Some(Share::of(20 - answered, 20)),
        doubtful: None,
        rtt: None,
    };
    let mut view = View::new(Kind::Traceroute, "10.0.9.9", true, Duration::ZERO);
    for _ in 0..2 {
        let paths = vec![path("10.0.2.1", 20), path("10.0.2.2", 10)];
        let multipath = Multipath { confidence: 95, complete: true, flows: 6, probes: 40, paths };
        view.observe(&hop("10.0.9.9", 3, Some("10.0.9.9"), 1_000));
        view.observe(&trace("10.0.9.9", Some(3), Some(multipath)));
    }
    assert!(view.press(Key::Toggle, Duration::ZERO));
    let text = text(&view, 80, 24);
    assert!(text.contains("10.0.1.1 → 10.0.2.2 → 10.0.9.9"), "{text}");
    assert!(text.contains("  2 3 hops, 3 flows") && text.contains("50   35–65"), "{text}");
}

#[test]
fn an_echo_series_tells_its_loss() {
    let mut view = View::new(Kind::Icmp, "10.0.9.9", false, Duration::ZERO);
    view.observe(&echo("10.0.9.9", 10, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    assert_eq!(words::of(&view), ["Nothing is lost: 10 of 10 requests are answered, in 1.50 ms (median)."]);
    view.observe(&echo("10.0.9.9", 10, &[0, 2, 4, 6, 8]));
    assert_eq!(words::of(&view), ["25 % (11–47) of the requests to the target are lost."]);
    assert!(text(&view, 80, 24).contains("x█x█x"), "{}", text(&view, 80, 24));
    let mut away = View::new(Kind::Icmp, "10.0.9.9", false, Duration::ZERO);
    away.observe(&echo("10.0.9.9", 5, &[]));
    assert!(words::of(&away).concat().contains("has answered none of 5 requests"));
}

#[test]
fn keys_pause_reset_and_end() {
    let mut view = traced("10.0.9.9", 4, 5, |_, ttl| routers(ttl));
    assert!(view.press(Key::Pause, Duration::ZERO) && view.paused);
    assert!(text(&view, 80, 24).contains("paused"));
    assert!(view.press(Key::Help, Duration::ZERO) && text(&view, 80, 24).contains("print the report of all rounds"));
    assert!(view.press(Key::Quit, Duration::ZERO), "it only closes the help");
    assert!(view.press(Key::Help, Duration::ZERO));
    assert!(!view.press(Key::Interrupt, Duration::ZERO), "Ctrl-C ends whatever is open");
    assert!(view.press(Key::Quit, Duration::ZERO));
    assert!(view.press(Key::Reset, Duration::from_secs(9)) && view.routes.is_empty());
    assert!(text(&view, 80, 24).contains("0 rounds, 4 s"));
    assert!(!view.press(Key::Quit, Duration::ZERO));
}

#[test]
fn the_help_is_whole_in_every_window_that_is_drawn_on() {
    let mut view = traced("10.0.9.9", 4, 5, |_, ttl| routers(ttl));
    assert!(view.press(Key::Help, Duration::ZERO));
    for (width, height, last) in [
        (80, 24, "unless it reaches it"),
        (76, 13, "unless it reaches it"),
        (40, 12, "bold     the target"),
        (34, 6, "bold target"),
    ] {
        let text = text(&view, width, height);
        assert!(text.contains("Ctrl-C") && text.contains("q"), "{width} x {height}:\n{text}");
        assert!(text.contains(last), "{width} x {height}:\n{text}");
        assert!(text.contains("report"), "{width} x {height}:\n{text}");
    }
}

#[test]
fn an_exhausted_budget_is_said_and_the_figures_stay() {
    let mut view = traced("10.0.9.9", 4, 5, |_, ttl| routers(ttl));
    view.halted = Some("the run's budget of 50000 packets is used up".to_owned());
    let text = text(&view, 80, 24);
    assert!(text.contains("No more is sent") && text.contains("10.0.9.9") && text.contains("ended"), "{text}");
}

#[test]
fn a_name_from_elsewhere_cannot_steer_the_terminal() {
    let mut view = View::new(Kind::Traceroute, "a\u{1b}[2Jb", false, Duration::ZERO);
    let Fact::Hop(mut one) = hop("10.0.9.9", 1, Some("10.0.9.9"), 1_000) else { panic!() };
    let name = "x\u{1b}]0;evil\u{7}".to_owned();
    one.names.push(netsonde_contract::observation::HopName { address: address("10.0.9.9"), name });
    view.observe(&Fact::Hop(one));
    view.observe(&trace("10.0.9.9", Some(1), None));
    assert!(!text(&view, 80, 24).chars().any(|c| c.is_control() && c != '\n'));
}

fn observed(facts: Vec<Fact>) -> Vec<Observation> {
    let check = CheckId::new("path");
    let observation =
        |(place, fact)| Observation { id: ObservationId::of(&check, place + 1), check: check.clone(), at_us: 0, fact };
    facts.into_iter().enumerate().map(observation).collect()
}

#[test]
fn all_rounds_become_one_measurement_in_the_report() {
    let mut rounds = Rounds::default();
    for round in 0..300 {
        let answering = Some("10.0.9.9").filter(|_| round % 10 != 0);
        rounds.add(observed(vec![
            hop("10.0.9.9", 1, Some("10.0.1.1"), 500),
            hop("10.0.9.9", 2, answering, 900),
            trace("10.0.9.9", answering.map(|_| 2), None),
        ]));
    }
    assert_eq!(rounds.dropped, 50);
    let joined: Vec<Fact> = rounds.joined().into_iter().map(|(_, fact)| fact).collect();
    let [Fact::Hop(first), Fact::Hop(target), Fact::Trace(trace)] = &joined[..] else { panic!("{joined:?}") };
    assert_eq!((first.probes.len(), target.probes.len(), trace.rounds, trace.distance), (250, 250, 250, Some(2)));
    assert_eq!(target.probes.iter().filter(|probe| probe.reply.is_none()).count(), 25);
    assert_eq!(target.probes.last().unwrap().round, 249);
}

#[test]
fn single_requests_become_one_series_with_its_loss_pattern() {
    let mut rounds = Rounds::default();
    for round in 0..20 {
        rounds.add(observed(vec![echo("10.0.9.9", 1, if (5..8).contains(&round) { &[] } else { &[0] })]));
    }
    let joined = rounds.joined();
    let [(_, Fact::Echo(series))] = &joined[..] else { panic!("{joined:?}") };
    let statistics = series.statistics.as_ref().unwrap();
    assert_eq!((series.sent, series.replies.len(), series.replies[16].sequence), (20, 17, 19));
    assert_eq!((statistics.lost, statistics.longest_loss, statistics.loss_periods), (3, 3, 1));
}

/// A path through each of these routers, with what was sent along it and answered.
fn branches(counts: &[(&str, u32, u32)]) -> Multipath {
    let path = |(router, sent, answered): &(&str, u32, u32)| TracePath {
        flow: 0,
        flows: 4,
        hops: ["10.0.1.1", router, "10.0.9.9"].map(|hop| Some(address(hop))).to_vec(),
        sent: *sent,
        answered: *answered,
        loss: None,
        doubtful: None,
        rtt: None,
    };
    Multipath { confidence: 95, complete: true, flows: 8, probes: 40, paths: counts.iter().map(path).collect() }
}

#[test]
fn loss_of_one_path_is_said_though_every_hop_answers() {
    let mut view = traced("10.0.9.9", 4, 5, |_, ttl| routers(ttl));
    view.observe(&trace("10.0.9.9", Some(4), Some(branches(&[("10.0.2.1", 20, 20), ("10.0.2.2", 20, 12)]))));
    let said = words::of(&view).concat();
    assert!(said.contains("path 2 (through 10.0.2.2 at hop 2) loses 40 % (22–61)"), "{said}");
    assert!(said.contains("the other path loses nothing") && !said.contains("nothing is lost"), "{said}");
}

fn refused(mut fact: Fact, from: &str) -> Fact {
    let error = IcmpError { offender: address(from), kind: 3, code: 1, mtu: None };
    match &mut fact {
        Fact::Echo(echo) => echo.errors.push(error),
        Fact::Hop(hop) => {
            let reply = hop.probes[0].reply.as_mut().unwrap();
            (reply.kind, reply.icmp) = (ReplyKind::Unreachable, Some(error));
        }
        other => panic!("{other:?}"),
    }
    fact
}

#[test]
fn who_says_that_the_target_is_away_is_shown_until_it_answers() {
    let mut view = View::new(Kind::Icmp, "10.0.9.9", false, Duration::ZERO);
    assert!(view.awaits_word(), "nobody knows yet whether anything answers");
    view.observe(&echo("10.0.9.9", 1, &[]));
    view.round_ended();
    assert!(view.awaits_word());
    view.observe(&refused(echo("10.0.9.9", 1, &[]), "10.0.1.1"));
    assert_eq!(words::of(&view), ["10.0.1.1 says \"host unreachable\": 2 of 2 requests to the target are lost."]);
    assert!(!view.awaits_word(), "it is known why");
    view.observe(&echo("10.0.9.9", 1, &[0]));
    assert!(!words::of(&view).concat().contains("unreachable"));
    view.observe(&echo("10.0.9.9", 1, &[]));
    assert!(!view.awaits_word(), "a single loss does not slow the view down");
    let mut traced = View::new(Kind::Traceroute, "10.0.9.9", false, Duration::ZERO);
    traced.observe(&hop("10.0.9.9", 1, Some("10.0.1.1"), 500));
    traced.observe(&refused(hop("10.0.9.9", 2, Some("10.0.1.1"), 3_050_000), "10.0.1.1"));
    traced.observe(&trace("10.0.9.9", None, None));
    assert_eq!(words::of(&traced), ["10.0.1.1 turns the probes away: host unreachable."]);
}

fn by_udp(mut fact: Fact) -> Fact {
    if let Fact::Trace(trace) = &mut fact {
        trace.protocol = TraceProtocol::Udp;
        trace.multipath.as_mut().unwrap().doubt_losses();
    }
    fact
}

#[test]
fn a_limit_of_the_target_is_not_shown_as_loss_of_its_only_path() {
    let mut view = traced("10.0.9.9", 4, 5, |_, ttl| routers(ttl));
    view.has_paths = true;
    let mut rounds = Rounds::default();
    for answered in [5, 4] {
        let fact = by_udp(trace("10.0.9.9", Some(4), Some(branches(&[("10.0.2.1", 5, answered)]))));
        view.observe(&fact);
        rounds.add(observed(vec![fact]));
    }
    let said = words::of(&view).concat();
    assert!(said.starts_with("The only path misses some answers, which the target's own limit may explain"), "{said}");
    assert!(view.press(Key::Toggle, Duration::ZERO));
    let text = text(&view, 80, 24);
    assert!(text.contains("   10     ?"), "{text}");
    let joined = rounds.joined();
    let [(_, Fact::Trace(all))] = &joined[..] else { panic!("{joined:?}") };
    let path = &all.multipath.as_ref().unwrap().paths[0];
    let counts = path.doubtful.map(|counts| (counts.sent, counts.answered));
    assert_eq!((path.sent, path.loss, counts), (0, None, Some((10, 9))), "a round without a miss does not count alone");
}

#[test]
fn a_path_that_loses_beside_a_clean_one_is_told_by_udp_as_well() {
    let mut view = traced("10.0.9.9", 4, 5, |_, ttl| routers(ttl));
    view.observe(&by_udp(trace("10.0.9.9", Some(4), Some(branches(&[("10.0.2.1", 4, 4), ("10.0.2.2", 4, 2)])))));
    assert!(words::of(&view).concat().contains("path 2 (through 10.0.2.2 at hop 2) loses 50 %"));
}

#[test]
fn one_path_is_not_called_one_of_several() {
    let mut view = traced("10.0.9.9", 4, 5, |_, ttl| routers(ttl));
    view.observe(&trace("10.0.9.9", Some(4), Some(branches(&[("10.0.2.1", 20, 12)]))));
    let said = words::of(&view).concat();
    assert!(said.starts_with("On the only path to the target path 1") && said.contains("loses 40 %"), "{said}");
}

#[test]
fn one_round_does_not_make_a_hop_silent_for_good() {
    let view = |rounds| traced("10.0.9.9", 4, rounds, |_, ttl| routers(ttl).filter(|_| ttl > 2));
    let said = words::of(&view(1)).concat();
    assert!(said.contains("not every hop has yet") && !said.contains("never"), "{said}");
    assert!(words::of(&view(3)).concat().starts_with("Hops 1 and 2 never answer"));
}

#[test]
fn what_a_trace_shows_before_it_is_complete_is_there_at_once_and_counted_once() {
    let mut view = View::new(Kind::Traceroute, "10.0.9.9", true, Duration::ZERO);
    let hops: Vec<Fact> = (1..=4).map(|ttl| hop("10.0.9.9", ttl, routers(ttl), 1_000)).collect();
    let along = |sent| trace("10.0.9.9", Some(4), Some(branches(&[("10.0.2.1", sent, sent), ("10.0.2.2", sent, sent)])));
    hops.iter().for_each(|hop| view.observe(hop));
    view.observe(&trace("10.0.9.9", Some(4), None));
    assert!(text(&view, 80, 24).contains("  4 10.0.9.9") && !words::of(&view).concat().contains("Waiting"));
    view.observe(&along(0));
    hops.iter().for_each(|hop| view.observe(hop));
    view.observe(&along(5));
    view.round_ended();
    let route = view.routes.values().next().unwrap();
    assert_eq!((route.stop(4).unwrap().track.sent(), route.paths[1].track.sent()), (1, 5));
    hops.iter().for_each(|hop| view.observe(hop));
    assert_eq!(view.routes.values().next().unwrap().stop(4).unwrap().track.sent(), 2, "the next round counts again");
}
