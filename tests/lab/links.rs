//! The links of a network: plain ones, cables, narrow ones, and a second router beside another.

use super::cable::{Cable, Carrier, Impairment};
use super::network::{Network, SECOND_MACHINE};
use super::scenario::{Link, Scenario};
use anyhow::{Context, Result};

/// The second way's networks have numbers from here on, far from those of the chain.
const SECOND_WAY: usize = 100;

/// The number of the second machine's own network.
const APART: usize = 90;

/// The first of two marks, and routing tables, of flows that are shared in turn: none that a scenario uses.
const FIRST_MARK: usize = 118;

impl Network {
    /// Makes every link of the chain, the cables all at once, and gives both ends their addresses.
    pub(crate) fn link_chain(&mut self, scenario: &Scenario) -> Result<()> {
        let pairs: Vec<[String; 2]> = self.nodes().windows(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect();
        let cabled = |pair: &[String; 2]| scenario.link.iter().find(|link| link.cable && link.between == *pair);
        let cables: Vec<Cable> = pairs.iter().filter_map(|pair| Some(self.cable(cabled(pair)?))).collect();
        if !cables.is_empty() {
            self.carry(Carrier::start(&cables)?);
        }
        for (k, pair) in pairs.iter().enumerate() {
            if cabled(pair).is_none() {
                self.plain_link(pair)?;
            }
            self.address(pair, k)?;
        }
        for link in &scenario.link {
            self.adjust(link)?;
        }
        Ok(())
    }

    fn cable(&self, link: &Link) -> Cable {
        let [left, right] = &link.between;
        let ends = [(self.namespace(left), format!("to-{right}")), (self.namespace(right), format!("to-{left}"))];
        Cable { between: link.between.clone(), ends, seed: link.seed }
    }

    fn plain_link(&self, [left, right]: &[String; 2]) -> Result<()> {
        let link = format!(
            "link add to-{right} netns {} type veth peer name to-{left} netns {}",
            self.namespace(left),
            self.namespace(right)
        );
        self.batch(None, &[link])
    }

    /// Link k is 10.77.k.0/24 and fd77:0:0:k::/64, its left end `.1`, its right end `.2`.
    fn address(&self, [left, right]: &[String; 2], k: usize) -> Result<()> {
        for (me, other, host) in [(left, right, 1), (right, left, 2)] {
            let lines = [
                format!("addr add 10.77.{k}.{host}/24 dev to-{other}"),
                format!("addr add fd77:0:0:{k}::{host}/64 dev to-{other} nodad"),
                format!("link set to-{other} up"),
            ];
            self.batch(Some(me), &lines)?;
        }
        Ok(())
    }

    fn adjust(&self, link: &Link) -> Result<()> {
        let Some(mtu) = link.mtu else { return Ok(()) };
        let [left, right] = &link.between;
        self.batch(Some(left), &[format!("link set to-{right} mtu {mtu}")])?;
        self.batch(Some(right), &[format!("link set to-{left} mtu {mtu}")])
    }

    /// Puts `TWINb` beside the router TWIN, from the router before it to the one behind it. The router before shares the flows among
    /// both by addresses and ports; what comes back always goes through TWIN.
    ///
    /// Unless flows are shared in turn, the link in front of the sharing router must be a cable: over a plain one a packet keeps the hash of the socket that sent it,
    /// and a SYN that is sent again may take the other way.
    pub(crate) fn add_twin(&self, twin: &str) -> Result<()> {
        let nodes = self.nodes();
        let at = nodes.iter().position(|node| node == twin).context("the twin is no router of the chain")?;
        let (before, behind) = (nodes[at - 1].clone(), nodes[at + 1].clone());
        let second = format!("{twin}b");
        let (near, far) = (SECOND_WAY + at, SECOND_WAY + at + 1);
        for (pair, k) in [([before.clone(), second.clone()], near), ([second.clone(), behind], far)] {
            self.plain_link(&pair)?;
            self.address(&pair, k)?;
        }
        let first = at - 1;
        let both = |prefix: &str, old: String, new: String| format!("route replace {prefix} nexthop via {old} nexthop via {new}");
        let shared = [
            both("default", format!("10.77.{first}.2"), format!("10.77.{near}.2")),
            format!("route del ::/0 via fd77:0:0:{first}::2"),
            both("::/0", format!("fd77:0:0:{first}::2"), format!("fd77:0:0:{near}::2")),
        ];
        self.batch(Some(&before), &shared)?;
        let mut own = vec![format!("route add default via 10.77.{far}.2"), format!("route add ::/0 via fd77:0:0:{far}::2")];
        for k in 0..first {
            own.push(format!("route add 10.77.{k}.0/24 via 10.77.{near}.1"));
            own.push(format!("route add fd77:0:0:{k}::/64 via fd77:0:0:{near}::1"));
        }
        self.batch(Some(&second), &own)?;
        let by_flow = ["net.ipv4.fib_multipath_hash_policy=1".to_owned(), "net.ipv6.fib_multipath_hash_policy=1".to_owned()];
        self.sysctl(&before, &by_flow)
    }

    /// Lets the router before the twin send new flows of TCP and UDP by both ways in turn; each flow stays on its own. Routes that are
    /// more specific than the default still count.
    pub(crate) fn share_in_turn(&self, twin: &str) -> Result<()> {
        let at = self.nodes().iter().position(|node| node == twin).filter(|at| *at >= 2);
        let at = at.context("flows are shared in turn by a router, so that the twin is the second one or a later one")?;
        let (client_side, before) = (&self.nodes()[at - 2], &self.nodes()[at - 1]);
        let mut lines = Vec::new();
        for (mark, link) in [(FIRST_MARK, at - 1), (FIRST_MARK + 1, SECOND_WAY + at)] {
            for (version, gateway) in [("", format!("10.77.{link}.2")), ("-6 ", format!("fd77:0:0:{link}::2"))] {
                lines.push(format!("{version}rule add pref {mark} fwmark {mark} lookup {mark}"));
                lines.push(format!("{version}route add default via {gateway} table {mark}"));
            }
        }
        for version in ["", "-6 "] {
            lines.push(format!("{version}rule add pref {} lookup main suppress_prefixlength 0", FIRST_MARK - 1));
        }
        lines.iter().try_for_each(|line| self.ip(before, line))?;
        // A packet whose time is up here goes nowhere, and so it takes no turn.
        // A reset ends what the kernel tracks of a flow, and its ports keep their way: hence the table of its own.
        let key = "meta l4proto . th sport . th dport";
        let turn = format!(
            "ct mark 0 ct mark set {key} map @ways\n\
             ct mark 0 ct mark set numgen inc mod 2 offset {FIRST_MARK}\n\
             add @ways {{ {key} : ct mark }}"
        );
        let rules = format!(
            "table inet share {{\n\
             map ways {{\ntype inet_proto . inet_service . inet_service : mark\nflags dynamic,timeout\ntimeout 1m\nsize 65535\n}}\n\
             chain turn {{\n{turn}\n}}\n\
             chain pre {{\ntype filter hook prerouting priority -150;\n\
             iifname != \"to-{client_side}\" return\n\
             meta l4proto != {{ tcp, udp }} return\n\
             ip ttl > 1 jump turn\n\
             ip6 hoplimit > 1 jump turn\n\
             meta mark set ct mark\n\
             }}\n}}\n"
        );
        self.nft_file(before, &rules)
    }

    /// Gives the second machine a link to a router of the chain, by which it reaches everything, and everybody the way back.
    pub(crate) fn add_second_machine(&self, router: &str) -> Result<()> {
        let at = self.nodes().iter().position(|node| node == router).context("the second machine stands beside no router")?;
        let pair = [router.to_owned(), SECOND_MACHINE.to_owned()];
        self.plain_link(&pair)?;
        self.address(&pair, APART)?;
        let out = [format!("route add default via 10.77.{APART}.1"), format!("route add ::/0 via fd77:0:0:{APART}::1")];
        self.batch(Some(SECOND_MACHINE), &out)?;
        // To the left of the router the default leads there.
        for (number, node) in self.nodes().iter().enumerate().skip(at + 1) {
            let back = number - 1;
            let lines = [
                format!("route add 10.77.{APART}.0/24 via 10.77.{back}.1"),
                format!("route add fd77:0:0:{APART}::/64 via fd77:0:0:{back}::1"),
            ];
            self.batch(Some(node), &lines)?;
        }
        Ok(())
    }

    /// The addresses of both neighbours of the second router, of both families.
    pub(crate) fn beside_neighbours(&self) -> Vec<String> {
        let twin = self.beside().and_then(|second| second.strip_suffix('b'));
        let Some(at) = twin.and_then(|twin| self.nodes().iter().position(|node| node == twin)) else { return Vec::new() };
        let (near, far) = (SECOND_WAY + at, SECOND_WAY + at + 1);
        vec![format!("10.77.{near}.1"), format!("10.77.{far}.2"), format!("fd77:0:0:{near}::1"), format!("fd77:0:0:{far}::2")]
    }

    /// Sets what the cables do from the beginning.
    pub(crate) fn set_cables(&mut self, impairments: &[Impairment]) -> Result<()> {
        impairments.iter().try_for_each(|impairment| self.impair(impairment))
    }
}
