pub(super) mod no_greeting;
pub(super) mod refused_by_policy;
pub(super) mod wrong_protocol;

use netsonde_contract::finding::Place;
use netsonde_contract::observation::Service;

/// Where a finding about a service stands.
fn place(service: &Service) -> Place {
    Place {
        address: Some(service.address.ip()),
        port: Some(service.address.port()),
        name: Some(service.host.clone()),
        ..Place::default()
    }
}
