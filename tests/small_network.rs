use std::process::Command;

/// A client, a router and a server without a way out, taken down with the test.
pub(crate) struct SmallNetwork {
    prefix: String,
    /// The second byte of its IPv4 addresses, and the end of the first word of its IPv6 addresses.
    number: u8,
}

impl Drop for SmallNetwork {
    fn drop(&mut self) {
        for node in ["c", "r", "s"] {
            let _ = Command::new("ip").args(["netns", "del", &self.node(node)]).output();
        }
    }
}

impl SmallNetwork {
    /// Networks that stand at the same time have names and numbers of their own.
    pub(crate) fn new(name: &str, number: u8) -> Self {
        let network = Self { prefix: format!("ns{name}{}", std::process::id()), number };
        let [client, router, server] = ["c", "r", "s"].map(|node| network.node(node));
        let [server_v4, server_v6] = network.server();
        let [router_v4, router_v6] = network.router();
        let n = number;
        network.shell(&format!(
            "for n in {client} {router} {server}; do
               ip netns add $n
               ip netns exec $n sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
               ip -n $n link set lo up
             done
             ip netns exec {router} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
             ip -n {client} link add c0 type veth peer name r0 netns {router}
             ip -n {router} link add r1 type veth peer name s0 netns {server}
             ip -n {client} addr add 10.{n}.0.1/24 dev c0; ip -n {client} addr add fd{n}::1/64 dev c0 nodad
             ip -n {router} addr add {router_v4}/24 dev r0; ip -n {router} addr add {router_v6}/64 dev r0 nodad
             ip -n {router} addr add 10.{n}.1.254/24 dev r1; ip -n {router} addr add fd{n}:0:0:1::fe/64 dev r1 nodad
             ip -n {server} addr add {server_v4}/24 dev s0; ip -n {server} addr add {server_v6}/64 dev s0 nodad
             ip -n {client} link set c0 up; ip -n {router} link set r0 up; ip -n {router} link set r1 up; ip -n {server} link set s0 up
             ip -n {client} route add default via {router_v4}; ip -n {client} route add ::/0 via {router_v6}
             ip -n {server} route add default via 10.{n}.1.254; ip -n {server} route add ::/0 via fd{n}:0:0:1::fe
             for a in {server_v4} {server_v6}; do
               for i in $(seq 50); do ip netns exec {client} ping -c1 -W1 $a >/dev/null && break; sleep 0.1; done
             done"
        ));
        network
    }

    /// The server's addresses.
    pub(crate) fn server(&self) -> [String; 2] {
        [format!("10.{}.1.2", self.number), format!("fd{}:0:0:1::2", self.number)]
    }

    /// The router's, on the client's side.
    pub(crate) fn router(&self) -> [String; 2] {
        [format!("10.{}.0.254", self.number), format!("fd{}::fe", self.number)]
    }

    /// The namespace of the client `c`, the router `r` or the server `s`.
    pub(crate) fn node(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub(crate) fn shell(&self, commands: &str) {
        let output = Command::new("sh").args(["-e", "-c", commands]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Replaces what a node filters in a hook of nft, `forward` for example.
    pub(crate) fn filter(&self, node: &str, hook: &str, rules: &str) {
        let node = self.node(node);
        self.shell(&format!(
            "ip netns exec {node} nft -f - <<'X'
flush ruleset
table inet f {{
  chain {hook} {{
    type filter hook {hook} priority 0;
{rules}
  }}
}}
X"
        ));
    }

    /// A command in a node's namespace, whose program and arguments are still to come.
    pub(crate) fn command(&self, node: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.node(node)]);
        command
    }
}

/// Whether namespaces can be made here. Without root the test says so and passes, but for continuous integration, where that is a
/// failure.
pub(crate) fn possible(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    let netns = Command::new("ip").args(["netns", "list"]).output().is_ok_and(|output| output.status.success());
    if !(root && netns) {
        assert!(std::env::var_os("CI").is_none(), "network namespaces need root and iproute2");
        eprintln!("skipped: {what}: network namespaces need root and iproute2");
    }
    root && netns
}
