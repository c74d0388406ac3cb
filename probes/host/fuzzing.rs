//! The parsers of files below `/proc`, `/etc` and `/run`, and of neighbours' answers, one function each.

use super::{capacity, counters, duplicates, kind_of_machine, load, resolver_files, sockets, system_proxies};

/// Figures of the kernel.
pub(crate) fn figures(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    counters::paired(&text);
    counters::listed(&text);
    counters::cpu_time(&text);
    load::averages(&text);
    load::runnable(&text);
    load::processors(&text);
    load::pressure("cpu", &text);
    load::bytes(&text, "MemTotal");
    capacity::column(&text, "drop");
    capacity::soft_limit(&text);
    capacity::system_descriptors(&text);
    kind_of_machine::hypervisor(&text);
    kind_of_machine::container_by_name(&text);
}

/// Lists of sockets, with the range of local ports on the first line.
pub(crate) fn socket_lists(bytes: &[u8]) {
    sockets::fuzzed(&String::from_utf8_lossy(bytes));
}

/// Files that name resolvers.
pub(crate) fn resolvers(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let source = resolver_files::resolv_conf("f", &text);
    assert!(source.servers.len() <= resolver_files::MAX_WORDS && source.search.len() <= resolver_files::MAX_WORDS);
    resolver_files::link(&text, None);
    resolver_files::of_domain("f", "f", &text);
}

/// Files that name proxies. No word before an `@` may come out of them.
pub(crate) fn proxies(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let found = [system_proxies::environment(&text), system_proxies::apt(&text, "f"), system_proxies::desktop(&text, "f")];
    for setting in found.iter().flatten() {
        let authority = setting.url.split("//").last().unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default();
        assert!(!authority.contains('@'), "credentials: {setting:?}");
    }
}

/// ARP packets and neighbour advertisements.
pub(crate) fn neighbour(bytes: &[u8]) {
    duplicates::fuzzed(bytes);
}
