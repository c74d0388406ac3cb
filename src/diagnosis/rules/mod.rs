//! The rules: a folder an area, a file a rule or a tight family, with its wording and its tests.

mod dns;
mod host;
mod http;
mod path;
mod tcp;
mod tls;

use crate::rule::Rule;

/// Every rule, by layer. The order decides nothing but the order of findings that are equal in all else.
pub const RULES: &[Rule] = &[
    host::permission_denied::RULE,
    host::firewall_local::RULE,
    host::no_route::RULE,
    host::gateway_unresolved::RULE,
    dns::resolver_unreachable::RULE,
    dns::rcode::SERVFAIL_RULE,
    dns::rcode::REFUSED_RULE,
    dns::rcode::OTHER_RULE,
    dns::nxdomain::RULE,
    dns::no_data::RULE,
    path::unreachable::NO_ROUTE_RULE,
    path::unreachable::TARGET_DOWN_RULE,
    path::admin_prohibited::RULE,
    path::routing_loop::RULE,
    path::target_silent::RULE,
    path::ipv6_broken::RULE,
    path::icmp_unsupported::RULE,
    tcp::refused::RULE,
    tcp::filtered::RULE,
    tls::not_tls::RULE,
    tls::handshake_timeout::RULE,
    tls::validity::EXPIRED_RULE,
    tls::validity::NOT_YET_VALID_RULE,
    tls::name_mismatch::RULE,
    tls::issuer::SELF_SIGNED_RULE,
    tls::issuer::UNKNOWN_ISSUER_RULE,
    http::redirect_loop::RULE,
    http::timeout::RULE,
    http::status::SERVER_ERROR_RULE,
    http::status::CLIENT_ERROR_RULE,
    http::slow_server::RULE,
];
