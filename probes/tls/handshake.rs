use super::draft::Draft;
use super::failure::{from_io, plain_reply};
use super::recording::{Presented, Recording};
use super::verdict::{Judged, fits, read_chain};
use super::wire::{Notes, Watched, Wire};
use crate::clock::microseconds;
use crate::context::Context;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::Handshake;
use rustls::{ClientConnection, ProtocolVersion};
use rustls_pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a server may take to refuse a client without a certificate. In TLS 1.3 the refusal comes after the handshake, one round
/// trip later (RFC 8446 section 4.4.2.4), so that only a longer wait than any round trip can tell.
const REFUSAL_WAIT: Duration = Duration::from_secs(1);

/// A connection after its handshake.
pub(crate) struct Secured {
    pub(crate) stream: TlsStream<Watched>,
    /// The server asked for a certificate of the client.
    certificate_requested: bool,
}

/// A handshake that has not begun.
pub(crate) fn blank(host: &str, address: SocketAddr, name: &ServerName<'static>) -> Handshake {
    let server_name = matches!(name, ServerName::DnsName(_)).then(|| name.to_str().into_owned());
    Handshake {
        host: host.to_owned(),
        address,
        server_name,
        connect_us: 0,
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
    draft.step = Step::Handshake;
    let recording = Recording::new(Arc::clone(context.trust.provider()));
    let config = match recording.client_config(alpn) {
        Ok(config) => config,
        Err(error) => {
            draft.failure = Some(Failure::new(FailureCode::Other("tls_setup".into()), Step::Open, error.to_string()));
            return None;
        }
    };
    let (watched, notes) = Watched::new(wire, context.clock);
    let began = context.clock.now();
    let result = tokio::time::timeout(timeout, TlsConnector::from(Arc::new(config)).connect(name.clone(), watched)).await;
    draft.took_us = microseconds(context.clock.now().saturating_sub(began));
    let stream = match result {
        Ok(Ok(stream)) => {
            describe(stream.get_ref().1, draft);
            Some(stream)
        }
        Ok(Err(error)) => {
            fail(from_io(&error, Step::Handshake), &notes, draft);
            None
        }
        Err(_) => {
            let text = format!("the handshake did not end within {} ms", timeout.as_millis());
            fail(Failure::new(FailureCode::TimedOut, Step::Handshake, text), &notes, draft);
            None
        }
    };
    judge(context, recording.presented(), name, draft).await;
    stream.map(|stream| Secured { stream, certificate_requested: recording.certificate_requested() })
}

/// The failure that the server sends after the handshake where it wants a certificate of the client; none where it does not mind.
pub(crate) async fn late_refusal(secured: &mut Secured) -> Option<Failure> {
    if !secured.certificate_requested || secured.stream.get_ref().1.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    let mut byte = [0_u8; 1];
    match tokio::time::timeout(REFUSAL_WAIT, secured.stream.read(&mut byte)).await {
        Ok(Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => Some(from_io(&error, Step::Handshake)),
        _ => None,
    }
}

fn describe(connection: &ClientConnection, draft: &mut Handshake) {
    draft.protocol = connection.protocol_version().map(|version| format!("{version:?}").replace('_', "."));
    draft.cipher = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()).replace("TLS13_", "TLS_"));
    draft.group = connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
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

async fn judge(context: &Context, presented: Presented, name: &ServerName<'static>, draft: &mut Handshake) {
    let Some(leaf) = presented.chain.first() else { return };
    let now = context.clock.wall();
    draft.verified_at = Some(now);
    draft.ocsp_stapled = !presented.ocsp.is_empty();
    draft.name = Some(fits(leaf, name));
    draft.chain = read_chain(&presented.chain, context.trust.provider());
    let (trust, name, read) = (Arc::clone(&context.trust), name.clone(), draft.chain.clone());
    let verdicts = tokio::task::spawn_blocking(move || {
        let Some((leaf, others)) = presented.chain.split_first() else { return Vec::new() };
        trust.verdicts(&Judged { leaf, others, ocsp: &presented.ocsp, name: &name, read: &read }, now)
    });
    // A verifier that panics gives no verdict; the chain stays.
    draft.trust = verdicts.await.unwrap_or_default();
}
