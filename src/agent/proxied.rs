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

/// What `--proxy` has to say for somebody else's machine to choose as this one does, without credentials: the proxy that was given, or
/// that the environment has for every target. None where there is none.
pub(crate) fn asked(choice: &ProxyChoice, targets: &[Target]) -> Option<String> {
    match choice {
        ProxyChoice::None => Some("none".to_owned()),
        ProxyChoice::Url(url) => Some(without_credentials(url)),
        ProxyChoice::Environment => {
            let of_target = |target: &Target| netsonde_probes::proxy_url_of(choice, &target.url()?);
            let mut found: Vec<Option<String>> = targets.iter().map(of_target).collect();
            found.dedup();
            // Targets that differ in it cannot share one option.
            found.pop().flatten().filter(|_| found.is_empty())
        }
    }
}

/// `scheme://host:port` of a proxy's URL.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    format!("{scheme}://{place}")
}
