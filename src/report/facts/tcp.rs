use super::{failure, of, tcp_grouped};
use crate::clean::shortened;
use crate::units;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::observation::{
    Banner, Connect, ConnectAttempt, Fact, Hold, PortState, PortSweep, Race, SeenSegment, TcpState,
};
use netsonde_contract::outcome::Outcome;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Longest banner shown; the whole stands in the bundle.
const MAX_BANNER_CHARS: usize = 120;
/// Addresses with a result of their own each; more stand together by result.
const MAX_ADDRESSES: usize = 10;
/// In the check's own line.
const MAX_BANNER_IN_LINE: usize = 60;
/// Reasons other than these that are told in a sweep's line.
const MAX_REASONS: usize = 3;

/// Each address with its result: `192.0.2.7:443 in 11 ms; [2001:db8::7]:443 refused after 1.2 ms`.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let connects = of(outcome, |fact| if let Fact::Connect(connect) = fact { Some(connect) } else { None });
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for connect in &connects {
        if !addresses.contains(&connect.address) {
            addresses.push(connect.address);
        }
    }
    let lost = |attempts: &[&Connect]| {
        let held = attempts.iter().find_map(|connect| connect.hold.as_deref().filter(|hold| hold.failure.is_some()));
        held.map(|found| format!(", {}", hold(found))).unwrap_or_default()
    };
    let of_address = |address: &SocketAddr| {
        let attempts: Vec<&Connect> = connects.iter().copied().filter(|connect| connect.address == *address).collect();
        let said = attempts.iter().find_map(|connect| connect.banner.as_ref()).map(said).unwrap_or_default();
        format!("{address} {}{said}{}", attempts_at_one(&attempts), lost(&attempts))
    };
    let grouped = || {
        let result = |address: &SocketAddr| {
            let mut failures =
                connects.iter().filter(|connect| connect.address == *address).map(|connect| connect.failure.as_ref());
            let all = || connects.iter().filter(|connect| connect.address == *address);
            match failures.find_map(|failure| failure.map(failure::short)) {
                Some(words) if all().any(|connect| connect.failure.is_none()) => format!("connected, else {words}"),
                Some(words) => words,
                None => "connected".to_owned(),
            }
        };
        let results: Vec<(SocketAddr, String)> = addresses.iter().map(|address| (*address, result(address))).collect();
        tcp_grouped::by_result(&results)
    };
    let sweeps = of(outcome, |fact| if let Fact::PortSweep(sweep) = fact { Some(sweep) } else { None });
    let single: Vec<String> = match addresses.len() {
        ..=MAX_ADDRESSES => addresses.iter().map(of_address).collect(),
        _ => vec![grouped()],
    };
    let lines = single.into_iter().chain(sweeps.into_iter().map(port_sweep));
    lines.collect::<Vec<_>>().join("; ")
}

fn attempts_at_one(attempts: &[&Connect]) -> String {
    let good: Vec<&&Connect> = attempts.iter().filter(|connect| connect.failure.is_none()).collect();
    let failed = attempts.iter().find_map(|connect| Some((connect, connect.failure.as_ref()?)));
    let tally = if attempts.len() > 1 { format!(", {} of {} attempts", good.len(), attempts.len()) } else { String::new() };
    let tally = tally + &sent_again(&good);
    match (units::median(good.iter().map(|connect| connect.took_us)), failed) {
        (Some(took_us), None) => format!("in {}{tally}", units::duration(took_us)),
        (Some(took_us), Some((_, found))) => format!("in {}{tally}, else {}", units::duration(took_us), failure::short(found)),
        (None, Some((connect, found))) => format!("{} after {}{tally}", failure::short(found), units::duration(connect.took_us)),
        (None, None) => "not tried".to_owned(),
    }
}

/// What was asked for with a number of bytes belongs into the line.
fn said(banner: &Banner) -> String {
    match banner.bytes {
        0 => ", says nothing by itself".to_owned(),
        _ => format!(", says \"{}\"", shortened(&banner.text, MAX_BANNER_IN_LINE)),
    }
}

/// Why connections took a second or more: their first packet stayed without an answer.
fn sent_again(good: &[&&Connect]) -> String {
    let again = good.iter().filter(|connect| connect.syn_retransmits.is_some_and(|count| count > 0)).count();
    match (again, good.len()) {
        (0, _) => String::new(),
        (_, 1) => ", after its SYN was sent again".to_owned(),
        (again, _) => format!(", {again} of them after their SYN was sent again"),
    }
}

pub(super) fn line(connect: &Connect) -> String {
    let result = match &connect.failure {
        None => format!("connected in {}", units::duration(connect.took_us)),
        Some(found) => format!("{} after {}", failure::short(found), units::duration(connect.took_us)),
    };
    format!("{}, attempt {}: {result}", connect.address, connect.attempt)
}

pub(super) fn details(connect: &Connect) -> Vec<String> {
    let mut lines = failure::details(connect.failure.as_ref());
    let mut facts = Vec::new();
    if let Some(local) = connect.local {
        let interface = connect.interface.as_deref().map(|name| format!(" on {name}")).unwrap_or_default();
        facts.push(format!("from {local}{interface}"));
    }
    if let Some(rtt_us) = connect.kernel_rtt_us {
        facts.push(format!("RTT by the kernel {}", units::duration(rtt_us)));
    }
    if let Some(count) = connect.syn_retransmits.filter(|count| *count > 0) {
        facts.push(units::counted(count as usize, "SYN sent again", "SYNs sent again"));
    }
    if !facts.is_empty() {
        lines.push(facts.join("; "));
    }
    lines.extend(connect.reset.as_ref().map(|reset| segment("reset", reset)));
    lines.extend(connect.gateway.map(|gateway| format!("this machine's route to it leads over {gateway}")));
    lines.extend(connect.syn_ack.as_ref().map(|syn_ack| segment("SYN-ACK", syn_ack)));
    lines.extend(connect.syns_left.filter(|left| *left == 0).map(|_| "no SYN of it left this machine".to_owned()));
    lines.extend(connect.answer_unread.as_ref().map(|note| format!("TTL of the answer: {}", note.why)));
    if let Some(banner) = &connect.banner {
        lines.push(match banner.bytes {
            0 => "the server said nothing by itself".to_owned(),
            _ => format!("the server began: {}", shortened(&banner.text, MAX_BANNER_CHARS)),
        });
    }
    lines.extend(connect.hold.as_deref().map(hold));
    lines.extend(connect.at_connect.as_deref().map(|known| format!("at connect: {}", state(known))));
    lines.extend(connect.at_close.as_deref().map(|known| format!("at close: {}", state(known))));
    lines
}

/// Each attempt of a connection that took several, or that failed: `tried [2001:db8::7]:443: no answer after 250 ms, given up when another
/// address connected`.
pub(super) fn attempts(attempts: &[ConnectAttempt]) -> Vec<String> {
    let mut lines = Vec::new();
    for attempt in attempts {
        let took = units::duration(attempt.took_us);
        let result = match &attempt.failure {
            None => format!("connected in {took}"),
            Some(found) if found.code == FailureCode::Interrupted => {
                format!("no answer after {took}, given up when another address connected")
            }
            Some(found) => format!("{} after {took}", failure::short(found)),
        };
        lines.push(format!("tried {} at {}: {result}", attempt.address, units::duration(attempt.began_us)));
        lines.extend(attempt.reset.as_ref().map(|reset| format!("  {}", segment("reset", reset))));
        let over = attempt.gateway.map(|gateway| format!("  this machine's route to it leads over {gateway}"));
        lines.extend(over);
    }
    lines
}

/// `[2001:db8::7]:443 had not answered after 250 ms`: what a connection took before it stood at another address; nothing where it took one.
pub(super) fn before(attempts: &[ConnectAttempt]) -> Option<String> {
    if attempts.iter().all(|attempt| attempt.failure.is_some()) {
        return None;
    }
    let failed = attempts.iter().filter_map(|attempt| Some((attempt, attempt.failure.as_ref()?)));
    let words = failed.map(|(attempt, found)| match found.code {
        FailureCode::Interrupted => {
            format!("{} had not answered after {}", attempt.address, units::duration(attempt.took_us))
        }
        _ => format!("{} {}", attempt.address, failure::short(found)),
    });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// `the reset came with TTL 57 and IP identification 4711`.
fn segment(name: &str, segment: &SeenSegment) -> String {
    let id = segment.ip_id.map(|id| format!(" and IP identification {id}")).unwrap_or_default();
    format!("the {name} came with TTL {}{id}", segment.ttl)
}

fn hold(hold: &Hold) -> String {
    let idle = units::duration(hold.idle_us);
    match (&hold.failure, hold.answered) {
        (Some(found), Some(_)) => format!("idle for {idle}; after that the peer was gone: {}", failure::short(found)),
        (Some(found), None) => format!("ended after {idle} of {} s: {}", hold.asked_s, failure::short(found)),
        (None, Some(true)) => format!("idle for {idle}; after that the peer still answered"),
        (None, _) => format!("idle for {idle} without an end"),
    }
}

fn state(state: &TcpState) -> String {
    let mut facts =
        vec![format!("RTT {} ± {}", units::duration(state.rtt_us.into()), units::duration(state.rtt_deviation_us.into()))];
    if let Some(min) = state.min_rtt_us {
        facts.push(format!("smallest {}", units::duration(min.into())));
    }
    let path_mtu = if state.path_mtu_bytes > 0 { format!(", path MTU {}", state.path_mtu_bytes) } else { String::new() };
    facts.push(format!("MSS {}{path_mtu}", state.mss_bytes));
    facts.push(format!("window of {} segments", state.congestion_window));
    if state.retransmits > 0 {
        facts.push(units::counted(state.retransmits as usize, "segment sent again", "segments sent again"));
    }
    facts.extend(unheard(state));
    if let Some(holes) = state.out_of_order.filter(|holes| *holes > 0) {
        facts.push(format!("{} out of order", units::counted(holes as usize, "segment came", "segments came")));
    }
    if let Some(rate) = state.delivery_rate {
        facts.push(format!("{} a second", units::size(rate)));
    }
    if state.ecn {
        let marks = state.congestion_marks.filter(|marks| *marks > 0);
        facts.push(marks.map_or_else(|| "ECN".to_owned(), |marks| format!("ECN, {marks} congestion marks")));
    }
    facts.join(", ")
}

/// What was sent and never acknowledged; nothing where all was, or where the system does not tell.
pub(super) fn unheard(state: &TcpState) -> Option<String> {
    let sent = state.bytes_sent?.saturating_sub(state.bytes_resent.unwrap_or_default());
    let missing = sent.saturating_sub(state.bytes_acknowledged?);
    (missing > 0).then(|| format!("{missing} of {sent} bytes not acknowledged"))
}

/// `racing applications reach 192.0.2.7:443 after 261 ms, others after 3.0 s`.
pub(super) fn race(race: &Race) -> String {
    let (Some(winner), Some(racing_us)) = (race.winner, race.racing_us) else {
        return "no application reaches any of the addresses".to_owned();
    };
    let mut line = format!("racing applications reach {winner} after {}", units::duration(racing_us));
    if let Some(in_turn_us) = race.in_turn_us.filter(|in_turn_us| *in_turn_us != racing_us) {
        line.push_str(&format!(", others connect after {}", units::duration(in_turn_us)));
    }
    if let Some(delta) = race.v6_minus_v4_us {
        let which = if delta < 0 { "faster" } else { "slower" };
        line.push_str(&format!("; IPv6 is {} {which} than IPv4", units::duration(delta.unsigned_abs())));
    }
    line
}

/// `192.0.2.7: of 100 ports 2 open, 97 refused, 1 silent`.
pub(super) fn port_sweep(sweep: &PortSweep) -> String {
    let counted = |is: &dyn Fn(&PortState) -> bool| sweep.ports.iter().filter(|state| is(state)).count();
    let code = |state: &PortState| state.failure.as_ref().map(|failure| failure.code.clone());
    let open = counted(&|state| state.failure.is_none());
    let by_icmp = |state: &PortState| state.failure.as_ref().is_some_and(|found| found.icmp.is_some());
    let is_refused = |state: &PortState| code(state) == Some(FailureCode::Refused) && !by_icmp(state);
    let is_silent = |state: &PortState| code(state) == Some(FailureCode::TimedOut) && !by_icmp(state);
    let (refused, silent) = (counted(&is_refused), counted(&is_silent));
    // Whoever says why is named: a router's word is another thing than the host's.
    let mut others: BTreeMap<String, usize> = BTreeMap::new();
    for state in sweep.ports.iter().filter(|state| !is_refused(state) && !is_silent(state)) {
        if let Some(found) = &state.failure {
            *others.entry(failure::short(found)).or_default() += 1;
        }
    }
    let asked = units::counted(sweep.asked as usize, "port", "ports");
    let mut line = format!("{}: of {asked} {open} open, {refused} refused, {silent} silent", sweep.address);
    for (words, count) in others.iter().take(MAX_REASONS) {
        line.push_str(&format!(", {count} {words}"));
    }
    let untold: usize = others.values().skip(MAX_REASONS).sum();
    if untold > 0 {
        line.push_str(&format!(", {untold} otherwise"));
    }
    if let Some(found) = &sweep.failure {
        line.push_str(&format!(", {}", failure::short(found)));
    }
    line
}

pub(super) fn port_sweep_details(sweep: &PortSweep) -> Vec<String> {
    let mut lines = failure::details(sweep.failure.as_ref());
    let open = || sweep.ports.iter().filter(|state| state.failure.is_none());
    if open().next().is_some() {
        lines.push(format!("open: {}", tcp_grouped::ports(open().map(|state| state.port))));
    }
    let mut others: Vec<(String, Vec<u16>)> = Vec::new();
    for state in &sweep.ports {
        let Some(words) = state.failure.as_ref().map(failure::short) else { continue };
        match others.iter_mut().find(|(known, _)| *known == words) {
            Some((_, ports)) => ports.push(state.port),
            None => others.push((words, vec![state.port])),
        }
    }
    lines.extend(others.into_iter().map(|(words, ports)| format!("{words}: {}", tcp_grouped::ports(ports.into_iter()))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn connect(took_us: u64, syn_retransmits: u32) -> Connect {
        serde_json::from_value(json!({"host": "shop.example", "address": "192.0.2.7:443", "attempt": 1, "took_us": took_us,
            "syn_retransmits": syn_retransmits}))
        .unwrap()
    }

    #[test]
    fn a_second_that_a_connection_took_is_told_with_its_reason() {
        let (late, quick) = (connect(1_010_000, 1), connect(10_000, 0));
        assert_eq!(attempts_at_one(&[&late]), "in 1.01 s, after its SYN was sent again");
        assert!(
            attempts_at_one(&[&late, &late, &quick]).ends_with(", 3 of 3 attempts, 2 of them after their SYN was sent again")
        );
        assert_eq!(attempts_at_one(&[&quick]), "in 10 ms");
    }

    #[test]
    fn what_was_never_acknowledged_is_counted_without_what_was_sent_again() {
        let state = |acknowledged| TcpState {
            bytes_sent: Some(1_600),
            bytes_resent: Some(1_200),
            bytes_acknowledged: acknowledged,
            ..TcpState::default()
        };
        assert_eq!(unheard(&state(Some(100))).as_deref(), Some("300 of 400 bytes not acknowledged"));
        assert_eq!((unheard(&state(Some(400))), unheard(&state(None))), (None, None));
    }

    #[test]
    fn a_greeting_that_was_asked_for_stands_in_the_line() {
        let banner = |text: &str| serde_json::from_value(json!({"bytes": text.len(), "text": text})).unwrap();
        assert_eq!(said(&banner("220 mail.example ESMTP")), ", says \"220 mail.example ESMTP\"");
        assert_eq!(said(&banner("")), ", says nothing by itself");
    }
}
