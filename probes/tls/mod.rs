//! TLS handshakes with a verifier that records: every chain is accepted and kept, and what each trust store says of it is said
//! apart. The parts serve the http kind as well.

/// A certificate's bytes to facts.
mod certificate;
/// The chain as it can be put together.
mod chain;
/// A TCP connection to the first address that accepts.
pub(crate) mod connect;
#[cfg(test)]
mod depth_tests;
/// Elements of DER.
pub(crate) mod der;
/// One request to an address that a certificate names.
mod download;
/// A fact in the making, which a deadline cannot lose.
pub(crate) mod draft;
/// Random numbers without a wait.
pub(crate) mod entropy;
/// Errors of streams and TLS to failure codes.
pub(crate) mod failure;
/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
/// One handshake.
pub(crate) mod handshake;
/// Hellos of our own, for old versions and single cipher suites.
mod hello;
/// Issuers' certificates that the server did not send.
mod issuer;
/// A stapled OCSP response.
mod ocsp;
/// The certificate that is expected.
mod pin;
/// What a QUIC handshake needs of TLS.
pub(crate) mod quic;
/// The verifier that accepts and keeps.
mod recording;
/// Whether the certificate was revoked, asked where it says.
mod revocation;
#[cfg(test)]
pub(crate) mod servers;
/// What is spoken before TLS begins.
mod starttls;
/// Which versions and cipher suites are accepted.
mod support;
/// What Windows says of a chain, and authorities beside its store.
#[cfg(any(windows, test))]
mod system_store;
#[cfg(test)]
mod tests;
/// What would resume a session.
mod tickets;
/// The trust stores.
pub(crate) mod trust;
/// One more handshake, different in one thing.
mod variant;
/// What one store says of a chain.
mod verdict;
/// A stream that notes what passes over it.
pub(crate) mod wire;
/// A verifier's reasons in words.
mod words;

use crate::context::{Context, Ending, NotMeasurable};
use crate::zone;
use base64::Engine;
use draft::Draft;
use handshake::Secured;
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::kind::{StartTlsProtocol, TlsParams};
use netsonde_contract::observation::Handshake;
use netsonde_contract::pin::{ExpectedCertificate, ExpectedCertificateError};
use recording::Offer;
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, ServerName};
use socket2::SockRef;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tickets::TicketBox;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The word among `compare_names` that stands for sending no name.
const NO_NAME: &str = "none";

/// Behind a hello that met with silence for its whole time each further one waits only so long, several round trips and segments sent again:
/// a server or a way that is silent to all would else hold the verdict up for half a minute.
const AFTER_SILENCE: Duration = Duration::from_secs(2);

/// Connections beside the check's own that are made side by side: as many as a browser makes, which no server minds.
const SIDE_BY_SIDE: usize = 6;

/// The server that a check's connections go to.
struct Server<'a> {
    params: &'a TlsParams,
    /// The name to send and to look for.
    name: &'a ServerName<'static>,
    address: SocketAddr,
    timeout: Duration,
    /// Whoever makes a further connection holds one.
    seats: Semaphore,
}

impl Server<'_> {
    /// Waits for one of the connections side by side to be over.
    async fn seat(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.seats.acquire().await.ok()
    }
}

/// Parameters that were looked at as a whole.
struct Checked {
    name: ServerName<'static>,
    /// None sends no name.
    compare_names: Vec<Option<ServerName<'static>>>,
    expected: Option<ExpectedCertificate>,
}

/// What is left of a connection after its handshake.
struct Completed {
    /// What the handshake was made with; it knows the session.
    config: Arc<ClientConfig>,
    /// The certificates that the server sent, the leaf first.
    chain: Vec<CertificateDer<'static>>,
}

impl Completed {
    fn of(secured: &Secured) -> Self {
        Self { chain: secured.chain().unwrap_or_default().to_vec(), config: Arc::clone(&secured.config) }
    }
}

/// Makes the check's handshake, and after it whatever further connections its parameters ask for. The ending is the handshake's.
///
/// # Errors
/// Where a parameter makes no sense, and where the host gives no address.
pub(crate) async fn run(context: &Context, params: &TlsParams) -> Result<Ending, NotMeasurable> {
    let context = &context.with_segments(params.max_segment_bytes);
    let checked = check(params).map_err(NotMeasurable::new)?;
    entropy::ready(context).await;
    let addresses = context
        .names
        .resolve(&context.gate, &params.host)
        .await
        .map_err(|failure| NotMeasurable::unresolved(&params.host, &failure))?;
    let Some(first) = addresses.first() else {
        return Err(NotMeasurable::new(format!("{} did not resolve to an address", params.host)));
    };
    let timeout = Duration::from_millis(params.timeout_ms);
    // MySQL counts connections that end in the handshake and then blocks their sender: it is asked one thing at a time.
    let seats = Semaphore::new(if params.spoken_first() == StartTlsProtocol::Mysql { 1 } else { SIDE_BY_SIDE });
    let address = zone::socket(*first, params.port);
    let mut server = Server { params, name: &checked.name, address, timeout, seats };
    let tickets = params.resumption.then(Arc::<TicketBox>::default);
    let (handshake, completed) = measure(context, &mut server, &addresses, &checked, tickets.as_ref()).await;
    let connected = !handshake.failure.as_ref().is_some_and(|failure| failure.during == Step::Connect);
    if connected {
        if is_silent(&handshake) {
            server.timeout = server.timeout.min(AFTER_SILENCE);
        }
        further(context, &server, &checked, &handshake, completed.as_ref()).await;
    }
    let expected = handshake.pin.as_ref().is_none_or(|pin| pin.fits);
    Ok(if is_healthy(&handshake) && expected { Ending::AsExpected } else { Ending::Failed })
}

fn check(params: &TlsParams) -> Result<Checked, String> {
    let other = |name: &String| (name != NO_NAME).then(|| trust::server_name(name)).transpose();
    Ok(Checked {
        name: trust::server_name(params.server_name.as_deref().unwrap_or(&params.host))?,
        compare_names: params.compare_names.iter().map(other).collect::<Result<_, _>>()?,
        expected: params
            .pin
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|error: ExpectedCertificateError| error.to_string())?,
    })
}

/// The check's own handshake, with the first address that accepts, which `server` then stands for.
async fn measure(
    context: &Context,
    server: &mut Server<'_>,
    addresses: &[IpAddr],
    checked: &Checked,
    tickets: Option<&Arc<TicketBox>>,
) -> (Handshake, Option<Completed>) {
    let (params, timeout) = (server.params, server.timeout);
    let blank = handshake::blank(&params.host, server.address, &checked.name);
    let mut draft = Draft::begin(context, Step::Connect, blank);
    let mut connected = match connect::first_noting(context, addresses, params.port, timeout, &mut draft.attempts).await {
        Ok(connected) => connected,
        Err(not_connected) => {
            draft.address = not_connected.address;
            draft.connect_us = not_connected.took_us;
            draft.failure = Some(not_connected.failure);
            return (draft.finish(), None);
        }
    };
    server.address = connected.address;
    draft.address = connected.address;
    draft.connect_us = connected.took_us;
    draft.step = if params.spoken_first() == StartTlsProtocol::None { Step::Handshake } else { Step::Receive };
    let (talk, ready) = starttls::speak(context.clock, &mut connected.stream, params.spoken_first(), timeout).await;
    draft.starttls = talk;
    let socket = SockRef::from(&*connected.stream).try_clone().ok();
    if let Err(failure) = ready {
        draft.failure = Some(failure);
        handshake::note_state(socket.as_ref(), &mut draft);
        return (draft.finish(), None);
    }
    let offer = Offer { alpn: &params.alpn, tickets: tickets.cloned(), ..Offer::default() };
    let wire = Box::new(connected.stream);
    let mut secured = handshake::shake_offering(context, wire, &checked.name, &offer, timeout, &mut draft).await;
    handshake::note_state(socket.as_ref(), &mut draft);
    drop(socket);
    if let Some(secured) = &mut secured {
        draft.failure = handshake::late_refusal(secured, connected.took_us).await;
        if let Some(tickets) = tickets.filter(|_| draft.failure.is_none()) {
            draft.tickets = Some(handshake::tickets(secured, tickets).await);
        }
    }
    if let (Some(expected), Some(wanted)) = (&checked.expected, &params.pin) {
        // Also where the handshake failed later than its certificate came.
        let leaf = draft.chain.first().and_then(|leaf| leaf.der_base64.as_ref());
        let der = leaf.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
        draft.pin = der.map(|der| pin::compare(expected, wanted, &der));
    }
    let handshake = draft.finish();
    let Some(secured) = secured else { return (handshake, None) };
    let completed = Completed::of(&secured);
    handshake::farewell(secured.stream).await;
    (handshake, Some(completed))
}

/// The further connections that the parameters ask for, each a fact of its own. None waits for what another one tells.
async fn further(
    context: &Context,
    server: &Server<'_>,
    checked: &Checked,
    handshake: &Handshake,
    completed: Option<&Completed>,
) {
    let params = server.params;
    let hellos = async {
        if params.compare_groups {
            variant::with_classic_groups(context, server).await;
        }
        for name in &checked.compare_names {
            variant::with_name(context, server, name.as_ref()).await;
        }
    };
    let of_session = async {
        if let Some(completed) = completed {
            with_session(context, server, handshake, completed).await;
        }
    };
    let support = async {
        if params.versions || params.ciphers {
            support::run(context, server).await;
        }
    };
    tokio::join!(hellos, of_session, support);
}

/// What needs what the check's own handshake left: the session's ticket and the certificates.
async fn with_session(context: &Context, server: &Server<'_>, handshake: &Handshake, completed: &Completed) {
    let params = server.params;
    if handshake.tickets.as_ref().is_some_and(|tickets| tickets.count > 0) {
        variant::with_ticket(context, server, &completed.config).await;
    }
    if params.revocation {
        revocation::ask(context, server, &completed.chain).await;
    }
    let lacks_issuer = handshake.built.as_ref().filter(|built| built.missing_issuer.is_some());
    if let (true, Some(built)) = (params.fetch_issuers, lacks_issuer) {
        let last = built.path.last().and_then(|position| usize::try_from(*position).ok()).unwrap_or(0);
        issuer::fetch(context, &completed.chain, last, server.name, server.timeout).await;
    }
}

/// The server said nothing to the hello.
fn is_silent(handshake: &Handshake) -> bool {
    let failure = handshake.failure.as_ref();
    failure.is_some_and(|failure| failure.code == FailureCode::TimedOut && failure.during == Step::Handshake)
}

/// Completed, trusted by the store that decides, and for this name.
pub(crate) fn is_healthy(handshake: &Handshake) -> bool {
    handshake.failure.is_none()
        && handshake.deciding_verdict().is_some_and(|verdict| verdict.trusted)
        && handshake.name.as_ref().is_some_and(|name| name.fits)
}
