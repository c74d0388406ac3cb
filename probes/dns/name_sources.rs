//! Where the system looks for a name before and beside DNS. Reads files and asks nobody.

use crate::context::Context;
use netsonde_contract::observation::{Fact, HostsLine, NameSources};
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;

#[cfg(not(windows))]
const HOSTS: &str = "/etc/hosts";
#[cfg(windows)]
const HOSTS: &str = r"C:\Windows\System32\drivers\etc\hosts";

/// nsswitch.conf(5); only systems with the C library's name-service switch have it.
const SWITCH: &str = "/etc/nsswitch.conf";

/// Block lists make hosts files of some megabytes; what lies beyond this is not read.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A name stands in a line or two; block lists name others.
const MAX_LINES: usize = 32;

/// Names of a line that are kept.
const MAX_NAMES: usize = 16;

/// Sources and suffixes that are kept; real lists have a handful.
const MAX_WORDS: usize = 32;

/// The search list and how many dots a name needs to be tried as it is first (resolv.conf(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SearchList {
    /// Without the final dot.
    pub suffixes: Vec<String>,
    pub ndots: u32,
}

/// Records where the system looks for the name.
pub(super) async fn record(context: &Context, name: &str) {
    let at_us = context.clock.now_us();
    if let Some(sources) = of(name).await {
        context.recorder.record(at_us, Fact::NameSources(sources));
    }
}

/// Where the system looks for the name. A reader that panics costs this fact only.
pub(crate) async fn of(name: &str) -> Option<NameSources> {
    let list = search_list().await;
    let asked = name.to_owned();
    let read = move || {
        let (hosts, hosts_file) = match read(HOSTS) {
            Ok(text) => (hosts_lines(&text, &asked), HOSTS.to_owned()),
            Err(error) => (Vec::new(), format!("{HOSTS} ({error})")),
        };
        let order = read(SWITCH).map(|text| order(&text)).unwrap_or_default();
        NameSources {
            tried: tried(&asked, &list),
            name: asked,
            hosts,
            hosts_file,
            order,
            search: list.suffixes,
            ndots: list.ndots,
        }
    };
    tokio::task::spawn_blocking(read).await.ok()
}

/// The system's search list; one that cannot be read is empty, as the C library takes it.
pub(super) async fn search_list() -> SearchList {
    let read = tokio::task::spawn_blocking(hickory_resolver::system_conf::read_system_conf);
    match read.await {
        Ok(Ok((config, options))) => SearchList {
            suffixes: config.search.iter().take(MAX_WORDS).map(|name| name.to_ascii().trim_end_matches('.').to_owned()).collect(),
            ndots: u32::try_from(options.ndots).unwrap_or(u32::MAX),
        },
        _ => SearchList { suffixes: Vec::new(), ndots: 1 },
    }
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

/// The lines that give the name an address (hosts(5)): an address, then names, then a comment. Lines that make no sense are passed over.
pub(super) fn hosts_lines(text: &[u8], name: &str) -> Vec<HostsLine> {
    let wanted = name.trim_end_matches('.');
    let lines = text.split(|byte| *byte == b'\n').enumerate().filter_map(|(at, line)| {
        let line_text = String::from_utf8_lossy(line);
        let mut words = line_text.split('#').next().unwrap_or_default().split_whitespace();
        let address: IpAddr = words.next()?.split('%').next()?.parse().ok()?;
        let names: Vec<&str> = words.collect();
        let fits = names.iter().any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(wanted));
        fits.then(|| HostsLine {
            line: u32::try_from(at + 1).unwrap_or(u32::MAX),
            address,
            names: names.into_iter().take(MAX_NAMES).map(str::to_owned).collect(),
        })
    });
    lines.take(MAX_LINES).collect()
}

/// The sources of host names, without what is to be done with their answers (`[NOTFOUND=return]`).
pub(super) fn order(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let Some(line) = text.lines().find_map(|line| line.trim_start().strip_prefix("hosts:")) else { return Vec::new() };
    let mut sources = Vec::new();
    let mut within = false;
    for word in line.split('#').next().unwrap_or_default().split_whitespace() {
        let opens = word.starts_with('[');
        if !opens && !within && sources.len() < MAX_WORDS {
            sources.push(word.to_owned());
        }
        within = (within || opens) && !word.ends_with(']');
    }
    sources
}

/// The names in the order that the resolver tries them: one that ends in a dot is tried alone, one with enough dots first.
fn tried(name: &str, list: &SearchList) -> Vec<String> {
    if let Some(absolute) = name.strip_suffix('.') {
        return vec![absolute.to_owned()];
    }
    let dots = name.bytes().filter(|byte| *byte == b'.').count();
    let mut names: Vec<String> = list.suffixes.iter().map(|suffix| format!("{name}.{suffix}")).collect();
    let at = if dots >= usize::try_from(list.ndots).unwrap_or(usize::MAX) { 0 } else { names.len() };
    names.insert(at, name.to_owned());
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_of_the_hosts_file_counts_by_any_of_its_names_in_any_case() {
        let text = b"# www.example\n192.0.2.1 other.example WWW.Example. # why\nwww.example 192.0.2.2\n\nfe80::1%eth0\twww.example\r\n192.0.2.300 www.example\n192.0.2.3 x # www.example";
        let found = hosts_lines(text, "www.example.");
        let short: Vec<(u32, String)> = found.iter().map(|line| (line.line, line.address.to_string())).collect();
        assert_eq!(short, [(2, "192.0.2.1".into()), (5, "fe80::1".into())]);
        assert_eq!(found[0].names, ["other.example", "WWW.Example."]);
    }

    #[test]
    fn the_order_of_sources_is_without_their_actions() {
        let text = b"passwd: files\n  hosts:   files mdns4_minimal [NOTFOUND=return] resolve [ !UNAVAIL=return ] dns # x\n";
        assert_eq!(order(text), ["files", "mdns4_minimal", "resolve", "dns"]);
        assert!(order(b"").is_empty());
    }

    #[test]
    fn a_short_name_is_tried_with_the_suffixes_first_and_a_long_one_last() {
        let list = SearchList { suffixes: vec!["a.example".into(), "b.example".into()], ndots: 2 };
        assert_eq!(tried("x.y", &list), ["x.y.a.example", "x.y.b.example", "x.y"]);
        assert_eq!(tried("x.y.z", &list), ["x.y.z", "x.y.z.a.example", "x.y.z.b.example"]);
        assert_eq!(tried("x.", &list), ["x"]);
    }

    proptest! {
        #[test]
        fn no_file_makes_the_readers_panic(text in proptest::collection::vec(any::<u8>(), 0..400), words in "[a-z.#\\[\\]= \n]{0,200}") {
            prop_assert!(hosts_lines(&text, "www.example").len() <= MAX_LINES);
            let sources = order(format!("hosts: {words}").as_bytes());
            prop_assert!(sources.len() <= MAX_WORDS);
            let _ = order(&text);
        }
    }
}
