use super::answers;
use super::pairing::{at_port, check_of, handshakes_of, same_name};
use crate::evidence::{Attempt, Endpoint, Evidence, NameView, Seen, Share};
use crate::rules::pings;
use crate::wording::{date, duration, list};
use netsonde_contract::control::{ControlRelation, Difference, DifferenceAbout};
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Certificate, Exchange};
use netsonde_contract::outcome::Status;
use std::net::{IpAddr, SocketAddr};

/// Round trips differ when one is so many times the other…
const RTT_FACTOR: u64 = 3;
/// …and so much longer: below this, a busy machine makes the difference.
const RTT_LEAST_US: u64 = 20_000;
/// Digits of a fingerprint in a sentence; the whole one stands in the evidence.
const SHORT_DIGEST: usize = 12;

/// How many things both runs looked at, and those that they saw differently.
pub(super) fn of(here: &Evidence<'_>, there: &Evidence<'_>, relation: ControlRelation) -> (u32, Vec<Difference>) {
    let mut list = Compared::default();
    reach(&mut list, here, there);
    names(&mut list, here, there);
    certificates(&mut list, here, there);
    exchanges(&mut list, here, there);
    answers::compare(&mut list, here, there);
    for address in here.addresses() {
        round_trips(&mut list, here, there, address);
        paths(&mut list, here, there, address, relation);
        packets(&mut list, here, there, address);
        losses(&mut list, here, there, address);
    }
    checks(&mut list, here, there);
    (list.count, list.differences)
}

#[derive(Default)]
pub(super) struct Compared {
    pub(super) count: u32,
    differences: Vec<Difference>,
}

/// One side of a comparison: in words, and the observations that say so.
pub(super) type Side = (String, Vec<ObservationId>);

impl Compared {
    pub(super) fn hold(&mut self, about: DifferenceAbout, subject: impl Into<String>, here: Side, there: Side) {
        self.count += 1;
        if here.0 != there.0 {
            self.add(about, subject, here, there);
        }
    }

    pub(super) fn add(&mut self, about: DifferenceAbout, subject: impl Into<String>, here: Side, there: Side) {
        let difference = Difference {
            about,
            subject: subject.into(),
            here: here.0,
            there: there.0,
            evidence: here.1,
            control_evidence: there.1,
        };
        if !self.differences.contains(&difference) {
            self.differences.push(difference);
        }
    }
}

/// How the endpoint takes connections, in a word that is the same for the same thing.
pub(super) fn reach_words(endpoint: &Endpoint<'_>) -> String {
    let word = |attempt: &Attempt<'_>| attempt.failure.map_or_else(|| "connects".to_owned(), failure_words);
    let mut words: Vec<String> = Vec::new();
    for attempt in &endpoint.attempts {
        let word = word(attempt);
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.sort();
    list(&words)
}

/// Why there is no answer, in words that are the same for the same reason.
pub(super) fn failure_words(failure: &Failure) -> String {
    match (&failure.code, &failure.icmp) {
        (_, Some(icmp)) => format!("{} says: {}", icmp.offender, icmp.words()),
        (FailureCode::Refused, None) => "refused".to_owned(),
        (FailureCode::TimedOut, None) => "no answer".to_owned(),
        (_, None) => failure.text.clone(),
    }
}

/// The place that is compared, and the other address where the control asked another one.
pub(super) fn subject(own: SocketAddr, other: SocketAddr) -> String {
    if own == other { own.to_string() } else { format!("{own} (there {other})") }
}

fn reach(list: &mut Compared, here: &Evidence<'_>, there: &Evidence<'_>) {
    let others = there.endpoints();
    let ids = |endpoint: &Endpoint<'_>| endpoint.ids().cloned().collect::<Vec<_>>();
    for endpoint in here.endpoints() {
        let Some(other) = at_port(endpoint.host(), endpoint.address, &others, |other| (other.host(), other.address)) else {
            continue;
        };
        list.hold(
            DifferenceAbout::Reach,
            subject(endpoint.address, other.address),
            (reach_words(&endpoint), ids(&endpoint)),
            (reach_words(other), ids(other)),
        );
    }
}

/// What a program gets, as a set: the order means nothing.
pub(super) fn system_addresses(view: &NameView<'_>) -> Option<(Vec<IpAddr>, Vec<ObservationId>)> {
    let mut addresses: Vec<IpAddr> = view.system.iter().flat_map(|lookup| lookup.addresses.iter().copied()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let ids: Vec<ObservationId> = view.system.iter().map(|lookup| lookup.id.clone()).collect();
    (!ids.is_empty()).then_some((addresses, ids))
}

/// What name servers say of one type of record: data where one gave any, else their codes, else silence.
fn server_answers(view: &NameView<'_>, record_type: &str) -> Option<Side> {
    let of_type = |lookup: &&Seen<'_, netsonde_contract::observation::Lookup>| lookup.record_type == record_type;
    let lookups: Vec<_> = view.servers.iter().flat_map(|server| server.lookups.iter()).filter(of_type).collect();
    let mut data: Vec<String> = Vec::new();
    let mut codes: Vec<String> = Vec::new();
    for reply in lookups.iter().filter_map(|lookup| lookup.reply.as_ref()) {
        data.extend(reply.answers.iter().filter(|record| record.record_type == record_type).map(|record| record.data.clone()));
        codes.push(reply.rcode.clone());
    }
    let mut words = if !data.is_empty() {
        data
    } else if !codes.is_empty() {
        codes
    } else {
        vec!["no answer".to_owned()]
    };
    words.sort();
    words.dedup();
    let ids: Vec<ObservationId> = lookups.iter().map(|lookup| lookup.id.clone()).collect();
    (!ids.is_empty()).then(|| (list(&words), ids))
}

fn names(list: &mut Compared, here: &Evidence<'_>, there: &Evidence<'_>) {
    let others = there.names();
    let shown = |addresses: &[IpAddr]| if addresses.is_empty() { "none".to_owned() } else { crate::wording::list(addresses) };
    for view in here.names() {
        let Some(other) = others.iter().find(|other| same_name(other.name, view.name)) else { continue };
        if let (Some((own, ids)), Some((theirs, their_ids))) = (system_addresses(&view), system_addresses(other)) {
            list.hold(DifferenceAbout::Addresses, view.name, (shown(&own), ids), (shown(&theirs), their_ids));
        }
        let mut types: Vec<&str> =
            view.servers.iter().flat_map(|server| server.lookups.iter().map(|lookup| lookup.record_type.as_str())).collect();
        types.sort_unstable();
        types.dedup();
        for record_type in types {
            if let (Some(own), Some(theirs)) = (server_answers(&view, record_type), server_answers(other, record_type)) {
                list.hold(DifferenceAbout::DnsAnswer, format!("{} {record_type}", view.name), own, theirs);
            }
        }
    }
}

fn certificate_words(leaf: &Certificate) -> String {
    let digest: String = leaf.sha256.chars().take(SHORT_DIGEST).collect();
    format!("{digest}… of {}, issued by {}, valid until {}", leaf.subject, leaf.issuer, date(leaf.not_after))
}

fn certificates(list: &mut Compared, here: &Evidence<'_>, there: &Evidence<'_>) {
    for own in &here.handshakes {
        let Some(leaf) = own.chain.first() else { continue };
        let others = handshakes_of(own.fact, there);
        let same = others.iter().find(|other| other.chain.first().is_some_and(|other| other.sha256 == leaf.sha256));
        let Some(other) = same.or_else(|| others.first()) else { continue };
        let theirs = other.chain.first().map(certificate_words).unwrap_or_default();
        list.hold(
            DifferenceAbout::Certificate,
            format!("{} port {}", own.host, own.address.port()),
            (certificate_words(leaf), vec![own.id.clone()]),
            (theirs, vec![other.id.clone()]),
        );
    }
}

/// The last answer of a chain of redirects, in words.
pub(super) fn answer_words(exchange: &Exchange) -> String {
    match (&exchange.failure, exchange.status) {
        (None, Some(status)) => match &exchange.block_page {
            Some(page) => format!("status {status}, a block page ({page})"),
            None => format!("status {status}"),
        },
        (Some(failure), _) => format!("no answer: {}", failure.text),
        (None, None) => "no answer".to_owned(),
    }
}

fn exchanges(list: &mut Compared, here: &Evidence<'_>, there: &Evidence<'_>) {
    for own in &here.exchanges {
        let same =
            |other: &&Seen<'_, Exchange>| other.url == own.url && other.method == own.method && other.redirect == own.redirect;
        let Some(other) = there.exchanges.iter().find(same) else { continue };
        list.hold(
            DifferenceAbout::HttpStatus,
            own.url.clone(),
            (answer_words(own.fact), vec![own.id.clone()]),
            (answer_words(other.fact), vec![other.id.clone()]),
        );
    }
}

fn round_trips(list: &mut Compared, here: &Evidence<'_>, there: &Evidence<'_>, address: IpAddr) {
    let (Some((own, id)), Some((theirs, their_id))) = (here.path_rtt(address), there.path_rtt(address)) else { return };
    list.count += 1;
    let (short, long) = (own.min(theirs), own.max(theirs));
    if long >= short.saturating_mul(RTT_FACTOR) && long - short >= RTT_LEAST_US {
        let side = |rtt, id: &ObservationId| (duration(rtt), vec![id.clone()]);
        list.add(DifferenceAbout::RoundTrip, address.to_string(), side(own, id), side(theirs, their_id));
    }
}

/// From another place the way is another one; only how far it goes can be compared. From the same machine each hop can.
fn paths(list: &mut Compared, here: &Evidence<'_>, there: &Evidence<'_>, address: IpAddr, relation: ControlRelation) {
    if here.traces_of(address).next().is_none() || there.traces_of(address).next().is_none() {
        return;
    }
    let end = |evidence: &Evidence<'_>| -> Side {
        let arrived = evidence.arrived(address);
        if !arrived.is_empty() {
            return ("arrives".to_owned(), arrived.into_iter().cloned().collect());
        }
        let traces = || evidence.traces_of(address).map(|trace| trace.id.clone()).collect();
        match evidence.last_router(address) {
            Some((hop, router, id)) => (format!("ends after {router} (hop {hop})"), vec![id.clone()]),
            None => ("no hop answers".to_owned(), traces()),
        }
    };
    list.hold(DifferenceAbout::Path, address.to_string(), end(here), end(there));
    if relation != ControlRelation::SameMachine {
        return;
    }
    let theirs = there.hops_of(address);
    for own in here.hops_of(address) {
        let same = |other: &&Seen<'_, _>| -> bool {
            let other: &Seen<'_, netsonde_contract::observation::Hop> = other;
            other.ttl == own.ttl && other.protocol == own.protocol
        };
        let Some(other) = theirs.iter().find(same) else { continue };
        let (now, then) = (own.addresses(), other.addresses());
        if !now.is_empty() && !then.is_empty() && !now.iter().any(|address| then.contains(address)) {
            let sides =
                ((crate::wording::list(&now), vec![own.id.clone()]), (crate::wording::list(&then), vec![other.id.clone()]));
            list.add(DifferenceAbout::Path, format!("{address}, hop {}", own.ttl), sides.0, sides.1);
        }
    }
}

fn packets(list: &mut Compared, here: &Evidence<'_>, there: &Evidence<'_>, address: IpAddr) {
    let side = |evidence: &Evidence<'_>| -> Option<Side> {
        let mtu = evidence.mtus.iter().find(|mtu| mtu.address == address && mtu.passed_bytes.is_some())?;
        Some((format!("{} bytes", mtu.passed_bytes?), vec![mtu.id.clone()]))
    };
    if let (Some(own), Some(theirs)) = (side(here), side(there)) {
        list.hold(DifferenceAbout::Mtu, address.to_string(), own, theirs);
    }
}

/// What the path loses, and what is lost of pings alone; two shares that chance explains are the same.
fn losses(list: &mut Compared, here: &Evidence<'_>, there: &Evidence<'_>, address: IpAddr) {
    let (own, theirs) = (pings::of(here, address).even, pings::of(there, address).even);
    if own.of == 0 || theirs.of == 0 {
        return;
    }
    list.count += 1;
    if own.least_above(&theirs) > 0.0 || theirs.least_above(&own) > 0.0 {
        let side = |share: &Share<'_>| -> Side {
            let words = format!("{} of {} pings lost", share.cases, share.of);
            (words, share.ids.iter().map(|id| (*id).clone()).collect())
        };
        list.add(DifferenceAbout::Loss, address.to_string(), side(&own), side(&theirs));
    }
}

/// Checks that ended otherwise, where nothing narrower was said of what they observed.
fn checks(list: &mut Compared, here: &Evidence<'_>, there: &Evidence<'_>) {
    let word = |status| match status {
        Status::Succeeded => Some("ok"),
        Status::Failed | Status::TimedOut => Some("failed"),
        Status::NotMeasured | Status::Skipped => None,
    };
    for own in &here.outcomes {
        let Some(other) = check_of(own, there) else { continue };
        let (Some(now), Some(then)) = (word(own.status), word(other.status)) else { continue };
        let told =
            |difference: &Difference| own.observations.iter().any(|observation| difference.evidence.contains(&observation.id));
        list.count += 1;
        if now != then && !list.differences.iter().any(told) {
            let ids = |outcome: &netsonde_contract::outcome::Outcome| {
                outcome.observations.iter().map(|observation| observation.id.clone()).collect::<Vec<_>>()
            };
            let sides = ((now.to_owned(), ids(own)), (then.to_owned(), ids(other)));
            list.add(DifferenceAbout::Check, own.check.to_string(), sides.0, sides.1);
        }
    }
}
