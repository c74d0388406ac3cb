//! The links of a network: plain ones, cables, narrow ones, and a second router beside another.

use super::cable::{Cable, Carrier, Impairment};
use super::network::Network;
use super::scenario::{Link, Scenario};
use anyhow::{Context, Result};

/// The second way's networks have numbers from here on, far from those of the chain.
const SECOND_WAY: usize = 100;

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
    /// The link in front of the sharing router must be a cable: over a plain one a packet keeps the hash of the socket that sent it,
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
