//! What an http check asked beside its own question, and what single headers said.

use super::{failure, http};
use crate::units;
use netsonde_contract::observation::{
    Alternative, ComparedAnswer, Comparison, Exchange, ExchangePurpose, ProxyReason, RangeAnswer, ServerTiming,
};

/// What an exchange beside the question adds to the check's one line; nothing where it is as one would wish.
pub(super) fn remark(exchange: &Exchange) -> Option<String> {
    let met = exchange.expected && exchange.failure.is_none() && exchange.unmet().next().is_none();
    match exchange.purpose {
        ExchangePurpose::KnownAnswer if !met => Some(match &exchange.location {
            Some(location) => format!("the URL whose answer is known sends on to {location}"),
            None => "the URL whose answer is known answers otherwise".to_owned(),
        }),
        ExchangePurpose::HeaderEcho => {
            let echoed = exchange.echoed.as_ref()?;
            let touched = echoed.changed.len() + echoed.lost.len();
            (touched > 0).then(|| format!("{touched} of {} request headers did not arrive as sent", echoed.sent))
        }
        ExchangePurpose::Range => {
            let honoured = exchange.range.as_ref().is_some_and(|range| range.honoured);
            Some(if honoured { "ranges honoured" } else { "ranges not honoured" }.to_owned())
        }
        ExchangePurpose::Upload => {
            let rate = exchange.transfer.as_ref().and_then(|transfer| transfer.rate);
            Some(match (met, rate) {
                (true, Some(rate)) => format!("upload {}", http::rate(rate)),
                (true, None) => "upload too short to rate".to_owned(),
                (false, _) => "the upload failed".to_owned(),
            })
        }
        _ => None,
    }
}

/// What differs between the two ways, in a few words.
pub(super) fn difference(comparison: &Comparison) -> String {
    let mut differing = Vec::new();
    if !comparison.same_status {
        let status = |answer: &ComparedAnswer| match (answer.status, &answer.failure) {
            (Some(status), _) => status.to_string(),
            (None, Some(found)) => failure::short(found),
            (None, None) => "no answer".to_owned(),
        };
        differing.push(format!("status {} and {}", status(&comparison.proxied), status(&comparison.direct)));
    }
    if comparison.same_body == Some(false) {
        differing.push("the body".to_owned());
    }
    if comparison.same_certificate == Some(false) {
        differing.push("the certificate".to_owned());
    }
    match differing.is_empty() {
        true => "the same through the proxy and directly".to_owned(),
        false => format!("through the proxy and directly differ: {}", differing.join(", ")),
    }
}

pub(super) fn comparison(comparison: &Comparison) -> String {
    format!("{} through {}: {}", comparison.url, comparison.proxy, difference(comparison))
}

pub(super) fn comparison_details(comparison: &Comparison) -> Vec<String> {
    let answer = |way: &str, answer: &ComparedAnswer| {
        let status = answer.status.map_or_else(|| "no status".to_owned(), |status| format!("status {status}"));
        let first = answer.first_byte_us.map_or(String::new(), |us| format!(", first byte after {}", units::duration(us)));
        let failed = answer.failure.as_ref().map_or(String::new(), |found| format!(", {}", failure::short(found)));
        let took = units::duration(answer.took_us);
        format!("{way}: {status}, {}{first}, {took} in all{failed}", units::size(answer.body_bytes))
    };
    let mut lines = vec![answer("through the proxy", &comparison.proxied), answer("directly", &comparison.direct)];
    let lists = [
        ("headers only through the proxy", &comparison.headers_proxied_only),
        ("headers only directly", &comparison.headers_direct_only),
        ("headers with other values", &comparison.headers_changed),
    ];
    let lists = lists.into_iter().filter(|(_, names)| !names.is_empty());
    lines.extend(lists.map(|(what, names)| format!("{what}: {}", names.join(", "))));
    lines
}

/// The depth of one exchange, a line each.
pub(super) fn details(exchange: &Exchange) -> Vec<String> {
    let mut lines: Vec<String> = exchange.expectations.iter().map(|expectation| expectation.words()).collect();
    lines.extend(exchange.way.and_then(way));
    if let (Some(sent), Some(received)) = (exchange.request_bytes, exchange.response_bytes) {
        lines.push(format!("request {}, response {}", units::size(sent), units::size(received)));
    }
    lines.extend(exchange.range.as_ref().map(range));
    if let Some(echoed) = &exchange.echoed {
        lines.extend(echoed.changed.iter().map(|changed| {
            format!("the request header {} arrived as \"{}\" instead of \"{}\"", changed.name, changed.got, changed.sent)
        }));
        lines.extend(echoed.lost.iter().map(|name| format!("the request header {name} did not arrive")));
        lines.extend(echoed.added.iter().map(|header| format!("on the way {}: {} was added", header.name, header.value)));
    }
    if !exchange.server_timing.is_empty() {
        let metric = |metric: &ServerTiming| match metric.took_us {
            Some(us) => format!("{} {}", metric.name, units::duration(us)),
            None => metric.name.clone(),
        };
        let all: Vec<String> = exchange.server_timing.iter().map(metric).collect();
        lines.push(format!("by the server's own account: {}", all.join(", ")));
    }
    if !exchange.alternatives.is_empty() {
        let one = |alternative: &Alternative| {
            let host = alternative.host.as_deref().unwrap_or_default();
            format!("{} at {host}:{}", alternative.protocol, alternative.port)
        };
        lines.push(format!("also offered: {}", exchange.alternatives.iter().map(one).collect::<Vec<_>>().join(", ")));
    }
    if let Some(strict) = &exchange.strict_transport {
        let below = if strict.include_subdomains { ", with the names below it" } else { "" };
        lines.push(format!("by https only (HSTS), for {}{below}", units::duration(strict.max_age_s.saturating_mul(1_000_000))));
    }
    lines
}

fn way(way: ProxyReason) -> Option<String> {
    let words = match way {
        ProxyReason::Given => "through the proxy that was named",
        ProxyReason::Environment => "through the proxy of the environment",
        ProxyReason::Declined => "directly, because no proxy was wanted",
        ProxyReason::Excepted => "directly, because the environment's proxy does not serve this URL",
        ProxyReason::Comparison => "this way to compare",
        ProxyReason::Script => "directly, as programs fetch such a script",
        ProxyReason::NoneSet | ProxyReason::Other => return None,
    };
    Some(words.to_owned())
}

fn range(range: &RangeAnswer) -> String {
    let got = match (range.first, range.last, range.total) {
        (Some(first), Some(last), Some(total)) => format!(", bytes {first} to {last} of {total} came"),
        (Some(first), Some(last), None) => format!(", bytes {first} to {last} came"),
        _ => String::new(),
    };
    let honoured = if range.honoured { "honoured" } else { "not honoured" };
    format!("asked for {}: {honoured}{got}", range.asked)
}
