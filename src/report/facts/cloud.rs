use super::{failure, of};
use crate::units;
use netsonde_contract::observation::{CloudHint, CloudMetadata, Fact, PlatformAddress};
use netsonde_contract::outcome::{Outcome, Status};

pub(super) fn outcome(outcome: &Outcome) -> String {
    let metadata = of(outcome, |fact| if let Fact::CloudMetadata(metadata) = fact { Some(&**metadata) } else { None });
    let platform = of(outcome, |fact| if let Fact::PlatformAddress(address) = fact { Some(&**address) } else { None });
    let answering = metadata.iter().any(|metadata| metadata.recognised);
    if !answering && outcome.status == Status::Succeeded && !metadata.is_empty() {
        return "not in a known cloud: the firmware names none, and no metadata service answers".to_owned();
    }
    // Where one cloud answers, the silence of the others goes without saying.
    let telling = metadata.iter().filter(|metadata| metadata.recognised || !answering);
    let of_this_cloud = |address: &&PlatformAddress| {
        let mut known = metadata.iter().filter(|metadata| metadata.recognised).peekable();
        known.peek().is_none() || known.any(|metadata| metadata.provider == address.provider)
    };
    let platform = platform.into_iter().filter(of_this_cloud);
    telling.map(|metadata| line(metadata)).chain(platform.map(address)).collect::<Vec<_>>().join("; ")
}

pub(super) fn hint(hint: &CloudHint) -> String {
    let words: Vec<&str> = hint.vendor.iter().chain(&hint.product).map(String::as_str).collect();
    let words = if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) };
    match hint.provider {
        Some(provider) => format!("the firmware says {}{words}", provider.title()),
        None => format!("the firmware names no cloud{words}"),
    }
}

/// `Azure metadata at 169.254.169.254 in 2.1 ms: region westeurope, size Standard_D2s_v5`.
pub(super) fn line(metadata: &CloudMetadata) -> String {
    let title = metadata.provider.title();
    let mut line = format!("{title} metadata at {}", metadata.address.ip());
    if let Some(found) = &metadata.failure {
        return format!("{line}: {}", failure::short(found));
    }
    if let Some(us) = metadata.answer_us {
        line.push_str(&format!(" in {}", units::duration(us)));
    }
    let fields: Vec<String> = metadata.fields.iter().map(|(name, value)| format!("{} {value}", name.replace('_', " "))).collect();
    if fields.is_empty() { line } else { format!("{line}: {}", fields.join(", ")) }
}

pub(super) fn address(address: &PlatformAddress) -> String {
    let what = format!("{} {} at {}", address.provider.title(), address.service.words(), address.address);
    match (&address.failure, address.answer_us) {
        (Some(found), _) => format!("{what}: {}", failure::short(found)),
        (None, Some(us)) => format!("{what} in {}", units::duration(us)),
        (None, None) => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn beside_a_cloud_that_answers_the_addresses_of_another_say_nothing() {
        let silent = json!({"fact": "platform_address", "id": "c/2", "check": "c", "at_us": 1, "provider": "azure", "address": "168.63.129.16:80",
            "service": "agent", "recognised": false, "failure": {"code": "timed_out", "during": "connect", "text": "no answer"}});
        let of = |provider: &str| -> Outcome {
            let metadata = json!({"fact": "cloud_metadata", "id": "c/1", "check": "c", "at_us": 1, "provider": provider,
                "address": "169.254.169.254:80", "recognised": true, "fields": {"region": "eu-west-1"}, "took_us": 1});
            serde_json::from_value(
                json!({"check": "c", "kind": "cloud", "required": true, "parameters": {}, "status": "succeeded",
                "began_us": 0, "took_us": 1, "observations": [metadata, silent]}),
            )
            .unwrap()
        };
        assert_eq!(outcome(&of("aws")), "AWS metadata at 169.254.169.254: region eu-west-1");
        assert!(outcome(&of("azure")).contains("168.63.129.16"), "{}", outcome(&of("azure")));
    }
}
