//! One more handshake with the same address, different from the check's own in one thing.

use super::draft::{Draft, Drafted};
use super::handshake::{Agreed, attempt, farewell};
use super::recording::{Offer, Recording};
use super::{Server, connect, starttls, verdict};
use crate::context::Context;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::{Fact, HandshakeVariant, Variant};
use rustls::{ClientConfig, HandshakeKind};
use rustls_pki_types::ServerName;
use std::sync::Arc;

/// Classic groups only: a hello that fits one packet, which tells whether something on the way drops the larger one.
pub(super) async fn with_classic_groups(context: &Context, server: &Server<'_>) {
    let offer = Offer { alpn: &server.params.alpn, classic_groups: true, ..Offer::default() };
    fresh(context, server, Variant::ClassicGroups, server.name, &offer).await;
}

/// Another name, or none.
pub(super) async fn with_name(context: &Context, server: &Server<'_>, name: Option<&ServerName<'static>>) {
    let offer = Offer { alpn: &server.params.alpn, without_name: name.is_none(), ..Offer::default() };
    fresh(context, server, Variant::ServerName, name.unwrap_or(server.name), &offer).await;
}

/// The session of the handshake that `config` was used for.
pub(super) async fn with_ticket(context: &Context, server: &Server<'_>, config: &Arc<ClientConfig>) {
    let mut draft = begin(context, server, Variant::Resumption, Some(server.name));
    shake(context, server, server.name, config, &mut draft).await;
    draft.finish();
}

async fn fresh(context: &Context, server: &Server<'_>, variant: Variant, name: &ServerName<'static>, offer: &Offer<'_>) {
    let mut draft = begin(context, server, variant, (!offer.without_name).then_some(name));
    let recording = Recording::new(Arc::clone(context.trust.provider()));
    match recording.client_config(offer) {
        Ok(config) => shake(context, server, name, &Arc::new(config), &mut draft).await,
        Err(error) => {
            draft.failure = Some(Failure::new(FailureCode::Other("tls_setup".into()), Step::Open, error.to_string()));
        }
    }
    let presented = recording.presented().chain;
    if let Some(leaf) = verdict::read_chain(presented.get(..1).unwrap_or_default(), context.trust.provider()).pop() {
        (draft.leaf_sha256, draft.leaf_subject) = (Some(leaf.sha256), Some(leaf.subject));
    }
    draft.finish();
}

fn begin(
    context: &Context,
    server: &Server<'_>,
    variant: Variant,
    name: Option<&ServerName<'static>>,
) -> Draft<HandshakeVariant> {
    let sent = name.filter(|name| matches!(name, ServerName::DnsName(_)));
    let blank = HandshakeVariant {
        host: server.params.host.clone(),
        address: server.address,
        variant,
        server_name: sent.map(|name| name.to_str().into_owned()),
        connect_us: 0,
        took_us: 0,
        protocol: None,
        cipher: None,
        group: None,
        leaf_sha256: None,
        leaf_subject: None,
        resumed: false,
        failure: None,
    };
    Draft::begin(context, Step::Connect, blank)
}

async fn shake(
    context: &Context,
    server: &Server<'_>,
    name: &ServerName<'static>,
    config: &Arc<ClientConfig>,
    draft: &mut Draft<HandshakeVariant>,
) {
    let _seat = server.seat().await;
    let connected = connect::first(context, &[server.address.ip()], server.address.port(), server.timeout).await;
    let mut connected = match connected {
        Ok(connected) => connected,
        Err(not_connected) => {
            draft.connect_us = not_connected.took_us;
            draft.failure = Some(not_connected.failure);
            return;
        }
    };
    draft.connect_us = connected.took_us;
    draft.step = Step::Handshake;
    let (_, ready) = starttls::speak(context.clock, &mut connected.stream, server.params.spoken_first(), server.timeout).await;
    if let Err(failure) = ready {
        draft.failure = Some(failure);
        return;
    }
    let attempt = attempt(context, Box::new(connected.stream), config, name, server.timeout).await;
    draft.took_us = attempt.took_us;
    match attempt.result {
        Ok(stream) => {
            let connection = stream.get_ref().1;
            let agreed = Agreed::of(connection);
            (draft.protocol, draft.cipher, draft.group) = (agreed.protocol, agreed.cipher, agreed.group);
            draft.resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
            farewell(stream).await;
        }
        Err(failure) => draft.failure = Some(failure),
    }
}

impl Drafted for HandshakeVariant {
    fn cut_off(&mut self, failure: Failure, after_us: u64) {
        match failure.during {
            Step::Connect => self.connect_us = after_us,
            _ => self.took_us = after_us.saturating_sub(self.connect_us),
        }
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::HandshakeVariant(Box::new(self))
    }
}
