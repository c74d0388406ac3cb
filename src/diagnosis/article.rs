/// Every cause that has an article, with its text in markdown.
pub const ARTICLES: &[(&str, &str)] = &[
    ("host.overloaded", include_str!("../../docs/causes/host.overloaded.md")),
    ("host.permission_denied", include_str!("../../docs/causes/host.permission_denied.md")),
    ("host.firewall_local", include_str!("../../docs/causes/host.firewall_local.md")),
    ("host.port_in_use", include_str!("../../docs/causes/host.port_in_use.md")),
    ("host.ephemeral_ports_exhausted", include_str!("../../docs/causes/host.ephemeral_ports_exhausted.md")),
    ("host.conntrack_full", include_str!("../../docs/causes/host.conntrack_full.md")),
    ("host.descriptors_exhausted", include_str!("../../docs/causes/host.descriptors_exhausted.md")),
    ("host.buffers_exhausted", include_str!("../../docs/causes/host.buffers_exhausted.md")),
    ("host.interface_errors", include_str!("../../docs/causes/host.interface_errors.md")),
    ("host.reverse_path_filter", include_str!("../../docs/causes/host.reverse_path_filter.md")),
    ("host.proxy_mismatch", include_str!("../../docs/causes/host.proxy_mismatch.md")),
    ("host.no_resolver", include_str!("../../docs/causes/host.no_resolver.md")),
    ("host.no_route", include_str!("../../docs/causes/host.no_route.md")),
    ("host.link_down", include_str!("../../docs/causes/host.link_down.md")),
    ("host.gateway_unresolved", include_str!("../../docs/causes/host.gateway_unresolved.md")),
    ("host.duplicate_address", include_str!("../../docs/causes/host.duplicate_address.md")),
    ("host.clock_skew", include_str!("../../docs/causes/host.clock_skew.md")),
    ("host.hosts_file_override", include_str!("../../docs/causes/host.hosts_file_override.md")),
    ("host.tunnelled", include_str!("../../docs/causes/host.tunnelled.md")),
    ("dns.resolver_unreachable", include_str!("../../docs/causes/dns.resolver_unreachable.md")),
    ("dns.dnssec_bogus", include_str!("../../docs/causes/dns.dnssec_bogus.md")),
    ("dns.servfail", include_str!("../../docs/causes/dns.servfail.md")),
    ("dns.refused", include_str!("../../docs/causes/dns.refused.md")),
    ("dns.other_rcode", include_str!("../../docs/causes/dns.other_rcode.md")),
    ("dns.nxdomain", include_str!("../../docs/causes/dns.nxdomain.md")),
    ("dns.no_data", include_str!("../../docs/causes/dns.no_data.md")),
    ("dns.cname_loop", include_str!("../../docs/causes/dns.cname_loop.md")),
    ("dns.resolver_slow", include_str!("../../docs/causes/dns.resolver_slow.md")),
    ("dns.tcp_blocked", include_str!("../../docs/causes/dns.tcp_blocked.md")),
    ("dns.edns_dropped", include_str!("../../docs/causes/dns.edns_dropped.md")),
    ("dns.malformed_reply", include_str!("../../docs/causes/dns.malformed_reply.md")),
    ("dns.aaaa_dropped", include_str!("../../docs/causes/dns.aaaa_dropped.md")),
    ("dns.name_unanswered", include_str!("../../docs/causes/dns.name_unanswered.md")),
    ("dns.nxdomain_injected", include_str!("../../docs/causes/dns.nxdomain_injected.md")),
    ("dns.spoofed", include_str!("../../docs/causes/dns.spoofed.md")),
    ("dns.bogon_answer", include_str!("../../docs/causes/dns.bogon_answer.md")),
    ("dns.intercepted", include_str!("../../docs/causes/dns.intercepted.md")),
    ("dns.unexpected_address", include_str!("../../docs/causes/dns.unexpected_address.md")),
    ("dns.system_differs", include_str!("../../docs/causes/dns.system_differs.md")),
    ("dns.search_suffix", include_str!("../../docs/causes/dns.search_suffix.md")),
    ("dns.lame_delegation", include_str!("../../docs/causes/dns.lame_delegation.md")),
    ("dns.stale_record", include_str!("../../docs/causes/dns.stale_record.md")),
    ("dns.split_horizon", include_str!("../../docs/causes/dns.split_horizon.md")),
    ("path.no_route", include_str!("../../docs/causes/path.no_route.md")),
    ("path.target_down", include_str!("../../docs/causes/path.target_down.md")),
    ("path.admin_prohibited", include_str!("../../docs/causes/path.admin_prohibited.md")),
    ("path.routing_loop", include_str!("../../docs/causes/path.routing_loop.md")),
    ("path.blackhole", include_str!("../../docs/causes/path.blackhole.md")),
    ("path.target_silent", include_str!("../../docs/causes/path.target_silent.md")),
    ("path.udp_blocked", include_str!("../../docs/causes/path.udp_blocked.md")),
    ("path.ipv6_broken", include_str!("../../docs/causes/path.ipv6_broken.md")),
    ("path.mtu_blackhole", include_str!("../../docs/causes/path.mtu_blackhole.md")),
    ("path.ecmp_member_bad", include_str!("../../docs/causes/path.ecmp_member_bad.md")),
    ("path.loss", include_str!("../../docs/causes/path.loss.md")),
    ("path.congestion", include_str!("../../docs/causes/path.congestion.md")),
    ("path.policed", include_str!("../../docs/causes/path.policed.md")),
    ("path.fragments_dropped", include_str!("../../docs/causes/path.fragments_dropped.md")),
    ("path.duplicates", include_str!("../../docs/causes/path.duplicates.md")),
    ("path.reordered", include_str!("../../docs/causes/path.reordered.md")),
    ("path.mtu_lowered", include_str!("../../docs/causes/path.mtu_lowered.md")),
    ("path.jitter", include_str!("../../docs/causes/path.jitter.md")),
    ("path.route_changed", include_str!("../../docs/causes/path.route_changed.md")),
    ("path.asymmetric", include_str!("../../docs/causes/path.asymmetric.md")),
    ("path.rewritten", include_str!("../../docs/causes/path.rewritten.md")),
    ("path.ecn_blackhole", include_str!("../../docs/causes/path.ecn_blackhole.md")),
    ("path.icmp_rate_limited", include_str!("../../docs/causes/path.icmp_rate_limited.md")),
    ("path.icmp_unsupported", include_str!("../../docs/causes/path.icmp_unsupported.md")),
    ("tcp.refused", include_str!("../../docs/causes/tcp.refused.md")),
    ("tcp.rejected_by_middlebox", include_str!("../../docs/causes/tcp.rejected_by_middlebox.md")),
    ("tcp.filtered", include_str!("../../docs/causes/tcp.filtered.md")),
    ("tcp.accept_queue_full", include_str!("../../docs/causes/tcp.accept_queue_full.md")),
    ("tcp.backend_unhealthy", include_str!("../../docs/causes/tcp.backend_unhealthy.md")),
    ("tcp.snat_exhausted", include_str!("../../docs/causes/tcp.snat_exhausted.md")),
    ("tcp.transparent_proxy", include_str!("../../docs/causes/tcp.transparent_proxy.md")),
    ("tcp.data_dropped", include_str!("../../docs/causes/tcp.data_dropped.md")),
    ("tcp.zero_window", include_str!("../../docs/causes/tcp.zero_window.md")),
    ("tcp.idle_timeout", include_str!("../../docs/causes/tcp.idle_timeout.md")),
    ("tcp.reset_midstream", include_str!("../../docs/causes/tcp.reset_midstream.md")),
    ("tcp.closed_early", include_str!("../../docs/causes/tcp.closed_early.md")),
    ("udp.refused", include_str!("../../docs/causes/udp.refused.md")),
    ("tls.not_tls", include_str!("../../docs/causes/tls.not_tls.md")),
    ("tls.client_certificate_required", include_str!("../../docs/causes/tls.client_certificate_required.md")),
    ("tls.handshake_timeout", include_str!("../../docs/causes/tls.handshake_timeout.md")),
    ("tls.expired", include_str!("../../docs/causes/tls.expired.md")),
    ("tls.not_yet_valid", include_str!("../../docs/causes/tls.not_yet_valid.md")),
    ("tls.name_mismatch", include_str!("../../docs/causes/tls.name_mismatch.md")),
    ("tls.self_signed", include_str!("../../docs/causes/tls.self_signed.md")),
    ("tls.unknown_issuer", include_str!("../../docs/causes/tls.unknown_issuer.md")),
    ("tls.chain_incomplete", include_str!("../../docs/causes/tls.chain_incomplete.md")),
    ("tls.chain_misordered", include_str!("../../docs/causes/tls.chain_misordered.md")),
    ("tls.intercepted", include_str!("../../docs/causes/tls.intercepted.md")),
    ("tls.pin_mismatch", include_str!("../../docs/causes/tls.pin_mismatch.md")),
    ("tls.sni_blocked", include_str!("../../docs/causes/tls.sni_blocked.md")),
    ("tls.large_hello_blocked", include_str!("../../docs/causes/tls.large_hello_blocked.md")),
    ("tls.version_unsupported", include_str!("../../docs/causes/tls.version_unsupported.md")),
    ("tls.cipher_unsupported", include_str!("../../docs/causes/tls.cipher_unsupported.md")),
    ("tls.alpn_mismatch", include_str!("../../docs/causes/tls.alpn_mismatch.md")),
    ("tls.handshake_rejected", include_str!("../../docs/causes/tls.handshake_rejected.md")),
    ("tls.weak_certificate", include_str!("../../docs/causes/tls.weak_certificate.md")),
    ("tls.revoked", include_str!("../../docs/causes/tls.revoked.md")),
    ("tls.revocation_unreachable", include_str!("../../docs/causes/tls.revocation_unreachable.md")),
    ("http.proxy_unreachable", include_str!("../../docs/causes/http.proxy_unreachable.md")),
    ("http.proxy_auth_required", include_str!("../../docs/causes/http.proxy_auth_required.md")),
    ("http.proxy_denied", include_str!("../../docs/causes/http.proxy_denied.md")),
    ("http.proxy_upstream_failed", include_str!("../../docs/causes/http.proxy_upstream_failed.md")),
    ("http.captive_portal", include_str!("../../docs/causes/http.captive_portal.md")),
    ("http.headers_tampered", include_str!("../../docs/causes/http.headers_tampered.md")),
    ("http.blocked_page", include_str!("../../docs/causes/http.blocked_page.md")),
    ("http.redirect_loop", include_str!("../../docs/causes/http.redirect_loop.md")),
    ("http.timeout", include_str!("../../docs/causes/http.timeout.md")),
    ("http.protocol_error", include_str!("../../docs/causes/http.protocol_error.md")),
    ("http.server_error", include_str!("../../docs/causes/http.server_error.md")),
    ("http.client_error", include_str!("../../docs/causes/http.client_error.md")),
    ("http.content_unexpected", include_str!("../../docs/causes/http.content_unexpected.md")),
    ("http.slow_server", include_str!("../../docs/causes/http.slow_server.md")),
    ("http.slow_network", include_str!("../../docs/causes/http.slow_network.md")),
    ("http.slow_transfer", include_str!("../../docs/causes/http.slow_transfer.md")),
    ("cloud.metadata_unreachable", include_str!("../../docs/causes/cloud.metadata_unreachable.md")),
    ("cloud.platform_address_unreachable", include_str!("../../docs/causes/cloud.platform_address_unreachable.md")),
    ("cloud.smtp_blocked", include_str!("../../docs/causes/cloud.smtp_blocked.md")),
    ("cloud.port_filter", include_str!("../../docs/causes/cloud.port_filter.md")),
    ("service.wrong_protocol", include_str!("../../docs/causes/service.wrong_protocol.md")),
    ("service.no_greeting", include_str!("../../docs/causes/service.no_greeting.md")),
    ("service.refused_by_policy", include_str!("../../docs/causes/service.refused_by_policy.md")),
];

/// The article of a cause, in markdown: what it means, how it was told, how to confirm it by hand, who fixes it and how, and
/// what it is often mistaken for. None for a code that no rule gives yet.
pub fn article(code: &str) -> Option<&'static str> {
    ARTICLES.iter().find(|(known, _)| *known == code).map(|(_, text)| *text)
}

/// Where the article of a cause lies in the repository, for findings.
pub(crate) fn path_of(code: &str) -> String {
    format!("docs/causes/{code}.md")
}

#[cfg(test)]
mod tests {
    use super::ARTICLES;

    const SECTIONS: [&str; 5] = [
        "## What it means",
        "## How netsonde tells it",
        "## How to confirm it by hand",
        "## Who fixes it, and how",
        "## What it is often mistaken for",
    ];

    #[test]
    fn every_article_has_every_section_in_order_and_something_in_it() {
        for (code, text) in ARTICLES {
            assert!(text.starts_with(&format!("# {code}: ")), "{code} begins with its own code and title");
            let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
            assert_eq!(headings, SECTIONS, "{code}");
            for section in text.split("\n## ").skip(1) {
                let (heading, body) = section.split_once('\n').unwrap();
                assert!(body.trim().len() > 40, "{code}: \"{heading}\" says something");
            }
        }
    }

    #[test]
    fn what_it_means_is_said_in_few_sentences() {
        for (code, text) in ARTICLES {
            let meaning = text.split("\n## ").nth(1).unwrap();
            assert!(meaning.matches(['.', '?']).count() <= 3, "{code}: {meaning}");
        }
    }
}
