//! DNS questions: netsonde's own to every server, and beside them the answers that an application gets.
//!
//! Everything is asked at once: each server and record type on sockets of its own ([`udp`], [`tcp`]), getaddrinfo and a resolver
//! library ([`system`]). A lookup is recorded as soon as it ends, so that a slow one costs the others nothing.

/// A small answering server.
#[cfg(test)]
mod answering;
/// Extended DNS errors.
mod extended_error;
/// The question, and whether a message is the reply to it.
mod query;
/// Resource records in presentation format.
mod record;
/// A reply as a fact.
mod reply;
/// The system's view: getaddrinfo and hickory-resolver.
mod system;
/// One question over TCP.
mod tcp;
/// One question over UDP.
mod udp;

use crate::clock::microseconds;
use crate::context::{Context, Ending, NotMeasurable};
use crate::platform::host::{SystemResolvers, system_resolvers};
use futures_util::future::join_all;
use hickory_proto::rr::{Name, RecordType};
use netsonde_contract::kind::{DnsParams, DnsTransport};
use netsonde_contract::observation::{Fact, Lookup, LookupSource, Transport};
use std::net::SocketAddr;
use std::time::Duration;

/// How long and how often to ask one server.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// After each packet.
    timeout: Duration,
    attempts: u32,
}

pub(crate) async fn run(context: &Context, params: &DnsParams) -> Result<Ending, NotMeasurable> {
    let name = absolute(&params.name)?;
    let types = record_types(params)?;
    let servers = async {
        let servers = servers(context, params).await?;
        let questions = servers.iter().flat_map(|server| types.iter().map(|record_type| (*server, *record_type)));
        let asked = questions.map(|(server, record_type)| ask(context, params, &name, server, record_type));
        Ok(join_all(asked).await.into_iter().any(|answered| answered))
    };
    let system = async { params.system && system::getaddrinfo(context, &params.name).await };
    let library = async {
        if params.system {
            system::library(context, &params.name).await;
        }
    };
    let (by_a_server, by_the_system, ()) = tokio::join!(servers, system, library);
    let resolved = if params.system { by_the_system } else { by_a_server? };
    Ok(if resolved { Ending::AsExpected } else { Ending::Failed })
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
async fn servers(context: &Context, params: &DnsParams) -> Result<Vec<SocketAddr>, NotMeasurable> {
    let mut servers = params.server_addresses();
    if params.servers.is_empty() {
        let at_us = context.clock.now_us();
        let found = tokio::task::spawn_blocking(system_resolvers).await.unwrap_or_else(|_| SystemResolvers::default());
        servers.clone_from(&found.servers);
        context.recorder.record(at_us, Fact::Resolvers(found.into()));
        servers.dedup();
    }
    servers.truncate(DnsParams::MAX_SERVERS);
    Ok(servers)
}

/// Puts one question to one server and records what came of it; says whether it gave records.
async fn ask(context: &Context, params: &DnsParams, name: &Name, server: SocketAddr, record_type: RecordType) -> bool {
    let Ok(query) = query::Query::new(name.clone(), record_type) else { return false };
    let patience = Patience { timeout: Duration::from_millis(params.timeout_ms), attempts: params.attempts };
    let mut transport = if params.transport == DnsTransport::Tcp { Transport::Tcp } else { Transport::Udp };
    loop {
        let exchange = match transport {
            Transport::Udp => udp::ask(context, &query, server, patience).await,
            Transport::Tcp => tcp::ask(context, &query, server, patience).await,
        };
        let reply = exchange.outcome.as_ref().ok().map(|(message, size)| reply::reply(message, *size, server));
        let answered = exchange.outcome.as_ref().is_ok_and(|(message, _)| reply::answers(message));
        let cut = reply.as_ref().is_some_and(|reply| reply.flags.tc);
        let lookup = Lookup {
            name: name.to_ascii().trim_end_matches('.').to_owned(),
            record_type: record::type_name(query.record_type()),
            source: LookupSource::Server { server, transport },
            addresses: exchange.outcome.as_ref().map(|(message, _)| reply::addresses(message)).unwrap_or_default(),
            took_us: exchange.took.map(microseconds),
            attempts: exchange.attempts,
            reply,
            failure: exchange.outcome.err(),
        };
        context.recorder.record(microseconds(exchange.began), Fact::Lookup(lookup));
        if cut && transport == Transport::Udp && params.transport == DnsTransport::UdpThenTcp {
            transport = Transport::Tcp;
            continue;
        }
        return answered;
    }
}

#[cfg(test)]
mod tests;
