use super::{Handshake, TrustReason, TrustVerdict};
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
    /// Packets sent for this question on this transport, or connections tried; 0 where none could be sent, and where a library hides it.
    #[serde(default)]
    pub attempts: u32,
    /// What it was asked for.
    #[serde(default, skip_serializing_if = "Purpose::is_question")]
    pub purpose: Purpose,
    /// Every query sent, in order; only where netsonde itself asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<SentQuery>,
    /// Messages that came beside the reply, the first [`Lookup::MAX_OTHERS`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherMessage>,
    /// The handshake under DNS over TLS (RFC 7858), HTTPS (RFC 8484) and QUIC (RFC 9250), with what each trust store says of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<Handshake>>,
    /// The status of the response under DNS over HTTPS (RFC 8484 section 4.2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The reply as the server gave it; only where netsonde itself asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Box<DnsReply>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl Lookup {
    /// An honest server sends no other message at all; this bounds what a flood of forged ones leaves in the bundle.
    pub const MAX_OTHERS: usize = 8;

    /// A lookup of which nothing is known yet.
    pub fn new(name: impl Into<String>, record_type: impl Into<String>, source: LookupSource) -> Self {
        Self {
            name: name.into(),
            record_type: record_type.into(),
            source,
            addresses: Vec::new(),
            took_us: None,
            attempts: 0,
            purpose: Purpose::Question,
            sent: Vec::new(),
            others: Vec::new(),
            tls: None,
            http_status: None,
            reply: None,
            failure: None,
        }
    }

    /// What was asked and answered by nobody, of the questions of one name: the types for which no server gave records or said that there
    /// are none. The two types of addresses are one question, which the system's own answer settles too.
    pub fn unanswered_types<'a>(lookups: impl IntoIterator<Item = &'a Self>) -> Vec<&'a str> {
        let questions: Vec<&Self> = lookups.into_iter().filter(|lookup| lookup.purpose.is_question()).collect();
        let by_server = || questions.iter().filter(|lookup| matches!(lookup.source, LookupSource::Server { .. }));
        let by_system = || questions.iter().filter(|lookup| lookup.source == LookupSource::System);
        let addresses = by_system().any(|lookup| !lookup.addresses.is_empty());
        let mut types: Vec<&str> = Vec::new();
        for lookup in by_server() {
            let of_addresses = is_address_type(&lookup.record_type);
            let same = |other: &Self| match of_addresses {
                true => is_address_type(&other.record_type),
                false => other.record_type == lookup.record_type,
            };
            let settled = (of_addresses && addresses) || by_server().any(|other| same(other) && other.is_answered());
            if !settled && !types.contains(&lookup.record_type.as_str()) {
                types.push(&lookup.record_type);
            }
        }
        types
    }

    /// Over TLS: whoever answered is who was asked, as a strict client wants it (RFC 8310 section 5.1). Where the server was given without a
    /// name, its certificate may be for any.
    pub fn is_vouched_for(&self) -> bool {
        let Some(handshake) = self.tls.as_deref().filter(|handshake| handshake.failure.is_none()) else { return true };
        let by_name = handshake.server_name.is_some();
        let only_the_name = |verdict: &TrustVerdict| !by_name && verdict.reason == Some(TrustReason::NameMismatch);
        let named = !by_name || handshake.name.as_ref().is_none_or(|name| name.fits);
        named && handshake.deciding_verdict().is_none_or(|verdict| verdict.trusted || only_the_name(verdict))
    }

    /// The server gave records, or said that there are none.
    pub fn is_answered(&self) -> bool {
        const NOERROR: u16 = 0;
        const NXDOMAIN: u16 = 3;
        let answers =
            |reply: &DnsReply| matches!(reply.rcode_number, NOERROR | NXDOMAIN) && (!reply.flags.tc || !reply.answers.is_empty());
        self.failure.is_none() && self.reply.as_deref().is_some_and(answers)
    }
}

fn is_address_type(record_type: &str) -> bool {
    matches!(record_type, "A" | "AAAA")
}

/// What a lookup is for. Only those of [`Purpose::Question`] decide how a check ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The question of the check.
    #[default]
    Question,
    /// The same question to the same server with CD=1, after SERVFAIL: the server then leaves DNSSEC validation to the asker (RFC 4035
    /// section 3.2.2).
    CheckingDisabled,
    /// The same question to the control server.
    Control,
    /// The same question to an address at which no name server is.
    Unserved,
    /// Who the server is, in class CH (RFC 4892 section 3).
    Identity,
    /// The name of an address that was answered (RFC 1035 section 3.5).
    Reverse,
    /// The name with a suffix of the system's search list.
    Search,
    /// Of a newer agent.
    #[serde(other)]
    Other,
}

impl Purpose {
    pub fn is_question(&self) -> bool {
        *self == Self::Question
    }
}

/// One query as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SentQuery {
    /// After the first of its lookup.
    pub after_us: u64,
    pub why: QueryReason,
    /// RFC 1035 section 4.1.1. 0 over HTTPS, so that caches can serve it (RFC 8484 section 4.1), and over QUIC (RFC 9250 section
    /// 4.2.1).
    pub id: u16,
    /// The address and port it was sent from; none where the system did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// It had an OPT record (RFC 6891).
    pub edns: bool,
    /// Of the DNS message.
    pub size_bytes: u32,
    /// The response code of the reply that it got; none where it got none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rcode: Option<String>,
}

/// Why a query was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueryReason {
    /// The first query of the question.
    First,
    /// The one before got no reply in time.
    Silence,
    /// None with EDNS got a reply in time: this one has none.
    SilenceWithEdns,
    /// Only one without EDNS got a reply: this one has it again, which tells a rule from chance.
    EdnsAgain,
    /// One without EDNS got a reply a second time: this one has none either, which tells a rule from packets that are lost by turns.
    PlainAgain,
    /// The one before was answered with FORMERR, NOTIMP or BADVERS, as by a server that does not know EDNS: this one has none (RFC 6891
    /// section 7).
    EdnsRefused,
    /// The one before was answered with BADCOOKIE: this one has the server's cookie (RFC 7873 section 5.3).
    BadCookie,
    /// The reply over UDP was cut (TC=1): this one goes over TCP (RFC 7766 section 5).
    Truncated,
    /// Another one, which this version has no word for.
    #[serde(other)]
    Other,
}

/// A message that came beside the reply that was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OtherMessage {
    /// After the first query of its lookup.
    pub after_us: u64,
    /// It answers the very question, by id and name, and came after the reply that was taken. A query that was sent twice may
    /// honestly get two.
    pub second_reply: bool,
    /// Why it was not taken.
    pub why: String,
    /// Its size, in bytes.
    pub size_bytes: u32,
    /// The TTL or hop limit of the packet that brought it. One other than the reply's comes from another place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_ttl: Option<u8>,
    /// What it says, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<DnsReply>,
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
    /// Datagrams (RFC 1035 section 4.2.1).
    Udp,
    /// A connection (RFC 7766).
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS (RFC 8484).
    Https,
    /// DNS over QUIC (RFC 9250).
    Quic,
}

/// A DNS message as received (RFC 1035 section 4.1, RFC 6891).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DnsReply {
    /// The message's id.
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
    /// Records of the answer section.
    pub answers: Vec<Record>,
    /// Records of the authority section.
    pub authority: Vec<Record>,
    /// Records of the additional section.
    pub additional: Vec<Record>,
    /// Size of the message, in bytes.
    pub size_bytes: u32,
    /// Where the reply came from.
    pub from: SocketAddr,
    /// The TTL or hop limit that the packet had left, where the system says it; over UDP only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_ttl: Option<u8>,
}

/// Header flags (RFC 1035 section 4.1.1, RFC 4035 section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsFlags {
    /// Authoritative answer (RFC 1035 section 4.1.1).
    pub aa: bool,
    /// Truncated (RFC 1035 section 4.1.1).
    pub tc: bool,
    /// Recursion desired (RFC 1035 section 4.1.1).
    pub rd: bool,
    /// Recursion available (RFC 1035 section 4.1.1).
    pub ra: bool,
    /// Authentic data (RFC 4035 section 3.2.3).
    pub ad: bool,
    /// Checking disabled (RFC 4035 section 3.2.2).
    pub cd: bool,
}

/// The OPT record of a reply (RFC 6891 section 6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Edns {
    /// The version of EDNS (RFC 6891 section 6.1.3).
    pub version: u8,
    /// The largest UDP payload that the server takes.
    pub udp_size_bytes: u16,
    /// The DO bit (RFC 3225).
    pub dnssec_ok: bool,
    /// Which instance of the server replied (RFC 5001): as text where it is printable ASCII, else `0x` and hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nsid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Cookie>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_subnet: Option<SubnetScope>,
}

/// A DNS cookie in a reply (RFC 7873 section 4). Its bytes are a secret between the two and are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cookie {
    /// The client's part is the one that was sent.
    pub client_matches: bool,
    /// Length of the server's part, 8 to 32; 0 where the server sent none.
    pub server_bytes: u8,
}

/// For whom an answer is meant (RFC 7871 section 7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubnetScope {
    /// The network's address (RFC 7871 section 6).
    pub address: IpAddr,
    /// Bits of the address that were sent (RFC 7871 section 6).
    pub source_prefix: u8,
    /// The answer holds for a network of this length; 0 for everybody.
    pub scope_prefix: u8,
}

/// RFC 8914 section 4: the info code, its registered name, and the server's extra text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExtendedError {
    /// The code (RFC 8914 section 4).
    pub code: u16,
    /// The code's name in the registry.
    pub name: String,
    /// The server's own words.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// In presentation format (RFC 1035 section 5.1), with the final dot, as names within `data` are.
    pub name: String,
    /// The type, such as A (RFC 1035 section 3.2.2).
    pub record_type: String,
    /// How long it may be kept, in seconds (RFC 1035 section 3.2.1).
    pub ttl_s: u32,
    /// The data in presentation format.
    pub data: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn lookup(record_type: &str, source: &str, reply: Value) -> Lookup {
        serde_json::from_value(json!({
            "name": "a.example", "record_type": record_type, "source": source, "server": "192.0.2.53:53", "transport": "udp", "took_us": 1,
            "addresses": if source == "system" { json!(["192.0.2.1"]) } else { json!([]) }, "reply": reply,
        }))
        .unwrap()
    }

    fn reply(rcode_number: u16) -> Value {
        json!({
            "id": 1, "flags": {"aa": false, "tc": false, "rd": true, "ra": true, "ad": false, "cd": false}, "rcode": "X", "rcode_number": rcode_number,
            "answers": [], "authority": [], "additional": [], "size_bytes": 40, "from": "192.0.2.53:53",
        })
    }

    #[test]
    fn a_type_that_every_server_fails_at_is_unanswered_and_one_without_records_is_not() {
        let asked = [
            lookup("A", "server", reply(0)),
            lookup("AAAA", "server", Value::Null),
            lookup("MX", "server", reply(2)),
            lookup("TXT", "server", Value::Null),
            lookup("TXT", "server", reply(3)),
            lookup("NS", "server", Value::Null),
        ];
        assert_eq!(Lookup::unanswered_types(&asked), ["MX", "NS"]);
    }

    #[test]
    fn what_the_system_answers_settles_addresses_alone() {
        let asked = [lookup("A", "server", reply(5)), lookup("MX", "server", reply(5))];
        assert_eq!(Lookup::unanswered_types(&asked), ["A", "MX"]);
        let [address, mail] = asked;
        assert_eq!(Lookup::unanswered_types(&[address, mail, lookup("ADDRESS", "system", Value::Null)]), ["MX"]);
    }
}
