/// Every root cause that netsonde may name, with what it means in one line. Codes never change meaning; new ones are added at the end
/// of their area.
///
/// A code without a rule yet is reserved: no finding carries it, though findings say of it that it was ruled out.
pub const MEANINGS: &[(&str, &str)] = &[
    ("host.overloaded", "this machine is so busy that its own timers fire late"),
    ("host.permission_denied", "the system does not let netsonde open a socket"),
    ("host.firewall_local", "a firewall on this machine itself keeps the packets in"),
    ("host.port_in_use", "another program holds the local port"),
    ("host.ephemeral_ports_exhausted", "no local port is free for another connection to the same place"),
    ("host.conntrack_full", "the firewall of this machine tracks as many connections as it can, and drops new ones"),
    ("host.descriptors_exhausted", "the program or system may open no more sockets"),
    ("host.buffers_exhausted", "the system has no memory left for packets"),
    ("host.interface_errors", "the network interface counts errors or drops while it is used"),
    ("host.reverse_path_filter", "replies come in on another interface than expected, and the system drops them"),
    ("host.proxy_mismatch", "the proxies set in different places of this machine differ"),
    ("host.no_resolver", "no name server is set on this machine"),
    ("host.no_route", "this machine's own routing table leads nowhere for the address"),
    ("host.link_down", "the network interface has no link"),
    ("host.gateway_unresolved", "the gateway does not answer on this machine's own network"),
    ("host.duplicate_address", "two machines of one network use the same address"),
    ("host.clock_skew", "this machine's clock is wrong"),
    ("host.hosts_file_override", "the hosts file gives another address than the name servers do"),
    ("host.tunnelled", "the traffic goes through a VPN or tunnel"),
    ("dns.resolver_unreachable", "the name server does not answer"),
    ("dns.resolver_slow", "the name server answers, but slowly"),
    ("dns.servfail", "the name server could not find out what the name is"),
    ("dns.dnssec_bogus", "the zone's signatures do not fit, so that the name server refuses its data"),
    ("dns.refused", "the name server refuses to answer"),
    ("dns.nxdomain", "the name does not exist"),
    ("dns.nxdomain_injected", "somebody on the way says that a name does not exist which does"),
    ("dns.spoofed", "a forged reply arrives beside the real one"),
    ("dns.intercepted", "questions are answered by another server than the one asked"),
    ("dns.bogon_answer", "a public name has an address that cannot be used from outside"),
    ("dns.malformed_reply", "the reply of the name server cannot be read"),
    ("dns.other_rcode", "the name server answers with a rare error"),
    ("dns.system_differs", "programs get another address than the name servers give"),
    ("dns.split_horizon", "the name has one address inside and another outside"),
    ("dns.unexpected_address", "the name has another address than was expected"),
    ("dns.stale_record", "the name server still gives an address that the zone has changed"),
    ("dns.no_data", "the name exists, but has no address"),
    ("dns.aaaa_dropped", "questions for IPv6 addresses stay without an answer"),
    ("dns.lame_delegation", "a name server that the zone lists does not serve it"),
    ("dns.edns_dropped", "questions with extensions stay without an answer, plain ones do not"),
    ("dns.tcp_blocked", "long answers need TCP, and DNS over TCP is blocked"),
    ("dns.cname_loop", "the name is an alias that leads back to itself"),
    ("dns.name_unanswered", "the name server answers other questions and stays silent for this name"),
    ("dns.search_suffix", "a suffix that the system adds makes another name of it"),
    ("path.no_route", "a router on the way has no route to the target"),
    ("path.admin_prohibited", "a router on the way forbids the traffic and says so"),
    ("path.blackhole", "everything behind one router is lost without a word"),
    ("path.target_silent", "nothing at all answers at the target"),
    ("path.target_down", "the last router finds nobody with the target's address"),
    ("path.routing_loop", "routers send the packets to each other in a circle"),
    ("path.loss", "packets are lost on the way"),
    ("path.icmp_rate_limited", "a router answers only some probes, which is no loss"),
    ("path.congestion", "the way is full, so that packets wait"),
    ("path.policed", "the rate is cut off at a limit"),
    ("path.ecmp_member_bad", "one of several parallel ways is broken"),
    ("path.route_changed", "the way changed during the run"),
    ("path.asymmetric", "the way back is another one"),
    ("path.mtu_lowered", "packets on the way must be smaller than usual"),
    ("path.mtu_blackhole", "large packets are lost without a word"),
    ("path.fragments_dropped", "packets in several pieces are dropped"),
    ("path.ipv6_broken", "IPv6 to the target does not work, IPv4 does"),
    ("path.udp_blocked", "UDP is blocked where TCP works"),
    ("path.rewritten", "something on the way changes the packets' headers"),
    ("path.duplicates", "packets arrive more than once"),
    ("path.reordered", "packets arrive in another order"),
    ("path.jitter", "the time on the way varies much"),
    ("path.ecn_blackhole", "packets that announce congestion marks are lost"),
    ("path.icmp_unsupported", "pings are filtered, and applications are not touched by it"),
    ("tcp.refused", "nothing accepts connections on the port"),
    ("tcp.rejected_by_middlebox", "something on the way refuses the connection in the target's name"),
    ("tcp.filtered", "a filter drops connections to this port"),
    ("tcp.transparent_proxy", "something on the way takes the connection in the target's place"),
    ("tcp.accept_queue_full", "the server does not accept connections as fast as they come"),
    ("tcp.reset_midstream", "the connection is reset in the middle"),
    ("tcp.closed_early", "the connection is closed before an answer"),
    ("tcp.data_dropped", "the connection stands, and nothing sent on it arrives"),
    ("tcp.zero_window", "the receiver takes no more data"),
    ("tcp.idle_timeout", "the connection dies when it is idle for a while"),
    ("tcp.snat_exhausted", "the address translation on the way has no free port"),
    ("tcp.backend_unhealthy", "one of several servers behind the name fails"),
    ("udp.refused", "nothing takes what is sent to the UDP port"),
    ("tls.expired", "a certificate has expired"),
    ("tls.not_yet_valid", "a certificate is not valid yet"),
    ("tls.name_mismatch", "the certificate is for another name"),
    ("tls.self_signed", "the server signed its own certificate"),
    ("tls.unknown_issuer", "the certificate comes from an authority that is not trusted here"),
    ("tls.chain_incomplete", "the server does not send the certificate between its own and the authority's"),
    ("tls.chain_misordered", "the server sends its certificates in the wrong order"),
    ("tls.intercepted", "somebody on the way opens the encryption"),
    ("tls.revoked", "the certificate was revoked"),
    ("tls.revocation_unreachable", "whether the certificate was revoked cannot be asked"),
    ("tls.version_unsupported", "client and server have no TLS version in common"),
    ("tls.cipher_unsupported", "client and server have no cipher in common"),
    ("tls.client_certificate_required", "the server wants a certificate from the client"),
    ("tls.sni_blocked", "connections that name this host are blocked"),
    ("tls.alpn_mismatch", "client and server have no application protocol in common"),
    ("tls.handshake_timeout", "the server does not answer the TLS handshake"),
    ("tls.large_hello_blocked", "the first message of newer clients is too large for something on the way"),
    ("tls.handshake_rejected", "the server refuses the TLS handshake"),
    ("tls.weak_certificate", "the certificate's key or signature is too weak"),
    ("tls.not_tls", "the port does not speak TLS"),
    ("tls.pin_mismatch", "the certificate is not the one that was expected"),
    ("http.proxy_unreachable", "the proxy that is set cannot be reached"),
    ("http.proxy_auth_required", "the proxy wants a sign-in"),
    ("http.proxy_denied", "the proxy does not allow this host"),
    ("http.proxy_upstream_failed", "the proxy cannot reach the host"),
    ("http.timeout", "the server takes the request and does not answer"),
    ("http.captive_portal", "the network wants a sign-in in the browser first"),
    ("http.headers_tampered", "something on the way changes the request"),
    ("http.blocked_page", "a filter answers with a page of its own"),
    ("http.redirect_loop", "the redirects go in a circle"),
    ("http.protocol_error", "the answer is not proper HTTP"),
    ("http.server_error", "the server answers with an error of its own"),
    ("http.client_error", "the server does not accept the request"),
    ("http.slow_server", "the server takes long to begin its answer"),
    ("http.slow_transfer", "the answer begins at once, and its body comes slowly"),
    ("http.slow_network", "the network, not the server, takes the time"),
    ("http.content_unexpected", "the answer's content is not what was expected"),
    ("cloud.metadata_unreachable", "the cloud's metadata address does not answer"),
    ("cloud.platform_address_unreachable", "the cloud platform's own address does not answer"),
    ("cloud.smtp_blocked", "the cloud blocks mail on port 25"),
    ("cloud.port_filter", "a rule of the cloud network drops this port"),
    ("service.wrong_protocol", "the port answers in another protocol"),
    ("service.no_greeting", "the service accepts the connection and does not greet"),
    ("service.refused_by_policy", "the service itself refuses this client"),
];

/// The codes alone, in the same order.
pub const CAUSES: &[&str] = &codes();

const fn codes() -> [&'static str; MEANINGS.len()] {
    let mut codes = [""; MEANINGS.len()];
    let mut at = 0;
    while at < codes.len() {
        codes[at] = MEANINGS[at].0;
        at += 1;
    }
    codes
}

/// What a code means, in one line without a final stop; none for an unknown code.
pub fn meaning(code: &str) -> Option<&'static str> {
    MEANINGS.iter().find(|(known, _)| *known == code).map(|(_, meaning)| *meaning)
}

/// Whether the code is one of the closed list.
pub fn is_known(code: &str) -> bool {
    CAUSES.contains(&code)
}

/// The area of a code: `host`, `dns`, `path`, `tcp`, `tls`, `http`, `cloud`, `service`.
pub fn area(code: &str) -> &str {
    code.split('.').next().unwrap_or(code)
}

#[cfg(test)]
mod tests {
    use super::{MEANINGS, is_known, meaning};

    #[test]
    fn every_code_stands_once_and_has_a_meaning() {
        for (at, (code, words)) in MEANINGS.iter().enumerate() {
            assert!(is_known(code) && meaning(code) == Some(words) && !words.is_empty() && !words.ends_with('.'), "{code}");
            assert!(MEANINGS[..at].iter().all(|(other, _)| other != code), "{code} stands twice");
        }
        assert_eq!(meaning("no.code"), None);
    }
}
