use super::{Means, Right, Sight};
use crate::kind::Kind;
use Means::{Free, Unbuilt, With};
use Right::{Administrator, LowPorts, OtherProcesses, PacketFilter, Ping, RawSockets};

const EVERYWHERE: [Means; 3] = [Free, Free, Free];
const LINUX: [Means; 3] = [Free, Unbuilt, Unbuilt];
/// Built for Linux and Windows, and for either without any right.
const BUT_MACOS: [Means; 3] = [Free, Free, Unbuilt];
const WINDOWS: [Means; 3] = [Unbuilt, Free, Unbuilt];
const LINUX_RAW: [Means; 3] = [With(RawSockets), Unbuilt, Unbuilt];

const fn sight(name: &'static str, kind: Kind, means: [Means; 3], what: &'static str) -> Sight {
    Sight { name, kind: Some(kind), what, means, instead: None }
}

macro_rules! sights {
    ($($(#[$meta:meta])* $constant:ident = $sight:expr;)*) => {
        $($(#[$meta])* pub const $constant: Sight = $sight;)*
        /// All of them, those of one kind together.
        pub const SIGHTS: &[&Sight] = &[$(&$constant,)*];
    };
}

sights! {
    DNS_ANSWERS = sight("dns.answers", Kind::Dns, EVERYWHERE, "each name server's answer over UDP, TCP, TLS, HTTPS and QUIC");
    DNS_SYSTEM = sight("dns.system", Kind::Dns, EVERYWHERE, "the system's own answer, its hosts file and its resolvers");
    DNS_REJECTED = sight("dns.rejected", Kind::Dns, LINUX, "the router that rejected a question");
    TCP_CONNECT = sight("tcp.connect", Kind::Tcp, EVERYWHERE, "connections, their times and their failures");
    TCP_INFO = sight("tcp.info", Kind::Tcp, BUT_MACOS, "the kernel's own figures of a connection");
    TCP_REJECTED = sight("tcp.rejected", Kind::Tcp, LINUX, "the router that rejected a connection");
    TCP_ANSWER = sight("tcp.answer", Kind::Tcp, LINUX_RAW, "the TTL of the packet that answers a connection attempt");
    ICMP_ECHO = sight("icmp.echo", Kind::Icmp, [With(Ping), Free, Free], "echo replies, their times and loss");
    ICMP_STAMPS = sight("icmp.stamps", Kind::Icmp, [With(Ping), Unbuilt, Unbuilt], "the kernel's stamps of sending and receiving");
    ICMP_ERRORS = sight("icmp.errors", Kind::Icmp, [With(Ping), Free, Free], "the router that rejected an echo request");
    TRACEROUTE_UDP = sight("traceroute.udp", Kind::Traceroute, LINUX, "tracing with UDP");
    TRACEROUTE_TCP = sight("traceroute.tcp", Kind::Traceroute, LINUX, "tracing with SYNs");
    TRACEROUTE_ICMP = Sight {
        instead: Some("take protocol \"udp\", which needs no right"),
        ..sight("traceroute.icmp", Kind::Traceroute, [With(RawSockets), Free, Free], "tracing with ICMP")
    };
    TRACEROUTE_SESSION = Sight {
        instead: Some("take protocol \"tcp\", which needs no right"),
        ..sight("traceroute.session", Kind::Traceroute, LINUX_RAW, "tracing within a connection")
    };
    TRACEROUTE_QUOTES = sight(
        "traceroute.quotes",
        Kind::Traceroute,
        [With(RawSockets), Unbuilt, Free],
        "the probe's headers as routers got them: rewriting and marking on the way",
    );
    TRACEROUTE_TCP_PATHS = Sight {
        instead: Some("take protocol \"udp\", which needs no right"),
        ..sight("traceroute.tcp_paths", Kind::Traceroute, LINUX_RAW, "parallel paths by TCP")
    };
    MTU_UDP = sight("mtu.udp", Kind::Mtu, LINUX, "the largest packet by UDP");
    MTU_ICMP = sight("mtu.icmp", Kind::Mtu, WINDOWS, "the largest packet by echo requests");
    MTU_TCP = Sight {
        instead: Some("take transport \"udp\", which needs no right"),
        ..sight("mtu.tcp", Kind::Mtu, LINUX_RAW, "measuring packet sizes within a connection")
    };
    TLS_HANDSHAKE = sight("tls.handshake", Kind::Tls, EVERYWHERE, "handshakes, certificates, versions, ciphers and groups");
    HTTP_EXCHANGE = sight("http.exchange", Kind::Http, EVERYWHERE, "requests with their phases, redirects and expectations");
    QUIC_HANDSHAKE = sight("quic.handshake", Kind::Quic, EVERYWHERE, "handshakes over QUIC");
    PROXY_REACH = sight("proxy.reach", Kind::Proxy, EVERYWHERE, "what a proxy asks for and lets through");
    NTP_OFFSET = sight("ntp.offset", Kind::Ntp, EVERYWHERE, "the clock's offset");
    NTP_STAMPS = sight("ntp.stamps", Kind::Ntp, LINUX, "the kernel's stamp of a time server's answer");
    CLOUD_METADATA = sight("cloud.metadata", Kind::Cloud, EVERYWHERE, "metadata services and platform addresses");
    REFLECT_DIRECTIONS = sight("reflect.directions", Kind::Reflect, EVERYWHERE, "loss and delay of each direction");
    REFLECT_MTU = sight("reflect.mtu", Kind::Reflect, LINUX, "the largest packet of each direction");
    LOAD_LATENCY = sight("load.latency", Kind::Load, EVERYWHERE, "throughput, and the delay under it");
    SERVICE_GREETING = sight("service.greeting", Kind::Service, EVERYWHERE, "whether a living service of a protocol answers");
    SERVICE_DHCP = sight("service.dhcp", Kind::Service, [With(LowPorts), With(Administrator), With(Administrator)], "what a DHCP server offers");
    HOST_INTERFACES = sight("host.interfaces", Kind::Host, EVERYWHERE, "interfaces, resolvers and proxies");
    HOST_ROUTES = sight("host.routes", Kind::Host, EVERYWHERE, "the routes that are taken");
    HOST_NEIGHBOURS = sight("host.neighbours", Kind::Host, BUT_MACOS, "routing rules and neighbours");
    HOST_SOCKETS = sight("host.sockets", Kind::Host, BUT_MACOS, "sockets by state, with one's own programs");
    HOST_OWNERS = sight("host.owners", Kind::Host, [With(OtherProcesses), With(Administrator), Unbuilt], "other users' programs behind sockets");
    HOST_COUNTERS = sight("host.counters", Kind::Host, EVERYWHERE, "what the kernel counts, before and after the run");
    HOST_FIREWALL = sight("host.firewall", Kind::Host, [With(PacketFilter), Unbuilt, Unbuilt], "the packet filter's rules and counters");
    HOST_DUPLICATES = sight("host.duplicates", Kind::Host, LINUX_RAW, "other machines with this machine's addresses");
    /// A part of any run.
    CAPTURE = Sight { kind: None, ..sight("capture", Kind::Tcp, LINUX_RAW, "capturing the run's own packets") };
}
