use super::write::Writer;
use crate::{facts, shown, units};
use netsonde_contract::document::Document;
use netsonde_contract::observation::{Fact, Lookup, ZoneServer};

pub(super) fn write(html: &mut Writer, document: &Document) {
    let facts = shown::all(document).map(|observation| &observation.fact);
    let lookups: Vec<&Lookup> =
        facts.filter_map(|fact| if let Fact::Lookup(lookup) = fact { Some(lookup) } else { None }).collect();
    if lookups.is_empty() {
        return;
    }
    questions(html, &lookups);
    let facts = shown::all(document).map(|observation| &observation.fact);
    let servers: Vec<&ZoneServer> =
        facts.filter_map(|fact| if let Fact::ZoneServer(server) = fact { Some(server.as_ref()) } else { None }).collect();
    if !servers.is_empty() {
        walk(html, &servers);
    }
}

/// Every name server that the walk down from the root asked.
fn walk(html: &mut Writer, servers: &[&ZoneServer]) {
    html.element("table", &[("class", "ns-table ns-stack")], |html| {
        html.header_row(&["Zone", "Name server", "Reply", "Time"]);
        html.element("tbody", &[], |html| {
            for server in servers {
                html.element("tr", &[], |html| {
                    html.leaf("th", &[("scope", "row"), ("class", "ns-long")], &server.zone);
                    html.leaf("td", &[("class", "ns-long")], &facts::zone_server(server));
                    let class = if server.authoritative == Some(true) { "ns-ok" } else { "ns-problem" };
                    html.leaf("td", &[("class", class)], &facts::zone_server_verdict(server));
                    html.leaf("td", &[("class", "ns-time")], &server.took_us.map_or(String::new(), units::duration));
                });
            }
        });
    });
}

fn questions(html: &mut Writer, lookups: &[&Lookup]) {
    html.element("table", &[("class", "ns-table ns-stack")], |html| {
        html.header_row(&["Question", "Asked", "Reply", "Answers, with TTL in seconds", "Flags", "Time"]);
        html.element("tbody", &[], |html| lookups.iter().for_each(|lookup| row(html, lookup)));
    });
}

fn row(html: &mut Writer, lookup: &Lookup) {
    let good = lookup.failure.is_none() && lookup.reply.as_ref().is_none_or(|reply| reply.rcode == "NOERROR");
    html.element("tr", &[], |html| {
        let kind = if lookup.record_type == "ADDRESS" { "addresses" } else { &lookup.record_type };
        html.leaf("th", &[("scope", "row"), ("class", "ns-long")], &format!("{} {kind}", lookup.name));
        let asked = format!("{} {}", facts::dns_source(&lookup.source), facts::dns_purpose(lookup.purpose));
        html.leaf("td", &[], asked.trim_end());
        html.element("td", &[("class", if good { "ns-ok" } else { "ns-problem" })], |html| {
            html.text(&facts::dns_verdict(lookup));
            if let Some(remark) = facts::dns_remark(lookup) {
                html.leaf("div", &[], &remark);
            }
        });
        html.element("td", &[("class", "ns-long")], |html| {
            let answers: Vec<String> = match &lookup.reply {
                Some(reply) => reply
                    .answers
                    .iter()
                    .map(|record| format!("{} {} {}", record.record_type, record.data, record.ttl_s))
                    .collect(),
                None => lookup.addresses.iter().map(ToString::to_string).collect(),
            };
            for answer in answers {
                html.leaf("div", &[], &answer);
            }
        });
        html.leaf("td", &[], &lookup.reply.as_ref().map_or(String::new(), |reply| facts::dns_flags(&reply.flags)));
        html.leaf("td", &[("class", "ns-time")], &lookup.took_us.map_or(String::new(), units::duration));
    });
}
