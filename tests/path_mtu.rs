//! The path MTU over a real router: wide, narrow and told, narrow and silent. Three namespaces without a way out.

use netsonde_contract::document::Document;
use netsonde_contract::observation::{Fact, Mtu, MtuLimit};
use netsonde_tests::programs::program;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const SERVER: [&str; 2] = ["10.88.1.2", "fd88:0:0:1::2"];
const ROUTER: [&str; 2] = ["10.88.0.254", "fd88::fe"];
/// The unprivileged user of every Linux.
const NOBODY: &str = "65534";

/// A client, a router and a server, taken down with the test.
struct Network {
    prefix: String,
    /// Where everybody may run the program.
    folder: tempfile::TempDir,
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in ["c", "r", "s"] {
            let _ = Command::new("ip").args(["netns", "del", &self.node(node)]).output();
        }
    }
}

impl Network {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::copy(program("netsonde").unwrap(), folder.path().join("netsonde")).unwrap();
        let network = Self { prefix: format!("nsm{}", std::process::id()), folder };
        let [client, router, server] = ["c", "r", "s"].map(|node| network.node(node));
        network.shell(&format!(
            "for n in {client} {router} {server}; do
               ip netns add $n
               ip netns exec $n sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
               ip -n $n link set lo up
             done
             ip netns exec {router} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
             ip -n {client} link add c0 type veth peer name r0 netns {router}
             ip -n {router} link add r1 type veth peer name s0 netns {server}
             ip -n {client} addr add 10.88.0.1/24 dev c0; ip -n {client} addr add fd88::1/64 dev c0 nodad
             ip -n {router} addr add 10.88.0.254/24 dev r0; ip -n {router} addr add fd88::fe/64 dev r0 nodad
             ip -n {router} addr add 10.88.1.254/24 dev r1; ip -n {router} addr add fd88:0:0:1::fe/64 dev r1 nodad
             ip -n {server} addr add 10.88.1.2/24 dev s0; ip -n {server} addr add fd88:0:0:1::2/64 dev s0 nodad
             ip -n {client} link set c0 up; ip -n {router} link set r0 up; ip -n {router} link set r1 up; ip -n {server} link set s0 up
             ip -n {client} route add default via 10.88.0.254; ip -n {client} route add ::/0 via fd88::fe
             ip -n {server} route add default via 10.88.1.254; ip -n {server} route add ::/0 via fd88:0:0:1::fe
             for a in 10.88.1.2 fd88:0:0:1::2; do
               for i in $(seq 50); do ip netns exec {client} ping -c1 -W1 $a >/dev/null && break; sleep 0.1; done
             done"
        ));
        network
    }

    fn node(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn shell(&self, commands: &str) {
        let output = Command::new("sh").args(["-e", "-c", commands]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What an unprivileged user's netsonde measures, over both families.
    fn measure(&self) -> Vec<Mtu> {
        let mtu = |address: &&str| {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &self.node("c"), "setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
            command.args(["--bounding-set", "-all", "--inh-caps", "-all"]).arg(self.folder.path().join("netsonde"));
            let output = command.args(["probe", "mtu", address, "--format", "json"]).output().unwrap();
            let document: Document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
            let fact = document.outcomes.into_iter().flat_map(|outcome| outcome.observations).next().unwrap().fact;
            let Fact::Mtu(mtu) = fact else { panic!("{fact:?}") };
            *mtu
        };
        SERVER.iter().map(mtu).collect()
    }
}

/// Whether the test can run here. Without root it says so and passes, but for continuous integration, where that is a failure.
fn possible() -> bool {
    let root = nix::unistd::geteuid().is_root();
    let netns = Command::new("ip").args(["netns", "list"]).output().is_ok_and(|output| output.status.success());
    if !(root && netns) {
        assert!(std::env::var_os("CI").is_none(), "network namespaces need root and iproute2");
        eprintln!("skipped: the path MTU over a router: network namespaces need root and iproute2");
    }
    root && netns
}

#[test]
fn a_router_that_tells_is_told_from_one_that_swallows() {
    if !possible() {
        return;
    }
    let network = Network::new();
    let (router, server) = (network.node("r"), network.node("s"));
    for mtu in network.measure() {
        assert_eq!((mtu.passed_bytes, mtu.limit), (Some(1_500), MtuLimit::None), "{mtu:?}");
    }

    network.shell(&format!("ip -n {router} link set r1 mtu 1400; ip -n {server} link set s0 mtu 1400"));
    for (mtu, offender) in network.measure().into_iter().zip(ROUTER) {
        assert_eq!((mtu.passed_bytes, mtu.limit), (Some(1_400), MtuLimit::Told), "{mtu:?}");
        let told = mtu.told.unwrap();
        assert_eq!((told.offender, told.mtu), (offender.parse::<IpAddr>().unwrap(), Some(1_400)));
    }

    network.shell(&format!(
        "ip netns exec {router} nft -f - <<'X'
table inet silent {{
  chain output {{
    type filter hook output priority 0;
    icmp type destination-unreachable drop
    icmpv6 type packet-too-big drop
  }}
}}
X"
    ));
    for mtu in network.measure() {
        assert_eq!((mtu.passed_bytes, mtu.stopped_bytes, mtu.limit), (Some(1_400), Some(1_401), MtuLimit::Untold), "{mtu:?}");
        assert!(mtu.told.is_none());
    }
}
