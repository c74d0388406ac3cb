use super::dns::{reply_lines, server_name, verdict_of};
use super::{failure, of};
use crate::units;
use netsonde_contract::observation::{DelegatedTo, Delegation, DnsReply, Fact, Signature, ZoneKey, ZoneServer};
use netsonde_contract::outcome::Outcome;
use std::net::IpAddr;

/// The zones on the way, and every server that does not speak for its zone.
pub(super) fn outcome(outcome: &Outcome) -> Vec<String> {
    let zones = of(outcome, |fact| if let Fact::Delegation(zone) = fact { Some(zone) } else { None });
    let Some(last) = zones.last() else { return Vec::new() };
    let names: Vec<&str> = zones.iter().map(|zone| zone.zone.as_str()).collect();
    let mut parts = vec![format!("zones {}", names.join(" → "))];
    let servers = of(outcome, |fact| if let Fact::ZoneServer(server) = fact { Some(server.as_ref()) } else { None });
    let of_last: Vec<&ZoneServer> = servers.into_iter().filter(|server| server.zone == last.zone).collect();
    let good = of_last.iter().filter(|server| server.authoritative == Some(true)).count();
    parts.push(format!("{good} of {} of {} speak for it", units::counted(of_last.len(), "server", "servers"), last.zone));
    let bad = of_last.iter().filter(|server| server.authoritative != Some(true));
    parts.extend(bad.map(|server| format!("{}: {}", who(server), verdict(server))));
    parts.extend(last.stopped.iter().map(|why| format!("stopped: {why}")));
    parts
}

pub(super) fn zone(delegation: &Delegation) -> String {
    let mut line = format!("zone {}", delegation.zone);
    if let Some(given_by) = delegation.given_by {
        line.push_str(&format!(", given by {}", server_name(given_by)));
    }
    line.push_str(&format!(": {}", units::counted(delegation.name_servers.len(), "name server", "name servers")));
    if delegation.secure {
        let tags: Vec<String> = delegation.signed_by.iter().map(|key| key.key_tag.to_string()).collect();
        line.push_str(", signed");
        if !tags.is_empty() {
            line.push_str(&format!(" by key {}", tags.join(", ")));
        }
    }
    if let Some(why) = &delegation.stopped {
        line.push_str(&format!(", stopped: {why}"));
    }
    line
}

pub(super) fn zone_details(delegation: &Delegation) -> Vec<String> {
    delegation.name_servers.iter().map(delegated).collect()
}

fn delegated(server: &DelegatedTo) -> String {
    let joined = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let name = if server.name.is_empty() { "given" } else { &server.name };
    match (&server.glue[..], &server.resolved[..], &server.failure) {
        ([], [], Some(found)) => format!("{name}: {}", failure::short(found)),
        ([], [], None) => format!("{name}: no address"),
        ([], resolved, _) => format!("{name}: {}, without glue", joined(resolved)),
        (glue, ..) => format!("{name}: {}", joined(glue)),
    }
}

/// The server by name and address.
pub(crate) fn who(server: &ZoneServer) -> String {
    match server.server.as_str() {
        "" => server_name(server.address),
        name => format!("{name} ({})", server_name(server.address)),
    }
}

/// What it says to the name's question, and with which right.
pub(crate) fn verdict(server: &ZoneServer) -> String {
    let said = match (&server.failure, &server.reply) {
        (Some(found), _) => failure::short(found),
        (None, Some(reply)) => delegates(reply).unwrap_or_else(|| verdict_of(reply)),
        (None, None) => "no reply".to_owned(),
    };
    match (server.authoritative, server.serial) {
        (Some(true), Some(serial)) => format!("{said}, serial {serial}"),
        (Some(false), _) => format!("{said}, not authoritative for {}", server.zone),
        _ => said,
    }
}

/// A reply that names the servers of a zone further down and answers nothing.
fn delegates(reply: &DnsReply) -> Option<String> {
    let zone = reply.authority.iter().find(|record| record.record_type == "NS")?;
    let only_points = reply.answers.is_empty() && reply.rcode == "NOERROR" && !reply.flags.aa;
    only_points.then(|| format!("delegates {}", zone.name.trim_end_matches('.')))
}

pub(super) fn server(server: &ZoneServer) -> String {
    let mut line = format!("{} for {}: {}", who(server), server.zone, verdict(server));
    if let Some(took_us) = server.took_us {
        line.push_str(&format!(", {}", units::duration(took_us)));
    }
    line
}

pub(super) fn server_details(server: &ZoneServer) -> Vec<String> {
    let mut lines = failure::details(server.failure.as_ref());
    if !server.own_name_servers.is_empty() {
        lines.push(format!("the zone's own name servers: {}", server.own_name_servers.join(", ")));
    }
    if !server.keys.is_empty() {
        let keys: Vec<String> = server.keys.iter().map(key).collect();
        lines.push(format!("the zone's keys: {}", keys.join(", ")));
    }
    lines.extend(server.signatures.iter().map(|signature| {
        let Signature { covers, key_tag, inception, expiration, .. } = signature;
        format!("{covers} signed by key {key_tag}, good from {inception} to {expiration}")
    }));
    lines.extend(server.reply.as_ref().map(reply_lines).unwrap_or_default());
    lines
}

fn key(key: &ZoneKey) -> String {
    let entry_point = if key.entry_point { " (entry point)" } else { "" };
    let revoked = if key.revoked { " (revoked)" } else { "" };
    format!("{}{entry_point}{revoked}", key.key_tag)
}
