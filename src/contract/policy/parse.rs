//! From a policy's text to a [`Policy`], keeping the line of every key.

use super::address::translates;
use super::{Budget, Hours, MAX_BYTES, NamePattern, Policy, Remote, Schedules, Serving};
use crate::config_error::{ConfigError, Source};
use crate::config_table::Table;
use crate::kind::Kind;
use crate::order::{LONGEST_LIFE, LONGEST_REPEAT, MAX_SERVE_SECONDS, MAX_SIGNATURES};
use crate::redaction::Level;
use crate::set::MAX_BUDGET;
use crate::size::MAX_RUN_BYTES;
use ipnet::{IpNet, Ipv6Net};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::DeTable;

const TABLES: [&str; 8] = ["version", "orders", "targets", "budget", "schedules", "serve", "upload", "redaction"];
const ORDERS: [&str; 6] = ["remote", "signers", "signatures", "kinds", "hours", "zone"];
const TARGETS: [&str; 9] =
    ["names", "networks", "deny", "ports", "resolvers", "proxied", "certificate_urls", "deny_networks", "nat64"];
const BUDGET: [&str; 5] = ["time", "packets", "bytes", "per_target_rate", "concurrency"];
const SCHEDULES: [&str; 2] = ["life", "every"];
const SERVE: [&str; 3] = ["peers", "time", "ports"];
/// No policy lists more entries under one key.
const MAX_ENTRIES: usize = 1_000;
/// Bounds of what a policy may give an order: what a person at the machine has.
const MAX_PACKETS: i64 = 50_000;
const MAX_RATE: i64 = 200;
const MAX_CONCURRENCY: i64 = 64;

/// What `netsonde policy init` writes: everything with its default, and no order taken.
pub const TEMPLATE: &str = include_str!("template.toml");

pub(super) fn parse(origin: &str, text: &str) -> Result<Policy, ConfigError> {
    let source = Source { origin, text };
    if text.len() > MAX_BYTES {
        return Err(source.error(0..0, format!("the policy is longer than {MAX_BYTES} bytes")));
    }
    let document = DeTable::parse(text).map_err(|error| source.error(error.span().unwrap_or(0..0), error.message()))?;
    let root = Table { source, span: 0..0, table: document.get_ref() };
    root.refuse_unknown_keys("key", &TABLES)?;
    if root.integer("version")?.is_some_and(|version| version != 1) {
        return Err(root.at("version", "this netsonde reads policies of version 1"));
    }
    let mut policy = Policy { text: text.to_owned(), ..Policy::absent() };
    for (name, value) in root.table.iter().filter(|(name, _)| name.get_ref().as_ref() != "version") {
        let name = name.get_ref().as_ref();
        let table = root.sub(value, name)?;
        for key in table.table.keys() {
            let line = source.error(key.span(), "").line;
            policy.lines.insert(format!("{name}.{}", key.get_ref()), line);
        }
        match name {
            "orders" => orders(&table, &mut policy)?,
            "targets" => targets(&table, &mut policy)?,
            "budget" => policy.budget = budget(&table)?,
            "schedules" => policy.schedules = schedules(&table)?,
            "serve" => policy.serve = serve(&table)?,
            "upload" => upload(&table, &mut policy)?,
            _ => redaction(&table, &mut policy)?,
        }
    }
    Ok(policy)
}

fn orders(table: &Table<'_>, policy: &mut Policy) -> Result<(), ConfigError> {
    table.refuse_unknown_keys("key", &ORDERS)?;
    policy.remote = table.optional_word("remote", "answer", &Remote::ALL)?.unwrap_or_default();
    policy.signers = texts(table, "signers", "SHA256:… as ssh-keygen -l prints it", |text| {
        (text.starts_with("SHA256:") && text.len() == 50).then(|| text.to_owned())
    })?;
    policy.signatures = bounded(table, "signatures", 1, MAX_SIGNATURES as i64)?.unwrap_or(1) as usize;
    if table.table.contains_key("kinds") {
        let known = || Kind::ALL.iter().map(|kind| kind.name());
        policy.kinds.clear();
        for value in table.list("kinds")? {
            let word = table.as_text(value, "kinds")?;
            let kind = Kind::from_name(&word).ok_or_else(|| table.source.unknown(value.span(), "probe kind", &word, known()))?;
            policy.kinds.push(kind);
        }
    }
    policy.hours = texts(table, "hours", "\"mon-fri 08:00-18:00\"", |text| text.parse::<Hours>().ok())?;
    policy.zone = table.table.get("zone").map(|value| table.as_text(value, "zone")).transpose()?;
    Ok(())
}

fn targets(table: &Table<'_>, policy: &mut Policy) -> Result<(), ConfigError> {
    table.refuse_unknown_keys("key", &TARGETS)?;
    let name = |text: &str| text.parse::<NamePattern>().ok();
    policy.names = texts(table, "names", "\"shop.example\", \"*.shop.example\" or \"*\"", name)?;
    policy.networks = texts(table, "networks", "\"10.1.0.0/16\" or an address", network)?;
    policy.denied_names = texts(table, "deny", "\"shop.example\", \"*.shop.example\" or \"*\"", name)?;
    policy.denied_networks = texts(table, "deny_networks", "\"10.1.0.0/16\" or an address", network)?;
    policy.ports = texts(table, "ports", "\"443\" or \"8000-8100\"", ports)?;
    policy.resolvers = table.boolean("resolvers")?.unwrap_or(true);
    policy.proxied = texts(table, "proxied", "\"shop.example\", \"*.shop.example\" or \"*\"", name)?;
    policy.certificate_urls = table.boolean("certificate_urls")?.unwrap_or(false);
    policy.nat64 = texts(table, "nat64", "\"2001:db8:64::/96\" (a length of 32, 40, 48, 56, 64 or 96)", |text| {
        text.parse::<Ipv6Net>().ok().map(|prefix| prefix.trunc()).filter(translates)
    })?;
    Ok(())
}

fn budget(table: &Table<'_>) -> Result<Budget, ConfigError> {
    table.refuse_unknown_keys("key", &BUDGET)?;
    let default = Budget::default();
    Ok(Budget {
        time: table.duration("time", default.time, MAX_BUDGET)?,
        packets: bounded(table, "packets", 1, MAX_PACKETS)?.map_or(default.packets, |number| number as u64),
        bytes: table.size("bytes", MAX_RUN_BYTES)?.unwrap_or(default.bytes),
        per_target_rate: bounded(table, "per_target_rate", 1, MAX_RATE)?.map_or(default.per_target_rate, |number| number as u32),
        concurrency: bounded(table, "concurrency", 1, MAX_CONCURRENCY)?.map_or(default.concurrency, |number| number as u32),
    })
}

fn schedules(table: &Table<'_>) -> Result<Schedules, ConfigError> {
    table.refuse_unknown_keys("key", &SCHEDULES)?;
    let life = table.duration("life", Duration::ZERO, LONGEST_LIFE)?;
    Ok(Schedules {
        life: Some(life).filter(|life| !life.is_zero()),
        every: table.duration("every", Schedules::default().every, LONGEST_REPEAT)?,
    })
}

fn serve(table: &Table<'_>) -> Result<Serving, ConfigError> {
    table.refuse_unknown_keys("key", &SERVE)?;
    let most = Duration::from_secs(u64::from(MAX_SERVE_SECONDS));
    Ok(Serving {
        peers: texts(table, "peers", "\"10.1.0.7\" or \"10.1.0.0/16\"", network)?,
        time: table.duration("time", Serving::default().time, most)?,
        ports: texts(table, "ports", "\"862\" or \"8000-8100\"", ports)?,
    })
}

fn upload(table: &Table<'_>, policy: &mut Policy) -> Result<(), ConfigError> {
    table.refuse_unknown_keys("key", &["backends", "accept_inspection"])?;
    policy.backends = texts(table, "backends", "\"https://support.example\"", crate::pasted::base_url)?;
    policy.accept_inspection = table.boolean("accept_inspection")?.unwrap_or(false);
    Ok(())
}

fn redaction(table: &Table<'_>, policy: &mut Policy) -> Result<(), ConfigError> {
    table.refuse_unknown_keys("key", &["floor"])?;
    policy.redaction = table.optional_word("floor", "redaction level", &Level::ALL)?.unwrap_or_default();
    Ok(())
}

/// A list of texts, each of which `read` must make something of.
fn texts<T>(table: &Table<'_>, key: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, ConfigError> {
    let list = table.list(key)?;
    if list.len() > MAX_ENTRIES {
        return Err(table.at(key, format!("`{key}` has more than {MAX_ENTRIES} entries")));
    }
    let one = |value: &toml::Spanned<toml::de::DeValue<'_>>| {
        let text = table.as_text(value, key)?;
        let wrong = || table.source.error(value.span(), format!("`{text}` does not fit `{key}`"));
        read(&text).ok_or_else(|| wrong().with_help(format!("write it as {expected}")))
    };
    list.into_iter().map(one).collect()
}

fn bounded(table: &Table<'_>, key: &str, minimum: i64, maximum: i64) -> Result<Option<i64>, ConfigError> {
    match table.integer(key)? {
        Some(number) if !(minimum..=maximum).contains(&number) => {
            Err(table.at(key, format!("`{key}` is not between {minimum} and {maximum}")))
        }
        other => Ok(other),
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first > 0 && first <= last).then_some(first..=last)
}
