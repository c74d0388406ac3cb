//! Whom a resolver on this machine itself asks, as far as files say it.

use super::read;
use crate::platform::host::is_placeholder;
use netsonde_contract::observation::{ResolverSource, Resolvers};
use std::net::IpAddr;

/// systemd-resolved (systemd-resolved.service(8)), NetworkManager, dnsmasq and resolvconf write down here whom they ask.
const FILES: [&str; 4] = [
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
    "/run/dnsmasq/resolv.conf",
    "/run/resolvconf/resolv.conf",
];

/// systemd-networkd keeps a file for each link, named by its index (systemd-networkd.service(8)).
const LINKS: &str = "/run/systemd/netif/links";
const MAX_LINKS: usize = 64;
/// macOS keeps a file for each domain whose names other servers know (resolver(5)).
const DOMAINS: &str = "/etc/resolver";
const MAX_DOMAINS: usize = 64;
/// Servers and suffixes of one source; real lists have a handful.
pub(super) const MAX_WORDS: usize = 32;

/// The files that name other servers than the system's own list does. Blocks on files.
pub(super) fn behind(own: &Resolvers) -> Vec<ResolverSource> {
    #[cfg(windows)]
    let by_system =
        [crate::platform::windows::name_rules::name_rules(), crate::platform::windows::adapters::resolvers_by_adapter()];
    #[cfg(not(windows))]
    let by_system = [Vec::new(), Vec::new()];
    let global = FILES.iter().filter_map(|path| Some(resolv_conf(path, &read::text(path).ok()?)));
    let links = std::fs::read_dir(LINKS).ok().into_iter().flatten().flatten().take(MAX_LINKS).filter_map(|entry| {
        let index: u32 = entry.file_name().to_str()?.parse().ok()?;
        link(&read::text(entry.path().to_str()?).ok()?, name_of(index))
    });
    global
        .chain(links)
        .chain(of_domains())
        .filter(|source| !source.servers.is_empty() && source.servers != own.servers)
        .chain(by_system.into_iter().flatten())
        .filter_map(without_placeholders)
        .collect()
}

/// Nothing where it names no other servers.
fn without_placeholders(mut source: ResolverSource) -> Option<ResolverSource> {
    let before = source.servers.len();
    source.servers.retain(|server| !is_placeholder(*server));
    (!source.servers.is_empty() || before == 0).then_some(source)
}

fn of_domains() -> Vec<ResolverSource> {
    let entries = std::fs::read_dir(DOMAINS).ok().filter(|_| cfg!(target_os = "macos"));
    let files = entries.into_iter().flatten().flatten().take(MAX_DOMAINS).filter_map(|entry| {
        let (path, name) = (entry.path(), entry.file_name());
        let (path, name) = (path.to_str()?, name.to_str()?);
        Some(of_domain(path, name, &read::text(path).ok()?))
    });
    files.collect()
}

/// The servers of one domain's names. The file's name is the domain, unless it names another one itself.
pub(super) fn of_domain(path: &str, name: &str, text: &str) -> ResolverSource {
    let found = resolv_conf(path, text);
    let search = if found.search.is_empty() { vec![name.to_owned()] } else { found.search };
    ResolverSource { search, ..found }
}

#[cfg(unix)]
fn name_of(index: u32) -> Option<String> {
    Some(nix::net::if_::if_indextoname(index).ok()?.to_string_lossy().into_owned())
}

#[cfg(not(unix))]
fn name_of(_index: u32) -> Option<String> {
    None
}

pub(super) fn resolv_conf(path: &str, text: &str) -> ResolverSource {
    let values = |key: &'static str| {
        let lines = text.lines().filter_map(move |line| line.trim().strip_prefix(key));
        lines.filter(|rest| rest.starts_with([' ', '\t'])).flat_map(str::split_whitespace)
    };
    ResolverSource {
        read_from: path.to_owned(),
        interface: None,
        servers: values("nameserver").filter_map(address).take(MAX_WORDS).collect(),
        search: values("search").chain(values("domain")).take(MAX_WORDS).map(str::to_owned).collect(),
    }
}

/// `DNS=` and `DOMAINS=` of one link.
pub(super) fn link(text: &str, interface: Option<String>) -> Option<ResolverSource> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default();
    let words = |key: &str| value(key).split_whitespace().take(MAX_WORDS).map(str::to_owned).collect::<Vec<_>>();
    let domains = words("DOMAINS").into_iter().chain(words("ROUTE_DOMAINS"));
    let servers: Vec<IpAddr> = words("DNS").iter().filter_map(|word| address(word)).collect();
    (!servers.is_empty()).then(|| ResolverSource {
        read_from: LINKS.to_owned(),
        interface,
        servers,
        search: domains.take(MAX_WORDS).collect(),
    })
}

/// An address that may have a zone, a port or a name behind it (`192.0.2.53#dns.example`).
fn address(word: &str) -> Option<IpAddr> {
    word.split(['%', '#']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_behind_a_stub_are_read_with_their_suffixes() {
        let found = resolv_conf(
            "f",
            "# x\nnameserver 192.0.2.53\nnameserver fe80::1%2\nnameservers 1.1.1.1\nsearch a.example b.example\n",
        );
        assert_eq!(found.servers, ["192.0.2.53".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
        assert_eq!(found.search, ["a.example", "b.example"]);
    }

    #[test]
    fn a_domains_own_servers_on_macos_carry_the_files_name_or_the_one_within() {
        let found = of_domain("/etc/resolver/corp.example", "corp.example", "nameserver 10.0.0.53\nport 5353\n");
        assert_eq!(
            (found.servers, found.search),
            (vec!["10.0.0.53".parse::<IpAddr>().unwrap()], vec!["corp.example".to_owned()])
        );
        assert_eq!(of_domain("f", "vpn", "domain corp.example\nnameserver 10.0.0.53\n").search, ["corp.example"]);
    }

    #[test]
    fn an_adapter_that_names_only_places_for_servers_names_none() {
        let of = |text: &str| without_placeholders(resolv_conf("f", text));
        assert_eq!(of("nameserver fec0:0:0:ffff::1\nnameserver fec0:0:0:ffff::2\n"), None);
        let servers = of("nameserver fec0:0:0:ffff::1\nnameserver 192.0.2.53\n").map(|source| source.servers);
        assert_eq!(servers, Some(vec!["192.0.2.53".parse().unwrap()]));
        assert!(of("search a.example\n").is_some(), "a rule for names may name no server");
    }

    #[test]
    fn a_links_own_servers_carry_its_name() {
        let text = "ADMIN_STATE=configured\nDNS=192.0.2.53#dns.example 2001:db8::53\nDOMAINS=corp.example\n";
        let found = link(text, Some("eth0".into())).unwrap();
        assert_eq!((found.servers.len(), found.search.len(), found.interface.as_deref()), (2, 1, Some("eth0")));
        assert_eq!(link("DNS=\n", None), None);
    }
}
