//! Requests that a proxy itself did not answer as one: nothing of the host's came, and what failed is between this machine and the proxy, or
//! between the proxy and the host.

use super::last_of_each_check;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::spot::Spot;
use netsonde_contract::failure::{Failure, Step};
use netsonde_contract::finding::{Place, Severity};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Exchange, Proxy, ProxyAnswer, SocksAnswer};
use std::net::SocketAddr;

/// Requests of at most so many bytes, and the answers to CONNECT, fit a packet that every path carries (RFC 791 section 3.1).
const SMALL_BYTES: u64 = 536;

/// What became of one request at the proxy.
pub(in crate::rules) struct AtProxy<'a> {
    pub(in crate::rules) ids: Vec<&'a ObservationId>,
    /// `scheme://host:port`, without credentials.
    pub(in crate::rules) proxy: &'a str,
    pub(in crate::rules) url: &'a str,
    address: Option<SocketAddr>,
    pub(in crate::rules) failure: &'a Failure,
    /// How an answer begins that is no HTTP.
    pub(in crate::rules) reply: Option<&'a str>,
    /// The request opens a tunnel, so that its answer is the proxy's own and small.
    pub(in crate::rules) to_connect: bool,
    request_bytes: Option<u64>,
}

impl<'a> AtProxy<'a> {
    /// One for each proxy and URL, with all observations that show it.
    pub(in crate::rules) fn all(evidence: &Evidence<'a>) -> Vec<Self> {
        let by_requests = last_of_each_check(evidence).into_iter().filter_map(Self::of_exchange);
        let by_answers = evidence.proxy_answers.iter().filter_map(Self::of_answer);
        let mut all: Vec<Self> = Vec::new();
        for found in by_answers.chain(by_requests) {
            match all.iter_mut().find(|known| known.proxy == found.proxy && known.url == found.url) {
                Some(known) => known.ids.extend(found.ids),
                None => all.push(found),
            }
        }
        all
    }

    fn of_exchange(seen: Seen<'a, Exchange>) -> Option<Self> {
        let exchange = seen.fact;
        let failure = exchange.failure.as_ref().filter(|failure| is_conversing(failure))?;
        if !is_with_proxy(exchange) {
            return None;
        }
        Some(Self {
            ids: vec![seen.id],
            proxy: exchange.proxy.as_deref()?.trim_end_matches('/'),
            url: &exchange.url,
            address: exchange.address,
            failure,
            reply: exchange.plain_reply.as_deref(),
            to_connect: exchange.method == "CONNECT" || exchange.socks.is_some(),
            request_bytes: exchange.request_bytes,
        })
    }

    /// A proxy that was asked as such.
    fn of_answer(seen: &Seen<'a, Proxy>) -> Option<Self> {
        let fact = seen.fact;
        let ended = |answer: &'a Option<ProxyAnswer>| answer.as_ref().and_then(|answer| answer.failure.as_ref());
        let (by_connect, by_get) = (ended(&fact.connect), ended(&fact.get));
        let by_socks = fact.failure.as_ref().filter(|_| fact.socks.is_some_and(|socks| is_ungranted(&socks)));
        let failure = by_connect.or(by_get).or(by_socks).filter(|failure| is_conversing(failure))?;
        Some(Self {
            ids: vec![seen.id],
            proxy: fact.proxy.trim_end_matches('/'),
            url: &fact.url,
            address: fact.address,
            failure,
            reply: None,
            to_connect: by_connect.is_some() || by_socks.is_some(),
            request_bytes: None,
        })
    }

    /// What had to be spoken with it.
    pub(in crate::rules) fn protocol(&self) -> &'static str {
        if self.proxy.starts_with("socks") { "SOCKS" } else { "proper HTTP" }
    }

    pub(in crate::rules) fn host(&self) -> &'a str {
        host_of(self.url)
    }

    /// Neither what was asked nor what had to come back is too large for any path.
    pub(in crate::rules) fn is_small(&self) -> bool {
        self.to_connect && self.request_bytes.is_none_or(|bytes| bytes <= SMALL_BYTES)
    }

    /// A candidate that stands at the proxy.
    pub(in crate::rules) fn candidate(&self, confidence: f64, sentence: String) -> Candidate {
        let place = Place {
            url: Some(self.url.to_owned()),
            name: Some(host_of(self.proxy).to_owned()),
            address: self.address.map(|address| address.ip()),
            port: self.address.map(|address| address.port()),
            ..Place::default()
        };
        Candidate::new(Severity::Problem, confidence, sentence)
            .at(place)
            .about(Spot::Url(self.url.to_owned()))
            .resting_on(self.ids.iter().copied())
    }
}

/// The proxy reads the request and answers it: CONNECT always, and what is in plain HTTP without a tunnel (RFC 9112 section 3.2.2).
/// Once SOCKS has granted the connection, as within a tunnel, it only passes bytes on. What began to come back is no matter of the proxy's
/// alone.
pub(in crate::rules) fn is_with_proxy(exchange: &Exchange) -> bool {
    if exchange.proxy.is_some() && exchange.socks.is_some_and(|socks| is_ungranted(&socks)) {
        return exchange.status.is_none();
    }
    let by_http = exchange.proxy.as_deref().is_some_and(|proxy| proxy.starts_with("http"));
    by_http && exchange.status.is_none() && (exchange.method == "CONNECT" || exchange.url.starts_with("http://"))
}

fn is_ungranted(socks: &SocksAnswer) -> bool {
    socks.granted() != Some(true)
}

/// The connection to the proxy stood, and something was said on it: HTTP, or SOCKS, which is neither of the two steps. What SOCKS refuses
/// is said with codes of its own.
fn is_conversing(failure: &Failure) -> bool {
    matches!(failure.during, Step::Send | Step::Receive | Step::Other)
}
