pub(super) mod alert;
pub(super) mod chain;
pub(super) mod client_certificate;
pub(super) mod handshake_timeout;
pub(super) mod hello;
pub(super) mod intercepted;
pub(super) mod issuer;
pub(super) mod name_mismatch;
pub(super) mod not_tls;
pub(super) mod pin_mismatch;
pub(super) mod revocation_unreachable;
pub(super) mod revoked;
pub(super) mod validity;
pub(super) mod weak_certificate;

use crate::evidence::{Seen, proxy_towards};
use netsonde_contract::finding::Place;
use netsonde_contract::observation::Handshake;

/// Where a finding about a handshake stands. Through a proxy's tunnel the address is the proxy's, and says nothing.
pub(in crate::rules) fn place(handshake: &Seen<'_, Handshake>) -> Place {
    let direct = Some(handshake.address).filter(|at| proxy_towards(handshake.outcome, *at).is_none());
    Place {
        address: direct.map(|address| address.ip()),
        port: direct.map(|address| address.port()),
        name: Some(handshake.host.clone()),
        ..Place::default()
    }
}
