//! A chain of namespaces: client `c`, routers `r1` … `rn`, server `s`.
//!
//! Link k, from the left and from 0, is 10.77.k.0/24 and fd77:0:0:k::/64, its left end `.1`, its right end `.2`. The server's own
//! addresses, 10.99.0.1 and fd99::1, sit on its loopback. A second machine `k` may stand beside a router. No namespace has a link to the machine's own, so no packet can leave.

use super::cable::{Carrier, Impairment};
use super::scenario::{Family, Fault, Scenario, User};
use anyhow::{Context, Result, bail};
use netsonde_tests::servers::cloud_addresses;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(crate) const SERVER_V4: &str = "10.99.0.1";
pub(crate) const SERVER_V6: &str = "fd99::1";
/// The node of a control that is another machine than the client.
pub(crate) const SECOND_MACHINE: &str = "k";
const PREFIX: &str = "nsl";
/// In a network that nothing holds up a packet is there and back within a millisecond; a busy machine takes longer.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// The unprivileged user of the lab: `nobody` on every Linux.
const NOBODY: &str = "65534";
/// What the lab calls, and the Debian package that has it.
const TOOLS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("ping", "iputils-ping"),
    ("setpriv", "util-linux"),
    ("chrt", "util-linux"),
    ("openssl", "openssl"),
];

/// Gives the command behind it a machine whose firmware names a maker and a model, in the mounts of its own that `ip netns exec` makes.
const FIRMWARE: &str = r#"
d=$(mktemp -d)
mount -t tmpfs none "$d"
mkdir "$d/net"
mount --bind /sys/class/net "$d/net"
mount -t tmpfs none /sys/class
mkdir -p /sys/class/net /sys/class/dmi/id
mount --bind "$d/net" /sys/class/net
umount -l "$d"
rmdir "$d"
echo "$1" > /sys/class/dmi/id/sys_vendor
echo "$2" > /sys/class/dmi/id/product_name
shift 2
exec "$@"
"#;

pub(crate) struct Network {
    prefix: String,
    /// What the client's firmware names.
    firmware: Option<[String; 2]>,
    /// Programs in the nodes come before the machine's ordinary ones.
    undisturbed: bool,
    /// The chain, from the client to the server.
    nodes: Vec<String>,
    /// A second router beside one of the chain.
    beside: Option<String>,
    /// The second machine, where there is one.
    second_machine: Option<String>,
    servers: Vec<Child>,
    /// What carries the cables, where there are any.
    carrier: Option<Carrier>,
    /// How long cables hold a packet up there and back, at most, before anything is broken.
    held_up: Duration,
}

/// A router, from 1, as the client sees it.
pub(crate) fn router(number: u8, family: Family) -> String {
    let link = number - 1;
    match (family, link) {
        (Family::V4, _) => format!("10.77.{link}.2"),
        (Family::V6, 0) => "fd77::2".to_owned(),
        (Family::V6, _) => format!("fd77:0:0:{link}::2"),
    }
}

/// What this machine or user lacks for the lab, in words; none where all is there.
pub(crate) fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("network namespaces need root: run it with sudo".into());
    }
    let found = |tool: &str| {
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()))
    };
    let absent = TOOLS.iter().find(|(tool, _)| !found(tool))?;
    Some(format!("`{}` is not installed: apt-get install {}", absent.0, absent.1))
}

/// Takes down what a lab left behind that was killed before it could clean up.
pub(crate) fn sweep() {
    let Ok(entries) = fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('x').next()).and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove_namespace(&name);
        }
    }
}

impl Network {
    /// # Errors
    /// Where a namespace, link, address or route cannot be made; what was made by then is taken down.
    pub(crate) fn of(scenario: &Scenario) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("{PREFIX}{}x{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let nodes: Vec<String> =
            std::iter::once("c".into()).chain((1..=scenario.routers).map(|i| format!("r{i}"))).chain(["s".into()]).collect();
        let firmware = scenario.firmware.clone();
        let undisturbed = scenario.undisturbed;
        let held_up = scenario.cable.iter().map(Impairment::longest).sum::<Duration>() * 2;
        let mut network = Self {
            prefix,
            firmware,
            undisturbed,
            nodes: Vec::new(),
            beside: None,
            second_machine: None,
            servers: Vec::new(),
            carrier: None,
            held_up,
        };
        for node in &nodes {
            run(Command::new("ip").args(["netns", "add", &network.namespace(node)]))?;
            network.nodes.push(node.clone());
            network.prepare(node)?;
        }
        let last = nodes.len() - 1;
        network.link_chain(scenario)?;
        for (i, node) in nodes.iter().enumerate() {
            let mut routes = Vec::new();
            if i < last {
                routes.push(format!("route add default via 10.77.{i}.2"));
                routes.push(format!("route add ::/0 via fd77:0:0:{i}::2"));
            } else {
                routes.push(format!("addr add {SERVER_V4}/32 dev lo"));
                routes.push(format!("addr add {SERVER_V6}/128 dev lo nodad"));
            }
            for k in 0..i.saturating_sub(1) {
                routes.push(format!("route add 10.77.{k}.0/24 via 10.77.{}.1", i - 1));
                routes.push(format!("route add fd77:0:0:{k}::/64 via fd77:0:0:{}::1", i - 1));
            }
            network.batch(Some(node), &routes)?;
        }
        if let Some(twin) = &scenario.twin {
            let second = format!("{twin}b");
            run(Command::new("ip").args(["netns", "add", &network.namespace(&second)]))?;
            network.beside = Some(second.clone());
            network.prepare(&second)?;
            network.add_twin(twin)?;
            if scenario.in_turn {
                network.share_in_turn(twin)?;
            }
        }
        if let Some(router) = scenario.control.as_ref().and_then(|control| control.beside.as_ref()) {
            run(Command::new("ip").args(["netns", "add", &network.namespace(SECOND_MACHINE)]))?;
            network.second_machine = Some(SECOND_MACHINE.to_owned());
            network.prepare(SECOND_MACHINE)?;
            network.add_second_machine(router)?;
        }
        network.set_cables(&scenario.cable)?;
        for node in network.clients().filter(|_| scenario.everybody_pings) {
            network.sysctl(node, &["net.ipv4.ping_group_range=0 2147483647".to_owned()])?;
        }
        network.refuse_ways_out()?;
        Ok(network)
    }

    /// Kernel settings that must stand before links exist: without them an IPv6 path stalls for two seconds on duplicate address
    /// detection. The kernel's ICMP limits are lifted, because back-to-back runs would otherwise lose hops to them.
    fn prepare(&self, node: &str) -> Result<()> {
        let mut settings =
            vec!["net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.dad_transmits=0", "net.ipv6.conf.all.accept_dad=0"];
        settings.extend(["net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"]);
        if node.starts_with('r') {
            settings.extend(["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
        }
        run(Command::new("ip").args(["netns", "exec", &self.namespace(node), "sysctl", "-qw"]).args(settings))?;
        self.batch(Some(node), &["link set lo up".into()])?;
        let folder = PathBuf::from("/etc/netns").join(self.namespace(node));
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        self.hosts(node, "")?;
        fs::write(folder.join("resolv.conf"), "").context("writing the namespace's resolv.conf")
    }

    /// Proves, before anything is sent, that every interface of every node is a link of this lab.
    fn refuse_ways_out(&self) -> Result<()> {
        for node in self.all() {
            let listing = run(Command::new("ip").args(["-n", &self.namespace(node), "-brief", "link"]))?;
            let foreign = listing
                .lines()
                .filter_map(|line| line.split_whitespace().next())
                .find(|name| *name != "lo" && !name.starts_with("to-"));
            if let Some(name) = foreign {
                bail!("{node} has the interface {name}, which is not a link of the lab: nothing is sent");
            }
        }
        Ok(())
    }

    pub(crate) fn namespace(&self, node: &str) -> String {
        format!("{}-{node}", self.prefix)
    }

    /// Writes the client's resolv.conf with the servers given and a search list that is tried first. Routers, which may run a proxy, ask the lab's own.
    pub(crate) fn resolvers(&self, family: Family, of_client: &[String], search: Option<&str>) -> Result<()> {
        let server = if family == Family::V4 { SERVER_V4 } else { SERVER_V6 };
        for node in self.nodes.iter().chain(&self.second_machine).filter(|node| *node != "s") {
            let own = [server.to_owned()];
            let servers = if node == "c" { of_client } else { &own };
            let lines: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
            let path = PathBuf::from("/etc/netns").join(self.namespace(node)).join("resolv.conf");
            // Time-outs of getaddrinfo as short as its configuration allows, or a dead resolver takes ten seconds of each trial.
            let search = search.filter(|_| node == "c");
            let search = search.map(|suffix| format!("search {suffix}\noptions ndots:9\n")).unwrap_or_default();
            fs::write(&path, format!("{lines}{search}options timeout:1 attempts:2\n"))
                .with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    /// Writes a node's hosts file: loopback, and these lines.
    pub(crate) fn hosts(&self, node: &str, lines: &str) -> Result<()> {
        let path = PathBuf::from("/etc/netns").join(self.namespace(node)).join("hosts");
        fs::write(&path, format!("127.0.0.1 localhost\n::1 localhost\n{lines}\n"))
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Waits until both families carry a packet from client to server, and from a second router to its neighbours: a fresh link is
    /// dead for up to a second. Each packet is waited for as long as the cables take with it.
    pub(crate) fn settle(&self) -> Result<()> {
        let patience = format!("-W{:.3}", (ANSWER_WITHIN + self.held_up).as_secs_f64());
        let to_server = self.clients().flat_map(|client| [SERVER_V4, SERVER_V6].map(|server| (client, server.to_owned())));
        let of_twin = self.beside.iter().flat_map(|twin| self.beside_neighbours().into_iter().map(move |to| (twin.as_str(), to)));
        for (from, to) in to_server.chain(of_twin) {
            let carried = (0..40).any(|_| {
                let mut ping = self.command(from, User::Root, "ping");
                ping.args(["-n", "-c1", &patience, &to]).stdout(Stdio::null()).stderr(Stdio::null());
                ping.status().is_ok_and(|status| status.success())
            });
            if !carried {
                bail!("the network never carried a packet from {from} to {to}");
            }
        }
        Ok(())
    }

    /// Gives a router the addresses at which a cloud serves its machines. They exist in this namespace only, to which no way leads from
    /// outside the lab.
    pub(crate) fn cloud_addresses(&self, node: &str, cloud: &str) -> Result<()> {
        let lines: Vec<String> = cloud_addresses(cloud)
            .iter()
            .map(|address| format!("addr add {address}/{} dev lo", if address.is_ipv4() { 32 } else { 128 }))
            .map(|line| if line.contains(':') { format!("{line} nodad") } else { line })
            .collect();
        self.batch(Some(node), &lines)
    }

    pub(crate) fn inject(&mut self, fault: &Fault) -> Result<()> {
        if !fault.nft.is_empty() {
            self.nft(&fault.node, &fault.nft)?;
        }
        fault.ip.iter().try_for_each(|line| self.ip(&fault.node, line))?;
        fault.tc.iter().try_for_each(|line| self.tc(&fault.node, line))?;
        for impairment in &fault.cable {
            self.impair(impairment)?;
        }
        if fault.tracks_no_more {
            let own = std::env::current_exe().context("finding the lab's own path")?;
            run(self.command(&fault.node, User::Root, own).arg("track"))?;
        }
        self.sysctl(&fault.node, &fault.sysctl)
    }

    /// One command of `ip` in a node.
    pub(crate) fn ip(&self, node: &str, line: &str) -> Result<()> {
        run(Command::new("ip").args(["-n", &self.namespace(node)]).args(line.split_whitespace())).map(drop)
    }

    /// One command of `tc` in a node.
    fn tc(&self, node: &str, line: &str) -> Result<()> {
        run(Command::new("tc").args(["-n", &self.namespace(node)]).args(line.split_whitespace())).map(drop)
    }

    /// Sets what a cable does from now on.
    pub(crate) fn impair(&mut self, impairment: &Impairment) -> Result<()> {
        self.carrier.as_mut().context("the network has no cables")?.set(impairment)
    }

    pub(crate) fn sysctl(&self, node: &str, settings: &[String]) -> Result<()> {
        if settings.is_empty() {
            return Ok(());
        }
        let mut command = Command::new("ip");
        run(command.args(["netns", "exec", &self.namespace(node), "sysctl", "-qw"]).args(settings)).map(drop)
    }

    /// The chain, from the client to the server.
    pub(crate) fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// Every node that there is.
    fn all(&self) -> impl Iterator<Item = &String> {
        self.nodes.iter().chain(&self.beside).chain(&self.second_machine)
    }

    /// The nodes that measure.
    fn clients(&self) -> impl Iterator<Item = &str> {
        std::iter::once("c").chain(self.second_machine.as_deref())
    }

    /// The second router beside one of the chain.
    pub(crate) fn beside(&self) -> Option<&str> {
        self.beside.as_deref()
    }

    pub(crate) fn carry(&mut self, carrier: Carrier) {
        self.carrier = Some(carrier);
    }

    fn nft(&self, node: &str, rules: &str) -> Result<()> {
        let chains = [
            // Before fragments are put together.
            ("raw", "filter", "prerouting", -450),
            ("pre", "filter", "prerouting", -300),
            ("divert", "nat", "prerouting", -100),
            ("input", "filter", "input", 0),
            ("forward", "filter", "forward", 0),
            ("output", "filter", "output", 0),
            ("hide", "nat", "postrouting", 100),
            ("post", "filter", "postrouting", 300),
        ];
        let mut text = String::from("table inet f {\n");
        // A chain that is not used must not exist: one of type nat makes the kernel follow connections.
        let used = |name: &str| rules.lines().any(|line| line.split_whitespace().next() == Some(name));
        for (name, kind, hook, priority) in chains.into_iter().filter(|chain| used(chain.0)) {
            text += &format!("chain {name} {{ type {kind} hook {hook} priority {priority}; }}\n");
        }
        text += "}\n";
        for rule in rules.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (chain, rule) = rule.split_once(' ').with_context(|| format!("the rule `{rule}` names no chain"))?;
            text += &format!("add rule inet f {chain} {rule}\n");
        }
        self.nft_file(node, &text)
    }

    /// Loads a whole file of rules.
    pub(crate) fn nft_file(&self, node: &str, text: &str) -> Result<()> {
        let mut command = self.command(node, User::Root, "nft");
        run_with_input(command.args(["-f", "-"]), text)
    }

    pub(crate) fn batch(&self, node: Option<&str>, lines: &[String]) -> Result<()> {
        let mut command = Command::new("ip");
        if let Some(node) = node {
            command.args(["-n", &self.namespace(node)]);
        }
        run_with_input(command.args(["-batch", "-"]), &(lines.join("\n") + "\n"))
    }

    /// A program within a node, with the node's own resolv.conf and hosts file, that dies with the lab.
    pub(crate) fn command(&self, node: &str, user: User, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(node)]);
        if let Some(firmware) = self.firmware.as_ref().filter(|_| node == "c") {
            command.args(["sh", "-e", "-c", FIRMWARE, "sh"]).args(firmware);
        }
        if self.undisturbed {
            command.args(["chrt", "--rr", "1"]);
        }
        command.args(["setpriv", "--pdeathsig", "KILL"]);
        if user == User::Nobody {
            command.args([
                "--reuid",
                NOBODY,
                "--regid",
                NOBODY,
                "--clear-groups",
                "--inh-caps=-all",
                "--bounding-set=-all",
                "--no-new-privs",
            ]);
        }
        command.arg("--").arg(program).stdin(Stdio::null());
        command
    }

    /// Starts a server program and waits for its first line, which says that it listens.
    pub(crate) fn start(&mut self, mut command: Command) -> Result<()> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("starting the lab's servers")?;
        let output = child.stdout.take().context("the servers have no output")?;
        self.servers.push(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).context("waiting for the lab's servers")?;
        if line.trim() != "ready" {
            bail!("the lab's servers did not start");
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // A server that is gone already needs no killing.
            let _ = server.kill();
            let _ = server.wait();
        }
        // The devices of cables go before their namespaces.
        self.carrier = None;
        for node in self.all() {
            remove_namespace(&self.namespace(node));
        }
    }
}

fn remove_namespace(name: &str) {
    // Nothing can be done about a namespace that will not go; the next run's sweep tries again.
    let _ = Command::new("ip").args(["netns", "delete", name]).stderr(Stdio::null()).status();
    let _ = fs::remove_dir_all(Path::new("/etc/netns").join(name));
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn run_with_input(command: &mut Command, input: &str) -> Result<()> {
    let mut child =
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(|| format!("running {command:?}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes()).with_context(|| format!("writing to {command:?}"))?;
    }
    let output = child.wait_with_output().with_context(|| format!("waiting for {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}\n{input}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// How long one run of netsonde may take before the lab ends it: twice the longest budget of a built-in set.
pub(crate) const TRIAL_LIMIT: Duration = Duration::from_secs(90);
