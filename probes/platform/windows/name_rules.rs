//! The name resolution policy table: names that are asked of servers of their own, past those of the adapters. VPN programs and
//! administrators make such rules ([MS-GPNRPT]).

use super::registry::Key;
use netsonde_contract::observation::ResolverSource;

/// Rules of group policy, which hide the local ones where there are any, and local rules.
const PLACES: [&str; 2] = [
    r"SOFTWARE\Policies\Microsoft\Windows NT\DNSClient\DnsPolicyConfig",
    r"SYSTEM\CurrentControlSet\Services\Dnscache\Parameters\DnsPolicyConfig",
];
/// A VPN with many networks has some dozen.
const MAX_RULES: usize = 128;
const MAX_WORDS: usize = 32;

/// The rules, each with the names that it is for as its suffixes.
pub(crate) fn name_rules() -> Vec<ResolverSource> {
    let rules = PLACES.iter().flat_map(|place| {
        let names = Key::open(place).map(|key| key.below()).unwrap_or_default();
        names.into_iter().filter_map(|name| rule(place, &name)).collect::<Vec<_>>()
    });
    rules.take(MAX_RULES).collect()
}

fn rule(place: &str, name: &str) -> Option<ResolverSource> {
    let key = Key::open(&format!(r"{place}\{name}"))?;
    let servers = key.text("GenericDNSServers").or_else(|| key.text("DirectAccessDNSServers")).unwrap_or_default();
    let servers = servers.split([';', ',', ' ']).filter_map(|word| word.trim().parse().ok()).take(MAX_WORDS);
    Some(ResolverSource {
        read_from: format!(r"HKLM\{place}"),
        interface: None,
        servers: servers.collect(),
        search: key.texts("Name").into_iter().take(MAX_WORDS).collect(),
    })
}
