//! Refusals that a sweep met: of further targets, which were to have an open port, and of further ports of the target itself.

use super::rejected_by_middlebox::{Origin, origin_of, router_at};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, passed};
use crate::spot::Spot;
use crate::wording::{count, list, named};
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{PortState, PortSweep};
use netsonde_contract::outcome::Status;

/// The TTL of the resets is that of the machine's other replies.
const BY_TTL: f64 = 0.88;
/// Nothing tells whether the machine itself or a box on the way refuses.
const UNTOLD: f64 = 0.6;
/// The resets began nearer by two hops and more, and by one.
const NEARER_BY_FAR: f64 = 0.9;
const NEARER_BY_ONE: f64 = 0.75;

/// Targets of one sweep that are told: what is behind a whole range is a list, and no finding.
const MOST_TARGETS: usize = 8;

/// The ports of a sweep that a reset refused.
struct Refusals<'e, 'a> {
    sweep: &'e Seen<'a, PortSweep>,
    ports: Vec<&'a PortState>,
    /// A further target without an open port, which the check failed for.
    is_wanted: bool,
}

impl<'a> Refusals<'_, 'a> {
    fn origin(&self, evidence: &Evidence<'a>) -> Origin<'a> {
        let distances: Vec<u8> = self.ports.iter().filter_map(|port| Some(passed(port.reset?.ttl))).collect();
        origin_of(evidence, self.sweep.address, &distances)
    }

    /// `port 22`, `ports 22 and 80`.
    fn words(&self) -> String {
        let ports: Vec<u16> = self.ports.iter().map(|port| port.port).collect();
        format!("{} {}", if ports.len() == 1 { "port" } else { "ports" }, list(&ports))
    }
}

fn all<'e, 'a>(evidence: &'e Evidence<'a>) -> impl Iterator<Item = Refusals<'e, 'a>> {
    let of_sweep = |sweep: &'e Seen<'a, PortSweep>| {
        let by_reset = |port: &&PortState| {
            port.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::Refused && failure.icmp.is_none())
        };
        let ports: Vec<&PortState> = sweep.fact.ports.iter().filter(by_reset).collect();
        let none_open = sweep.fact.ports.iter().all(|port| port.failure.is_some());
        let is_wanted = none_open && !evidence.tried_tcp(sweep.address) && sweep.outcome.status == Status::Failed;
        let is_distant = !sweep.address.is_loopback() && !evidence.is_own(sweep.address);
        (!ports.is_empty() && is_distant).then_some(Refusals { sweep, ports, is_wanted })
    };
    evidence.port_sweeps.iter().filter_map(of_sweep).take(MOST_TARGETS)
}

/// Further targets that refuse by themselves, as far as is known.
pub(super) fn refused(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_target = |refusals: Refusals<'_, '_>| {
        let origin = refusals.origin(evidence);
        if !refusals.is_wanted || matches!(origin, Origin::Nearer { .. } | Origin::Before { .. }) {
            return None;
        }
        let (sweep, address, ports) = (refusals.sweep, refusals.sweep.address, refusals.words());
        let host = named(&sweep.fact.host, address);
        let by_ttl = match origin {
            Origin::Target(id) => Some(id),
            _ => None,
        };
        let open = if by_ttl.is_some() { "" } else { " Whether the machine itself does so, or a box on the way, was not seen." };
        let sentence = format!("{host} refuses connections on {ports}: nothing accepts them there.{open}");
        let candidate =
            Candidate::new(evidence.severity_at(address), if by_ttl.is_some() { BY_TTL } else { UNTOLD }, sentence)
                .at(Place { address: Some(address), port: refusals.ports.first().map(|port| port.port), ..Place::default() })
                .about(Spot::Address(address))
                .resting_on([sweep.id])
                .resting_on(by_ttl)
                .rejecting("tcp.filtered", "A refusal came back; a filter that drops packets would stay silent.", [sweep.id])
                .rejecting(
                    "tcp.rejected_by_middlebox",
                    "The resets came from as many routers away as other replies of the machine (by their TTL).",
                    by_ttl,
                )
                .settled_by(format!("`netsonde run port --target {address}` with one of the ports, which compares the reset's TTL with that of other replies"))
                .next(Who::Server, format!("Start the service on {ports} of {host}, or correct the ports that are asked."));
        Some(candidate)
    };
    all(evidence).filter_map(of_target).collect()
}

/// Ports that something nearer than the target refuses in its name.
pub(super) fn rejected(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_target = |refusals: Refusals<'_, '_>| {
        let (began, targets, shown_by) = match refusals.origin(evidence) {
            Origin::Nearer { passed, targets, shown_by } => (passed, targets, shown_by),
            Origin::Before { passed, router, shown_by } => (passed, router, shown_by),
            _ => return None,
        };
        let (sweep, address, ports) = (refusals.sweep, refusals.sweep.address, refusals.words());
        let (host, hop) = (named(&sweep.fact.host, address), began + 1);
        let router = router_at(evidence, address, hop);
        let at = match router {
            Some((router, _)) => format!(" at hop {hop} ({router})"),
            None => format!(" at about hop {hop}"),
        };
        let sentence = format!(
            "Something on the way{at}, and not {host} itself, refuses connections on {ports}: the refusals passed {} on their way here, and the way to the target has {} at least.",
            count(began.into(), "router"),
            count(targets.into(), "router")
        );
        let severity = if refusals.is_wanted { evidence.severity_at(address) } else { Severity::Notice };
        let confidence = if targets - began > 1 { NEARER_BY_FAR } else { NEARER_BY_ONE };
        let place = Place {
            hop: Some(hop),
            address: Some(router.map_or(address, |(router, _)| router)),
            port: refusals.ports.first().map(|port| port.port),
            ..Place::default()
        };
        let candidate = Candidate::new(severity, confidence, sentence)
            .at(place)
            .resting_on([sweep.id, shown_by])
            .resting_on(router.map(|(_, id)| id))
            .rejecting("tcp.refused", "The refusals did not come from as far away as the target.", [shown_by])
            .rejecting("tcp.filtered", "A refusal came back; a filter that drops packets would stay silent.", [sweep.id])
            .rejecting("tcp.backend_unhealthy", "No connection to these ports stands.", [sweep.id])
            .next(
                Who::Network,
                format!("Ask whoever runs the firewall{at} to allow connections to {host} on {ports}, or why it refuses them."),
            );
        Some(if refusals.is_wanted { candidate.about(Spot::Address(address)) } else { candidate })
    };
    all(evidence).filter_map(of_target).collect()
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo, failure, silent, trace, with_ttl};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;
    use netsonde_contract::outcome::Status;

    /// What a sweep found: each port refused by a reset with this TTL, where it was read.
    fn swept(address: &str, ports: &[u16], ttl: Option<u8>) -> Fact {
        let refused = failure(FailureCode::Refused, Step::Connect);
        let reset = ttl.map(|ttl| serde_json::json!({"ttl": ttl, "at_us": 0}));
        let state = |port: &u16| match &reset {
            Some(reset) => serde_json::json!({"port": port, "took_us": 900, "reset": reset, "failure": refused}),
            None => serde_json::json!({"port": port, "took_us": 900, "failure": refused}),
        };
        let states: Vec<_> = ports.iter().map(state).collect();
        serde_json::from_value(serde_json::json!({
            "fact": "port_sweep", "host": address, "address": address, "asked": ports.len(), "ports": states, "took_us": 1_000,
        }))
        .unwrap()
    }

    /// A further target beside one that works.
    fn listed(ttl: Option<u8>) -> Scene {
        let facts = [connected("192.0.2.1:443"), swept("192.0.2.7", &[22, 443], ttl)];
        Scene::new("shop.example").ended(Kind::Tcp, Status::Failed, facts)
    }

    #[test]
    fn a_further_target_that_refuses_is_told_with_what_is_not_known() {
        let finding = listed(None).finds("tcp.refused");
        assert!(finding.confidence == 0.6 && finding.sentence.contains("192.0.2.7 refuses connections on ports 22 and 443"));
        assert!(finding.could_not_separate.iter().any(|open| open.cause == "tcp.rejected_by_middlebox"), "{finding:?}");
    }

    #[test]
    fn the_ttl_of_the_resets_tells_the_machine_from_a_box_on_the_way() {
        let pinged = |ttl| listed(Some(ttl)).check(Kind::Icmp, [with_ttl(echo("192.0.2.7", &[9_000]), 61)]);
        let mut own = pinged(61);
        own.be_privileged();
        assert_eq!(own.finds("tcp.refused").confidence, 0.88);
        let mut nearer = pinged(63);
        nearer.be_privileged();
        let finding = nearer.finds("tcp.rejected_by_middlebox");
        assert_eq!((finding.confidence, finding.place.hop), (0.9, Some(2)));
    }

    #[test]
    fn a_range_that_is_only_looked_at_has_nothing_to_tell() {
        let facts = [connected("192.0.2.1:443"), swept("192.0.2.7", &[22], None)];
        assert!(Scene::new("shop.example").ended(Kind::Tcp, Status::Succeeded, facts).is_healthy().is_empty());
    }

    /// A port that stays silent, and further ports of its address that a reset refused, behind three routers.
    fn silent_beside(ttl: u8) -> Scene {
        let facts =
            [silent("192.0.2.1:443"), silent("192.0.2.1:443"), silent("192.0.2.1:443"), swept("192.0.2.1", &[22, 80], Some(ttl))];
        let hops = trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "10.0.3.1", "*", "*", "*"]);
        Scene::new("shop.example").check(Kind::Tcp, facts).check(Kind::Traceroute, hops)
    }

    #[test]
    fn resets_of_a_box_on_the_way_are_no_answer_of_the_target() {
        let scene = silent_beside(63);
        let diagnosis = scene.diagnose();
        let causes: Vec<_> = diagnosis.findings.iter().map(|finding| (finding.cause.as_str(), finding.severity)).collect();
        assert_eq!(causes, [("path.target_silent", Severity::Problem), ("tcp.rejected_by_middlebox", Severity::Notice)]);
        let sentence = &diagnosis.findings[0].sentence;
        assert!(sentence.contains("port 443") && !sentence.contains("80"), "{sentence}");
        silent_beside(61).finds("tcp.filtered");
    }
}
