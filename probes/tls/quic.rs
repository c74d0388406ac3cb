use super::handshake::judge;
use super::hello::suite_name;
use super::recording::{Offer, Recording};
use super::tickets::TicketBox;
use crate::context::Context;
use netsonde_contract::observation::Handshake;
use rustls::{ClientConfig, Error, NamedGroup};
use rustls_pki_types::ServerName;
use std::sync::Arc;

/// The TLS handshake within a QUIC connection, recorded as any other.
pub(crate) struct WithinQuic {
    recording: Arc<Recording>,
    tickets: Arc<TicketBox>,
    config: Arc<ClientConfig>,
}

impl WithinQuic {
    /// # Errors
    /// Where the library refuses the offer.
    pub(crate) fn new(context: &Context, alpn: &[String]) -> Result<Self, Error> {
        let recording = Recording::new(Arc::clone(context.trust.provider()));
        let tickets = Arc::<TicketBox>::default();
        let offer = Offer { alpn, tickets: Some(Arc::clone(&tickets)), ..Offer::default() };
        let config = Arc::new(recording.client_config(&offer)?);
        Ok(Self { recording, tickets, config })
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// Notes chain and verdicts, as far as the handshake came.
    pub(crate) async fn describe(&self, context: &Context, name: &ServerName<'static>, handshake: &mut Handshake) {
        handshake.certificate_request = self.recording.certificate_request();
        handshake.tickets = Some(self.tickets.seen());
        judge(context, self.recording.presented(), name, handshake).await;
    }
}

/// A cipher suite by its number, as other handshakes name it.
pub(crate) fn cipher_name(number: u16) -> String {
    suite_name(number)
}

/// A key-exchange group by its number, as other handshakes name it.
pub(crate) fn group_name(number: u16) -> String {
    format!("{:?}", NamedGroup::from(number))
}
