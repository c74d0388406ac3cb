use crate::failure::{Failure, IcmpError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The largest packet that passes to one address, found with packets that no router may cut (RFC 1191, RFC 8201, RFC 8899).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Mtu {
    /// The host as it was asked for.
    pub host: String,
    /// The address that was asked or measured.
    pub address: IpAddr,
    /// What was sent: `udp`, datagrams to a closed port; `tcp`, data of a connection that the host has had already; or `icmp`, echo
    /// requests.
    #[serde(default, skip_serializing_if = "MtuTransport::is_udp")]
    pub transport: MtuTransport,
    /// The port of the connection; TCP only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The largest data in one segment that the host, or a router in its name, allows this machine (RFC 9293 section 3.7.1), in bytes; TCP
    /// only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mss_bytes: Option<u32>,
    /// The largest size that passed, in bytes of the whole IP packet; none where no packet was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_bytes: Option<u32>,
    /// The smallest size that did not pass; none where the largest that was tried passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_bytes: Option<u32>,
    pub limit: MtuLimit,
    /// The ICMP error that told of the limit, where it fits what passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<IcmpError>,
    /// ICMP errors that do not fit: they name a size at which packets pass, or one that no path may have.
    #[serde(default)]
    pub disbelieved: Vec<IcmpError>,
    /// Each packet in the order sent.
    #[serde(default)]
    pub probes: Vec<MtuProbe>,
    /// How long it took, in microseconds.
    pub took_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl Mtu {
    /// The largest packet that a TCP connection sends to the host by what was allowed to it, in bytes; none where it is not known.
    pub fn announced_bytes(&self) -> Option<u32> {
        let headers = if self.address.is_ipv4() { 20 + 20 } else { 40 + 20 };
        self.mss_bytes.map(|mss| mss + headers)
    }
}

/// What is sent to learn which sizes pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum MtuTransport {
    /// Datagrams to a closed port, which the host answers with "port unreachable".
    #[default]
    Udp,
    /// Data of a connection that the host has had already, which it acknowledges once more.
    Tcp,
    /// Echo requests, which come back as large as they are: what loses one may be on either way.
    Icmp,
}

impl MtuTransport {
    fn is_udp(&self) -> bool {
        *self == Self::Udp
    }
}

/// What stands against larger packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MtuLimit {
    /// Nothing: the largest size that was tried passed.
    None,
    /// The machine's own interface does not send larger ones.
    Interface,
    /// A router does, and says so with an ICMP error; or had told the machine before, which remembers it.
    Told,
    /// Larger packets vanish without a word, while small ones sent after them are answered: a black hole.
    Untold,
    /// Not known: the host answered nothing, or stopped to answer.
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MtuProbe {
    /// Bytes of the whole IP packet.
    pub size_bytes: u32,
    /// What became of it.
    pub answer: MtuAnswer,
    /// From the packet to its answer; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MtuAnswer {
    /// The host answered: the packet passed whole.
    Passed,
    /// A router answered that it is too big.
    TooBig,
    /// The machine itself would not send it.
    NotSent,
    /// Another ICMP error answered.
    Refused,
    /// Nothing answered in time.
    #[serde(other)]
    Silent,
}
