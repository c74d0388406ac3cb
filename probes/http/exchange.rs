use super::connection::{Connection, Head, Link};
use super::meter::Ledger;
use super::payload::Payload;
use super::request::{Post, Request};
use super::sought::Sought;
use super::{body, failure, header, redirect, tunnel, way};
use crate::clock::microseconds;
use crate::context::Context;
use crate::platform::tcp;
use crate::tls::connect::{self, Connected};
use crate::tls::draft::Draft;
use crate::tls::wire::{Notes, Wire};
use crate::tls::{entropy, handshake, is_healthy, trust};
use crate::zone;
use http::Version;
use http::header::HeaderMap;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::HttpMethod;
use netsonde_contract::observation::{Exchange, Header, TransferEnd};
use netsonde_contract::set::ProxyAddress;
use socket2::Socket;
use std::net::{IpAddr, SocketAddr};

/// An exchange that is over, not recorded yet.
pub(super) struct Asked {
    pub(super) draft: Draft<Exchange>,
    /// No certificate was in the way.
    pub(super) trusted: bool,
    /// What was looked for in the body.
    pub(super) sought: Sought,
}

/// Makes one request. Through a proxy, an https URL takes a CONNECT first; where that fails, it is the exchange that is given back.
pub(super) async fn ask(request: &Request<'_>) -> Asked {
    let mut sought = request.sought();
    if request.is_in_tls() {
        entropy::ready(request.context).await;
    }
    let tunnel = match &request.route.proxy {
        Some(proxy) if request.url.scheme() == "https" && proxy.protocol.is_http() => match tunnel::open(request, proxy).await {
            Ok(tunnel) => Some(tunnel),
            Err(draft) => return Asked { draft, trusted: true, sought },
        },
        _ => None,
    };
    let mut draft = request.begin(request.method());
    let mut trusted = true;
    draft.failure = perform(request, tunnel, &mut draft, &mut trusted, &mut sought).await.err();
    Asked { draft, trusted, sought }
}

async fn perform(
    request: &Request<'_>,
    tunnel: Option<Link>,
    draft: &mut Draft<Exchange>,
    trusted: &mut bool,
    sought: &mut Sought,
) -> Result<(), Failure> {
    let Link { wire, address, local, socket, trusted: proxy_is_trusted } = match tunnel {
        Some(tunnel) => tunnel,
        None => way::open(request, draft).await?,
    };
    *trusted &= proxy_is_trusted;
    (draft.address, draft.local) = (Some(address), local);
    let result = speak(request, wire, (address, socket.as_ref()), draft, trusted, sought).await;
    draft.at_close = socket.and_then(|socket| tcp::info(&socket)).map(|info| Box::new(info.state));
    result
}

/// Makes the handshake where there is one to make, asks, and reads the answer.
async fn speak(
    request: &Request<'_>,
    mut wire: Wire,
    peer: (SocketAddr, Option<&Socket>),
    draft: &mut Draft<Exchange>,
    trusted: &mut bool,
    sought: &mut Sought,
) -> Result<(), Failure> {
    let mut version = Version::HTTP_11;
    if request.url.scheme() == "https" {
        (wire, version) = secure(request, wire, peer, draft, trusted).await?;
    }
    let message = request
        .message(version)
        .map_err(|error| Failure::new(FailureCode::Other("request_invalid".into()), Step::Send, error.to_string()))?;
    let clock = request.context.clock;
    draft.step = Step::Send;
    let (connection, notes) = Connection::open(wire, version, clock).await;
    let mut connection = connection.map_err(|error| foreign(&error, &notes, draft))?;
    let _carrying = request.ledger.as_ref().filter(|_| request.post != Post::Nothing).map(Ledger::carrying);
    let Head { response, read_at, .. } = converse(request, &mut connection, &notes, message, draft).await?;
    let status = response.status().as_u16();
    draft.expected = request.params.expects(status);
    draft.location = redirect::location(request.url, status, draft.header("location"));
    let mut result = Ok(());
    if request.post != Post::Nothing {
        drop(response);
        draft.transfer = request.ledger.as_ref().map(|ledger| Box::new(ledger.transfer(TransferEnd::Complete)));
    } else if request.params.method == HttpMethod::Get {
        result = body::read(request, response.into_body(), (&notes, peer.1), draft, sought).await;
        draft.phases.body_us = Some(microseconds(clock.now().saturating_sub(read_at)));
    } else {
        drop(response);
    }
    count(&notes, draft);
    connection.farewell().await;
    result
}

/// The bytes of both messages so far.
fn count(notes: &Notes, draft: &mut Draft<Exchange>) {
    let (sent, received) = notes.bytes();
    (draft.request_bytes, draft.response_bytes) = (Some(sent), Some(received));
}

/// Resolves and connects: to the proxy where there is one, else to the URL's host.
pub(super) async fn reach(request: &Request<'_>, draft: &mut Draft<Exchange>) -> Result<Connected, Failure> {
    let Context { gate, names, clock, .. } = request.context;
    let (host, port) = match &request.route.proxy {
        Some(proxy) => (proxy.host.clone(), proxy.port),
        None => (request.host(), request.port()),
    };
    if let Some(proxy) = &request.route.proxy {
        let own = ProxyAddress { host: proxy.host.clone(), port: proxy.port };
        gate.through_proxy(&own, &request.host(), request.port())?;
    }
    if let Some(address) = request.address {
        return again(request, address, draft).await;
    }
    draft.step = Step::Resolve;
    let began = clock.now();
    let addresses = names.resolve(gate, &host).await;
    if host.parse::<IpAddr>().is_err() {
        draft.phases.resolve_us = Some(microseconds(clock.now().saturating_sub(began)));
    }
    let addresses = addresses?;
    draft.step = Step::Connect;
    draft.address = addresses.first().map(|address| zone::socket(*address, port));
    match connect::first_noting(request.context, &addresses, port, request.timeout(), &mut draft.attempts).await {
        Ok(connected) => {
            draft.address = Some(connected.address);
            draft.phases.connect_us = Some(connected.took_us);
            Ok(connected)
        }
        Err(not_connected) => {
            draft.address = Some(not_connected.address);
            draft.phases.connect_us = Some(not_connected.took_us);
            Err(not_connected.failure)
        }
    }
}

/// Connects to the one address that was chosen before.
async fn again(request: &Request<'_>, address: SocketAddr, draft: &mut Draft<Exchange>) -> Result<Connected, Failure> {
    draft.step = Step::Connect;
    draft.address = Some(address);
    let connected = connect::first(request.context, &[address.ip()], address.port(), request.timeout()).await;
    let took_us = connected.as_ref().map_or_else(|failed| failed.took_us, |connected| connected.took_us);
    draft.phases.connect_us = Some(took_us);
    connected.map_err(|not_connected| not_connected.failure)
}

/// Makes the handshake and records it beside the exchange; that of an exchange beside the question becomes part of it.
async fn secure(
    request: &Request<'_>,
    wire: Wire,
    (address, socket): (SocketAddr, Option<&Socket>),
    draft: &mut Draft<Exchange>,
    trusted: &mut bool,
) -> Result<(Wire, Version), Failure> {
    draft.step = Step::Handshake;
    let host = request.host();
    let name = trust::server_name(&host)
        .map_err(|text| Failure::new(FailureCode::Other("name_invalid".into()), Step::Handshake, text))?;
    let apart = (!draft.purpose.is_question()).then(|| request.context.aside());
    let context = apart.as_ref().unwrap_or(request.context);
    let mut handshake = Draft::begin(context, Step::Handshake, handshake::blank(&host, address, &name));
    handshake.connect_us = draft.phases.connect_us.unwrap_or(0);
    let offered = ["h2".to_owned(), "http/1.1".to_owned()];
    let secured = handshake::shake(context, wire, &name, &offered, request.timeout(), &mut handshake).await;
    handshake::note_state(socket, &mut handshake);
    let handshake = handshake.finish();
    draft.phases.tls_us = Some(handshake.took_us);
    *trusted &= is_healthy(&handshake);
    draft.certificate_sha256 = handshake.chain.first().map(|certificate| certificate.sha256.clone());
    draft.tls = apart.is_some().then(|| Box::new(handshake.clone()));
    match (secured, handshake.failure) {
        (Some(secured), None) => {
            let version = if handshake.alpn.as_deref() == Some("h2") { Version::HTTP_2 } else { Version::HTTP_11 };
            Ok((Box::new(secured.stream), version))
        }
        (_, failure) => {
            Err(failure.unwrap_or_else(|| Failure::new(FailureCode::ProtocolError, Step::Handshake, "the handshake failed")))
        }
    }
}

/// Sends the request and reads the response's head into the draft.
pub(super) async fn converse(
    request: &Request<'_>,
    connection: &mut Connection,
    notes: &Notes,
    message: http::Request<Payload>,
    draft: &mut Draft<Exchange>,
) -> Result<Head, Failure> {
    let began = request.context.clock.now();
    let result = tokio::time::timeout(request.patience(), connection.send(message)).await;
    let sent_at = notes.sent_at();
    draft.step = Step::Receive;
    count(notes, draft);
    draft.phases.send_us = sent_at.map(|at| microseconds(at.saturating_sub(began)));
    let head = match result {
        Ok(Ok(head)) => head,
        Ok(Err(error)) => return Err(foreign(&error, notes, draft)),
        Err(_) => return Err(failure::silence(notes, request.params.timeout_ms)),
    };
    draft.phases.first_byte_us = Some(microseconds(head.first_byte_at.saturating_sub(sent_at.unwrap_or(began))));
    draft.status = Some(head.response.status().as_u16());
    draft.version = Some(format!("{:?}", head.response.version()).replace("HTTP/2.0", "HTTP/2"));
    draft.headers = headers(head.response.headers());
    describe(request, draft);
    Ok(head)
}

/// What single headers of the answer say.
fn describe(request: &Request<'_>, draft: &mut Draft<Exchange>) {
    let all = draft.headers.clone();
    let values = |name: &'static str| all.iter().filter(move |header| header.name == name).map(|header| header.value.as_str());
    draft.server_timing = header::server_timing(values("server-timing"));
    draft.alternatives = header::alternatives(values("alt-svc"));
    let strict = values("strict-transport-security").next().and_then(header::strict_transport);
    draft.strict_transport = strict.filter(|_| request.url.scheme() == "https");
}

/// The failure of a conversation that came to no response; a reply in another protocol is noted in the draft.
pub(super) fn foreign(error: &hyper::Error, notes: &Notes, draft: &mut Draft<Exchange>) -> Failure {
    draft.plain_reply = failure::plain_reply(notes);
    failure::from_hyper(error, notes)
}

/// Values as text; bytes beyond ASCII that are not UTF-8 are replaced.
pub(super) fn headers(map: &HeaderMap) -> Vec<Header> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    map.iter().map(|(name, value)| Header { name: name.to_string(), value: text(value) }).collect()
}
