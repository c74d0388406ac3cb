//! QUIC handshakes (RFC 9000, RFC 9001): how long they take, what is agreed on, and how a server refuses. The connection serves the dns
//! kind as well.

/// How a connection ended.
mod close;
/// One connection on a socket of our own.
pub(crate) mod connection;
/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
/// What the server's TLS messages say.
mod messages;
/// The TLS session with what it reads kept beside.
mod observed;
/// The socket that packets go out from.
mod socket;
/// Questions on streams.
#[cfg(feature = "doq")]
mod stream;
#[cfg(test)]
mod tests;
/// Which versions a server speaks.
mod versions;

use crate::context::{Context, Ending, NotMeasurable};
use crate::tls;
use crate::tls::draft::{Draft, Drafted};
use crate::tls::handshake::blank;
use crate::zone;
use connection::{QuicConnection, Wish};
use futures_util::future::join_all;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::QuicParams;
use netsonde_contract::observation::{Fact, Handshake, Quic};
use quinn_proto::Event;
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a connection stays after its handshake: a refusal of a client without a certificate, tickets and acknowledgements come one
/// round trip later, and the search for the largest packet takes some more.
const SETTLING_ROUND_TRIPS: u32 = 8;
const SETTLING_MIN: Duration = Duration::from_millis(150);
const SETTLING_MAX: Duration = Duration::from_secs(1);

/// How long the answer about versions may take, each time: it is one round trip away.
const VERSIONS_PATIENCE: Duration = Duration::from_millis(500);

/// H3_NO_ERROR (RFC 9114 section 8.1), which says nothing in another protocol either.
const NO_ERROR: u32 = 0x100;

/// Makes a handshake with every address at once. Ends as expected where one completes with a certificate that is trusted and fits.
///
/// # Errors
/// Where a parameter makes no sense, and where the host gives no address.
pub(crate) async fn run(context: &Context, params: &QuicParams) -> Result<Ending, NotMeasurable> {
    let name = params.server_name.as_deref().unwrap_or(&params.host);
    let name = tls::trust::server_name(name).map_err(NotMeasurable::new)?;
    tls::entropy::ready(context).await;
    let addresses = context
        .names
        .resolve(&context.gate, &params.host)
        .await
        .map_err(|failure| NotMeasurable::unresolved(&params.host, &failure))?;
    let asked = addresses.into_iter().take(QuicParams::MAX_ADDRESSES);
    let facts = join_all(asked.map(|address| measure(context, params, &name, zone::socket(address, params.port)))).await;
    Ok(if facts.iter().any(is_healthy) { Ending::AsExpected } else { Ending::Failed })
}

fn is_healthy(quic: &Quic) -> bool {
    quic.failure.is_none() && quic.tls.as_ref().is_some_and(|handshake| tls::is_healthy(handshake))
}

async fn measure(context: &Context, params: &QuicParams, name: &ServerName<'static>, address: SocketAddr) -> Quic {
    let fact = Quic {
        host: params.host.clone(),
        address,
        first_reply_us: None,
        took_us: 0,
        version: None,
        server_versions: None,
        retry: false,
        tls: None,
        parameters: None,
        rtt_us: None,
        ecn: None,
        largest_payload_bytes: None,
        packets_sent: 0,
        packets_received: 0,
        packets_lost: 0,
        close: None,
        failure: None,
    };
    let mut draft = Draft::begin(context, Step::Open, fact);
    // An idle connection is ours to end; the handshake's own limit comes first.
    let idle = Duration::from_millis(params.timeout_ms) + SETTLING_MAX;
    let wish = Wish { server: address, name, alpn: &params.alpn, idle, max_packets: QuicParams::MAX_PACKETS };
    match QuicConnection::prepare(context, &wish) {
        Ok(mut connection) => converse(context, params, name, &mut connection, &mut draft).await,
        Err(failure) => draft.failure = Some(failure),
    }
    // Whoever refuses the port, or whom the gate keeps out, is not asked again.
    let unanswered = draft.failure.as_ref().is_none_or(|failure| failure.code == FailureCode::TimedOut);
    let answered = draft.first_reply_us.is_some();
    if params.versions && draft.server_versions.is_none() && (unanswered || answered) {
        draft.step = Step::Receive;
        if let Ok(versions) = versions::ask(context, address, VERSIONS_PATIENCE).await {
            draft.packets_sent += versions.sent;
            draft.packets_received += u32::from(versions.listed.is_some());
            draft.server_versions = versions.listed.map(|listed| versions::names(&listed));
        }
    }
    draft.finish()
}

/// The handshake and what follows at once.
async fn converse(
    context: &Context,
    params: &QuicParams,
    name: &ServerName<'static>,
    connection: &mut QuicConnection,
    draft: &mut Draft<Quic>,
) {
    draft.step = Step::Handshake;
    let timeout = Duration::from_millis(params.timeout_ms);
    let shaken = tokio::time::timeout(timeout, shake(connection, draft)).await;
    draft.took_us = connection.elapsed_us();
    draft.failure = match shaken {
        Ok(result) => result.err(),
        Err(_) => {
            let what = if draft.first_reply_us.is_some() { "the handshake did not end" } else { "nothing came back" };
            let text = format!("{what} within {} ms", timeout.as_millis());
            Some(Failure::new(FailureCode::TimedOut, Step::Handshake, text))
        }
    };
    if draft.failure.is_none() {
        // The library speaks version 1 only, and drafts of it, of which the first is offered.
        draft.version = Some("1".to_owned());
        settle(connection, draft).await;
        draft.rtt_us = Some(crate::clock::microseconds(connection.state.rtt()));
        draft.ecn = connection.seen.marked;
        draft.largest_payload_bytes = connection.largest_payload();
        draft.packets_lost = u32::try_from(connection.state.stats().path.lost_packets).unwrap_or(u32::MAX);
    }
    draft.parameters = connection.agreed().parameters;
    draft.tls = handshake_of(context, &params.host, connection, name, draft.took_us).await;
    // A server that was never heard of has nothing to close.
    if draft.first_reply_us.is_some() && !connection.state.is_closed() {
        connection.close(NO_ERROR).await;
    }
    note(connection, draft);
}

async fn shake(connection: &mut QuicConnection, draft: &mut Draft<Quic>) -> Result<(), Failure> {
    loop {
        let event = connection.turn().await;
        note(connection, draft);
        match event? {
            Some(Event::Connected) => return Ok(()),
            Some(Event::ConnectionLost { reason }) => {
                draft.close = close::of(&reason);
                return Err(connection::lost(&reason));
            }
            _ => {}
        }
    }
}

/// Listens on for what comes right after a handshake. A server that closes has refused after all.
async fn settle(connection: &mut QuicConnection, draft: &mut Draft<Quic>) {
    let time = (connection.state.rtt() * SETTLING_ROUND_TRIPS).clamp(SETTLING_MIN, SETTLING_MAX);
    let listening = async {
        loop {
            let event = connection.turn().await;
            note(connection, draft);
            match event {
                Ok(Some(Event::ConnectionLost { reason })) => {
                    draft.close = close::of(&reason);
                    return connection::lost(&reason);
                }
                Ok(_) => {}
                Err(failure) => return failure,
            }
        }
    };
    // That the time is over is how it ends well.
    if let Ok(failure) = tokio::time::timeout(time, listening).await {
        draft.failure = Some(failure);
    }
}

/// Copies what was seen so far, so that a deadline keeps it.
fn note(connection: &QuicConnection, draft: &mut Draft<Quic>) {
    let seen = &connection.seen;
    (draft.packets_sent, draft.packets_received) = (seen.sent, seen.received);
    (draft.first_reply_us, draft.retry) = (seen.first_reply_us, seen.retry);
    draft.server_versions.clone_from(&seen.server_versions);
}

/// The TLS handshake within a connection, with what each trust store says of the chain; none before the server's hello.
pub(crate) async fn handshake_of(
    context: &Context,
    host: &str,
    connection: &QuicConnection,
    name: &ServerName<'static>,
    took_us: u64,
) -> Option<Box<Handshake>> {
    let agreed = connection.agreed();
    let cipher = agreed.cipher?;
    let mut handshake = Box::new(blank(host, connection.server(), name));
    handshake.took_us = took_us;
    handshake.protocol = Some("TLSv1.3".to_owned());
    handshake.cipher = Some(tls::quic::cipher_name(cipher));
    handshake.group = agreed.group.map(tls::quic::group_name);
    handshake.alpn = agreed.alpn.map(|protocol| String::from_utf8_lossy(&protocol).into_owned());
    connection.tls.describe(context, name, &mut handshake).await;
    Some(handshake)
}

impl Drafted for Quic {
    fn cut_off(&mut self, failure: Failure, after_us: u64) {
        // The question about versions comes after the handshake, and its being cut off takes nothing from it.
        if failure.during == Step::Handshake {
            self.took_us = after_us;
        }
        if failure.during != Step::Receive {
            self.failure.get_or_insert(failure);
        }
    }

    fn into_fact(self) -> Fact {
        Fact::Quic(Box::new(self))
    }
}
