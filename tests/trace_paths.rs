//! Traceroutes over real routers: ten hops with a silent one under the kernel's own ICMP limits, and two paths one of which loses
//! packets. Namespaces without a way out.

use crate::small_network::possible;
use netsonde_contract::document::Document;
use netsonde_contract::observation::{Fact, Hop, Trace, TraceProtocol};
use netsonde_tests::programs::program;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

/// The unprivileged user of every Linux.
const NOBODY: &str = "65534";

/// Nodes that are taken down with the test.
struct Network {
    prefix: String,
    nodes: Vec<String>,
    /// Where everybody may run the program.
    folder: tempfile::TempDir,
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in &self.nodes {
            let _ = Command::new("ip").args(["netns", "del", &format!("{}{node}", self.prefix)]).output();
        }
    }
}

impl Network {
    /// `@` stands for the prefix of every node's name.
    fn new(name: &str, nodes: &[String], links: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::copy(program("netsonde").unwrap(), folder.path().join("netsonde")).unwrap();
        let network = Self { prefix: format!("ns{name}{}-", std::process::id()), nodes: nodes.to_vec(), folder };
        let mut commands = String::new();
        for node in nodes {
            writeln!(
                commands,
                "ip netns add @{node}; ip netns exec @{node} sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 \
                 net.ipv4.conf.default.rp_filter=0 net.ipv4.fib_multipath_hash_policy=1; ip -n @{node} link set lo up"
            )
            .unwrap();
        }
        network.shell(&(commands + links));
        network
    }

    fn shell(&self, commands: &str) {
        let output = Command::new("sh").args(["-e", "-c", &commands.replace('@', &self.prefix)]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What netsonde sees from the first node, and how long it took.
    fn trace(&self, as_nobody: bool, arguments: &[&str]) -> (Trace, Vec<Hop>, Duration) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}{}", self.prefix, self.nodes[0])]);
        if as_nobody {
            command.args(["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--bounding-set", "-all"]);
            command.args(["--inh-caps", "-all"]);
        }
        command.arg(self.folder.path().join("netsonde")).args(["probe", "traceroute"]).args(arguments).args(["--format", "json"]);
        let output = command.output().unwrap();
        let document: Document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let took = Duration::from_micros(document.run.took_us);
        let (mut traces, mut hops) = (Vec::new(), Vec::new());
        for observation in document.outcomes.into_iter().flat_map(|outcome| outcome.observations) {
            match observation.fact {
                Fact::Trace(trace) => traces.push(trace),
                Fact::Hop(hop) => hops.push(hop),
                _ => {}
            }
        }
        (traces.pop().unwrap(), hops, took)
    }
}

fn link(commands: &mut String, left: (&str, &str), right: (&str, &str)) {
    let (left_device, right_device) = (format!("to{}", right.0), format!("to{}", left.0));
    writeln!(
        commands,
        "ip -n @{0} link add {left_device} type veth peer name {right_device} netns @{1}
         ip -n @{0} addr add {2}/24 dev {left_device}; ip -n @{1} addr add {3}/24 dev {right_device}
         ip -n @{0} link set {left_device} up; ip -n @{1} link set {right_device} up",
        left.0, right.0, left.1, right.1
    )
    .unwrap();
}

/// Client, nine routers and the target: ten hops. The sixth router sends no ICMP errors. The last link takes 1,400 bytes.
fn ten_hops() -> Network {
    let nodes: Vec<String> = (0..=10).map(|number| format!("n{number}")).collect();
    let mut commands = String::new();
    for number in 0..10 {
        let (left, right) = (format!("n{number}"), format!("n{}", number + 1));
        let ends = (format!("10.66.{number}.1"), format!("10.66.{number}.2"));
        link(&mut commands, (&left, &ends.0), (&right, &ends.1));
    }
    for number in 0..=10 {
        for net in 0..10 {
            if net > number {
                writeln!(commands, "ip -n @n{number} route add 10.66.{net}.0/24 via 10.66.{number}.2").unwrap();
            } else if net + 1 < number {
                writeln!(commands, "ip -n @n{number} route add 10.66.{net}.0/24 via 10.66.{}.1", number - 1).unwrap();
            }
        }
    }
    commands.push_str("ip -n @n9 link set ton10 mtu 1400; ip -n @n10 link set ton9 mtu 1400\n");
    commands.push_str(
        "ip netns exec @n6 nft -f - <<'X'
table ip silent {
  chain output {
    type filter hook output priority 0;
    icmp type time-exceeded drop
  }
}
X\n",
    );
    Network::new("t", &nodes, &commands)
}

#[test]
fn ten_hops_with_a_silent_one_are_all_shown_within_one_time_out_under_the_kernels_limits() {
    if !possible("a traceroute over ten real routers") {
        return;
    }
    let network = ten_hops();
    let target = "10.66.9.2";
    let cases: [(bool, &[&str]); 5] = [
        (false, &["--protocol", "icmp"]),
        (false, &["--protocol", "udp"]),
        (true, &["--protocol", "udp"]),
        (false, &["--protocol", "tcp"]),
        (true, &["--protocol", "tcp"]),
    ];
    for (as_nobody, protocol) in cases {
        let (trace, hops, took) = network.trace(as_nobody, &[&[target, "--rounds", "1"], protocol].concat());
        eprintln!("measured: ten hops with {protocol:?}, unprivileged {as_nobody}: {} ms, {took:?}", trace.took_us / 1_000);
        assert_eq!((trace.distance, trace.privileged), (Some(10), !as_nobody), "{protocol:?} {trace:?}");
        for hop in &hops {
            let expected: Vec<IpAddr> =
                if hop.ttl == 6 { Vec::new() } else { vec![format!("10.66.{}.2", hop.ttl - 1).parse().unwrap()] };
            assert_eq!(hop.addresses(), expected, "{protocol:?} unprivileged {as_nobody} hop {}", hop.ttl);
        }
        assert_eq!(hops.len(), 10);
        // One time-out of 1 s, the 45 ms over which the round is spread, and a busy machine.
        assert!(trace.took_us < 1_300_000, "{protocol:?}: {} us", trace.took_us);
    }
    // The kernel's limits have had a second to recover from each of these.
    let (_, hops, _) = network.trace(false, &[target, "--protocol", "udp", "--rounds", "1", "--dscp", "10", "--hop-mtu"]);
    let third = hops[2].probes[0].reply.as_ref().unwrap();
    assert_eq!((third.reply_ttl, third.return_hops), (Some(62), Some(3)));
    let quoted = third.quoted.unwrap();
    assert_eq!((quoted.ttl, quoted.dscp, quoted.is_rewritten()), (1, 10, false), "{quoted:?}");
    let sizes: Vec<Option<u32>> = hops.iter().map(|hop| hop.mtu_bytes).collect();
    assert_eq!((sizes[0], sizes[5], sizes[8], sizes[9]), (Some(1_500), None, Some(1_500), Some(1_400)), "{sizes:?}");
}

/// A client, a router that shares flows over two others, and the target behind both; the second of them loses four of ten packets.
fn two_paths() -> Network {
    let nodes = ["c", "r", "a", "b", "s", "t"].map(str::to_owned);
    let mut commands = String::new();
    link(&mut commands, ("c", "10.67.0.1"), ("r", "10.67.0.2"));
    link(&mut commands, ("r", "10.67.1.1"), ("a", "10.67.1.2"));
    link(&mut commands, ("r", "10.67.2.1"), ("b", "10.67.2.2"));
    link(&mut commands, ("a", "10.67.3.1"), ("s", "10.67.3.2"));
    link(&mut commands, ("b", "10.67.4.1"), ("s", "10.67.4.2"));
    link(&mut commands, ("s", "10.67.5.1"), ("t", "10.67.5.2"));
    commands.push_str(
        "ip -n @c route add default via 10.67.0.2
         ip -n @r route add 10.67.5.0/24 nexthop via 10.67.1.2 nexthop via 10.67.2.2
         ip -n @r route add 10.67.3.0/24 via 10.67.1.2; ip -n @r route add 10.67.4.0/24 via 10.67.2.2
         ip -n @a route add 10.67.5.0/24 via 10.67.3.2; ip -n @b route add 10.67.5.0/24 via 10.67.4.2
         ip -n @a route add default via 10.67.1.1; ip -n @b route add default via 10.67.2.1
         ip -n @s route add default via 10.67.3.1; ip -n @t route add default via 10.67.5.1
         ip netns exec @b nft -f - <<'X'
table ip lossy {
  chain forward {
    type filter hook forward priority 0;
    ip daddr 10.67.5.2 numgen random mod 10 < 4 drop
  }
}
X\n",
    );
    Network::new("e", &nodes, &commands)
}

#[test]
fn two_paths_are_found_and_the_lossy_one_is_named() {
    if !possible("a traceroute over two real paths") {
        return;
    }
    let network = two_paths();
    // Which way a flow takes is the kernel's dice: at 95 % confidence each 32nd search would see one way only, at 99 % each 128th does.
    let common = ["10.67.5.2", "--multipath", "--confidence", "99", "--timeout-ms", "500", "--rounds", "5"];
    let routers = ["10.67.1.2", "10.67.2.2"].map(|address| Some(address.parse::<IpAddr>().unwrap()));
    for (as_nobody, rest) in
        [(false, ["--protocol", "tcp", "--path-probes", "100"]), (true, ["--protocol", "udp", "--path-probes", "20"])]
    {
        if as_nobody {
            // Of the few probes that UDP may send every second one is lost, where TCP's many may meet chance.
            network.shell("ip netns exec @b nft flush chain ip lossy forward");
            network.shell("ip netns exec @b nft add rule ip lossy forward ip daddr 10.67.5.2 numgen inc mod 2 == 0 drop");
        }
        let (trace, _, took) = network.trace(as_nobody, &[&common[..], &rest].concat());
        let found = trace.multipath.as_ref().unwrap();
        for path in &found.paths {
            eprintln!("measured: path {:?} of {} flows, loss {:?}, rtt {:?}", path.hops, path.flows, path.loss, path.rtt);
        }
        eprintln!("measured: {} paths, unprivileged {as_nobody}, {} probes, {took:?}", found.paths.len(), found.probes);
        let mut seconds: Vec<Option<IpAddr>> = found.paths.iter().map(|path| path.hops[1]).collect();
        seconds.sort();
        assert_eq!(seconds, routers, "{found:?}");
        let of_router = |router: usize| found.paths.iter().find(|path| path.hops[1] == routers[router]).unwrap();
        let (clean, lossy) = (of_router(0), of_router(1));
        assert!(clean.sent > 0 && clean.answered == clean.sent, "the kernel's own limits are no loss: {clean:?}");
        assert!((0.2..0.8).contains(&lossy.loss.unwrap().share), "{lossy:?}");
        if !as_nobody {
            assert_eq!(found.lossiest().unwrap().hops[1], routers[1]);
        }
    }
}

/// A client, a router and the target, all with the kernel's own ICMP limits, and nothing lost.
#[test]
fn the_kernels_own_limits_are_no_loss_of_the_only_path() {
    if !possible("a traceroute over one real path") {
        return;
    }
    let mut commands = String::new();
    link(&mut commands, ("c", "10.68.0.1"), ("r", "10.68.0.2"));
    link(&mut commands, ("r", "10.68.1.1"), ("t", "10.68.1.2"));
    commands.push_str("ip -n @c route add default via 10.68.0.2; ip -n @t route add default via 10.68.1.1\n");
    let network = Network::new("o", &["c", "r", "t"].map(str::to_owned), &commands);
    for (as_nobody, protocol) in [(false, "auto"), (false, "udp"), (true, "auto")] {
        let (trace, _, took) = network.trace(as_nobody, &["10.68.1.2", "--multipath", "--protocol", protocol]);
        let found = trace.multipath.as_ref().unwrap();
        let [path] = &found.paths[..] else { panic!("{found:?}") };
        eprintln!("measured: {protocol} unprivileged {as_nobody}: loss {:?} of {}, {took:?}", path.loss, path.sent);
        assert!(path.sent >= 8 && path.answered == path.sent && path.doubtful.is_none(), "{protocol}: {path:?}");
        // It was 23 s and more; a quick machine takes 3 s by TCP and 14 s by UDP.
        let most = Duration::from_secs(if trace.protocol == TraceProtocol::Tcp { 10 } else { 20 });
        assert!(took < most, "{protocol}: {took:?}");
    }
}

#[test]
fn segments_of_a_connection_find_the_way_and_rewriting_is_seen() {
    if !possible("a traceroute within a connection") {
        return;
    }
    let network = two_paths();
    network.shell("ip netns exec @b nft delete table ip lossy");
    // A server that answers nothing, and reads nothing but what a client means.
    let mut server = Command::new("ip")
        .args(["netns", "exec", &format!("{}t", network.prefix), "python3", "-c"])
        .arg("import socket\ns=socket.create_server(('10.67.5.2',8443))\nprint('ready',flush=True)\nwhile True:\n c,_=s.accept(); d=c.recv(9); print(len(d),flush=True)")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "ready");
    let arguments = ["10.67.5.2", "--protocol", "tcp_session", "--tcp-port", "8443", "--rounds", "3"];
    let (trace, hops, _) = network.trace(false, &arguments);
    line.clear();
    said.read_line(&mut line).unwrap();
    let _ = server.kill();
    let _ = server.wait();
    assert_eq!(trace.distance, Some(4), "{trace:?}");
    assert_eq!(hops[0].addresses(), ["10.67.0.2".parse::<IpAddr>().unwrap()]);
    assert_eq!(line.trim(), "0", "the server's program read the end and nothing before it");

    // The first router rewrites what it forwards.
    network.shell(
        "ip netns exec @r nft -f - <<'X'
table ip rewriting {
  chain forward {
    type filter hook forward priority 0;
    ip daddr 10.67.5.2 ip dscp set cs0 ip id set 777
  }
}
X",
    );
    let (trace, hops, _) = network.trace(false, &["10.67.5.2", "--protocol", "udp", "--rounds", "1", "--dscp", "10"]);
    assert_eq!(trace.distance, Some(4), "{trace:?}");
    let quoted = |hop: usize| hops[hop].probes.iter().find_map(|probe| probe.reply.as_ref()?.quoted).unwrap();
    assert!(!quoted(0).is_rewritten() && quoted(0).dscp_sent.is_none(), "{:?}", quoted(0));
    let behind = quoted(2);
    assert_eq!((behind.dscp, behind.dscp_sent, behind.identification.unwrap().quoted), (0, Some(10), 777), "{behind:?}");
}

/// What netsonde says of a check from the first node, and its document.
fn probe(network: &Network, arguments: &[&str]) -> (Document, String) {
    let run = |format: &[&str]| {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}{}", network.prefix, network.nodes[0])]);
        let output =
            command.arg(network.folder.path().join("netsonde")).arg("probe").args(arguments).args(format).output().unwrap();
        output.stdout
    };
    let stdout = run(&["--format", "json"]);
    let document =
        serde_json::from_slice(&stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stdout)));
    (document, String::from_utf8(run(&["--detail"])).unwrap())
}

/// A client and a router with a second network, on which nobody has the address that is asked, and a host behind a narrow link.
#[test]
fn a_router_that_gives_up_its_search_and_one_that_names_a_size_are_heard_by_default() {
    if !possible("a router that searches for a machine in vain") {
        return;
    }
    let mut commands = String::new();
    link(&mut commands, ("c", "10.69.0.1"), ("r", "10.69.0.2"));
    link(&mut commands, ("r", "10.69.1.1"), ("t", "10.69.1.2"));
    commands.push_str("ip -n @c route add default via 10.69.0.2; ip -n @t route add default via 10.69.1.1\n");
    commands.push_str("ip -n @r link set tot mtu 1400; ip -n @t link set tor mtu 1400\n");
    let network = Network::new("g", &["c", "r", "t"].map(str::to_owned), &commands);
    for kind in ["icmp", "traceroute", "mtu"] {
        let (document, text) = probe(&network, &[kind, "10.69.1.9"]);
        eprintln!("measured: {kind} to a dead host: {} ms", document.run.took_us / 1_000);
        assert!(text.contains("path.target_down") && text.contains("host unreachable"), "{kind}: {text}");
    }
    let (_, text) = probe(&network, &["icmp", "10.69.1.2", "--size-bytes", "1472", "--dont-fragment", "--count", "2"]);
    assert!(text.contains("at most 1400 bytes") && text.contains("path.mtu_lowered"), "{text}");
    let (_, text) = probe(&network, &["icmp", "10.69.1.2", "--size-bytes", "3000", "--dont-fragment", "--count", "2"]);
    assert!(text.contains("the packet of 3028 bytes does not leave this machine"), "{text}");
    let (_, text) = probe(&network, &["icmp", "10.69.1.2", "--count", "2"]);
    assert!(text.contains("TTL 63"), "{text}");
}
