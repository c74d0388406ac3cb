use crate::failure::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// One question put to one source of names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lookup {
    /// The name asked for, as it was sent (absolute, without the final dot).
    pub name: String,
    /// `A`, `AAAA`, `CNAME` …; `ADDRESS` for getaddrinfo, which asks for both families.
    pub record_type: String,
    #[serde(flatten)]
    pub source: LookupSource,
    /// The addresses given, in the order given.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// From the first packet sent to the reply that was taken.
    pub took_us: Option<u64>,
    /// Packets sent for this question on this transport; 0 where none could be sent, and where a library hides it.
    #[serde(default)]
    pub attempts: u32,
    /// The reply as the server gave it; only where netsonde itself asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<DnsReply>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Who was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum LookupSource {
    /// netsonde's own query to one server.
    Server { server: SocketAddr, transport: Transport },
    /// The system's resolver, as an application sees it (getaddrinfo).
    System,
    /// hickory-resolver on the system's configuration.
    Library,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    Udp,
    Tcp,
}

/// A DNS message as received (RFC 1035 section 4.1, RFC 6891).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DnsReply {
    pub id: u16,
    pub flags: DnsFlags,
    /// The name of the response code: `NOERROR`, `SERVFAIL`, `NXDOMAIN`, `REFUSED` …; `RCODEn` for one without a name.
    pub rcode: String,
    /// The response code with its extended bits (RFC 6891 section 6.1.3).
    pub rcode_number: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edns: Option<Edns>,
    /// Extended DNS errors (RFC 8914).
    #[serde(default)]
    pub extended_errors: Vec<ExtendedError>,
    pub answers: Vec<Record>,
    pub authority: Vec<Record>,
    pub additional: Vec<Record>,
    pub size_bytes: u32,
    /// Where the reply came from.
    pub from: SocketAddr,
}

/// Header flags (RFC 1035 section 4.1.1, RFC 4035 section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsFlags {
    pub aa: bool,
    pub tc: bool,
    pub rd: bool,
    pub ra: bool,
    pub ad: bool,
    pub cd: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Edns {
    pub version: u8,
    pub udp_size_bytes: u16,
    pub dnssec_ok: bool,
}

/// RFC 8914 section 4: the info code, its registered name, and the server's extra text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExtendedError {
    pub code: u16,
    pub name: String,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// In presentation format (RFC 1035 section 5.1), with the final dot, as names within `data` are.
    pub name: String,
    pub record_type: String,
    pub ttl_s: u32,
    /// The data in presentation format.
    pub data: String,
}
