//! What others say the time is: time servers, and the Date header of pages. The time is the same for every target of the run.

use super::clock_skew::AGREEMENT_US;
use crate::evidence::{Evidence, Seen, host_of};
use crate::threshold::{CLOCK_OFF_US, CLOCK_WRONG_US};
use crate::wording::list;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Exchange, Leap, TimeOffset};

/// By how much this machine's clock is wrong, and who says so.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Told<'a> {
    /// What is to be added to this machine's clock.
    pub(in crate::rules) offset_us: i64,
    /// `the time server 192.0.2.1`.
    pub(in crate::rules) who: String,
    /// Machines that say so.
    pub(in crate::rules) sources: Vec<Source<'a>>,
    /// Time servers, which are there to tell it; pages are told by whatever clock their server has.
    pub(in crate::rules) by_servers: bool,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::rules) struct Source<'a> {
    pub(in crate::rules) id: &'a ObservationId,
    pub(in crate::rules) address: std::net::IpAddr,
    offset_us: i64,
}

impl<'a> Told<'a> {
    pub(in crate::rules) fn ids(&self) -> impl Iterator<Item = &'a ObservationId> {
        self.sources.iter().map(|source| source.id)
    }

    /// The time that others had when this machine's clock said `own`.
    pub(in crate::rules) fn right_time(&self, own: Timestamp) -> Option<Timestamp> {
        own.checked_add(jiff::SignedDuration::from_micros(self.offset_us)).ok()
    }

    /// This machine's clock is about as right as theirs.
    pub(in crate::rules) fn agrees(&self) -> bool {
        self.offset_us.abs() <= if self.by_servers { CLOCK_OFF_US } else { CLOCK_WRONG_US }
    }
}

/// What time servers say, else what pages do; none where nobody does, or no more than half of them agree.
pub(in crate::rules) fn told<'a>(evidence: &Evidence<'a>) -> Option<Told<'a>> {
    by_servers(evidence).or_else(|| by_pages(evidence))
}

pub(in crate::rules) fn by_servers<'a>(evidence: &Evidence<'a>) -> Option<Told<'a>> {
    let offsets = evidence.time_offsets.iter().chain(&evidence.time_offsets_elsewhere);
    let asked = offsets
        .filter(|offset| knows_the_time(offset.fact))
        .filter_map(|offset| Some(Source { id: offset.id, address: offset.address.ip(), offset_us: offset.fact.offset_us? }));
    let (offset_us, sources) = agreed(asked.collect(), AGREEMENT_US)?;
    let mut addresses: Vec<_> = Vec::new();
    for source in &sources {
        if !addresses.contains(&source.address) {
            addresses.push(source.address);
        }
    }
    let who = if sources.len() == 1 { "the time server" } else { "the time servers" };
    Some(Told { offset_us, who: format!("{who} {}", list(&addresses)), sources, by_servers: true })
}

/// Servers stamp their answers with their own time, in whole seconds (RFC 9110 section 6.6.1). What a cache kept carries an old one; of one
/// host the first counts.
pub(in crate::rules) fn by_pages<'a>(evidence: &Evidence<'a>) -> Option<Told<'a>> {
    let mut hosts: Vec<&str> = Vec::new();
    let mut dated: Vec<Source<'a>> = Vec::new();
    for exchange in evidence.exchanges.iter().chain(&evidence.exchanges_elsewhere) {
        let Some(source) = dated_by(evidence, exchange) else { continue };
        let host = host_of(&exchange.fact.url);
        if !hosts.contains(&host) && !dated.iter().any(|known| known.address == source.address) {
            hosts.push(host);
            dated.push(source);
        }
    }
    let (offset_us, sources) = agreed(dated, CLOCK_WRONG_US)?;
    Some(Told { offset_us, who: format!("the Date header of {}", list(&hosts)), sources, by_servers: false })
}

fn dated_by<'a>(evidence: &Evidence<'a>, exchange: &Seen<'a, Exchange>) -> Option<Source<'a>> {
    let fact = exchange.fact;
    let header = |name: &str| fact.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let address = fact.address?.ip();
    // An answer that was kept is older than it is, and this machine's own servers share its clock.
    if header("age").is_some() || fact.proxy.is_some() || evidence.is_own(address) {
        return None;
    }
    let theirs = DateTimeParser::new().parse_timestamp(&header("date")?.value).ok()?;
    let phases = &fact.phases;
    let waited = [phases.resolve_us, phases.connect_us, phases.proxy_us, phases.tls_us, phases.send_us, phases.first_byte_us];
    let head_us = exchange.at_us + waited.into_iter().flatten().sum::<u64>();
    let ours = evidence.environment.began.checked_add(std::time::Duration::from_micros(head_us)).ok()?;
    let offset_us = i64::try_from(theirs.duration_since(ours).as_micros()).ok()?;
    Some(Source { id: exchange.id, address, offset_us })
}

/// The offset in the middle, with those that say the same; none where they are not more than half.
fn agreed(asked: Vec<Source<'_>>, within_us: i64) -> Option<(i64, Vec<Source<'_>>)> {
    let mut offsets: Vec<i64> = asked.iter().map(|source| source.offset_us).collect();
    offsets.sort_unstable();
    let median_us = *offsets.get(offsets.len() / 2)?;
    let of = asked.len();
    let near = |source: &Source<'_>| source.offset_us.saturating_sub(median_us).saturating_abs() <= within_us;
    let agreeing: Vec<_> = asked.into_iter().filter(near).collect();
    (agreeing.len() * 2 > of).then_some((median_us, agreeing))
}

/// The server answered, and does not say of itself that it does not know the time (RFC 5905 section 7.3).
fn knows_the_time(offset: &TimeOffset) -> bool {
    offset
        .server
        .as_ref()
        .is_none_or(|server| (1..16).contains(&server.stratum) && server.leap != Leap::Unsynchronised && server.kiss.is_none())
}
