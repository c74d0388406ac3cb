//! One question over QUIC: each on a stream of its own, behind its length in two bytes, with the id 0 (RFC 9250).

use super::asking::Asking;
use super::exchange::{Exchange, Patience, broken};
use crate::context::Context;
use crate::quic::connection::{QuicConnection, Wish};
use crate::quic::handshake_of;
use crate::tls::handshake::blank;
use crate::tls::trust::server_name;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

/// RFC 9250 section 4.1.1.
const ALPN: &str = "doq";

/// DOQ_NO_ERROR (RFC 9250 section 4.3).
const NO_ERROR: u32 = 0;

/// A handshake takes ten packets and a question two; the rest is for what is lost on the way.
const MAX_PACKETS: u32 = 60;

/// The connection outlives every wait for a reply by so much.
const IDLE_BEYOND: Duration = Duration::from_secs(2);

/// Connects once: QUIC itself repeats what is lost. The patience counts for the handshake and again for each reply.
pub(super) async fn ask(
    context: &Context,
    mut asking: Asking,
    server: SocketAddr,
    name: Option<&str>,
    patience: Patience,
) -> Exchange {
    crate::tls::entropy::ready(context).await;
    let mut exchange = Exchange::begin(context.clock, server, silent(Step::Receive, patience.timeout));
    let host = name.map_or_else(|| server.ip().to_string(), str::to_owned);
    let wanted = match server_name(&host) {
        Ok(wanted) => wanted,
        Err(text) => return exchange.failed(Failure::new(FailureCode::ProtocolError, Step::Open, text)),
    };
    let idle = patience.timeout + IDLE_BEYOND;
    let wish = Wish { server, name: &wanted, alpn: &[ALPN.to_owned()], idle, max_packets: MAX_PACKETS };
    let mut connection = match QuicConnection::prepare(context, &wish) {
        Ok(connection) => connection,
        Err(failure) => return exchange.failed(failure),
    };
    let shaken = timeout(patience.timeout, connection.shake()).await;
    let shaken = shaken.unwrap_or_else(|_| Err(silent(Step::Handshake, patience.timeout)));
    // A connection that the gate kept in was not tried.
    exchange.attempts = u32::from(connection.seen.sent > 0);
    note(context, &host, &wanted, &connection, shaken.as_ref().err(), &mut exchange).await;
    let exchange = match shaken {
        Ok(()) => converse(&mut connection, exchange, &mut asking, patience).await,
        Err(failure) => exchange.failed(failure),
    };
    if connection.seen.received > 0 && !connection.state.is_closed() {
        connection.close(NO_ERROR).await;
    }
    exchange
}

/// The handshake stands in the lookup, as under DNS over TLS.
async fn note(
    context: &Context,
    host: &str,
    wanted: &ServerName<'static>,
    connection: &QuicConnection,
    failure: Option<&Failure>,
    exchange: &mut Exchange,
) {
    let took_us = connection.elapsed_us();
    let seen = handshake_of(context, host, connection, wanted, took_us).await;
    let mut handshake = seen.unwrap_or_else(|| Box::new(blank(host, connection.server(), wanted)));
    handshake.took_us = took_us;
    handshake.failure = failure.cloned();
    exchange.tls = Some(handshake);
}

async fn converse(connection: &mut QuicConnection, mut exchange: Exchange, asking: &mut Asking, patience: Patience) -> Exchange {
    loop {
        let (query, which, why) = asking.current();
        exchange.sends(query, which, why, connection.local());
        let question = query.bytes();
        let Ok(length) = u16::try_from(question.len()) else {
            let text = format!("the question has {} bytes", question.len());
            return exchange.failed(Failure::new(FailureCode::TooLarge, Step::Send, text));
        };
        let framed = [&length.to_be_bytes(), question].concat();
        let reply = match timeout(patience.timeout, connection.ask(&framed, |bytes| message(bytes).is_some())).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(failure)) => return exchange.ends_with(failure, asking),
            Err(_) => return exchange.ends_in_silence(silent(Step::Receive, patience.timeout), asking),
        };
        let Some(bytes) = message(&reply) else {
            let failure = Failure::new(FailureCode::Closed, Step::Receive, "the server ended the stream before it replied");
            return exchange.ends_with(failure, asking);
        };
        match asking.take(bytes, None) {
            Ok(received) => {
                exchange.replied(&received);
                if let Some(reply) = asking.replied(received) {
                    exchange.outcome = Ok(reply);
                    return exchange;
                }
            }
            Err(why) => {
                exchange.other(asking, bytes, None);
                return exchange.failed(broken(&why));
            }
        }
    }
}

/// The message behind its length, where it is whole.
pub(super) fn message(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

fn silent(step: Step, waited: Duration) -> Failure {
    let what = if step == Step::Handshake { "the handshake did not end" } else { "no reply" };
    Failure::new(FailureCode::TimedOut, step, format!("{what} within {} ms", waited.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::super::answering::{Answers, reply_to};
    use super::super::run;
    use crate::tls::servers::{Authority, context};
    use hickory_proto::op::Message;
    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::{RData, Record};
    use netsonde_contract::failure::FailureCode;
    use netsonde_contract::kind::{DnsParams, Kind, Params};
    use netsonde_contract::observation::{Fact, Lookup, LookupSource, Transport};
    use quinn::crypto::rustls::QuicServerConfig;
    use std::net::SocketAddr;
    use std::sync::Arc;

    const NAME: &str = "dns.example";

    /// A name server on QUIC; a question without an answer keeps its stream open.
    fn serve(authority: &Authority, alpn: &str, answer: fn(&Message) -> Answers) -> (quinn::Endpoint, SocketAddr) {
        let identity = authority.issue(&[NAME]);
        let mut tls = identity.config_with(&[&rustls::version::TLS13], Arc::new(rustls::server::NoClientAuth));
        tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
        let (accepting, address) = (endpoint.clone(), endpoint.local_addr().unwrap());
        tokio::spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                let Ok(connection) = incoming.await else { continue };
                tokio::spawn(async move {
                    let mut open = Vec::new();
                    while let Ok((mut reply, mut question)) = connection.accept_bi().await {
                        let bytes = question.read_to_end(4_096).await.unwrap();
                        let question = Message::from_vec(&bytes[2..]).unwrap();
                        assert_eq!((question.id, usize::from(bytes[0]) << 8 | usize::from(bytes[1])), (0, bytes.len() - 2));
                        for bytes in answer(&question) {
                            reply.write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes()).await.unwrap();
                            reply.write_all(&bytes).await.unwrap();
                            reply.finish().unwrap();
                        }
                        open.push(reply);
                    }
                });
            }
        });
        (endpoint, address)
    }

    fn good(question: &Message) -> Answers {
        let mut reply = reply_to(question);
        reply.add_answer(Record::from_rdata(question.queries[0].name().clone(), 60, RData::A(A::new(192, 0, 2, 7))));
        vec![reply.to_vec().unwrap()]
    }

    async fn lookup(authority: &Authority, address: SocketAddr, timeout_ms: u64) -> (Lookup, u64) {
        let servers = vec![format!("quic://{address}#{NAME}")];
        let value = serde_json::json!({"name": "www.example", "types": ["A"], "servers": servers, "system": false, "timeout_ms": timeout_ms});
        let Params::Dns(params) = Params::parse(Kind::Dns, value).unwrap() else { panic!("no dns") };
        let params: DnsParams = params;
        let context = context(&[authority]);
        run(&context, &params).await.unwrap();
        let found = context.recorder.observations().into_iter().map(|observation| observation.fact);
        let mut lookups: Vec<Lookup> =
            found.filter_map(|fact| if let Fact::Lookup(lookup) = fact { Some(lookup) } else { None }).collect();
        assert_eq!(lookups.len(), 1, "{lookups:?}");
        (lookups.remove(0), context.gate.sent())
    }

    #[tokio::test]
    async fn a_reply_over_quic_stands_with_its_handshake() {
        let authority = Authority::new("root");
        let (_server, address) = serve(&authority, "doq", good);
        let (lookup, sent) = lookup(&authority, address, 5_000).await;
        assert_eq!(lookup.failure, None);
        assert_eq!(lookup.source, LookupSource::Server { server: address, transport: Transport::Quic });
        assert_eq!((lookup.addresses.len(), lookup.attempts, lookup.sent[0].id), (1, 1, 0));
        assert!(lookup.sent[0].local.is_some() && sent > 2);
        let tls = lookup.tls.unwrap();
        assert_eq!((tls.alpn.as_deref(), tls.protocol.as_deref()), (Some("doq"), Some("TLSv1.3")));
        assert!(tls.deciding_verdict().unwrap().trusted && tls.name.unwrap().fits);
    }

    #[tokio::test]
    async fn a_server_that_does_not_speak_dns_over_quic_refuses_in_its_handshake() {
        let authority = Authority::new("root");
        let (_server, address) = serve(&authority, "h3", good);
        let (lookup, _) = lookup(&authority, address, 5_000).await;
        assert_eq!(lookup.failure.unwrap().code, FailureCode::TlsAlert);
        assert!(lookup.tls.unwrap().failure.is_some() && lookup.sent.is_empty());
    }

    #[tokio::test]
    async fn a_question_that_nobody_answers_times_out_after_the_handshake() {
        let authority = Authority::new("root");
        let (_server, address) = serve(&authority, "doq", |_| Answers::new());
        let (lookup, _) = lookup(&authority, address, 700).await;
        let failure = lookup.failure.unwrap();
        assert_eq!((failure.code, lookup.sent.len()), (FailureCode::TimedOut, 1), "{}", failure.text);
        assert_eq!(lookup.tls.unwrap().failure, None);
    }

    #[tokio::test]
    async fn a_closed_port_is_refused() {
        let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (lookup, _) = lookup(&Authority::new("root"), closed, 5_000).await;
        assert_eq!(lookup.failure.unwrap().code, FailureCode::Refused);
    }
}
