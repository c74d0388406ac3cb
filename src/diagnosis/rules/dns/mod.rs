pub(super) mod cname_loop;
pub(super) mod differs;
pub(super) mod dnssec_bogus;
pub(super) mod forged;
pub(super) mod intercepted;
pub(super) mod no_data;
pub(super) mod nxdomain;
pub(super) mod over_udp;
pub(super) mod rcode;
pub(super) mod resolver_slow;
pub(super) mod resolver_unreachable;
pub(super) mod transport;
pub(super) mod unanswered;
pub(super) mod unexpected;
pub(super) mod zone;

use netsonde_contract::finding::Place;
use std::net::IpAddr;

/// A name at a name server.
fn resolver(name: &str, server: IpAddr) -> Place {
    Place { name: Some(name.to_owned()), resolver: Some(server), ..Place::default() }
}
