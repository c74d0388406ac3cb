use super::Home;
use netsonde_contract::api::fleet::{CheckIn, PolicySummary};
use netsonde_contract::api::protocol::Protocol;
use netsonde_contract::capability::{System, is_any_seen};
use netsonde_contract::kind::Kind;
use netsonde_contract::order::Epoch;
use netsonde_contract::policy::{Policy, Remote};

/// What an agent says of itself. A policy that counts for nothing takes no orders.
pub(crate) fn check_in(home: &Home<'_>, epoch: &Epoch, policy: Option<&Policy>, instance: &str) -> CheckIn {
    let summary = PolicySummary {
        remote: policy.map_or(Remote::Deny, |policy| policy.remote).name().to_owned(),
        paused: home.is_paused(),
        sha256: policy.filter(|policy| !policy.text.is_empty()).map(Policy::sha256),
    };
    let build = crate::bundling::build();
    CheckIn {
        epoch: epoch.clone(),
        version: build.version,
        platform: build.target,
        policy: summary,
        kinds: kinds(),
        instance: instance.to_owned(),
        protocol: Protocol::NEWEST,
        link: home.link(),
    }
}

/// What this process can measure on this machine.
fn kinds() -> Vec<Kind> {
    let rights = netsonde_probes::capability::rights();
    Kind::ALL.iter().copied().filter(|kind| is_any_seen(*kind, System::here(), rights)).collect()
}
