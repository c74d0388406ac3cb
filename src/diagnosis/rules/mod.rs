//! The rules: a folder an area, a file a rule or a tight family, with its wording and its tests.

mod cloud;
mod dns;
mod host;
mod http;
mod path;
mod service;
mod tcp;
mod tls;
mod udp;

use crate::rule::Rule;

/// Name servers that are slow, or far away.
pub(crate) use dns::nxdomain::zone as denying_zone;
pub(crate) use dns::resolver_slow::unplaced;
/// Measurements that a busy machine made too late to be judged.
pub(crate) use path::policed::held_back;
/// Connections that are silent at once, and perhaps not one after the other.
pub(crate) use tcp::at_once::Numbers;
/// A connection of which nobody knows where it ends.
pub(crate) use tcp::transparent_proxy::is_doubtful;

/// What a path loses.
pub(crate) use path::pings;

/// Every rule, by layer. The order decides nothing but the order of findings that are equal in all else.
pub const RULES: &[Rule] = &[
    host::overloaded::RULE,
    host::permission_denied::RULE,
    host::firewall_local::RULE,
    host::ports::IN_USE_RULE,
    host::ports::EXHAUSTED_RULE,
    host::conntrack_full::RULE,
    host::exhausted::DESCRIPTORS_RULE,
    host::exhausted::BUFFERS_RULE,
    host::interface_errors::RULE,
    host::reverse_path_filter::RULE,
    host::proxy_mismatch::RULE,
    host::no_resolver::RULE,
    host::no_route::RULE,
    host::link_down::RULE,
    host::gateway_unresolved::RULE,
    host::duplicate_address::RULE,
    host::clock_skew::RULE,
    host::hosts_file_override::RULE,
    host::tunnelled::RULE,
    dns::resolver_unreachable::RULE,
    dns::dnssec_bogus::RULE,
    dns::rcode::SERVFAIL_RULE,
    dns::rcode::REFUSED_RULE,
    dns::rcode::OTHER_RULE,
    dns::nxdomain::RULE,
    dns::no_data::RULE,
    dns::cname_loop::RULE,
    dns::resolver_slow::RULE,
    dns::transport::TCP_BLOCKED_RULE,
    dns::transport::EDNS_DROPPED_RULE,
    dns::transport::MALFORMED_RULE,
    dns::unanswered::AAAA_RULE,
    dns::unanswered::NAME_RULE,
    dns::forged::INJECTED_RULE,
    dns::forged::SPOOFED_RULE,
    dns::forged::BOGON_RULE,
    dns::intercepted::RULE,
    dns::unexpected::RULE,
    dns::differs::SYSTEM_RULE,
    dns::differs::SEARCH_RULE,
    dns::zone::LAME_RULE,
    dns::zone::STALE_RULE,
    dns::zone::SPLIT_RULE,
    path::unreachable::NO_ROUTE_RULE,
    path::unreachable::TARGET_DOWN_RULE,
    path::admin_prohibited::RULE,
    path::routing_loop::RULE,
    path::blackhole::RULE,
    path::target_silent::RULE,
    path::udp_blocked::RULE,
    path::ipv6_broken::RULE,
    path::mtu::BLACKHOLE_RULE,
    path::ecmp_member_bad::RULE,
    path::loss::RULE,
    path::congestion::RULE,
    path::policed::RULE,
    path::fragments_dropped::RULE,
    path::disorder::DUPLICATES_RULE,
    path::disorder::REORDERED_RULE,
    path::mtu::LOWERED_RULE,
    path::jitter::RULE,
    path::route_changed::RULE,
    path::asymmetric::RULE,
    path::rewritten::RULE,
    path::ecn_blackhole::RULE,
    path::icmp_rate_limited::RULE,
    path::icmp_unsupported::RULE,
    tcp::refused::RULE,
    tcp::rejected_by_middlebox::RULE,
    tcp::filtered::RULE,
    tcp::accept_queue_full::RULE,
    tcp::backend_unhealthy::RULE,
    tcp::snat_exhausted::RULE,
    tcp::transparent_proxy::RULE,
    tcp::data_dropped::RULE,
    tcp::zero_window::RULE,
    tcp::idle_timeout::RULE,
    tcp::cut_off::RESET_RULE,
    tcp::cut_off::CLOSED_RULE,
    udp::refused::RULE,
    tls::not_tls::RULE,
    tls::client_certificate::RULE,
    tls::handshake_timeout::RULE,
    tls::validity::EXPIRED_RULE,
    tls::validity::NOT_YET_VALID_RULE,
    tls::name_mismatch::RULE,
    tls::issuer::SELF_SIGNED_RULE,
    tls::issuer::UNKNOWN_ISSUER_RULE,
    tls::chain::INCOMPLETE_RULE,
    tls::chain::MISORDERED_RULE,
    tls::intercepted::RULE,
    tls::pin_mismatch::RULE,
    tls::hello::SNI_BLOCKED_RULE,
    tls::hello::LARGE_HELLO_RULE,
    tls::alert::VERSION_RULE,
    tls::alert::CIPHER_RULE,
    tls::alert::ALPN_RULE,
    tls::alert::REJECTED_RULE,
    tls::weak_certificate::RULE,
    tls::revoked::RULE,
    tls::revocation_unreachable::RULE,
    http::proxy::RULE,
    http::proxy_said::AUTH_REQUIRED_RULE,
    http::proxy_said::DENIED_RULE,
    http::proxy_said::UPSTREAM_FAILED_RULE,
    http::captive_portal::RULE,
    http::headers_tampered::RULE,
    http::blocked_page::RULE,
    http::redirect_loop::RULE,
    http::timeout::RULE,
    http::protocol_error::RULE,
    http::status::SERVER_ERROR_RULE,
    http::status::CLIENT_ERROR_RULE,
    http::content_unexpected::RULE,
    http::slow_server::RULE,
    http::slow_network::RULE,
    http::slow_transfer::RULE,
    cloud::metadata_unreachable::RULE,
    cloud::platform_address_unreachable::RULE,
    cloud::smtp_blocked::RULE,
    cloud::port_filter::RULE,
    service::wrong_protocol::RULE,
    service::no_greeting::RULE,
    service::refused_by_policy::RULE,
];

#[cfg(test)]
mod tests {
    use super::RULES;
    use crate::ARTICLES;
    use netsonde_contract::cause;
    use std::collections::BTreeSet;

    #[test]
    fn every_rule_has_a_known_code_of_its_own_and_an_article() {
        let codes: BTreeSet<&str> = RULES.iter().map(|rule| rule.code).collect();
        assert_eq!(codes.len(), RULES.len(), "no two rules carry the same code");
        let unknown: Vec<_> = codes.iter().filter(|code| !cause::is_known(code)).collect();
        assert!(unknown.is_empty(), "{unknown:?} are not of the closed list");
        let articles: BTreeSet<&str> = ARTICLES.iter().map(|(code, _)| *code).collect();
        assert_eq!(articles.len(), ARTICLES.len(), "no two articles carry the same code");
        assert_eq!(articles, codes, "an article for each rule, and no other");
    }

    #[test]
    fn neighbours_and_refined_causes_are_known_codes_other_than_the_rules_own() {
        for rule in RULES {
            for code in rule.neighbours.iter().chain(rule.refines) {
                assert!(cause::is_known(code) && *code != rule.code, "{}: {code}", rule.code);
            }
            for code in rule.refines {
                assert!(RULES.iter().any(|broader| broader.code == *code), "{} refines {code}, which no rule finds", rule.code);
            }
            assert!((0.5..=1.0).contains(&rule.unprivileged_cap), "{}", rule.code);
        }
    }

    #[test]
    fn the_list_is_in_the_order_of_the_layers() {
        let layers: Vec<_> = RULES.iter().map(|rule| rule.layer()).collect();
        assert!(layers.is_sorted(), "{layers:?}");
    }

    #[test]
    fn articles_speak_of_causes_by_codes_that_exist() {
        for (code, text) in ARTICLES {
            let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '.' || c == '_' || c.is_ascii_digit()));
            let looks_like_code = |word: &&str| {
                let areas = ["host.", "dns.", "path.", "tcp.", "udp.", "tls.", "http.", "cloud.", "service."];
                areas.iter().any(|area| word.starts_with(area))
            };
            for word in words.map(|word| word.trim_end_matches('.')).filter(looks_like_code) {
                assert!(cause::is_known(word), "{code} speaks of {word}");
            }
        }
    }
}
