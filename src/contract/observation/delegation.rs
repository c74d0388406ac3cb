use super::DnsReply;
use crate::failure::Failure;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// One zone on the way down from the root to a name (RFC 1034 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delegation {
    /// The name that the walk is for.
    pub name: String,
    /// The zone, without the final dot; `.` for the root.
    pub zone: String,
    /// The server of the zone above that delegated it; none where the walk begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_by: Option<SocketAddr>,
    /// The zone's name servers, as the zone above names them.
    pub name_servers: Vec<DelegatedTo>,
    /// The zone above holds a DS record for it (RFC 4035 section 2.4): the zone must be signed.
    #[serde(default)]
    pub secure: bool,
    /// These DS records: the keys that the zone above vouches for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<VouchedKey>,
    /// Why the walk ends here without an answer; none where it went on or was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// One name server of a delegation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DelegatedTo {
    /// Empty where the walk was told the address only.
    pub name: String,
    /// Its addresses as the zone above gave them beside the delegation (RFC 9471).
    #[serde(default)]
    pub glue: Vec<IpAddr>,
    /// Its addresses as the system's resolver gave them, asked only where there is no glue.
    #[serde(default)]
    pub resolved: Vec<IpAddr>,
    /// Why it has no address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What one address of one name server of a zone says, asked without recursion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ZoneServer {
    /// The zone, as a name.
    pub zone: String,
    /// The server's name; empty where the walk was told the address only.
    pub server: String,
    /// The server's address and port.
    pub address: SocketAddr,
    /// The reply to the name's own question: an answer, or a delegation further down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<DnsReply>,
    /// From the question to that reply.
    #[serde(default)]
    pub took_us: Option<u64>,
    /// It answers with authority (AA) for the zone's SOA record; none where it did not answer. One that does not is lame (RFC 9499
    /// section 7).
    #[serde(default)]
    pub authoritative: Option<bool>,
    /// The serial of the SOA record (RFC 1035 section 3.3.13), by which copies of the zone are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,
    /// The zone's name servers as the zone itself has them, sorted.
    #[serde(default)]
    pub own_name_servers: Vec<String>,
    /// The zone's keys, asked for only where the zone above vouches for some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<ZoneKey>,
    /// The signatures over the answers that it gave: to the name's own question, and of the zone's SOA and DNSKEY records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
    /// Queries sent to it.
    pub attempts: u32,
    /// Why the name's own question got no reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// A DS record (RFC 4034 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VouchedKey {
    /// The key tag (RFC 4034 appendix B).
    pub key_tag: u16,
    /// The DNSSEC algorithm by its number (RFC 8624).
    pub algorithm: u8,
    /// The digest type by its number (RFC 4509, RFC 6605).
    pub digest_type: u8,
}

/// A DNSKEY record (RFC 4034 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ZoneKey {
    /// RFC 4034 appendix B. Two keys may have the same.
    pub key_tag: u16,
    /// The DNSSEC algorithm by its number (RFC 8624).
    pub algorithm: u8,
    /// The zone means it for the zone above to vouch for (SEP, RFC 4034 section 2.1.1).
    pub entry_point: bool,
    /// It is given up (RFC 5011 section 3).
    pub revoked: bool,
}

/// An RRSIG record (RFC 4034 section 3.1), not verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Signature {
    /// The type of the records that it signs.
    pub covers: String,
    /// The key tag (RFC 4034 appendix B).
    pub key_tag: u16,
    /// The DNSSEC algorithm by its number (RFC 8624).
    pub algorithm: u8,
    /// It is good from here …
    pub inception: Timestamp,
    /// … to here.
    pub expiration: Timestamp,
}
