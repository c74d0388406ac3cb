//! The machine's own proxies, as far as a plan needs to know them.

use netsonde_contract::set::{ProbeSet, ProxyAddress};
use netsonde_contract::target::Target;
use netsonde_probes::context::ProxyChoice;
use std::collections::BTreeMap;

/// The proxy of each target that has one, as the http checks will choose it.
pub(crate) fn proxies(set: &ProbeSet, targets: &[String], choice: &ProxyChoice) -> BTreeMap<String, ProxyAddress> {
    let proxy = |text: &String| {
        // What is no target is refused when the plan is made.
        let url = Target::parse(text, set.target?).ok()?.url()?;
        Some((text.clone(), netsonde_probes::proxy_of(choice, &url)?))
    };
    targets.iter().filter_map(proxy).collect()
}
