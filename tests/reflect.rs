//! Losses and packet sizes of one direction over a real router that drops in that direction only. Three namespaces without a way out.

use netsonde_contract::document::Document;
use netsonde_contract::observation::{Fact, Reflection, ReflectorKind};
use netsonde_tests::programs::program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

const SERVER: [&str; 2] = ["10.87.1.2", "fd87:0:0:1::2"];
const PORT: u16 = 8_862;

/// A client, a router and a reflector, taken down with the test.
struct Network {
    prefix: String,
    reflector: Option<Child>,
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(mut child) = self.reflector.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for node in ["c", "r", "s"] {
            let _ = Command::new("ip").args(["netns", "del", &self.node(node)]).output();
        }
    }
}

impl Network {
    fn new() -> Self {
        let network = Self { prefix: format!("nsr{}", std::process::id()), reflector: None };
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
             ip -n {client} addr add 10.87.0.1/24 dev c0; ip -n {client} addr add fd87::1/64 dev c0 nodad
             ip -n {router} addr add 10.87.0.254/24 dev r0; ip -n {router} addr add fd87::fe/64 dev r0 nodad
             ip -n {router} addr add 10.87.1.254/24 dev r1; ip -n {router} addr add fd87:0:0:1::fe/64 dev r1 nodad
             ip -n {server} addr add 10.87.1.2/24 dev s0; ip -n {server} addr add fd87:0:0:1::2/64 dev s0 nodad
             ip -n {client} link set c0 up; ip -n {router} link set r0 up; ip -n {router} link set r1 up; ip -n {server} link set s0 up
             ip -n {client} route add default via 10.87.0.254; ip -n {client} route add ::/0 via fd87::fe
             ip -n {server} route add default via 10.87.1.254; ip -n {server} route add ::/0 via fd87:0:0:1::fe
             for a in 10.87.1.2 fd87:0:0:1::2; do
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

    /// Starts the reflector and waits until it says that it listens.
    fn reflect(&mut self) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.node("s")]).arg(program("netsonde").unwrap());
        command.args(["reflect", "--allow", "10.87.0.0/24", "--allow", "fd87::/64"]);
        for server in SERVER {
            let address = if server.contains(':') { format!("[{server}]:{PORT}") } else { format!("{server}:{PORT}") };
            command.args(["--listen", &address]);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        for _ in SERVER {
            assert!(lines.next().unwrap().unwrap().contains("answering"), "it says where it listens");
        }
        std::thread::spawn(move || lines.for_each(drop));
        self.reflector = Some(child);
    }

    /// Ctrl-C, and what the reflector says at its end.
    fn end(&mut self) -> String {
        let mut child = self.reflector.take().unwrap();
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        text
    }

    /// Replaces the router's rules.
    fn rules(&self, rules: &str) {
        let router = self.node("r");
        self.shell(&format!(
            "ip netns exec {router} nft -f - <<'X'
flush ruleset
table inet f {{
  chain forward {{
    type filter hook forward priority 0;
{rules}
  }}
}}
X"
        ));
    }

    /// What the client measures, over both families.
    fn measure(&self, more: &[&str]) -> Vec<Reflection> {
        let measure = |address: &&str| {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &self.node("c")]).arg(program("netsonde").unwrap());
            command.args(["probe", "reflect", address, "--port", &PORT.to_string(), "--interval-ms", "5", "--timeout-ms", "500"]);
            let output = command.args(more).args(["--format", "json"]).output().unwrap();
            let document: Document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
            let fact = document.outcomes.into_iter().flat_map(|outcome| outcome.observations).next().unwrap().fact;
            let Fact::Reflection(reflection) = fact else { panic!("{fact:?}") };
            *reflection
        };
        SERVER.iter().map(measure).collect()
    }
}

/// Whether the test can run here. Without root it says so and passes, but for continuous integration, where that is a failure.
fn possible() -> bool {
    let root = nix::unistd::geteuid().is_root();
    let netns = Command::new("ip").args(["netns", "list"]).output().is_ok_and(|output| output.status.success());
    if !(root && netns) {
        assert!(std::env::var_os("CI").is_none(), "network namespaces need root and iproute2");
        eprintln!("skipped: loss and MTU of one direction: network namespaces need root and iproute2");
    }
    root && netns
}

#[test]
fn what_one_direction_alone_drops_is_told_from_the_other() {
    if !possible() {
        return;
    }
    let mut network = Network::new();
    network.reflect();
    for found in network.measure(&["--dscp", "46"]) {
        assert_eq!((found.sent, found.received, found.reflector), (50, 50, ReflectorKind::Stateful), "{found:?}");
        assert_eq!((found.forward.lost, found.reverse.lost, found.lost_unknown), (Some(0), Some(0), 0));
        assert_eq!((&found.forward.ttls, &found.reverse.ttls), (&vec![254], &vec![254]), "one router each way");
        assert_eq!((&found.forward.dscps, &found.reverse.dscps), (&vec![46], &vec![46]));
        assert_eq!((found.forward.mtu.unwrap().passed_bytes, found.reverse.mtu.unwrap().passed_bytes), (1_500, 1_500));
    }

    // Every fifth packet of each family, in one direction only.
    for (match_by, forward, reverse) in [("dport", 10, 0), ("sport", 0, 10)] {
        for family in ["ip", "ip6"] {
            network.rules(&format!(
                "meta nfproto {} udp {match_by} {PORT} numgen inc mod 5 0 drop",
                if family == "ip" { "ipv4" } else { "ipv6" }
            ));
            let place = usize::from(family == "ip6");
            let found = network.measure(&["--mtu=false"]).swap_remove(place);
            assert_eq!(
                (found.sent, found.forward.lost, found.reverse.lost),
                (50, Some(forward), Some(reverse)),
                "{family} {match_by}: {found:?}"
            );
            assert_eq!((found.received, found.lost_unknown), (40, 0));
        }
    }

    // Large packets, in one direction only, without a word.
    for (match_by, forward, reverse) in [("dport", 1_400, 1_400), ("sport", 1_500, 1_400)] {
        network.rules(&format!("udp {match_by} {PORT} meta length > 1400 drop"));
        for found in network.measure(&["--count", "5"]) {
            let (there, back) = (found.forward.mtu.unwrap(), found.reverse.mtu.unwrap());
            assert_eq!((there.passed_bytes, back.passed_bytes), (forward, reverse), "{match_by}: {found:?}");
            let stopped = (there.stopped_bytes, back.stopped_bytes);
            let expected = if match_by == "dport" { (Some(1_401), None) } else { (None, Some(1_401)) };
            assert_eq!(stopped, expected, "{match_by}");
        }
    }

    // All replies: nothing came back that could tell.
    network.rules(&format!("udp sport {PORT} drop"));
    for found in network.measure(&["--count", "3"]) {
        assert_eq!((found.forward.lost, found.reverse.lost, found.lost_unknown), (None, None, 3), "{found:?}");
    }

    let summary = network.end();
    assert!(summary.contains("sessions"), "{summary}");
    assert!(summary.contains("10 lost on the way here"), "{summary}");
}
