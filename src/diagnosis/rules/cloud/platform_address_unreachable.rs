use super::{held_back, of_cloud, words};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{CloudProvider, PlatformAddress};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("asking the address again with this machine's firewall off"),
    ..Rule::new("cloud.platform_address_unreachable", &["cloud.metadata_unreachable"], evaluate)
};

/// The address is on the machine's own host, and network rules of the cloud cannot drop it.
const CONFIDENCE: f64 = 0.85;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let known = of_cloud(evidence, CloudProvider::Azure);
    let is_failed = |fact: &&Seen<'_, PlatformAddress>| fact.failure.as_ref().is_some_and(|failure| !held_back(failure));
    let failed: Vec<_> = evidence.platform_addresses.iter().filter(is_failed).collect();
    let Some(first) = failed.first().filter(|_| !known.is_empty()) else { return Vec::new() };
    let each: Vec<String> = failed
        .iter()
        .filter_map(|fact| {
            Some(format!("{} (port {}): {}", fact.service.words(), fact.address.port(), words(fact.failure.as_ref()?)))
        })
        .collect();
    let sentence = format!(
        "This machine runs in Azure, and the platform's own address {} cannot be used: {}. Name resolution, the machine's agent and its health reports \
         depend on it.",
        first.address.ip(),
        each.join("; ")
    );
    let metadata: Vec<_> = evidence
        .cloud_metadata
        .iter()
        .filter(|fact| fact.provider == CloudProvider::Azure && fact.recognised)
        .map(|fact| fact.id)
        .collect();
    let mut candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(Place { address: Some(first.address.ip()), port: Some(first.address.port()), ..Place::default() })
        .resting_on(failed.iter().map(|fact| fact.id))
        .resting_on(known)
        .rejecting("cloud.metadata_unreachable", "The metadata service answers.", metadata)
        .next(
            Who::Customer,
            "Allow 168.63.129.16 (UDP and TCP 53, TCP 80 and 32526) in this machine's own firewall, and look whether a VPN or a route of one's own takes it elsewhere.",
        );
    for fact in failed {
        candidate = candidate.about(Spot::Endpoint(fact.address));
    }
    vec![candidate]
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, cloud_hint, metadata, platform};
    use netsonde_contract::failure::FailureCode;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{CloudProvider, PlatformService};

    const CAUSE: &str = "cloud.platform_address_unreachable";

    #[test]
    fn a_machine_of_azure_whose_agent_is_cut_off_is_told() {
        let facts = [
            metadata(CloudProvider::Azure, None),
            platform(PlatformService::Dns, None),
            platform(PlatformService::Agent, Some(FailureCode::TimedOut)),
            platform(PlatformService::Health, Some(FailureCode::Refused)),
        ];
        let finding = Scene::new("time.example").check(Kind::Cloud, facts).finds(CAUSE);
        assert!(
            finding.sentence.contains("agent service (port 80): it does not answer; health service (port 32526)"),
            "{}",
            finding.sentence
        );
        assert_eq!(finding.rejected[0].cause, "cloud.metadata_unreachable");
    }

    #[test]
    fn a_machine_of_another_cloud_has_no_such_address() {
        let facts = [
            cloud_hint(Some(CloudProvider::Aws)),
            metadata(CloudProvider::Aws, None),
            platform(PlatformService::Agent, Some(FailureCode::TimedOut)),
        ];
        assert!(!Scene::new("time.example").check(Kind::Cloud, facts).names(CAUSE));
    }

    #[test]
    fn a_platform_that_answers_is_in_order() {
        let facts = [metadata(CloudProvider::Azure, None), platform(PlatformService::Agent, None)];
        assert!(!Scene::new("time.example").check(Kind::Cloud, facts).names(CAUSE));
    }
}
