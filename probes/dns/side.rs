//! Questions beside the check's own, each asked only where a parameter wants it: who a server is, what another server says, which names
//! the addresses have, and what the search list makes of the name. None of them decides how the check ends.

use super::ask::{Manner, Question, ask, refused};
use super::exchange::Patience;
use super::name_sources::search_list;
use super::query::Shape;
use super::{absolute, manner_beside, shape};
use crate::context::Context;
use futures_util::future::join_all;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use netsonde_contract::kind::{DnsParams, DnsTransport, NameServer};
use netsonde_contract::observation::{Lookup, Purpose};
use std::net::IpAddr;

/// What servers call themselves: the first two are BIND's, which others took over, the third is the standard's (RFC 4892 section 3).
const IDENTITIES: [&str; 3] = ["version.bind.", "hostname.bind.", "id.server."];

/// A name has some addresses; this bounds what a crafted answer makes netsonde ask.
const MAX_REVERSE: usize = 8;

/// The C library took six before it took any number (resolv.conf(5)).
const MAX_SUFFIXES: usize = 6;

pub(super) async fn identity(context: &Context, params: &DnsParams, servers: &[NameServer]) {
    if !params.identity {
        return;
    }
    let names: Vec<Name> = IDENTITIES.iter().filter_map(|text| Name::from_ascii(text).ok()).collect();
    let each = servers.iter().flat_map(|server| names.iter().map(move |name| (server, name)));
    let asked = each.map(|(server, name)| async move {
        let shape = Shape { class: DNSClass::CH, ..shape(params) };
        let question = Question { name: name.clone(), record_type: RecordType::TXT, shape, purpose: Purpose::Identity };
        ask(context, &question, server, manner_beside(params)).await;
    });
    join_all(asked).await;
}

pub(super) async fn control(context: &Context, params: &DnsParams, name: &Name, types: &[RecordType]) {
    let Some(server) = &params.control_server() else { return };
    let asked = types.iter().map(|record_type| async {
        let question =
            Question { name: name.clone(), record_type: *record_type, shape: shape(params), purpose: Purpose::Control };
        ask(context, &question, server, manner_beside(params)).await;
    });
    join_all(asked).await;
}

/// One packet for each type, and no second: silence is what should come.
pub(super) async fn unserved(context: &Context, params: &DnsParams, name: &Name, types: &[RecordType]) {
    let Some(server) = &params.unserved_server() else { return };
    let own = manner_beside(params);
    let once = Manner { transport: DnsTransport::Udp, patience: Patience { attempts: 1, fallback: false, ..own.patience } };
    let asked = types.iter().map(|record_type| async {
        let question =
            Question { name: name.clone(), record_type: *record_type, shape: shape(params), purpose: Purpose::Unserved };
        ask(context, &question, server, once).await;
    });
    join_all(asked).await;
}

/// Each address's name, asked of the first server that gave the address, where the policy lets the address that the name led to be measured.
pub(super) async fn reverse(context: &Context, params: &DnsParams, answered: &[(&NameServer, Lookup)]) {
    let mut addresses: Vec<(IpAddr, &NameServer)> = Vec::new();
    for (server, lookup) in answered {
        for address in &lookup.addresses {
            if addresses.len() < MAX_REVERSE && !addresses.iter().any(|(known, _)| known == address) {
                addresses.push((*address, server));
            }
        }
    }
    let asked = addresses.into_iter().map(|(address, server)| async move {
        let question =
            Question { name: Name::from(address), record_type: RecordType::PTR, shape: shape(params), purpose: Purpose::Reverse };
        match context.gate.reverse(address, Some(&params.name)) {
            Ok(()) => drop(ask(context, &question, server, manner_beside(params)).await),
            Err(refusal) => refused(context, &question, server, manner_beside(params), refusal),
        }
    });
    join_all(asked).await;
}

/// The name with each suffix, asked of the first server for the first type.
pub(super) async fn search(context: &Context, params: &DnsParams, types: &[RecordType], servers: &[NameServer]) {
    let (Some(server), Some(record_type)) = (servers.first(), types.first()) else { return };
    if !params.search || params.name.ends_with('.') {
        return;
    }
    let list = search_list().await;
    let names = list.suffixes.iter().take(MAX_SUFFIXES).filter_map(|suffix| absolute(&format!("{}.{suffix}", params.name)).ok());
    let asked = names.map(|name| async move {
        let question = Question { name, record_type: *record_type, shape: shape(params), purpose: Purpose::Search };
        ask(context, &question, server, manner_beside(params)).await;
    });
    join_all(asked).await;
}
