use super::certificate;
use super::chain;
use super::draft::Draft;
use super::failure::{from_io, plain_reply};
use super::ocsp;
use super::recording::{Offer, Presented, Recording};
use super::tickets::TicketBox;
use super::verdict::{Judged, fits, read_chain};
use super::wire::{Notes, Watched, Wire};
use crate::clock::microseconds;
use crate::context::Context;
use crate::platform::tcp;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::{BuiltChain, CertificateTimestamp, Handshake, Ocsp, Tickets};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName};
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server that ends the connection as soon as the handshake is complete does so within a round trip, and what it takes to wake up.
const WAKING: Duration = Duration::from_millis(50);

/// How long a server may take to refuse a client without a certificate. In TLS 1.3 the refusal comes after the handshake, one round
/// trip later (RFC 8446 section 4.4.2.4), so that only a longer wait than any round trip can tell.
const REFUSAL_WAIT: Duration = Duration::from_secs(1);

/// How long tickets may take: they come with the first bytes after the handshake, one round trip later.
const TICKET_WAIT: Duration = Duration::from_secs(1);

/// A connection after its handshake.
pub(crate) struct Secured {
    pub(crate) stream: TlsStream<Watched>,
    /// The server asked for a certificate of the client.
    certificate_requested: bool,
    /// What the handshake was made with.
    pub(super) config: Arc<ClientConfig>,
}

impl Secured {
    /// The certificates that the server sent, the leaf first.
    pub(super) fn chain(&self) -> Option<&[CertificateDer<'static>]> {
        self.stream.get_ref().1.peer_certificates()
    }
}

/// A handshake as it went.
pub(super) struct Attempt {
    pub(super) took_us: u64,
    pub(super) result: Result<TlsStream<Watched>, Failure>,
    notes: Notes,
}

/// A handshake that has not begun.
pub(crate) fn blank(host: &str, address: SocketAddr, name: &ServerName<'static>) -> Handshake {
    let server_name = matches!(name, ServerName::DnsName(_)).then(|| name.to_str().into_owned());
    Handshake {
        host: host.to_owned(),
        address,
        server_name,
        connect_us: 0,
        attempts: Vec::new(),
        took_us: 0,
        protocol: None,
        cipher: None,
        group: None,
        alpn: None,
        chain: Vec::new(),
        name: None,
        trust: Vec::new(),
        verified_at: None,
        ocsp_stapled: false,
        ocsp: None,
        built: None,
        timestamps: Vec::new(),
        pin: None,
        certificate_request: None,
        tickets: None,
        starttls: None,
        plain_reply: None,
        at_close: None,
        failure: None,
    }
}

/// Makes the handshake over `wire` and writes what was seen into `draft`, its failure included.
pub(crate) async fn shake(
    context: &Context,
    wire: Wire,
    name: &ServerName<'static>,
    alpn: &[String],
    timeout: Duration,
    draft: &mut Draft<Handshake>,
) -> Option<Secured> {
    shake_offering(context, wire, name, &Offer { alpn, ..Offer::default() }, timeout, draft).await
}

/// As [`shake`], with every choice of the offer.
pub(super) async fn shake_offering(
    context: &Context,
    wire: Wire,
    name: &ServerName<'static>,
    offer: &Offer<'_>,
    timeout: Duration,
    draft: &mut Draft<Handshake>,
) -> Option<Secured> {
    draft.step = Step::Handshake;
    let recording = Recording::new(Arc::clone(context.trust.provider()));
    let config = match recording.client_config(offer) {
        Ok(config) => Arc::new(config),
        Err(error) => {
            draft.failure = Some(Failure::new(FailureCode::Other("tls_setup".into()), Step::Open, error.to_string()));
            return None;
        }
    };
    let attempt = attempt(context, wire, &config, name, timeout).await;
    draft.took_us = attempt.took_us;
    let stream = match attempt.result {
        Ok(stream) => {
            describe(stream.get_ref().1, draft);
            Some(stream)
        }
        Err(failure) => {
            fail(failure, &attempt.notes, draft);
            None
        }
    };
    draft.certificate_request = recording.certificate_request();
    judge(context, recording.presented(), name, draft).await;
    stream.map(|stream| Secured { stream, certificate_requested: draft.certificate_request.is_some(), config })
}

/// Of a handshake that failed, what the kernel knows of the connection: `socket` is the same one once more, which the library has closed.
pub(crate) fn note_state(socket: Option<&Socket>, draft: &mut Handshake) {
    let known = socket.filter(|_| draft.failure.is_some()).and_then(tcp::info);
    draft.at_close = known.map(|info| Box::new(info.state));
}

/// Makes one handshake with this configuration and times it from its first byte: making the hello, with its keys and random numbers, is
/// this machine's own work. Where nothing was sent, the whole attempt is its time.
pub(super) async fn attempt(
    context: &Context,
    wire: Wire,
    config: &Arc<ClientConfig>,
    name: &ServerName<'static>,
    timeout: Duration,
) -> Attempt {
    let (watched, notes) = Watched::new(wire, context.clock);
    let began = context.clock.now();
    let result = tokio::time::timeout(timeout, TlsConnector::from(Arc::clone(config)).connect(name.clone(), watched)).await;
    let took_us = microseconds(context.clock.now().saturating_sub(notes.spoke_at().unwrap_or(began)));
    let result = match result {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(from_io(&error, Step::Handshake)),
        Err(_) => {
            let text = format!("the handshake did not end within {} ms", timeout.as_millis());
            Err(Failure::new(FailureCode::TimedOut, Step::Handshake, text))
        }
    };
    Attempt { took_us, result, notes }
}

/// What a handshake that judges nothing agreed on.
pub(crate) struct PlainCheck {
    pub(crate) wire: Wire,
    pub(crate) version: Option<String>,
    pub(crate) cipher: Option<String>,
}

/// Makes one handshake that judges nothing, and tells its time.
pub(crate) async fn plain_check(
    context: &Context,
    wire: Wire,
    host: &str,
    timeout: Duration,
) -> (u64, Result<PlainCheck, Failure>) {
    let setup = |text: String| Failure::new(FailureCode::Other("tls_setup".into()), Step::Open, text);
    let name = match super::trust::server_name(host) {
        Ok(name) => name,
        Err(why) => return (0, Err(setup(why))),
    };
    let config = match Recording::new(Arc::clone(context.trust.provider())).client_config(&Offer::default()) {
        Ok(config) => Arc::new(config),
        Err(error) => return (0, Err(setup(error.to_string()))),
    };
    let attempt = attempt(context, wire, &config, &name, timeout).await;
    let agreed = |stream: TlsStream<Watched>| {
        let agreed = Agreed::of(stream.get_ref().1);
        PlainCheck { version: agreed.protocol, cipher: agreed.cipher, wire: Box::new(stream) }
    };
    (attempt.took_us, attempt.result.map(agreed))
}

/// Waits for the tickets of the session, which in TLS 1.3 come after the handshake (RFC 8446 section 4.6.1).
pub(super) async fn tickets(secured: &mut Secured, tickets: &TicketBox) -> Tickets {
    let mut byte = [0_u8; 1];
    let reading = async {
        // Tickets are taken while reading; a server that speaks first gives a byte of its own.
        while secured.stream.read(&mut byte).await.is_ok_and(|count| count > 0) {}
    };
    // A server that closes the connection sends no more.
    let _ = tokio::time::timeout(TICKET_WAIT, async {
        tokio::select! {
            () = tickets.came() => {}
            () = reading => {}
        }
    })
    .await;
    tickets.seen()
}

/// How the server ended the connection once the handshake was complete and before anything was asked of it; none where it did not.
/// `round_trip_us` is what connecting took.
pub(super) async fn late_refusal(secured: &mut Secured, round_trip_us: u64) -> Option<Failure> {
    let may_want_certificate =
        secured.certificate_requested && secured.stream.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    let wait = if may_want_certificate { REFUSAL_WAIT } else { a_round_trip(round_trip_us) };
    let asked = if secured.certificate_requested { ", having asked for a certificate of the client" } else { "" };
    early_end(&mut secured.stream, wait, asked).await
}

/// Long enough for whatever a server sends as soon as the handshake is complete.
pub(crate) fn a_round_trip(round_trip_us: u64) -> Duration {
    (WAKING + 2 * Duration::from_micros(round_trip_us)).min(REFUSAL_WAIT)
}

/// The alert, the reset or the end that comes within `wait` on a connection over which nothing was asked yet. A server that speaks first
/// ends nothing.
pub(crate) async fn early_end<S: AsyncRead + Unpin>(stream: &mut S, wait: Duration, having: &str) -> Option<Failure> {
    let closed = || {
        let text = format!("the handshake was complete, and the server ended the connection before anything was asked{having}");
        Failure::new(FailureCode::Closed, Step::Receive, text)
    };
    let mut byte = [0_u8; 1];
    match tokio::time::timeout(wait, stream.read(&mut byte)).await {
        Ok(Ok(0)) => Some(closed()),
        // Without the protocol's own farewell (RFC 8446 section 6.1).
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Some(closed()),
        Ok(Err(error)) => {
            let failure = from_io(&error, Step::Handshake);
            let is_reset = failure.code == FailureCode::Reset;
            let text =
                format!("the handshake was complete, and the server reset the connection before anything was asked{having}");
            Some(if is_reset { Failure { text, during: Step::Receive, ..failure } } else { failure })
        }
        Ok(Ok(_)) | Err(_) => None,
    }
}

/// How long the end of a connection may take: one round trip, after which it matters to nobody here.
const FAREWELL_WAIT: Duration = Duration::from_millis(250);

/// Ends the connection as the protocols want it (close_notify, RFC 8446 section 6.1, and a FIN), and takes what the server still sends:
/// closed over unread bytes, the system would send a reset, which stands in the server's log as an error.
pub(super) async fn farewell(mut stream: TlsStream<Watched>) {
    let mut rest = [0_u8; 1_024];
    let ending = async {
        stream.shutdown().await?;
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // A server that goes on, or is gone, is left.
    let _ = tokio::time::timeout(FAREWELL_WAIT, ending).await;
}

/// What both sides agreed on, by its names.
pub(super) struct Agreed {
    pub(super) protocol: Option<String>,
    pub(super) cipher: Option<String>,
    pub(super) group: Option<String>,
}

impl Agreed {
    pub(super) fn of(connection: &ClientConnection) -> Self {
        let suite = connection.negotiated_cipher_suite();
        Self {
            protocol: connection.protocol_version().map(|version| format!("{version:?}").replace('_', ".")),
            cipher: suite.map(|suite| format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")),
            group: connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
        }
    }
}

fn describe(connection: &ClientConnection, draft: &mut Handshake) {
    let agreed = Agreed::of(connection);
    (draft.protocol, draft.cipher, draft.group) = (agreed.protocol, agreed.cipher, agreed.group);
    draft.alpn = connection.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned());
}

/// A reply that is not TLS explains whatever error the library made of it, a silence after it included.
fn fail(failure: Failure, notes: &Notes, draft: &mut Handshake) {
    draft.plain_reply = plain_reply(&notes.first_bytes());
    draft.failure = Some(match draft.plain_reply {
        Some(_) => Failure { code: FailureCode::NotTls, text: format!("the reply is not TLS: {}", failure.text), ..failure },
        None => failure,
    });
}

pub(super) async fn judge(context: &Context, presented: Presented, name: &ServerName<'static>, draft: &mut Handshake) {
    let Some(leaf) = presented.chain.first() else { return };
    let now = context.clock.wall();
    draft.verified_at = Some(now);
    draft.ocsp_stapled = !presented.ocsp.is_empty();
    draft.name = Some(fits(leaf, name));
    draft.chain = read_chain(&presented.chain, context.trust.provider());
    let (trust, name, read) = (Arc::clone(&context.trust), name.clone(), draft.chain.clone());
    let judged = tokio::task::spawn_blocking(move || {
        let built = chain::build(&presented.chain, trust.provider(), |subject| trust.knows(subject));
        let seen = Seen::of(&presented, built.as_ref(), trust.provider());
        let Some((leaf, others)) = presented.chain.split_first() else { return (Vec::new(), built, seen) };
        (trust.verdicts(&Judged { leaf, others, ocsp: &presented.ocsp, name: &name, read: &read }, now), built, seen)
    });
    // A verifier that panics gives no verdict; the chain stays.
    if let Ok((verdicts, built, seen)) = judged.await {
        let trusted = verdicts.iter().any(|verdict| verdict.trusted);
        draft.trust = verdicts;
        // A store that finds a way does not miss anything, whatever it was not asked to list.
        draft.built = built.map(|built| BuiltChain { missing_issuer: built.missing_issuer.filter(|_| !trusted), ..built });
        (draft.timestamps, draft.ocsp) = (seen.timestamps, seen.ocsp);
    }
}

/// What the server's own certificate and its staple say.
struct Seen {
    timestamps: Vec<CertificateTimestamp>,
    ocsp: Option<Ocsp>,
}

impl Seen {
    fn of(presented: &Presented, built: Option<&BuiltChain>, provider: &CryptoProvider) -> Self {
        let read = |position: usize| {
            let der = presented.chain.get(position)?;
            x509_parser::parse_x509_certificate(der).ok().map(|(_, certificate)| certificate)
        };
        let Some(leaf) = read(0) else { return Self { timestamps: Vec::new(), ocsp: None } };
        let issuer = built.and_then(|built| built.path.get(1)).and_then(|position| read(usize::try_from(*position).ok()?));
        let stapled = !presented.ocsp.is_empty();
        Self {
            timestamps: certificate::timestamps(&leaf),
            ocsp: stapled.then(|| ocsp::read(&presented.ocsp, &leaf, issuer.as_ref(), provider)),
        }
    }
}
