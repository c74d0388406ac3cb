//! Faults between a machine and the cloud that it runs in.

pub(super) mod metadata_unreachable;
pub(super) mod platform_address_unreachable;
pub(super) mod port_filter;
pub(super) mod smtp_blocked;

use crate::evidence::Evidence;
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::CloudProvider;

/// That the machine runs in this cloud: its firmware says so, or a service that only this cloud has answered. Without any of these, silence
/// of a cloud's addresses says nothing.
fn of_cloud<'a>(evidence: &Evidence<'a>, provider: CloudProvider) -> Vec<&'a ObservationId> {
    let hints = evidence.cloud_hints.iter().filter(|hint| hint.provider == Some(provider)).map(|hint| hint.id);
    let metadata = evidence.cloud_metadata.iter().filter(|fact| fact.provider == provider && fact.recognised).map(|fact| fact.id);
    let platform =
        evidence.platform_addresses.iter().filter(|fact| fact.provider == provider && fact.recognised).map(|fact| fact.id);
    hints.chain(metadata).chain(platform).collect()
}

/// The clouds that firmware names, as people know them.
const NAMES: [(&str, &str); 8] = [
    ("azure", "Azure"),
    ("aws", "AWS"),
    ("google", "Google Cloud"),
    ("alibaba", "Alibaba Cloud"),
    ("digitalocean", "DigitalOcean"),
    ("hetzner", "Hetzner"),
    ("oracle", "Oracle Cloud"),
    ("openstack", "an OpenStack cloud"),
];

/// The cloud that the machine runs in, whichever tells it, as people know it.
fn runs_in<'a>(evidence: &Evidence<'a>) -> Option<(String, Vec<&'a ObservationId>)> {
    let by_service = CloudProvider::ALL.into_iter().map(|provider| (provider, of_cloud(evidence, provider)));
    let by_service =
        by_service.filter(|(_, known)| !known.is_empty()).map(|(provider, known)| (provider.title().to_owned(), known));
    let by_firmware = evidence.machines.iter().filter_map(|machine| {
        let name = machine.cloud.as_deref()?;
        let title = NAMES.iter().find(|(known, _)| *known == name).map_or(name, |(_, title)| title);
        Some((title.to_owned(), vec![machine.id]))
    });
    by_service.chain(by_firmware).next()
}

/// netsonde's own limits say nothing of the network.
fn held_back(failure: &Failure) -> bool {
    matches!(failure.code, FailureCode::NotAllowed | FailureCode::BudgetExhausted | FailureCode::Interrupted)
}

/// How an address failed, in words that end a sentence.
fn words(failure: &Failure) -> String {
    match failure.code {
        FailureCode::Refused => "it refuses the connection".to_owned(),
        FailureCode::TimedOut => "it does not answer".to_owned(),
        _ => failure.words(),
    }
}
