use crate::small_network::SmallNetwork;
use netsonde_tests::programs::program;
use netsonde_tests::servers::{serve_dns, serve_http};
use nix::sched::{CloneFlags, setns};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

/// What the kernel says by itself, as a neighbour and as a listener to groups.
const OF_THE_KERNEL: &str = "{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld-listener-done, mld2-listener-report }";
/// What lies here in a folder of a namespace's name lies in /etc for `ip netns exec` (ip-netns(8)).
const ETC: &str = "/etc/netns";
/// The name that the name server knows.
pub(super) const NAME: &str = "shop.lab";

/// A client, a router and a server that speaks HTTP and answers for names. What the client sends is seen twice: by its own filter, which sees its
/// loopback too, and at the router's end of the wire, which no socket of the client goes round.
pub(super) struct Watch {
    pub(super) network: SmallNetwork,
    folder: tempfile::TempDir,
    _servers: tokio::sync::oneshot::Sender<()>,
    number: u8,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(format!("{ETC}/{}", self.network.node("c")));
    }
}

impl Watch {
    pub(super) fn new(name: &str, number: u8) -> Self {
        let network = SmallNetwork::new(name, number);
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let (servers, ended) = tokio::sync::oneshot::channel();
        let watch = Self { network, folder, _servers: servers, number };
        let [client, router, server] = ["c", "r", "s"].map(|node| watch.network.node(node));
        let resolver = watch.resolver();
        // Neighbours that nobody has to ask for: a question about one is netsonde's own.
        watch.network.shell(&format!(
            "ip -n {server} addr add {resolver}/32 dev lo; ip -n {router} route add {resolver} via 10.{number}.1.2
             mac() {{ ip -n $1 -br link show $2 | awk '{{ print $3 }}'; }}
             ip -n {client} neigh replace 10.{number}.0.254 lladdr $(mac {router} r0) dev c0 nud permanent
             ip -n {client} neigh replace fd{number}::fe lladdr $(mac {router} r0) dev c0 nud permanent
             ip -n {router} neigh replace 10.{number}.0.1 lladdr $(mac {client} c0) dev r0 nud permanent
             ip -n {router} neigh replace fd{number}::1 lladdr $(mac {client} c0) dev r0 nud permanent
             mkdir -p {ETC}/{client}; echo nameserver {resolver} > {ETC}/{client}/resolv.conf"
        ));
        for (node, family, hook) in [(&client, "inet", "output"), (&router, "netdev", "ingress device \"r0\"")] {
            watch.network.shell(&format!(
                "ip netns exec {node} nft -f - <<'X'
table {family} seen {{
  set to4 {{ type ipv4_addr; size 1024; flags dynamic; }}
  set to6 {{ type ipv6_addr; size 1024; flags dynamic; }}
  counter neighbours {{ }}
  chain seen {{
    type filter hook {hook} priority 0;
    icmpv6 type {OF_THE_KERNEL} accept
    meta protocol arp counter name neighbours
    add @to4 {{ ip daddr }}
    add @to6 {{ ip6 daddr }}
  }}
}}
X"
            ));
        }
        watch.serve(ended);
        watch
    }

    /// A namespace is the thread's own: what it binds stays there, and the test's other threads stay where they are.
    fn serve(&self, ended: tokio::sync::oneshot::Receiver<()>) {
        let namespace = format!("/run/netns/{}", self.network.node("s"));
        let (own, resolver) = (self.servers(), self.resolver());
        let (sender, ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            setns(std::fs::File::open(namespace).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut running = vec![serve_dns((resolver, 53).into(), own.to_vec()).await.unwrap()];
                for address in own {
                    running.push(serve_http((address, 80).into()).await.unwrap());
                }
                running.push(serve_http((resolver, 4318).into()).await.unwrap());
                sender.send(()).unwrap();
                // It ends with the test, which drops the other end.
                let _ = ended.await;
            });
        });
        ready.recv().unwrap();
    }

    /// Addresses of [`NAME`], both of the server.
    pub(super) fn servers(&self) -> [IpAddr; 2] {
        self.network.server().map(|text| text.parse().unwrap())
    }

    /// The system's name server, which is at port 4318 a web server too.
    pub(super) fn resolver(&self) -> IpAddr {
        [10, self.number, 2, 53].into()
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// `netsonde` on the client, whose system asks the network's name server, after the words of another program that starts it.
    pub(super) fn command<S: AsRef<OsStr>>(&self, before: &[&str], arguments: &[S]) -> Command {
        let mut command = self.network.command("c");
        command.args(before).arg(program("netsonde").unwrap()).args(arguments);
        for variable in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null());
        command
    }

    /// `netsonde run` with these arguments, whose bundle stays in the folder.
    pub(super) fn run(&self, before: &[&str], arguments: &[&str]) -> Output {
        let state = self.path("state");
        self.command(before, &[&["run"], arguments, &["--state-dir", &state]].concat()).output().unwrap()
    }

    /// Where the client sent to since [`Watch::forget`].
    pub(super) fn seen(&self) -> BTreeSet<IpAddr> {
        let mut seen = BTreeSet::new();
        for (node, family) in [("c", "inet"), ("r", "netdev")] {
            for set in ["to4", "to6"] {
                let listed = self.listed(node, &["set", family, "seen", set]);
                let elements = listed["set"]["elem"].as_array().cloned().unwrap_or_default();
                seen.extend(elements.iter().map(|element| element.as_str().unwrap().parse::<IpAddr>().unwrap()));
            }
        }
        seen
    }

    /// Questions and answers about neighbours that left the client since the network was made.
    pub(super) fn arp(&self) -> u64 {
        self.listed("r", &["counter", "netdev", "seen", "neighbours"])["counter"]["packets"].as_u64().unwrap()
    }

    pub(super) fn forget(&self) {
        for (node, family) in [("c", "inet"), ("r", "netdev")] {
            let node = self.network.node(node);
            for set in ["to4", "to6"] {
                self.network.shell(&format!("ip netns exec {node} nft flush set {family} seen {set}"));
            }
        }
    }

    fn listed(&self, node: &str, what: &[&str]) -> serde_json::Value {
        let output = self.network.command(node).args(["nft", "-j", "list"]).args(what).output().unwrap();
        let listed: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        listed["nftables"][1].clone()
    }
}
