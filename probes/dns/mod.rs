//! DNS questions: netsonde's own to every server, and beside them the answers that an application gets.
//!
//! Everything is asked at once: each server and record type on sockets of its own ([`udp`], [`stream`], [`https`]), getaddrinfo and a
//! resolver library ([`system`]). A lookup is recorded as soon as it ends, so that a slow one costs the others nothing. What to send
//! after silence or a refusal is decided in [`asking`], which opens nothing.

/// A small answering server.
#[cfg(test)]
mod answering;
/// One question to one server.
mod ask;
/// What to send next.
mod asking;
/// The chain of signatures down to an answer.
mod chain;
/// What DNSSEC records say.
mod dnssec;
/// One question over QUIC.
#[cfg(feature = "doq")]
mod doq;
/// What came of one question on one transport.
mod exchange;
/// Extended DNS errors.
mod extended_error;
/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
/// One question over HTTPS.
mod https;
/// The hosts file, the search list, and the order of sources.
mod name_sources;
/// The options of a reply's OPT record.
mod options;
/// A lookup that a deadline cannot lose.
mod pending;
/// The name of an address, for other probes.
mod pointer;
/// DNSSEC records as text.
mod presentation;
/// The question, and whether a message is the reply to it.
mod query;
/// Resource records in presentation format.
mod record;
/// A reply as a fact.
mod reply;
/// TLS under DNS.
mod secure;
/// Questions beside the check's own: identity, control, reverse, search.
mod side;
/// One question over TCP or TLS.
mod stream;
/// The system's view: getaddrinfo and hickory-resolver.
mod system;
/// One question over UDP.
mod udp;
/// The delegations from the root down.
mod walk;

use crate::context::{Context, Ending, NotMeasurable};
use crate::platform::host::{SystemResolvers, system_resolvers};
pub(crate) use name_sources::of as name_sources;
pub(crate) use pointer::{name_of, system_servers};

use ask::{Manner, Question};
use exchange::Patience;
use futures_util::future::join_all;
use hickory_proto::rr::rdata::opt::ClientSubnet;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use netsonde_contract::kind::{DnsParams, EdnsUse, NameServer, Speaks};
use netsonde_contract::observation::{Fact, Lookup, Purpose};
use query::{Offer, Shape};
use std::net::IpAddr;
use std::time::Duration;

/// RFC 1035 section 4.1.1.
const SERVFAIL: u16 = 2;

pub(crate) async fn run(context: &Context, params: &DnsParams) -> Result<Ending, NotMeasurable> {
    if let Some(turned) = of_address(params) {
        return Box::pin(run(context, &turned)).await;
    }
    let name = absolute(&params.name)?;
    let types = record_types(params)?;
    let servers = servers(context, params).await;
    let asked = async {
        let answered = questions(context, params, &name, &types, &servers).await;
        if params.reverse {
            side::reverse(context, params, &answered).await;
        }
        let lookups: Vec<Lookup> = answered.into_iter().map(|(_, lookup)| lookup).collect();
        verdict(params, &lookups)
    };
    let beside = async {
        tokio::join!(
            side::identity(context, params, &servers),
            side::control(context, params, &name, &types),
            side::unserved(context, params, &name, &types),
            side::search(context, params, &types, &servers),
            walk::walk(context, params, &name, &types),
        );
    };
    let system = async { params.system && system::getaddrinfo(context, &params.name).await };
    let library = async {
        if params.system {
            name_sources::record(context, &params.name).await;
            system::library(context, &params.name).await;
        }
    };
    let (by_servers, by_the_system, (), ()) = tokio::join!(asked, system, library, beside);
    let as_expected = by_servers && (by_the_system || !params.system);
    Ok(if as_expected { Ending::AsExpected } else { Ending::Failed })
}

/// The question for an address's own name (RFC 1035 section 3.5, RFC 3596 section 2.5). What applications ask the system for is another
/// thing, addresses of a name, and is left out. Other record types are asked for at the reverse name, where they were given.
fn of_address(params: &DnsParams) -> Option<DnsParams> {
    let address: IpAddr = params.name.parse().ok()?;
    let for_addresses = params.types.iter().all(|name| matches!(name.to_ascii_uppercase().as_str(), "A" | "AAAA"));
    let types = if for_addresses { vec!["PTR".to_owned()] } else { params.types.clone() };
    Some(DnsParams {
        name: Name::from(address).to_ascii(),
        types,
        system: false,
        search: false,
        reverse: false,
        ..params.clone()
    })
}

/// Every question of the check to every server, with what each answered last.
async fn questions<'a>(
    context: &Context,
    params: &DnsParams,
    name: &Name,
    types: &[RecordType],
    servers: &'a [NameServer],
) -> Vec<(&'a NameServer, Lookup)> {
    let each = servers.iter().flat_map(|server| types.iter().map(move |record_type| (server, *record_type)));
    let asked = each.map(|(server, record_type)| async move {
        let question = Question { name: name.clone(), record_type, shape: shape(params), purpose: Purpose::Question };
        let lookup = ask::ask(context, &question, server, manner(params)).await?;
        if params.compare_cd && lookup.reply.as_ref().is_some_and(|reply| reply.rcode_number == SERVFAIL) {
            let unchecked = Shape { checking_disabled: true, ..question.shape.clone() };
            let again = Question { shape: unchecked, purpose: Purpose::CheckingDisabled, ..question };
            ask::ask(context, &again, server, manner(params)).await;
        }
        Some((server, lookup))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Whether the servers answered what only they were asked: each type by one of them at least. Where the system is asked for the addresses,
/// what it gives decides on them. An answer over TLS from somebody whom nobody vouches for is none to a strict client (RFC 8310).
fn verdict(params: &DnsParams, lookups: &[Lookup]) -> bool {
    let unanswered = Lookup::unanswered_types(lookups);
    let is_address = |record_type: &str| matches!(record_type.to_ascii_uppercase().as_str(), "A" | "AAAA");
    let nobody_asked = lookups.is_empty() && !params.types.iter().all(|record_type| is_address(record_type));
    if nobody_asked || !lookups.iter().all(Lookup::is_vouched_for) {
        return false;
    }
    match params.system {
        true => unanswered.iter().all(|record_type| is_address(record_type)),
        false => unanswered.is_empty() && lookups.iter().any(gave_records),
    }
}

/// The server knows the name and gave records.
fn gave_records(lookup: &Lookup) -> bool {
    lookup.reply.as_ref().is_some_and(|reply| reply.rcode_number == 0 && !reply.answers.is_empty())
}

fn manner(params: &DnsParams) -> Manner {
    let patience = Patience {
        timeout: Duration::from_millis(params.timeout_ms),
        attempts: params.attempts,
        fallback: params.edns == EdnsUse::Fallback,
        listen: Duration::from_millis(params.listen_ms),
    };
    Manner { transport: params.transport, patience }
}

/// The manner of questions beside the check's own: they listen on only where that was asked for.
fn manner_beside(params: &DnsParams) -> Manner {
    let mut manner = manner(params);
    if params.listen_ms <= DnsParams::LISTEN_MS {
        manner.patience.listen = Duration::ZERO;
    }
    manner
}

fn shape(params: &DnsParams) -> Shape {
    let offer = || Offer {
        dnssec_ok: params.dnssec,
        nsid: params.nsid,
        cookie: params.cookie,
        subnet: params.subnet().map(|subnet| ClientSubnet::new(subnet.address, subnet.prefix, 0)),
    };
    Shape {
        class: DNSClass::IN,
        recursion: params.recursion,
        checking_disabled: false,
        edns: (params.edns != EdnsUse::Never).then(offer),
    }
}

/// The name as a question carries it: absolute, so that no search list is at work.
fn absolute(text: &str) -> Result<Name, NotMeasurable> {
    let mut name =
        Name::from_ascii(text).map_err(|error| NotMeasurable::new(format!("`{text}` cannot be asked for: {error}")))?;
    name.set_fqdn(true);
    Ok(name)
}

fn record_types(params: &DnsParams) -> Result<Vec<RecordType>, NotMeasurable> {
    let parse = |text: &String| record::parse_type(text).ok_or_else(|| NotMeasurable::new(format!("`{text}` is no record type")));
    params.types.iter().take(DnsParams::MAX_TYPES).map(parse).collect()
}

/// The servers named, else those of the system, which are recorded as a fact: a rule must know which server is asked first, and that
/// there is none.
async fn servers(context: &Context, params: &DnsParams) -> Vec<NameServer> {
    let mut servers = params.name_servers();
    if params.servers.is_empty() {
        let at_us = context.clock.now_us();
        let found = tokio::task::spawn_blocking(system_resolvers).await.unwrap_or_else(|_| SystemResolvers::default());
        servers = found.servers.iter().map(|address| NameServer { address: *address, speaks: Speaks::Any }).collect();
        context.recorder.record(at_us, Fact::Resolvers(found.into()));
        servers.dedup();
    }
    servers.truncate(DnsParams::MAX_SERVERS);
    servers
}

#[cfg(test)]
mod tests;
