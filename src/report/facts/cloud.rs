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
    telling.map(|metadata| line(metadata)).chain(platform.into_iter().map(address)).collect::<Vec<_>>().join("; ")
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
