//! What can be broken: one row a fault, in the order of the exchange.

use super::oddity::Oddity;
use super::place::{self, Place};
use super::plot::Set;
use super::plot::Set::{
    Dns, Latency, Outbound, Path, Port, Private, Quic, Quick, Service, SignIn, Smtp, Sql, Storage, Time, Tls, Vpn, Web,
};
use crate::scenario::{Family, Material, ServiceKind};
use netsonde_tests::certificates::Flaw;

/// How early in an exchange a fault is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Client,
    Name,
    Way,
    Connection,
    Secured,
    Page,
}

/// Where the fault lies.
#[derive(Clone, Copy)]
pub(super) enum Breaks {
    /// The name server behaves as the host's first label says.
    Name(&'static str),
    /// The web server behaves as the path says.
    Page(&'static str),
    /// The same, of a server at port 8080 that does what a sane one never would.
    Unruly(&'static str),
    /// A server at a port of its own, with its text and what is wrong with its certificate.
    Server(u16, ServiceKind, &'static str, Flaw),
    /// The network, at a place that is drawn.
    Network(Place),
}

/// What is broken, how it can be asked for, and what it is called.
#[derive(Clone, Copy)]
pub(super) struct Fault {
    pub name: &'static str,
    pub stage: Stage,
    /// Nothing behind it can be seen.
    pub stops: bool,
    /// The sets that show it.
    pub sets: &'static [Set],
    pub secure: Option<bool>,
    pub named: Option<bool>,
    pub family: Option<Family>,
    pub routers: u8,
    /// It shows in pings only, so that everybody must be allowed some.
    pub pings: bool,
    /// It stands by itself, because it changes what is asked of whom.
    pub alone: bool,
    /// Seconds of quiet before it is asked for.
    pub quiet_s: u64,
    /// With these it would be no fault, or another.
    pub without: &'static [Oddity],
    pub breaks: Breaks,
    /// The causes that are right, the best first.
    pub causes: &'static [&'static str],
    /// The same for whoever has no raw sockets, where it differs.
    pub unprivileged: &'static [&'static str],
    pub material: Option<Material>,
    pub mutual: bool,
}

/// A connection, whatever it is for.
const CONNECTIONS: &[Set] = &[Web, Storage, SignIn, Port, Outbound, Private, Service, Smtp, Sql];
/// The same, and the way itself.
const ALL_WAYS: &[Set] = &[Web, Storage, SignIn, Port, Outbound, Private, Service, Smtp, Sql, Path, Latency, Quick, Vpn, Time];
/// Series of pings.
const SERIES: &[Set] = &[Path, Latency, Vpn];
/// A certificate is looked at in the first handshake.
const CERTIFICATES: &[Set] = &[Web, Storage, SignIn, Outbound, Private, Tls];
/// A name comes before all else.
const NAMES: &[Set] = &[Web, Storage, SignIn, Port, Outbound, Private, Service, Smtp, Dns];

const NEEDS_ICMP: &[Oddity] = &[Oddity::IcmpFiltered];
const NEEDS_PINGS: &[Oddity] = &[Oddity::IcmpFiltered, Oddity::PingDropped];

impl Fault {
    const fn new(
        name: &'static str,
        stage: Stage,
        sets: &'static [Set],
        breaks: Breaks,
        causes: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            stage,
            stops: true,
            sets,
            secure: None,
            named: None,
            family: None,
            routers: 0,
            pings: false,
            alone: false,
            quiet_s: 0,
            without: NEEDS_ICMP,
            breaks,
            causes,
            unprivileged: &[],
            material: None,
            mutual: false,
        }
    }

    const fn client(name: &'static str, place: Place, causes: &'static [&'static str]) -> Self {
        Self::new(name, Stage::Client, CONNECTIONS, Breaks::Network(place), causes)
    }

    const fn name(label: &'static str, causes: &'static [&'static str]) -> Self {
        Self { named: Some(true), without: &[], ..Self::new(label, Stage::Name, NAMES, Breaks::Name(label), causes) }
    }

    /// All of the way; the name server, which is the same machine, must not be asked.
    const fn way(name: &'static str, routers: u8, place: Place, causes: &'static [&'static str]) -> Self {
        let base = Self::new(name, Stage::Way, ALL_WAYS, Breaks::Network(place), causes);
        Self { named: Some(false), routers, ..base }
    }

    /// What a cable does to packets, which hides nothing.
    const fn packets(name: &'static str, sets: &'static [Set], place: Place, causes: &'static [&'static str]) -> Self {
        let base = Self::new(name, Stage::Way, sets, Breaks::Network(place), causes);
        Self { stops: false, pings: true, without: NEEDS_PINGS, ..base }
    }

    const fn connection(name: &'static str, routers: u8, place: Place, causes: &'static [&'static str]) -> Self {
        Self { routers, ..Self::new(name, Stage::Connection, CONNECTIONS, Breaks::Network(place), causes) }
    }

    /// A service at a port of its own is none, or not one for this client.
    const fn service(
        name: &'static str,
        kind: ServiceKind,
        port: u16,
        text: &'static str,
        causes: &'static [&'static str],
    ) -> Self {
        let breaks = Breaks::Server(port, kind, text, Flaw::None);
        Self { named: Some(false), alone: true, without: &[], ..Self::new(name, Stage::Page, &[Service], breaks, causes) }
    }

    const fn certificate(name: &'static str, flaw: Flaw, causes: &'static [&'static str]) -> Self {
        let base = Self::new(name, Stage::Secured, CERTIFICATES, Breaks::Server(444, ServiceKind::Https, "", flaw), causes);
        Self { stops: false, ..base.secured() }
    }

    const fn tls(name: &'static str, kind: ServiceKind, text: &'static str, causes: &'static [&'static str]) -> Self {
        Self::new(name, Stage::Secured, &[Web, Tls], Breaks::Server(444, kind, text, Flaw::None), causes).secured()
    }

    const fn page(path: &'static str, causes: &'static [&'static str]) -> Self {
        Self { without: &[], ..Self::new(path, Stage::Page, &[Web], Breaks::Page(path), causes) }
    }

    const fn unruly(path: &'static str, causes: &'static [&'static str]) -> Self {
        let base = Self::new(path, Stage::Page, &[Web], Breaks::Unruly(path), causes);
        Self { secure: Some(false), without: &[], ..base }
    }

    const fn secured(self) -> Self {
        Self { secure: Some(true), named: Some(true), without: &[], ..self }
    }

    /// The causes that are right for this user.
    pub(super) fn causes(&self, privileged: bool) -> &'static [&'static str] {
        if privileged || self.unprivileged.is_empty() { self.causes } else { self.unprivileged }
    }
}

pub(super) const FAULTS: &[Fault] = &[
    Fault::client("no route on the client", place::no_route_here, &["host.no_route"]),
    Fault::client("a route on the client forbids the server", place::forbidden_here, &["host.no_route"]),
    Fault::client("the gateway is an address that nobody has", place::gateway_gone, &["host.gateway_unresolved"]),
    Fault {
        without: &[Oddity::Delay, Oddity::Twin, Oddity::IcmpFiltered],
        ..Fault::client("the client's cable is dead", place::cable_dead, &["host.link_down"])
    },
    Fault::client("the client's interface is off", place::interface_off, &["host.link_down"]),
    Fault::client("the client's own firewall rejects", place::firewall_here, &["host.firewall_local"]),
    Fault {
        named: Some(true),
        alone: true,
        without: &[],
        ..Fault::client("no name server is set", place::no_resolver, &["host.no_resolver"])
    },
    Fault {
        named: Some(true),
        alone: true,
        ..Fault::client("a stale line in the hosts file", place::stale_hosts, &["host.hosts_file_override"])
    },
    Fault {
        sets: &[Port],
        named: Some(false),
        ..Fault::client("the client has four local ports", place::few_ports, &["host.ephemeral_ports_exhausted"])
    },
    Fault::name("nx", &["dns.nxdomain"]),
    Fault::name("servfail", &["dns.servfail"]),
    Fault::name("refused", &["dns.refused"]),
    Fault::name("notimp", &["dns.other_rcode"]),
    Fault::name("nodata", &["dns.no_data"]),
    Fault::name("circle", &["dns.cname_loop"]),
    Fault::name("silent", &["dns.name_unanswered"]),
    Fault::name("bogus", &["dns.dnssec_bogus"]),
    Fault::name("bogon", &["dns.bogon_answer"]),
    Fault { sets: &[Dns], stops: false, ..Fault::name("slow", &["dns.resolver_slow"]) },
    Fault {
        named: Some(true),
        ..Fault::new(
            "the name server is unreachable",
            Stage::Name,
            NAMES,
            Breaks::Network(place::resolver_dead),
            &["dns.resolver_unreachable"],
        )
    },
    Fault {
        named: Some(true),
        stops: false,
        routers: 1,
        ..Fault::new(
            "the first of two name servers is dead",
            Stage::Name,
            &[Web],
            Breaks::Network(place::first_resolver_dead),
            &["dns.resolver_unreachable"],
        )
    },
    Fault::way("a router drops all for the server", 1, place::drop_target, &["path.target_silent", "path.blackhole"]),
    Fault::way("a router's route is a black hole", 1, place::black_hole, &["path.target_silent", "path.blackhole"]),
    Fault::way("the server is silent", 1, place::server_silent, &["path.target_silent"]),
    Fault::way("a router has no route", 1, place::no_route, &["path.no_route"]),
    Fault::way("a router's route forbids the server", 1, place::forbidden, &["path.admin_prohibited"]),
    Fault::way("a router rejects all for the server", 1, place::reject_target, &["path.admin_prohibited"]),
    Fault::way("two routers send it to each other", 2, place::routing_loop, &["path.routing_loop"]),
    Fault {
        quiet_s: 5,
        sets: &[Web, Port, Outbound, Private, Service, Smtp],
        without: &[Oddity::IcmpFiltered, Oddity::Twin],
        ..Fault::way("nobody has the server's address", 1, place::target_down, &["path.target_down"])
    },
    Fault {
        named: Some(true),
        family: Some(Family::V4),
        routers: 1,
        stops: false,
        ..Fault::new("IPv6 is dropped", Stage::Way, &[Web], Breaks::Network(place::ipv6_broken), &["path.ipv6_broken"])
    },
    Fault {
        routers: 2,
        without: &[Oddity::IcmpFiltered, Oddity::SmallMtu],
        ..Fault::new(
            "large packets vanish",
            Stage::Way,
            &[Web, Path, Vpn],
            Breaks::Network(place::mtu_black_hole),
            &["path.mtu_blackhole"],
        )
    },
    // Connections show it where nobody answers to ping.
    Fault { without: &[], ..Fault::packets("packets are lost", &[Web, Port, Path, Latency], place::loss, &["path.loss"]) },
    Fault::packets("packets are lost in bursts", SERIES, place::loss_in_bursts, &["path.loss"]),
    Fault::packets("packets arrive twice", SERIES, place::duplicates, &["path.duplicates"]),
    // Only pings that follow each other fast can overtake.
    Fault::packets("packets overtake each other", &[Path], place::disorder, &["path.reordered"]),
    Fault {
        without: &[Oddity::IcmpFiltered, Oddity::PingDropped, Oddity::Delay],
        ..Fault::packets("packets wait in a queue", SERIES, place::queue, &["path.congestion"])
    },
    Fault {
        routers: 3,
        alone: true,
        without: &[Oddity::Twin],
        ..Fault::packets("one of two routers is bad", &[Web, Port], place::bad_member, &["path.ecmp_member_bad"])
    },
    Fault {
        secure: Some(true),
        named: Some(true),
        routers: 1,
        alone: true,
        ..Fault::new(
            "UDP to port 443 is dropped",
            Stage::Way,
            &[Quic],
            Breaks::Network(place::udp_blocked),
            &["path.udp_blocked"],
        )
    },
    Fault::connection("the port is dropped", 0, place::drop_port, &["tcp.filtered"]),
    Fault {
        unprivileged: &["tcp.refused", "tcp.rejected_by_middlebox"],
        ..Fault::connection("a router resets connections", 1, place::reset_port, &["tcp.rejected_by_middlebox"])
    },
    Fault::connection("a router rejects the port", 1, place::reject_port, &["path.admin_prohibited"]),
    Fault { without: &[], ..Fault::connection("nothing listens", 0, place::nothing_listens, &["tcp.refused"]) },
    Fault {
        sets: &[Web, Port],
        without: &[],
        stops: false,
        ..Fault::connection("every second connection is refused", 0, place::every_second, &["tcp.backend_unhealthy"])
    },
    Fault {
        routers: 1,
        ..Fault::new(
            "segments with data are dropped",
            Stage::Connection,
            &[Web, Service, Smtp, Sql],
            Breaks::Network(place::data_dropped),
            &["tcp.data_dropped"],
        )
    },
    Fault {
        pings: true,
        quiet_s: 4,
        alone: true,
        // Over a cable the SYNs arrive at once, before the first of them can fill the queue.
        without: &[Oddity::Delay, Oddity::Twin],
        ..Fault::new(
            "the accept queue is full",
            Stage::Connection,
            &[Port],
            Breaks::Server(81, ServiceKind::Busy, "400", Flaw::None),
            &["tcp.accept_queue_full"],
        )
    },
    Fault::service("the service says nothing", ServiceKind::Silence, 2_222, "", &["service.no_greeting"]),
    Fault::service(
        "the port is another protocol's",
        ServiceKind::Banner,
        2_223,
        "220 mx.lab ESMTP\r\n",
        &["service.wrong_protocol"],
    ),
    Fault {
        sets: &[Smtp],
        ..Fault::service(
            "the service refuses",
            ServiceKind::Banner,
            2_525,
            "554 not from there\r\n",
            &["service.refused_by_policy"],
        )
    },
    Fault { sets: &[Time], ..Fault::connection("the time is wrong", 0, place::wrong_time, &["host.clock_skew"]) },
    Fault { sets: &[Time], without: &[], ..Fault::connection("nobody tells the time", 0, place::no_time, &["udp.refused"]) },
    Fault::certificate("the certificate has expired", Flaw::Expired, &["tls.expired"]),
    Fault::certificate("the certificate is not yet valid", Flaw::NotYetValid, &["tls.not_yet_valid"]),
    Fault::certificate("the certificate is signed by itself", Flaw::SelfSigned, &["tls.self_signed"]),
    Fault::certificate("nobody knows the issuer", Flaw::UnknownIssuer, &["tls.unknown_issuer"]),
    Fault::certificate("the intermediate is missing", Flaw::MissingIntermediate, &["tls.chain_incomplete"]),
    Fault::certificate("a firewall opens connections", Flaw::Inspected, &["tls.intercepted"]),
    Fault { stops: false, ..Fault::tls("the certificate is for another name", ServiceKind::Https, "", &["tls.name_mismatch"]) },
    Fault {
        mutual: true,
        ..Fault::tls("a certificate of the client is wanted", ServiceKind::Https, "", &["tls.client_certificate_required"])
    },
    Fault::tls("the handshake is never answered", ServiceKind::Silence, "", &["tls.handshake_timeout"]),
    Fault::tls("no TLS is spoken", ServiceKind::Http, "", &["tls.not_tls"]),
    Fault::tls("a filter knows the name", ServiceKind::NameFilter, "ok", &["tls.sni_blocked"]),
    Fault::tls("a large hello is never read", ServiceKind::SmallHellos, "", &["tls.large_hello_blocked"]),
    Fault::tls("TLS 1.0 only", ServiceKind::Openssl, "-tls1 -cipher ALL:@SECLEVEL=0", &["tls.version_unsupported"]),
    Fault::tls("another application protocol", ServiceKind::Openssl, "-alpn xmpp-client", &["tls.alpn_mismatch"]),
    Fault {
        material: Some(Material::WeakCertificate),
        ..Fault::tls("a weak certificate", ServiceKind::Openssl, "-cipher ALL:@SECLEVEL=0", &["tls.weak_certificate"])
    },
    Fault::page("/404", &["http.client_error"]),
    Fault::page("/403", &["http.client_error"]),
    Fault::page("/500", &["http.server_error"]),
    Fault::page("/503", &["http.server_error"]),
    Fault::page("/loop", &["http.redirect_loop"]),
    Fault::page("/slow/1500", &["http.slow_server"]),
    Fault::page("/slow/3000", &["http.slow_server"]),
    Fault::unruly("/reset", &["tcp.reset_midstream"]),
    Fault::unruly("/close", &["tcp.closed_early"]),
    Fault::unruly("/short", &["tcp.closed_early"]),
    Fault::unruly("/drip", &["http.slow_transfer"]),
    Fault::unruly("/blocked", &["http.blocked_page"]),
    Fault {
        secure: Some(true),
        named: Some(true),
        routers: 1,
        alone: true,
        without: &[],
        ..Fault::new(
            "the proxy is down",
            Stage::Connection,
            &[Web],
            Breaks::Network(place::proxy_down),
            &["http.proxy_unreachable"],
        )
    },
    Fault {
        secure: Some(true),
        named: Some(true),
        routers: 1,
        alone: true,
        without: &[],
        ..Fault::new(
            "the proxy wants a sign-in",
            Stage::Page,
            &[Web],
            Breaks::Network(place::proxy_sign_in),
            &["http.proxy_auth_required"],
        )
    },
];
