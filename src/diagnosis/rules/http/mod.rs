pub(super) mod at_proxy;
pub(super) mod blocked_page;
pub(super) mod captive_portal;
pub(super) mod content_unexpected;
pub(super) mod headers_tampered;
pub(super) mod protocol_error;
pub(super) mod proxy;
pub(super) mod proxy_said;
pub(super) mod redirect_loop;
mod slow_line;
pub(super) mod slow_network;
pub(super) mod slow_server;
pub(super) mod slow_transfer;
pub(super) mod status;
pub(super) mod timeout;

use crate::evidence::{Evidence, Seen, host_of, small_segments};
use netsonde_contract::finding::Place;
use netsonde_contract::observation::Exchange;

/// The last exchange of each http check: the one that its redirects led to.
fn last_of_each_check<'a>(evidence: &Evidence<'a>) -> Vec<Seen<'a, Exchange>> {
    let mut last: Vec<Seen<'a, Exchange>> = Vec::new();
    for exchange in &evidence.exchanges {
        match last.iter_mut().find(|known| known.outcome.check == exchange.outcome.check) {
            Some(known) => *known = *exchange,
            None => last.push(*exchange),
        }
    }
    last
}

/// Those of them that are with the server. A CONNECT is between the proxy and this machine, and what the proxy says to it is not the
/// server's answer.
pub(in crate::rules) fn last_exchanges<'a>(evidence: &Evidence<'a>) -> Vec<Seen<'a, Exchange>> {
    let mut last = last_of_each_check(evidence);
    last.retain(|exchange| exchange.method != "CONNECT");
    // What was asked again over small segments only compares with what was asked as usual.
    let usual: Vec<String> =
        last.iter().filter(|other| small_segments(other.outcome).is_none()).map(|other| other.url.clone()).collect();
    last.retain(|exchange| small_segments(exchange.outcome).is_none() || !usual.contains(&exchange.url));
    last
}

/// Round trips that the first byte needs, the server's own time aside: one for the request and its answer, and behind a fresh handshake of
/// TLS 1.3 one more, as the server's tickets go first (RFC 8446 section 4.6.1) and its system may hold the answer back until they are
/// acknowledged (RFC 9293 section 3.7.4).
pub(in crate::rules) fn waits_for(exchange: &Seen<'_, Exchange>) -> u64 {
    1 + u64::from(exchange.phases.tls_us.is_some())
}

/// Where a finding about an exchange stands.
pub(in crate::rules) fn place(exchange: &Seen<'_, Exchange>) -> Place {
    let direct = exchange.address.filter(|_| exchange.proxy.is_none());
    Place {
        url: Some(exchange.url.clone()),
        name: Some(host_of(&exchange.url).to_owned()),
        address: direct.map(|address| address.ip()),
        port: direct.map(|address| address.port()),
        ..Place::default()
    }
}
