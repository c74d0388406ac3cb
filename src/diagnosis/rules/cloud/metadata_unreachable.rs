use super::{held_back, of_cloud, words};
use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::CloudProvider;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("reading the metadata as another user of this machine, without its firewall and proxy settings"),
    ..Rule::new("cloud.metadata_unreachable", &["cloud.platform_address_unreachable"], evaluate)
};

/// The service is on the machine's own host: silence is a filter or a route of this machine, or a network that is no cloud's.
const CONFIDENCE: f64 = 0.85;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    CloudProvider::ALL.into_iter().filter_map(|provider| of_provider(evidence, provider)).collect()
}

fn of_provider(evidence: &Evidence<'_>, provider: CloudProvider) -> Option<Candidate> {
    let known = of_cloud(evidence, provider);
    let asked: Vec<_> = evidence.cloud_metadata.iter().filter(|fact| fact.provider == provider).collect();
    // One of the service's addresses is enough for those who use it.
    if known.is_empty() || asked.iter().any(|fact| fact.recognised) {
        return None;
    }
    let failed =
        asked.iter().find(|fact| fact.address.is_ipv4() && fact.failure.as_ref().is_some_and(|failure| !held_back(failure)))?;
    let failure = failed.failure.as_ref()?;
    let how = if failure.code == FailureCode::Other("not_this_cloud".into()) {
        "something else answers there".to_owned()
    } else {
        words(failure)
    };
    let title = provider.title();
    let sentence = format!(
        "This machine runs in {title}, and {title}'s metadata service at {} cannot be used: {how}. Agents and sign-ins that need it fail.",
        failed.address.ip()
    );
    let platform: Vec<_> = evidence
        .platform_addresses
        .iter()
        .filter(|fact| fact.provider == provider && fact.failure.is_none())
        .map(|fact| fact.id)
        .collect();
    let candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(Place { address: Some(failed.address.ip()), port: Some(failed.address.port()), ..Place::default() })
        .about(Spot::Endpoint(failed.address))
        .resting_on(asked.iter().filter(|fact| fact.failure.is_some()).map(|fact| fact.id))
        .resting_on(known)
        .rejecting("cloud.platform_address_unreachable", "The platform's own address answers.", platform)
        .next(
            Who::Customer,
            "Look at this machine's firewall and routes for 169.254.169.254, and exempt it from proxies: the service is on the machine's own host, \
             so that nothing else lies between.",
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, cloud_hint, metadata, platform};
    use netsonde_contract::failure::FailureCode;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{CloudProvider, PlatformService};

    const CAUSE: &str = "cloud.metadata_unreachable";

    #[test]
    fn a_machine_of_azure_that_cannot_read_its_metadata_is_told() {
        let facts = [cloud_hint(Some(CloudProvider::Azure)), metadata(CloudProvider::Azure, Some(FailureCode::TimedOut))];
        let finding = Scene::new("time.example").check(Kind::Cloud, facts).finds(CAUSE);
        assert!(finding.sentence.contains("169.254.169.254 cannot be used: it does not answer"), "{}", finding.sentence);
    }

    #[test]
    fn the_platforms_own_answer_names_the_cloud_where_the_firmware_does_not() {
        let facts = [
            cloud_hint(None),
            metadata(CloudProvider::Azure, Some(FailureCode::Refused)),
            metadata(CloudProvider::Aws, Some(FailureCode::Refused)),
            platform(PlatformService::Agent, None),
        ];
        let finding = Scene::new("time.example").check(Kind::Cloud, facts).finds(CAUSE);
        assert_eq!(finding.rejected[0].cause, "cloud.platform_address_unreachable");
        assert!(finding.sentence.contains("Azure"), "{}", finding.sentence);
    }

    #[test]
    fn silence_outside_every_cloud_is_no_fault() {
        let facts = [
            cloud_hint(None),
            metadata(CloudProvider::Azure, Some(FailureCode::TimedOut)),
            metadata(CloudProvider::Aws, Some(FailureCode::TimedOut)),
        ];
        assert!(!Scene::new("time.example").check(Kind::Cloud, facts).names(CAUSE));
    }

    #[test]
    fn what_policy_forbade_to_ask_is_no_fault() {
        let facts = [cloud_hint(Some(CloudProvider::Azure)), metadata(CloudProvider::Azure, Some(FailureCode::NotAllowed))];
        assert!(!Scene::new("time.example").check(Kind::Cloud, facts).names(CAUSE));
    }
}
