use super::{ParameterError, PortSpan, TargetSpan, targets};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpParams {
    /// The host name or address to connect to.
    pub host: String,
    /// The port to connect to.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// Milliseconds to wait for one connection.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 30_000))]
    pub timeout_ms: u64,
    /// Connections to try at each address.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 500))]
    pub attempts: u32,
    /// How many of the attempts at one address are made, and kept open, at once: shows where source ports or sessions run out.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 500))]
    pub concurrent: u32,
    /// Milliseconds between the beginnings of attempts that are made at once: over a while they meet what one moment may miss.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000))]
    pub spread_ms: u64,
    /// Bytes to read from a server that speaks first.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_024))]
    pub banner_bytes: u32,
    /// Seconds to keep each connection open and idle, and then to ask the kernel whether the peer still answers; the longest limit of common
    /// gateways is 600.
    #[serde(default)]
    #[schemars(range(min = 0, max = 660))]
    pub hold_s: u32,
    /// Seconds between two keepalive probes while a connection is held; 0 for none.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub keepalive_s: u32,
    /// Further ports of which to say whether they are open, and ranges of them such as 8000-8010, together at most 1,024.
    #[serde(default)]
    pub ports: Vec<PortSpan>,
    /// Further targets of each of which the port and the further ports are tried once: names, addresses, ranges (192.0.2.1-192.0.2.9) and
    /// prefixes (192.0.2.0/24); at most 1,024, and at most 10,000 pairs of a target and a port.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Further ports to try a second at one address of the host, and at all further targets together.
    #[serde(default = "rate")]
    #[schemars(range(min = 1, max = 1_000))]
    pub rate: u32,
}

impl TcpParams {
    /// Further ports in one check: the well-known ones.
    pub const MAX_PORTS: usize = 1_024;
    /// Further targets in one check: four networks of the usual size.
    pub const MAX_TARGETS: usize = 1_024;
    /// Pairs of a further target and a port: as many as one sweep by ICMP has targets, and within two minutes at the usual rate.
    pub const MAX_PAIRS: usize = 10_000;

    pub(super) fn validate(&self) -> Result<(), ParameterError> {
        let given: usize = self.ports.iter().map(|span| span.ports().len()).sum();
        if given > Self::MAX_PORTS {
            let text = format!("`ports` stands for {given} ports, but must stand for at most {}", Self::MAX_PORTS);
            return Err(ParameterError::of("ports", text));
        }
        let targets: u128 = self.spans()?.iter().map(TargetSpan::len).sum();
        let ports = self.ports_of_targets().len();
        if targets * ports as u128 > Self::MAX_PAIRS as u128 {
            let text = format!(
                "`targets` and ports make {} pairs, but must make at most {}: {targets} targets, {ports} ports",
                targets * ports as u128,
                Self::MAX_PAIRS
            );
            return Err(ParameterError::of("targets", text));
        }
        Ok(())
    }

    /// What `targets` stand for, in their order.
    ///
    /// # Errors
    /// Where an entry is malformed, or all together are more than [`Self::MAX_TARGETS`].
    pub fn spans(&self) -> Result<Vec<TargetSpan>, ParameterError> {
        targets::parse("targets", &self.targets, Self::MAX_TARGETS)
    }

    /// The ports that are tried at each further target, in ascending order.
    pub fn ports_of_targets(&self) -> BTreeSet<u16> {
        self.further_ports().into_iter().chain([self.port]).collect()
    }

    /// The further ports in ascending order, each once.
    pub fn further_ports(&self) -> BTreeSet<u16> {
        self.ports.iter().flat_map(PortSpan::ports).collect()
    }
}

fn timeout_ms() -> u64 {
    3_000
}

fn one() -> u32 {
    1
}

/// What a firewall that watches for scans usually lets pass.
fn rate() -> u32 {
    100
}
