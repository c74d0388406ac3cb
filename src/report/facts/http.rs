use super::{failure, http_beside, of, tcp};
use crate::clean::shortened;
use crate::units;
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::observation::{
    Exchange, ExchangePurpose, ExpectationAbout, Fact, Phases, TcpState, Transfer, TransferEnd,
};
use netsonde_contract::outcome::Outcome;

/// Longest header value shown; a server may send kilobytes.
const MAX_HEADER_CHARS: usize = 200;

/// The last answer of the chain, and how many redirects led to it.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let all = of(outcome, |fact| if let Fact::Exchange(exchange) = fact { Some(&**exchange) } else { None });
    let exchanges: Vec<&Exchange> = all.iter().copied().filter(|exchange| exchange.purpose.is_question()).collect();
    let Some(last) = exchanges.last() else { return String::new() };
    let mut parts = vec![result(last)];
    if exchanges.len() > 1 {
        parts.push(format!("after {}", units::counted(exchanges.len() - 1, "redirect", "redirects")));
    }
    parts.extend(last.version.clone());
    parts.extend(tcp::before(&last.attempts));
    if let Some(first_byte_us) = last.phases.first_byte_us {
        parts.push(format!("first byte after {}", units::duration(first_byte_us)));
    }
    if last.status.is_some() {
        parts.push(units::size(last.body_bytes));
    }
    parts.extend(all.into_iter().filter_map(http_beside::remark));
    let comparisons = of(outcome, |fact| if let Fact::Comparison(comparison) = fact { Some(&**comparison) } else { None });
    parts.extend(comparisons.into_iter().map(http_beside::difference));
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
        (Some(status), None, None) => format!("{status}{unexpected}{}", unmet(exchange)),
        (Some(status), None, Some(stopped)) => format!("{status}, {stopped}"),
        (Some(status), Some(found), _) => format!("{status}, then {}", within_body(found)),
        (None, Some(found), _) => failure::short(found),
        (None, None, _) => "no answer".to_owned(),
    }
}

/// The first expectation that was not met, and how many more; that of the status is said beside it.
fn unmet(exchange: &Exchange) -> String {
    let mut unmet = exchange.unmet().filter(|unmet| unmet.about != ExpectationAbout::Status);
    let Some(first) = unmet.next() else { return String::new() };
    match unmet.count() {
        0 => format!(", but {}", first.words()),
        more => format!(", but {}, and {more} more", first.words()),
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
    let purpose = match exchange.purpose {
        ExchangePurpose::Question | ExchangePurpose::Other => "",
        ExchangePurpose::Compared => ", the other way",
        ExchangePurpose::KnownAnswer => ", whose answer is known",
        ExchangePurpose::HeaderEcho => ", for an echo of the request",
        ExchangePurpose::Range => ", for a part",
        ExchangePurpose::Upload => ", to measure the way up",
        ExchangePurpose::ProxyScript => ", which names the proxies",
    };
    format!("{} {}{to}{proxy}{purpose}: {}", exchange.method, exchange.url, result(exchange))
}

/// What came of fetching the script that names the proxies.
pub(super) fn script(exchange: &Exchange) -> String {
    let kind = exchange.header("content-type").map_or(String::new(), |kind| format!(", {}", shortened(kind, MAX_HEADER_CHARS)));
    format!("{}: {}, {}{kind}", exchange.url, result(exchange), units::size(exchange.body_bytes))
}

/// `1.2 MB/s (10 Mbit/s)`: bytes for those who wait, bits for those who sell.
pub(super) fn rate(bytes_a_second: u64) -> String {
    let bits = bytes_a_second.saturating_mul(8);
    let bits = match bits {
        0..1_000_000 => format!("{} kbit/s", bits / 1_000),
        _ => format!("{} Mbit/s", bits / 1_000_000),
    };
    format!("{}/s ({bits})", units::size(bytes_a_second))
}

/// `5.0 MB in 1.20 s, 4.2 MB/s (33 Mbit/s), 2 stalls, the longest 400 ms, ended at its time`.
pub(super) fn transfer(transfer: &Transfer) -> String {
    let mut parts = vec![format!("{} in {}", units::size(transfer.bytes), units::duration(transfer.took_us))];
    if transfer.waiting_us > 0 {
        let waited = units::duration(transfer.waiting_us);
        parts.push(format!("of which {waited} without a body under way"));
    }
    parts.extend(transfer.rate.map(rate));
    if transfer.stalls > 0 {
        let stalls = units::counted(transfer.stalls as usize, "stall", "stalls");
        parts.push(format!("{stalls}, the longest {}", units::duration(transfer.longest_pause_us)));
    }
    parts.extend(match transfer.ended {
        TransferEnd::Complete => None,
        TransferEnd::ByteLimit => Some("ended at its bound of bytes".to_owned()),
        TransferEnd::TimeLimit => Some("ended at its time".to_owned()),
        TransferEnd::RequestLimit => Some("ended at its bound of requests".to_owned()),
        TransferEnd::CutOff => Some("cut off while bytes were still coming".to_owned()),
        TransferEnd::Broken => Some("broken off".to_owned()),
    });
    parts.join(", ")
}

/// What tells a slow network from a slow server: the connection's own round trips and losses.
pub(super) fn kernel(state: &TcpState) -> String {
    let mut parts = vec![format!("RTT {}", units::duration(state.rtt_us.into()))];
    parts.extend(state.min_rtt_us.map(|us| format!("least {}", units::duration(us.into()))));
    parts.push(units::counted(state.retransmits as usize, "segment sent again", "segments sent again"));
    parts.extend(tcp::unheard(state));
    parts.extend(state.delivery_rate.map(|bytes| format!("delivered at {}", rate(bytes))));
    parts.join(", ")
}

/// The phases that were reached, with their names, in order.
pub(crate) fn phases(phases: &Phases) -> Vec<(&'static str, u64)> {
    let Phases { resolve_us, connect_us, proxy_us, tls_us, send_us, first_byte_us, body_us } = *phases;
    let named = [
        ("resolve", resolve_us),
        ("connect", connect_us),
        ("proxy", proxy_us),
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
    lines.extend(tcp::attempts(&exchange.attempts));
    if exchange.status.is_some() {
        let cut = if exchange.body_cut { ", cut there" } else { "" };
        lines.push(format!("body {}{cut}", units::size(exchange.body_bytes)));
    }
    if let Some(reply) = &exchange.plain_reply {
        lines.push(format!("the reply begins \"{reply}\""));
    }
    lines.extend(exchange.block_page.as_ref().map(|filter| format!("the page is a block page of {filter}")));
    lines.extend(exchange.socks.as_ref().map(|socks| format!("SOCKS {}: {}", socks.version, socks.words())));
    lines.extend(exchange.proxy_tls.as_deref().map(|tls| format!("the proxy itself: {}", super::tls::line(tls))));
    lines.extend(exchange.transfer.as_deref().filter(|transfer| transfer.rate.is_some()).map(transfer));
    lines.extend(exchange.at_close.as_deref().map(|state| format!("the kernel at the end: {}", kernel(state))));
    lines.extend(http_beside::details(exchange));
    if let Some(location) = &exchange.location {
        lines.push(format!("sent on to {location}"));
    }
    for header in &exchange.headers {
        lines.push(format!("{}: {}", header.name, shortened(&header.value, MAX_HEADER_CHARS)));
    }
    lines
}
