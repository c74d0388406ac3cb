use super::write::Writer;
use crate::{facts, shown, units};
use netsonde_contract::document::Document;
use netsonde_contract::observation::{Fact, Lookup};

pub(super) fn write(html: &mut Writer, document: &Document) {
    let facts = shown::all(document).map(|observation| &observation.fact);
    let lookups: Vec<&Lookup> =
        facts.filter_map(|fact| if let Fact::Lookup(lookup) = fact { Some(lookup) } else { None }).collect();
    if lookups.is_empty() {
        return;
    }
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
        html.leaf("td", &[], &facts::dns_source(&lookup.source));
        html.leaf("td", &[("class", if good { "ns-ok" } else { "ns-problem" })], &facts::dns_verdict(lookup));
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
