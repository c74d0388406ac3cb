use super::Addressees;
use crate::id::AgentId;
use crate::kind::Kind;
use crate::set::Plan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// No order has a machine answer for longer: a series of a thousand packets and the search for sizes fit.
pub const MAX_SERVE_SECONDS: u32 = 900;
/// Agents that measure towards one that serves: more would measure each other's load.
pub const MAX_PEERS: usize = 8;
/// The code of an agent's report that it runs and answers: the others' turn has come.
pub const SERVING: &str = "serving";
/// The key is 32 bytes, in hexadecimal.
const KEY_DIGITS: usize = 64;

/// One agent of an order answers the test packets of the others (RFC 8762, a Session-Reflector) while they measure. It measures nothing
/// towards the order's targets itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    /// Which of the listed agents serves.
    pub agent: AgentId,
    /// The UDP port that it listens at.
    pub port: u16,
    /// The only addresses that are answered: the other agents, as their packets arrive.
    pub peers: Vec<IpAddr>,
    /// For so long at most, 1 to [`MAX_SERVE_SECONDS`].
    pub seconds: u32,
    /// 64 lower-case hexadecimal digits, whose text is the key that seals each test packet (RFC 8762 section 4.4). Whoever carries the
    /// order reads it too: it keeps out others who can send in a peer's name, and is of use for this order only.
    pub key: String,
}

impl Serve {
    pub fn time(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }

    /// What it asks, to be read by whoever is at the machine of `own`: "this machine answers 198.51.100.7 at UDP port 862 for at most 120 s".
    pub fn in_words(&self, own: Option<&AgentId>) -> String {
        let who = if own == Some(&self.agent) {
            "this machine answers".to_owned()
        } else {
            format!("agent {} answers", self.agent.short())
        };
        let peers: Vec<String> = self.peers.iter().map(ToString::to_string).collect();
        format!("{who} test packets of {} at UDP port {} for at most {} s", peers.join(", "), self.port, self.seconds)
    }

    /// What of the plan the serving agent does: it reads its own machine meanwhile, and sends nothing of its own.
    pub fn plan(&self, mut plan: Plan) -> Plan {
        plan.checks.retain(|check| check.params.kind() == Kind::Host);
        for check in &mut plan.checks {
            (check.needs, check.when) = (Vec::new(), Vec::new());
        }
        plan
    }

    /// What no JSON shape says.
    pub(super) fn check(&self, agents: &Addressees) -> Result<(), &'static str> {
        let Addressees::Listed(listed) = agents else { return Err("an order in which an agent serves lists its agents") };
        if !listed.iter().any(|one| one.agent == self.agent) || listed.iter().all(|one| one.agent == self.agent) {
            return Err("the agent that serves is one of the order's, and not the only one");
        }
        if self.port == 0 || self.seconds == 0 || self.seconds > MAX_SERVE_SECONDS {
            return Err("an agent serves at a port, for 1 to 900 seconds");
        }
        let one_machine = |peer: &IpAddr| match peer.to_canonical() {
            IpAddr::V4(peer) => !peer.is_unspecified() && !peer.is_multicast() && !peer.is_broadcast(),
            IpAddr::V6(peer) => !peer.is_unspecified() && !peer.is_multicast(),
        };
        if self.peers.is_empty() || self.peers.len() > MAX_PEERS || !self.peers.iter().all(one_machine) {
            return Err("an agent serves 1 to 8 addresses of single machines");
        }
        let digits = |key: &str| key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if self.key.len() != KEY_DIGITS || !digits(&self.key) {
            return Err("the key of an agent that serves is 64 hexadecimal digits");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Addressee, Epoch};

    fn agent(digit: char) -> AgentId {
        AgentId::new(digit.to_string().repeat(64))
    }

    fn serve() -> Serve {
        Serve { agent: agent('b'), port: 862, peers: vec!["198.51.100.7".parse().unwrap()], seconds: 120, key: "0f".repeat(32) }
    }

    #[test]
    fn who_serves_whom_is_bounded() {
        let listed = |agents: &str| {
            let one = |digit| Addressee { agent: agent(digit), epoch: Epoch::from_bytes([1; 16]) };
            Addressees::Listed(agents.chars().map(one).collect())
        };
        assert_eq!(serve().check(&listed("ab")), Ok(()));
        for agents in [listed("b"), listed("ac"), Addressees::Tree { root: String::new(), count: 200 }] {
            assert!(serve().check(&agents).is_err(), "{agents:?}");
        }
        for wrong in [
            Serve { port: 0, ..serve() },
            Serve { seconds: 0, ..serve() },
            Serve { seconds: MAX_SERVE_SECONDS + 1, ..serve() },
            Serve { peers: Vec::new(), ..serve() },
            Serve { peers: vec!["198.51.100.7".parse().unwrap(); MAX_PEERS + 1], ..serve() },
            Serve { peers: vec!["0.0.0.0".parse().unwrap()], ..serve() },
            Serve { peers: vec!["::ffff:255.255.255.255".parse().unwrap()], ..serve() },
            Serve { peers: vec!["ff02::1".parse().unwrap()], ..serve() },
            Serve { key: "0F".repeat(32), ..serve() },
            Serve { key: "0f".repeat(31), ..serve() },
        ] {
            assert!(wrong.check(&listed("ab")).is_err(), "{wrong:?}");
        }
    }
}
