//! One question to one server, on the transports that the check asks for.

use super::asking::Asking;
use super::exchange::{Exchange, Patience};
use super::pending::Pending;
use super::query::{Query, Shape};
use super::{https, record, reply, stream, udp};
use crate::clock::microseconds;
use crate::context::Context;
use hickory_proto::rr::{Name, RecordType};
use netsonde_contract::failure::Failure;
#[cfg(not(feature = "doq"))]
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::kind::{DnsTransport, NameServer, Speaks};
use netsonde_contract::observation::{Lookup, LookupSource, Purpose, QueryReason, Transport};

/// A question and what it is for.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub name: Name,
    pub record_type: RecordType,
    pub shape: Shape,
    pub purpose: Purpose,
}

/// How servers are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Of servers that are written without one.
    pub transport: DnsTransport,
    pub patience: Patience,
}

/// Puts the question to the server and records what came of it on each transport. Gives the last of these lookups; none where the
/// question fits into no message.
pub(super) async fn ask(context: &Context, question: &Question, server: &NameServer, manner: Manner) -> Option<Lookup> {
    let mut transport = first_transport(server, manner.transport);
    let mut why = QueryReason::First;
    loop {
        let query = Query::new(question.name.clone(), question.record_type, question.shape.clone()).ok()?;
        let mut lookup = Pending::new(context, blank(question, server, transport));
        let exchange = exchange(context, query, server, transport, why, manner.patience).await;
        lookup.at_us = microseconds(exchange.began);
        note(&mut lookup, exchange, server);
        let lookup = lookup.clone();
        let cut = lookup.reply.as_ref().is_some_and(|reply| reply.flags.tc);
        if !cut || transport != Transport::Udp || !falls_back_to_tcp(server, manner.transport) {
            return Some(lookup);
        }
        (transport, why) = (Transport::Tcp, QueryReason::Truncated);
    }
}

/// Records a question that the gate lets nobody be asked.
pub(super) fn refused(context: &Context, question: &Question, server: &NameServer, manner: Manner, refusal: Failure) {
    let transport = first_transport(server, manner.transport);
    let mut lookup = Pending::new(context, blank(question, server, transport));
    lookup.failure = Some(refusal);
}

/// The question over one transport, without a record of it. What the policy denies is asked of nobody.
pub(super) async fn exchange(
    context: &Context,
    query: Query,
    server: &NameServer,
    transport: Transport,
    why: QueryReason,
    patience: Patience,
) -> Exchange {
    if let Err(refusal) = context.gate.question(&query.name()) {
        return Exchange::begin(context.clock, server.address, refusal);
    }
    let query = if matches!(transport, Transport::Https | Transport::Quic) { query.without_id() } else { query };
    let asking = Asking::new(query, why, patience.attempts, patience.fallback);
    let address = server.address;
    match (transport, &server.speaks) {
        (Transport::Udp, _) => udp::ask(context, asking, address, patience).await,
        (Transport::Tls, Speaks::Tls { name }) => stream::ask_secured(context, asking, address, name.as_deref(), patience).await,
        (Transport::Https, Speaks::Https { name, path }) => {
            let resource = https::Resource { address, name: name.as_deref(), path };
            https::ask(context, asking, resource, patience).await
        }
        #[cfg(feature = "doq")]
        (Transport::Quic, Speaks::Quic { name }) => super::doq::ask(context, asking, address, name.as_deref(), patience).await,
        #[cfg(not(feature = "doq"))]
        (Transport::Quic, _) => {
            let text = "this netsonde was built without DNS over QUIC (feature `doq`): ask the server over TLS";
            Exchange::begin(context.clock, address, Failure::new(FailureCode::Other("not_built_in".into()), Step::Open, text))
        }
        _ => stream::ask(context, asking, address, patience).await,
    }
}

fn first_transport(server: &NameServer, wanted: DnsTransport) -> Transport {
    match (&server.speaks, wanted) {
        (Speaks::Udp, _) | (Speaks::Any, DnsTransport::Udp | DnsTransport::UdpThenTcp) => Transport::Udp,
        (Speaks::Tcp, _) | (Speaks::Any, DnsTransport::Tcp) => Transport::Tcp,
        (Speaks::Tls { .. }, _) => Transport::Tls,
        (Speaks::Https { .. }, _) => Transport::Https,
        (Speaks::Quic { .. }, _) => Transport::Quic,
    }
}

fn falls_back_to_tcp(server: &NameServer, wanted: DnsTransport) -> bool {
    server.speaks == Speaks::Any && wanted == DnsTransport::UdpThenTcp
}

fn blank(question: &Question, server: &NameServer, transport: Transport) -> Lookup {
    let name = question.name.to_ascii();
    let name = if question.name.is_root() { name.as_str() } else { name.trim_end_matches('.') };
    let source = LookupSource::Server { server: server.address, transport };
    Lookup { purpose: question.purpose, ..Lookup::new(name, record::type_name(question.record_type), source) }
}

fn note(lookup: &mut Lookup, exchange: Exchange, server: &NameServer) {
    lookup.took_us = exchange.took.map(microseconds);
    lookup.attempts = exchange.attempts;
    lookup.sent = exchange.sent;
    lookup.others = exchange.others;
    lookup.tls = exchange.tls;
    lookup.http_status = exchange.http_status;
    match exchange.outcome {
        Ok(received) => {
            lookup.failure = None;
            lookup.addresses = reply::addresses(&received.message);
            lookup.reply = Some(Box::new(reply::of(&received, server.address)));
        }
        Err(failure) => {
            lookup.took_us = None;
            lookup.failure = Some(failure);
        }
    }
}
