//! The path to a target as reports show it: one step for each distance, neighbouring silent ones taken together, and the place of
//! the fault marked.

use crate::{facts, shown, units, words};
use netsonde_contract::cause;
use netsonde_contract::document::Document;
use netsonde_contract::finding::{Finding, Severity};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Fact, Hop, ReplyKind, Trace};
use netsonde_contract::outcome::Outcome;
use std::net::IpAddr;

/// One traceroute to one address.
pub(crate) struct Path<'a> {
    /// The target of the run that it belongs to, where there is more than one.
    pub(crate) belongs_to: Option<String>,
    pub(crate) target: IpAddr,
    /// None where the check ended before its path was complete.
    pub(crate) trace: Option<&'a Trace>,
    /// By rising distance.
    pub(crate) steps: Vec<Step<'a>>,
    /// The fault lies at the target itself, or nobody knows how far before it.
    pub(crate) fault_at_target: Option<&'a Finding>,
}

/// One distance that answered, or several in a row that did not.
pub(crate) struct Step<'a> {
    pub(crate) first_ttl: u8,
    pub(crate) last_ttl: u8,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) rtts_us: Vec<u64>,
    /// Probes sent.
    pub(crate) sent: usize,
    pub(crate) is_target: bool,
    /// What the router said instead of forwarding.
    pub(crate) refusal: Option<&'static str>,
    pub(crate) fault: Option<&'a Finding>,
    pub(crate) ids: Vec<&'a ObservationId>,
    /// What is known beyond addresses and times.
    pub(crate) depth: Vec<String>,
}

impl Path<'_> {
    pub(crate) fn arrived(&self) -> bool {
        self.trace.is_some_and(|trace| trace.arrived)
    }

    /// What follows the last hop where the target did not answer.
    pub(crate) fn missing_target(&self) -> Option<String> {
        let fault = self.fault_at_target.map_or(String::new(), |finding| format!(", fault here: {}", finding.cause));
        match self.trace {
            Some(trace) if trace.arrived => None,
            Some(_) => Some(format!("{} not reached{fault}", self.target)),
            None => Some(format!("{}: path not complete{fault}", self.target)),
        }
    }

    /// The path in one sentence: what a drawing says to those who cannot see it.
    pub(crate) fn summary(&self) -> String {
        let answered = self.steps.iter().filter(|step| !step.is_silent()).count();
        let answered = units::counted(answered, "hop", "hops");
        match self.trace {
            Some(trace) if trace.arrived => match trace.distance {
                Some(distance) => format!("{} is reached at hop {distance}; {answered} answered.", self.target),
                None => format!("{} is reached; {answered} answered.", self.target),
            },
            Some(_) => format!("{} is not reached; {answered} answered.", self.target),
            None => format!("{}: the path is not complete; {answered} answered.", self.target),
        }
    }
}

impl Step<'_> {
    pub(crate) fn is_silent(&self) -> bool {
        self.addresses.is_empty()
    }

    /// `3`, or `4-6` for several.
    pub(crate) fn number(&self) -> String {
        if self.first_ttl == self.last_ttl { self.first_ttl.to_string() } else { format!("{}-{}", self.first_ttl, self.last_ttl) }
    }

    /// The round-trip times as they were measured while they are few, else smallest, middle and largest.
    pub(crate) fn rtts(&self) -> String {
        const FEW: usize = 3;
        let spread =
            || Some((self.rtts_us.iter().min()?, units::median(self.rtts_us.iter().copied())?, self.rtts_us.iter().max()?));
        match spread() {
            Some((min, median, max)) if self.rtts_us.len() > FEW => {
                format!("{} to {}, median {}", units::duration(*min), units::duration(*max), units::duration(median))
            }
            _ => self.rtts_us.iter().map(|us| units::duration(*us)).collect::<Vec<_>>().join(", "),
        }
    }

    /// What is out of the ordinary at this distance.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_silent() {
            notes.push("silent".to_owned());
        } else if self.rtts_us.len() < self.sent {
            notes.push(format!("{} of {} answered", self.rtts_us.len(), self.sent));
        }
        if self.addresses.len() > 1 {
            notes.push(format!("{} addresses", self.addresses.len()));
        }
        if self.is_target {
            notes.push("target".to_owned());
        }
        notes.extend(self.refusal.map(str::to_owned));
        notes.extend(self.depth.iter().cloned());
        notes.extend(self.fault.map(|finding| format!("fault here: {}", finding.cause)));
        notes
    }
}

/// Every path of the run, in the order in which they were found.
pub(crate) fn paths(document: &Document) -> Vec<Path<'_>> {
    document.outcomes.iter().flat_map(|outcome| of_check(document, outcome)).collect()
}

/// The paths that one check found, one for each address.
pub(crate) fn of_check<'a>(document: &'a Document, outcome: &'a Outcome) -> Vec<Path<'a>> {
    let mut targets: Vec<IpAddr> = Vec::new();
    for observation in shown::observations(outcome) {
        let target = match &observation.fact {
            Fact::Hop(hop) => hop.target,
            Fact::Trace(trace) => trace.target,
            _ => continue,
        };
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    targets.into_iter().map(|target| to_target(document, outcome, target)).collect()
}

fn to_target<'a>(document: &'a Document, outcome: &'a Outcome, target: IpAddr) -> Path<'a> {
    let mut trace = None;
    let mut hops: Vec<(&ObservationId, &Hop)> = Vec::new();
    for observation in shown::observations(outcome) {
        match &observation.fact {
            Fact::Trace(found) if found.target == target => trace = Some(found),
            Fact::Hop(hop) if hop.target == target => hops.push((&observation.id, hop)),
            _ => {}
        }
    }
    hops.sort_by_key(|(_, hop)| hop.ttl);
    let mut steps: Vec<Step<'_>> = Vec::new();
    for (id, hop) in hops {
        let step = step(id, hop);
        match steps.last_mut() {
            Some(last) if last.is_silent() && step.is_silent() && last.last_ttl.checked_add(1) == Some(step.first_ttl) => {
                last.last_ttl = step.last_ttl;
                last.sent += step.sent;
                last.ids.extend(step.ids);
            }
            _ => steps.push(step),
        }
    }
    let mut path = Path { belongs_to: words::which_target(document, outcome), target, trace, steps, fault_at_target: None };
    mark_fault(document, outcome, &mut path);
    path
}

fn step<'a>(id: &'a ObservationId, hop: &'a Hop) -> Step<'a> {
    let replies = || hop.probes.iter().filter_map(|probe| probe.reply.as_ref());
    Step {
        first_ttl: hop.ttl,
        last_ttl: hop.ttl,
        addresses: hop.addresses(),
        rtts_us: replies().map(|reply| reply.rtt_us).collect(),
        sent: hop.probes.len(),
        is_target: replies().any(|reply| reply.kind == ReplyKind::Arrived),
        refusal: replies()
            .find(|reply| reply.kind == ReplyKind::Unreachable)
            .map(|reply| reply.icmp.as_ref().map_or("unreachable", |icmp| icmp.words())),
        fault: None,
        ids: vec![id],
        depth: facts::hop_depth(hop),
    }
}

/// Puts the most important finding that lies on this path where it belongs: at its hop, or at the target.
fn mark_fault<'a>(document: &'a Document, outcome: &Outcome, path: &mut Path<'a>) {
    // Two targets may share an address: a fault of the one lies on no path to the other.
    let own_target = outcome.target.as_ref().map(ToString::to_string);
    let of_another = |finding: &&Finding| finding.target.is_some() && own_target.is_some() && finding.target != own_target;
    let grave = document.findings.iter().filter(|finding| finding.severity > Severity::Notice);
    for finding in grave.filter(|finding| !of_another(finding)) {
        let step_of = |hit: &dyn Fn(&Step<'_>) -> bool| path.steps.iter().position(hit);
        let by_address = finding.place.address.and_then(|address| step_of(&|step| step.addresses.contains(&address)));
        let by_hop = finding.place.hop.and_then(|hop| step_of(&|step| (step.first_ttl..=step.last_ttl).contains(&hop)));
        let rests_on_it = step_of(&|step| step.ids.iter().any(|id| finding.evidence.contains(id))).is_some();
        let is_about_target = concerns_target(document, finding, outcome, path);
        let at = match (by_hop, by_address) {
            (Some(hop), _) if rests_on_it || is_about_target || by_address.is_some() => Some(hop),
            (_, Some(at)) if path.steps.get(at).is_some_and(|step| !step.is_target) => Some(at),
            _ => None,
        };
        match at.and_then(|at| path.steps.get_mut(at)) {
            Some(step) => step.fault = Some(finding),
            None if is_about_target => match path.steps.iter_mut().find(|step| step.is_target) {
                Some(step) => step.fault = Some(finding),
                None => path.fault_at_target = Some(finding),
            },
            None => continue,
        }
        return;
    }
}

/// Whether the finding is about what this path leads to. Faults of names and of the machine itself lie on no path.
fn concerns_target(document: &Document, finding: &Finding, outcome: &Outcome, path: &Path<'_>) -> bool {
    let on_the_way = matches!(cause::area(&finding.cause), "path" | "tcp" | "tls" | "http" | "cloud" | "service");
    let is_place = match finding.place.address {
        Some(address) => address == path.target,
        None => finding.target.is_some() && finding.target == outcome.target.as_ref().map(ToString::to_string),
    };
    on_the_way && (is_place || failed_at(document, finding, path.target))
}

/// Whether the finding rests on something that failed at this address: one finding may speak of several addresses of a host.
fn failed_at(document: &Document, finding: &Finding, address: IpAddr) -> bool {
    let observations = shown::all(document);
    let failed = |fact: &Fact| match fact {
        Fact::Connect(connect) => connect.failure.is_some() && connect.address.ip() == address,
        Fact::Handshake(handshake) => handshake.failure.is_some() && handshake.address.ip() == address,
        Fact::Exchange(exchange) => exchange.failure.is_some() && exchange.address.is_some_and(|at| at.ip() == address),
        _ => false,
    };
    observations.filter(|observation| finding.evidence.contains(&observation.id)).any(|observation| failed(&observation.fact))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use serde_json::json;

    #[test]
    fn neighbouring_silent_hops_are_one_step() {
        let document = sample::document(sample::silent());
        let paths = paths(&document);
        let numbers: Vec<String> = paths[0].steps.iter().map(Step::number).collect();
        assert_eq!(numbers, ["1", "2", "3", "4-6"]);
        assert_eq!((paths[0].steps[3].sent, paths[0].steps[3].ids.len()), (9, 3));
    }

    #[test]
    fn a_fault_between_here_and_the_target_is_marked_at_its_hop() {
        let document = sample::document(sample::silent());
        let marked: Vec<Option<&str>> = faults(&paths(&document)[0]);
        assert_eq!(marked, [None, None, Some("path.target_silent"), None]);
    }

    #[test]
    fn a_refusal_at_both_addresses_is_marked_at_the_end_of_both_paths() {
        let document = sample::document(sample::refused());
        for path in paths(&document) {
            assert_eq!(faults(&path), [None, Some("tcp.refused")], "{}", path.target);
        }
    }

    #[test]
    fn a_fault_of_another_target_at_the_same_address_is_not_marked() {
        let mut refused = sample::refused();
        for finding in refused["findings"].as_array_mut().unwrap() {
            finding["target"] = json!("elsewhere.example:443");
        }
        for outcome in refused["outcomes"].as_array_mut().unwrap() {
            outcome["target"] = json!({"text": "here.example:443", "host": "here.example", "port": 443});
        }
        let document = sample::document(refused);
        for path in paths(&document) {
            assert!(faults(&path).iter().all(Option::is_none), "{}", path.target);
        }
    }

    #[test]
    fn a_fault_of_a_target_that_no_probe_reached_is_marked_behind_the_last_hop() {
        let mut silent = sample::silent();
        silent["findings"][1]["where"] = json!({"address": "203.0.113.50"});
        let document = sample::document(silent);
        let paths = paths(&document);
        assert_eq!(paths[0].missing_target().as_deref(), Some("203.0.113.50 not reached, fault here: path.target_silent"));
    }

    #[test]
    fn neither_a_notice_nor_a_fault_of_names_is_marked_on_a_path() {
        let mut silent = sample::silent();
        silent["findings"][1]["severity"] = json!("notice");
        let document = sample::document(silent);
        assert!(faults(&paths(&document)[0]).iter().all(Option::is_none));
    }

    fn faults<'a>(path: &Path<'a>) -> Vec<Option<&'a str>> {
        path.steps.iter().map(|step| step.fault.map(|finding| finding.cause.as_str())).collect()
    }
}
