use super::{failure, of};
use crate::clean::shortened;
use crate::units;
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::observation::{Exchange, Fact, Phases};
use netsonde_contract::outcome::Outcome;

/// Longest header value shown; a server may send kilobytes.
const MAX_HEADER_CHARS: usize = 200;

/// The last answer of the chain, and how many redirects led to it.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let exchanges = of(outcome, |fact| if let Fact::Exchange(exchange) = fact { Some(&**exchange) } else { None });
    let Some(last) = exchanges.last() else { return String::new() };
    let mut parts = vec![result(last)];
    if exchanges.len() > 1 {
        parts.push(format!("after {}", units::counted(exchanges.len() - 1, "redirect", "redirects")));
    }
    parts.extend(last.version.clone());
    if let Some(first_byte_us) = last.phases.first_byte_us {
        parts.push(format!("first byte after {}", units::duration(first_byte_us)));
    }
    if last.status.is_some() {
        parts.push(units::size(last.body_bytes));
    }
    parts.join(", ")
}

fn result(exchange: &Exchange) -> String {
    let status = exchange.status.map(|status| format!("status {status}"));
    let unexpected = if exchange.expected { "" } else { " (not expected)" };
    let stopped = match exchange.redirect_stopped.as_deref() {
        Some("loop") => Some("redirects go in a circle".to_owned()),
        Some("limit") => Some("too many redirects".to_owned()),
        Some("no_location") => Some("a redirect that does not say where to".to_owned()),
        Some(other) => Some(format!("redirects stopped: {other}")),
        None => None,
    };
    match (status, &exchange.failure, stopped) {
        (Some(status), None, None) => format!("{status}{unexpected}"),
        (Some(status), None, Some(stopped)) => format!("{status}, {stopped}"),
        (Some(status), Some(found), _) => format!("{status}, then {}", within_body(found)),
        (None, Some(found), _) => failure::short(found),
        (None, None, _) => "no answer".to_owned(),
    }
}

/// After the status it is the body that fails, and the words for a failed request would say that no answer came.
fn within_body(found: &Failure) -> String {
    match found.code {
        FailureCode::Closed | FailureCode::Incomplete => "closed before the body was complete".to_owned(),
        FailureCode::Reset => "reset before the body was complete".to_owned(),
        FailureCode::TimedOut => "the body stopped before its end".to_owned(),
        _ => failure::short(found),
    }
}

pub(super) fn line(exchange: &Exchange) -> String {
    let to = exchange.address.map_or(String::new(), |address| format!(" at {address}"));
    let proxy = exchange.proxy.as_ref().map_or(String::new(), |proxy| format!(" through {proxy}"));
    format!("{} {}{to}{proxy}: {}", exchange.method, exchange.url, result(exchange))
}

/// The phases that were reached, with their names, in order.
pub(crate) fn phases(phases: &Phases) -> Vec<(&'static str, u64)> {
    let Phases { resolve_us, connect_us, tls_us, send_us, first_byte_us, body_us } = *phases;
    let named = [
        ("resolve", resolve_us),
        ("connect", connect_us),
        ("TLS", tls_us),
        ("send", send_us),
        ("first byte", first_byte_us),
        ("body", body_us),
    ];
    named.into_iter().filter_map(|(name, us)| Some((name, us?))).collect()
}

pub(super) fn details(exchange: &Exchange) -> Vec<String> {
    let mut lines = failure::details(exchange.failure.as_ref());
    lines.extend(exchange.plain_reply.as_ref().map(|reply| format!("the reply begins \"{reply}\"")));
    let phases: Vec<String> =
        phases(&exchange.phases).into_iter().map(|(name, us)| format!("{name} {}", units::duration(us))).collect();
    if !phases.is_empty() {
        lines.push(phases.join("; "));
    }
    if exchange.status.is_some() {
        let cut = if exchange.body_cut { ", cut there" } else { "" };
        lines.push(format!("body {}{cut}", units::size(exchange.body_bytes)));
    }
    if let Some(reply) = &exchange.plain_reply {
        lines.push(format!("the reply begins \"{reply}\""));
    }
    if let Some(location) = &exchange.location {
        lines.push(format!("sent on to {location}"));
    }
    for header in &exchange.headers {
        lines.push(format!("{}: {}", header.name, shortened(&header.value, MAX_HEADER_CHARS)));
    }
    lines
}
