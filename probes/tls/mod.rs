//! TLS handshakes with a verifier that records: every chain is accepted and kept, and what each trust store says of it is said
//! apart. The parts serve the http kind as well.

/// A certificate's bytes to facts.
mod certificate;
/// A TCP connection to the first address that accepts.
pub(crate) mod connect;
/// A fact in the making, which a deadline cannot lose.
pub(crate) mod draft;
/// Errors of streams and TLS to failure codes.
pub(crate) mod failure;
/// One handshake.
pub(crate) mod handshake;
/// The verifier that accepts and keeps.
mod recording;
#[cfg(test)]
pub(crate) mod servers;
#[cfg(test)]
mod tests;
/// The trust stores.
pub(crate) mod trust;
/// What one store says of a chain.
mod verdict;
/// A stream that notes what passes over it.
pub(crate) mod wire;

use crate::context::{Context, Ending, NotMeasurable};
use draft::Draft;
use netsonde_contract::failure::Step;
use netsonde_contract::kind::TlsParams;
use netsonde_contract::observation::Handshake;
use std::net::SocketAddr;
use std::time::Duration;

/// RFC 7301 section 3.1: a protocol's name has 1 to 255 bytes.
const MAX_ALPN_BYTES: usize = 255;

/// More application protocols than any server knows; keeps the ClientHello within a packet or two.
const MAX_ALPN: usize = 16;

pub(crate) async fn run(context: &Context, params: &TlsParams) -> Result<Ending, NotMeasurable> {
    let timeout = Duration::from_millis(params.timeout_ms);
    let name = trust::server_name(params.server_name.as_deref().unwrap_or(&params.host)).map_err(NotMeasurable::new)?;
    if params.alpn.len() > MAX_ALPN || params.alpn.iter().any(|name| name.is_empty() || name.len() > MAX_ALPN_BYTES) {
        return Err(NotMeasurable::new("alpn takes at most 16 protocol names of 1 to 255 bytes each"));
    }
    let addresses = context
        .names
        .resolve(&context.gate, &params.host)
        .await
        .map_err(|failure| NotMeasurable::unresolved(&params.host, &failure))?;
    let Some(address) = addresses.first() else {
        return Err(NotMeasurable::new(format!("{} did not resolve to an address", params.host)));
    };
    let blank = handshake::blank(&params.host, SocketAddr::new(*address, params.port), &name);
    let mut draft = Draft::begin(context, Step::Connect, blank);
    match connect::first(context, &addresses, params.port, timeout).await {
        Ok(connected) => {
            draft.address = connected.address;
            draft.connect_us = connected.took_us;
            let secured = handshake::shake(context, Box::new(connected.stream), &name, &params.alpn, timeout, &mut draft).await;
            if let Some(mut secured) = secured {
                draft.failure = handshake::late_refusal(&mut secured).await;
            }
        }
        Err(not_connected) => {
            draft.address = not_connected.address;
            draft.connect_us = not_connected.took_us;
            draft.failure = Some(not_connected.failure);
        }
    }
    Ok(if is_healthy(&draft.finish()) { Ending::AsExpected } else { Ending::Failed })
}

/// Completed, trusted by the store that decides, and for this name.
pub(crate) fn is_healthy(handshake: &Handshake) -> bool {
    handshake.failure.is_none()
        && handshake.deciding_verdict().is_some_and(|verdict| verdict.trusted)
        && handshake.name.as_ref().is_some_and(|name| name.fits)
}
