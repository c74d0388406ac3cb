//! What is kept of a metadata service's answer: a closed list of fields that name no machine, owner, network or data. Pure.

use netsonde_contract::observation::CloudProvider;
use serde_json::Value;
use std::collections::BTreeMap;

/// The longest value kept; regions, zones and sizes have some dozen letters.
const MAX_VALUE_CHARS: usize = 64;

/// Fields of Azure's compute document, and what they are called here.
const AZURE: [(&str, &str); 8] = [
    ("azEnvironment", "environment"),
    ("location", "region"),
    ("zone", "zone"),
    ("vmSize", "size"),
    ("publisher", "image_publisher"),
    ("offer", "image_offer"),
    ("sku", "image_sku"),
    ("osType", "system"),
];

/// Paths asked one by one after the service was recognised, and what their values are called here.
pub(super) fn paths(provider: CloudProvider) -> &'static [(&'static str, &'static str)] {
    match provider {
        CloudProvider::Aws => &[
            ("/latest/meta-data/placement/region", "region"),
            ("/latest/meta-data/placement/availability-zone", "zone"),
            ("/latest/meta-data/instance-type", "size"),
            ("/latest/meta-data/services/partition", "environment"),
        ],
        CloudProvider::Gcp => &[
            ("/computeMetadata/v1/instance/zone", "zone"),
            ("/computeMetadata/v1/instance/machine-type", "size"),
            ("/computeMetadata/v1/instance/network-interfaces/0/mtu", "mtu"),
        ],
        CloudProvider::Azure | CloudProvider::Other => &[],
    }
}

/// The fields of Azure's compute document; empty where it is none.
pub(super) fn of_azure(body: &[u8]) -> BTreeMap<String, String> {
    let Ok(Value::Object(document)) = serde_json::from_slice(body) else { return BTreeMap::new() };
    let kept = AZURE.iter().filter_map(|(theirs, ours)| {
        let value = harmless(document.get(*theirs)?.as_str()?)?;
        Some(((*ours).to_owned(), value))
    });
    kept.collect()
}

/// One value as a service sends it alone. Google writes `projects/1234/zones/europe-west1-b`: the project's number is left out.
pub(super) fn of_value(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    harmless(text.rsplit('/').next().unwrap_or(text))
}

/// A region from Google's zone.
pub(super) fn region_of_zone(zone: &str) -> Option<String> {
    zone.rsplit_once('-').map(|(region, _)| region.to_owned())
}

/// Words of letters, digits and few signs; anything else is no such field.
fn harmless(value: &str) -> Option<String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | ' ');
    (!value.is_empty() && value.len() <= MAX_VALUE_CHARS && value.chars().all(fits)).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_azures_document_nothing_is_kept_but_the_list() {
        let body = br#"{"azEnvironment": "AzurePublicCloud", "location": "westeurope", "zone": "", "vmSize": "Standard_D2s_v5", "offer": "debian-12",
            "publisher": "Debian", "sku": "12-gen2", "osType": "Linux", "vmId": "canary", "subscriptionId": "canary", "name": "canary",
            "resourceGroupName": "canary", "tags": "owner:canary", "userData": "canary", "customData": "canary", "publicKeys": [{"keyData": "canary"}]}"#;
        let kept = of_azure(body);
        assert!(!format!("{kept:?}").contains("canary"), "{kept:?}");
        assert_eq!(kept.get("region").map(String::as_str), Some("westeurope"));
        assert_eq!(kept.len(), 7, "{kept:?}");
    }

    #[test]
    fn the_project_of_a_zone_is_left_out() {
        assert_eq!(of_value(b"projects/123456/zones/europe-west1-b").as_deref(), Some("europe-west1-b"));
        assert_eq!(region_of_zone("europe-west1-b").as_deref(), Some("europe-west1"));
        assert_eq!(of_value(b"1460\n").as_deref(), Some("1460"));
        assert_eq!(of_value(b"<html>portal</html>"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (of_azure(&bytes), of_value(&bytes));
        }
    }
}
