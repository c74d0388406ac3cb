//! The path MTU over a real router: wide, narrow and told, narrow and silent; over UDP without any right and over TCP.

use crate::small_network::{SmallNetwork, possible};
use netsonde_contract::document::Document;
use netsonde_contract::observation::{Fact, Mtu, MtuLimit, MtuTransport};
use netsonde_tests::programs::program;
use nix::sched::{CloneFlags, setns};
use std::net::{IpAddr, Ipv6Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tempfile::TempDir;

/// The unprivileged user of every Linux.
const NOBODY: &str = "65534";
const TCP_PORT: u16 = 8_080;

/// A place where everybody may run the program.
fn for_everybody() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(program("netsonde").unwrap(), folder.path().join("netsonde")).unwrap();
    folder
}

/// What an unprivileged user's netsonde measures, over both families.
fn over_udp(network: &SmallNetwork, folder: &TempDir) -> Vec<Mtu> {
    let mtu = |address: String| {
        let mut command = network.command("c");
        command.args(["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        command.args(["--bounding-set", "-all", "--inh-caps", "-all"]).arg(folder.path().join("netsonde"));
        measured(command.args(["probe", "mtu", &address]))
    };
    network.server().map(mtu).into()
}

/// What root's measures within connections.
fn over_tcp(network: &SmallNetwork) -> Vec<Mtu> {
    let mtu = |address: String| {
        let mut command = network.command("c");
        command.arg(program("netsonde").unwrap()).args(["probe", "mtu", &address]);
        let mtu = measured(command.args(["--transport", "tcp", "--port", &TCP_PORT.to_string()]));
        assert_eq!((mtu.transport, mtu.port), (MtuTransport::Tcp, Some(TCP_PORT)));
        mtu
    };
    network.server().map(mtu).into()
}

fn measured(command: &mut Command) -> Mtu {
    let output = command.args(["--format", "json"]).output().unwrap();
    let document: Document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let fact = document.outcomes.into_iter().flat_map(|outcome| outcome.observations).next().unwrap().fact;
    let Fact::Mtu(mtu) = fact else { panic!("{fact:?}") };
    *mtu
}

/// Listens in the server's namespace, and keeps each connection without a word until the test ends.
fn listen(network: &SmallNetwork) {
    let namespace = std::fs::File::open(format!("/run/netns/{}", network.node("s"))).unwrap();
    // Only this thread enters it.
    let thread = std::thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, TCP_PORT)).unwrap()
    });
    let listener = thread.join().unwrap();
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
}

const ROUTER_SAYS_NOTHING: &str = "icmp type destination-unreachable drop\nicmpv6 type packet-too-big drop";

fn narrow(network: &SmallNetwork, bytes: u32) {
    let (router, server) = (network.node("r"), network.node("s"));
    network.shell(&format!("ip -n {router} link set r1 mtu {bytes}; ip -n {server} link set s0 mtu {bytes}"));
}

#[test]
fn a_router_that_tells_is_told_from_one_that_swallows() {
    if !possible("the path MTU over a router") {
        return;
    }
    let (network, folder) = (SmallNetwork::new("m", 88), for_everybody());
    for mtu in over_udp(&network, &folder) {
        assert_eq!((mtu.passed_bytes, mtu.limit), (Some(1_500), MtuLimit::None), "{mtu:?}");
    }

    narrow(&network, 1_400);
    for (mtu, offender) in over_udp(&network, &folder).into_iter().zip(network.router()) {
        assert_eq!((mtu.passed_bytes, mtu.limit), (Some(1_400), MtuLimit::Told), "{mtu:?}");
        let told = mtu.told.unwrap();
        assert_eq!((told.offender, told.mtu), (offender.parse::<IpAddr>().unwrap(), Some(1_400)));
    }

    network.filter("r", "output", ROUTER_SAYS_NOTHING);
    for mtu in over_udp(&network, &folder) {
        assert_eq!((mtu.passed_bytes, mtu.stopped_bytes, mtu.limit), (Some(1_400), Some(1_401), MtuLimit::Untold), "{mtu:?}");
        assert!(mtu.told.is_none());
    }
}

#[test]
fn a_host_that_is_silent_to_udp_is_measured_within_a_connection() {
    if !possible("the path MTU within a connection") {
        return;
    }
    let (network, folder) = (SmallNetwork::new("t", 89), for_everybody());
    listen(&network);
    network.filter("s", "input", "meta l4proto udp drop");
    for mtu in over_udp(&network, &folder) {
        assert_eq!((mtu.passed_bytes, mtu.limit), (None, MtuLimit::Unknown), "{mtu:?}");
    }
    for mtu in over_tcp(&network) {
        assert_eq!((mtu.passed_bytes, mtu.limit), (Some(1_500), MtuLimit::None), "{mtu:?}");
        assert_eq!(mtu.announced_bytes(), Some(1_500));
    }

    // The link behind the router alone: the server's own interface would announce it.
    let router = network.node("r");
    network.shell(&format!("ip -n {router} link set r1 mtu 1400"));
    for (mtu, offender) in over_tcp(&network).into_iter().zip(network.router()) {
        assert_eq!((mtu.passed_bytes, mtu.limit, mtu.announced_bytes()), (Some(1_400), MtuLimit::Told, Some(1_500)), "{mtu:?}");
        let told = mtu.told.unwrap();
        assert_eq!((told.offender, told.mtu), (offender.parse::<IpAddr>().unwrap(), Some(1_400)));
    }

    network.filter("r", "output", ROUTER_SAYS_NOTHING);
    for mtu in over_tcp(&network) {
        assert_eq!((mtu.passed_bytes, mtu.stopped_bytes, mtu.limit), (Some(1_400), Some(1_401), MtuLimit::Untold), "{mtu:?}");
        assert!(mtu.told.is_none() && mtu.failure.is_none());
    }

    // A router that follows connections drops what does not fit into them.
    network.filter("r", "forward", "ct state invalid drop\nct state established,related,new accept");
    for mtu in over_tcp(&network) {
        assert_eq!((mtu.passed_bytes, mtu.limit), (Some(1_400), MtuLimit::Told), "{mtu:?}");
    }
}

#[test]
fn a_connection_s_packets_are_not_measured_without_a_right_and_the_right_is_named() {
    if !possible("the path MTU within a connection, unprivileged") {
        return;
    }
    let folder = for_everybody();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--bounding-set", "-all", "--inh-caps", "-all"]);
    command.arg(folder.path().join("netsonde")).args(["probe", "mtu", "127.0.0.1", "--transport", "tcp"]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("needs raw sockets") && text.contains("transport \"udp\""), "{text}");
}
