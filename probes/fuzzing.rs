//! Every parser here of bytes that somebody else chose: from the network, from the kernel, from files. `tests/fuzz` makes a target of each,
//! and the test below reads every seed and every input that once broke something.

use crate::{capture, cloud, dns, host, http, icmp, mtu, ntp, platform, proxy, quic, reflect, service, tcp, tls, traceroute};
use netsonde_contract::kind::ServiceProtocol as S;

/// A parser's name, which is also that of its folder of seeds, and the parser. It panics where it breaks its promises.
pub type Parser = (&'static str, fn(&[u8]));

/// The one list.
pub const PARSERS: &[Parser] = &[
    ("capture_packet", capture::fuzzing::packet),
    ("cloud_metadata", cloud::fuzzing::metadata),
    ("cloud_name_server", cloud::fuzzing::name_server),
    ("dns_chain", dns::fuzzing::chain),
    #[cfg(feature = "doq")]
    ("dns_framed", dns::fuzzing::framed),
    ("dns_name_sources", dns::fuzzing::files),
    ("dns_reply", dns::fuzzing::reply),
    ("host_figures", host::fuzzing::figures),
    ("host_neighbour", host::fuzzing::neighbour),
    ("host_proxies", host::fuzzing::proxies),
    ("host_resolvers", host::fuzzing::resolvers),
    ("host_sockets", host::fuzzing::socket_lists),
    ("http_body", http::fuzzing::body),
    ("http_headers", http::fuzzing::headers),
    ("http_response", http::fuzzing::response),
    ("http_socks", http::fuzzing::socks),
    #[cfg(target_os = "linux")]
    ("icmp_message", icmp::fuzzing::message),
    ("mtu_heard", mtu::fuzzing::heard),
    ("ntp_answer", ntp::fuzzing::answer),
    ("origins", origins),
    #[cfg(target_os = "linux")]
    ("platform_netlink", platform::fuzzing::netlink),
    #[cfg(target_os = "linux")]
    ("platform_resolv_conf", platform::fuzzing::resolv_conf),
    ("proxy_answer", proxy::fuzzing::answer),
    ("quic_handshake", quic::fuzzing::handshake),
    ("quic_packet", quic::fuzzing::packet),
    ("reflect_reply", reflect::fuzzing::reply),
    ("reflect_request", reflect::fuzzing::request),
    ("service_dhcp", |bytes| service::fuzzing::answers(S::Dhcp, bytes)),
    ("service_foreign", service::fuzzing::foreign),
    ("service_ftp", |bytes| service::fuzzing::answers(S::Ftp, bytes)),
    ("service_ike", |bytes| service::fuzzing::answers(S::Ike, bytes)),
    ("service_ldap", |bytes| service::fuzzing::answers(S::Ldap, bytes)),
    ("service_mssql", |bytes| service::fuzzing::answers(S::Mssql, bytes)),
    ("service_mysql", |bytes| service::fuzzing::answers(S::Mysql, bytes)),
    ("service_nfs", |bytes| service::fuzzing::answers(S::Nfs, bytes)),
    ("service_postgres", |bytes| service::fuzzing::answers(S::Postgres, bytes)),
    ("service_rdp", |bytes| service::fuzzing::answers(S::Rdp, bytes)),
    ("service_redis", |bytes| service::fuzzing::answers(S::Redis, bytes)),
    ("service_rpcbind", |bytes| service::fuzzing::answers(S::Rpcbind, bytes)),
    ("service_smb", |bytes| service::fuzzing::answers(S::Smb, bytes)),
    ("service_smtp", |bytes| service::fuzzing::answers(S::Smtp, bytes)),
    ("service_ssh", |bytes| service::fuzzing::answers(S::Ssh, bytes)),
    ("tcp_answer", tcp::fuzzing::answer),
    ("tls_certificate", tls::fuzzing::certificates),
    ("tls_first_flight", tls::fuzzing::first_flight),
    ("tls_ocsp", tls::fuzzing::stapled),
    ("tls_starttls", tls::fuzzing::start),
    ("trace_extension", traceroute::fuzzing::extension),
    ("trace_message", traceroute::fuzzing::message),
    ("trace_segment", traceroute::fuzzing::segment),
];

/// The file that says whose an address is.
fn origins(bytes: &[u8]) {
    if let Ok(origins) = crate::origins::Origins::parse(&String::from_utf8_lossy(bytes)) {
        for address in [[192, 0, 2, 1].into(), std::net::IpAddr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])] {
            origins.of(address);
        }
    }
}

#[cfg(test)]
#[path = "../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parser_reads_its_seeds_and_what_once_broke_it() {
        replay::all(PARSERS);
    }

    #[test]
    fn every_protocol_of_the_service_kind_is_in_the_list() {
        for protocol in S::ALL {
            let name = format!("service_{}", protocol.name());
            assert!(PARSERS.iter().any(|(known, _)| *known == name), "{name}");
        }
    }
}
