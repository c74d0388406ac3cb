pub(super) mod handshake_timeout;
pub(super) mod issuer;
pub(super) mod name_mismatch;
pub(super) mod not_tls;
pub(super) mod validity;

use crate::evidence::Seen;
use netsonde_contract::finding::Place;
use netsonde_contract::observation::Handshake;

/// Where a finding about a handshake stands.
fn place(handshake: &Seen<'_, Handshake>) -> Place {
    Place {
        address: Some(handshake.address.ip()),
        port: Some(handshake.address.port()),
        name: Some(handshake.host.clone()),
        ..Place::default()
    }
}
