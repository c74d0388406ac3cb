use super::ParameterError;
use super::name_server::{NameServer, parse_address};
use crate::nearest::nearest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsParams {
    /// The name to ask for; of an address its own name is asked for (PTR).
    pub name: String,
    /// The record types to ask for, such as A, AAAA, CNAME, MX, TXT; at most 8.
    #[serde(default = "address_types")]
    pub types: Vec<String>,
    /// The name servers to ask, as addresses with an optional port; none asks those that the system is configured with. `tls://ADDRESS#NAME`
    /// asks over TLS and `https://ADDRESS/dns-query#NAME` over HTTPS, where NAME is the one that the certificate must have; `quic://ADDRESS#NAME` asks over QUIC; `udp://ADDRESS` and
    /// `tcp://ADDRESS` use that transport only. At most 8.
    #[serde(default)]
    pub servers: Vec<String>,
    /// How to ask: over UDP and again over TCP when the reply was cut, or over one of them only.
    #[serde(default)]
    pub transport: DnsTransport,
    /// Also ask the way an application does: getaddrinfo, and hickory-resolver on the system's configuration.
    #[serde(default = "yes")]
    pub system: bool,
    /// Milliseconds to wait for a reply to one packet.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 10_000))]
    pub timeout_ms: u64,
    /// Packets to send to one server before it counts as silent.
    #[serde(default = "attempts")]
    #[schemars(range(min = 1, max = 5))]
    pub attempts: u32,
    /// Ask for recursion; a server that is asked for its own zones only needs none.
    #[serde(default = "yes")]
    pub recursion: bool,
    /// Whether to offer EDNS, and whether to ask once more without it where it is met with silence or a refusal.
    #[serde(default)]
    pub edns: EdnsUse,
    /// Ask for DNSSEC records (the DO bit), which makes replies larger.
    #[serde(default)]
    pub dnssec: bool,
    /// Ask which of a server's instances replies (NSID).
    #[serde(default = "yes")]
    pub nsid: bool,
    /// Send a DNS cookie, which tells the server's replies from forged ones.
    #[serde(default = "yes")]
    pub cookie: bool,
    /// Ask on behalf of this network, such as 192.0.2.0/24 (EDNS client subnet), to see what clients there are answered.
    #[serde(default)]
    pub client_subnet: Option<String>,
    /// Milliseconds to listen on after a reply over UDP, for a second reply to the same question, which a forger or a duplicating network sends.
    #[serde(default = "listen_ms")]
    #[schemars(range(min = 0, max = 2_000))]
    pub listen_ms: u64,
    /// Where the answer is SERVFAIL, ask again with checking disabled (CD=1): an answer then shows that DNSSEC validation failed.
    #[serde(default)]
    pub compare_cd: bool,
    /// Ask each server who it is: version.bind, hostname.bind and id.server in class CH.
    #[serde(default)]
    pub identity: bool,
    /// Ask for the names (PTR) of the addresses that were answered.
    #[serde(default)]
    pub reverse: bool,
    /// Also ask for the name with each of the system's search suffixes.
    #[serde(default)]
    pub search: bool,
    /// A server to put the same questions to for comparison, written as in `servers`.
    #[serde(default)]
    pub control: Option<String>,
    /// An address at which no name server is, asked the same over UDP: an answer shows that somebody on the way answers in others' place.
    #[serde(default)]
    pub unserved: Option<String>,
    /// The addresses that the name should have, at most 16: another one of the same family is a finding, unless TLS shows the right host.
    #[serde(default)]
    pub expect: Vec<String>,
    /// Walk down the delegations from the root, and ask every name server of each zone.
    #[serde(default)]
    pub delegation: bool,
    /// The servers that a walk begins at, as addresses with an optional port; none begins at the root servers.
    #[serde(default)]
    pub roots: Vec<String>,
    /// The keys that a walk trusts to sign the root, as DS records (key tag, algorithm, digest type, digest), at most 4; none trusts the
    /// root's own, and none at all where `roots` names other servers.
    #[serde(default)]
    pub anchors: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum DnsTransport {
    #[default]
    UdpThenTcp,
    Udp,
    Tcp,
}

/// How EDNS is offered (RFC 6891).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum EdnsUse {
    /// Offered; where no packet with it is answered, or it is refused, one packet follows without.
    #[default]
    Fallback,
    /// Offered, and never given up.
    Always,
    /// Not offered, so that no option goes out either.
    Never,
}

/// A network on whose behalf a question is asked (RFC 7871 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSubnet {
    /// The bits beyond the prefix are zero.
    pub address: IpAddr,
    pub prefix: u8,
}

impl ClientSubnet {
    /// None where the text is no network, such as `192.0.2.0/24` or `2001:db8::/56`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
        let masked = match address {
            IpAddr::V4(v4) => IpAddr::from((u32::from(v4) & high_bits(32, prefix)? as u32).to_be_bytes()),
            IpAddr::V6(v6) => IpAddr::from((u128::from(v6) & high_bits(128, prefix)?).to_be_bytes()),
        };
        Some(Self { address: masked, prefix })
    }
}

/// A number of `width` bits whose `count` first are set; none where there are not so many.
fn high_bits(width: u32, count: u8) -> Option<u128> {
    let low = width.checked_sub(count.into())?;
    let all = u128::MAX >> (128 - width);
    Some(if low == 128 { 0 } else { all >> low << low })
}

/// A key that is trusted from the start, by its digest (RFC 4034 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchor {
    pub key_tag: u16,
    pub algorithm: u8,
    pub digest_type: u8,
    pub digest: Vec<u8>,
}

impl TrustAnchor {
    /// None where the text is no DS record's data, such as `20326 8 2 e06d…`; blanks within the digest do not matter.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (key_tag, algorithm, digest_type) =
            (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let digits: Vec<u32> = words.flat_map(str::chars).map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
        let whole = !digits.is_empty() && digits.len().is_multiple_of(2) && digits.len() <= 2 * Self::MAX_DIGEST_BYTES;
        let byte = |pair: &[u32]| u8::try_from(pair[0] << 4 | pair[1]).ok();
        let digest = digits.chunks_exact(2).map(byte).collect::<Option<_>>()?;
        whole.then_some(Self { key_tag, algorithm, digest_type, digest })
    }

    /// SHA-384 has 48; nothing longer is registered.
    const MAX_DIGEST_BYTES: usize = 64;
}

/// The record types that can be asked for by name; any other by its number, as `TYPE64`.
pub const RECORD_TYPES: [&str; 27] = [
    "A",
    "AAAA",
    "ANY",
    "CAA",
    "CDNSKEY",
    "CDS",
    "CERT",
    "CNAME",
    "DNAME",
    "DNSKEY",
    "DS",
    "HINFO",
    "HTTPS",
    "MX",
    "NAPTR",
    "NS",
    "NSEC",
    "NSEC3",
    "NSEC3PARAM",
    "PTR",
    "RRSIG",
    "SOA",
    "SRV",
    "SSHFP",
    "SVCB",
    "TLSA",
    "TXT",
];

/// Types that stand for more than one question or for no record: OPT, TKEY, TSIG, IXFR and AXFR (RFC 6895 section 3.1).
const NO_QUESTION: [u16; 5] = [41, 249, 250, 251, 252];

impl DnsParams {
    /// Milliseconds that the check's own question listens on where nothing else is asked for.
    pub const LISTEN_MS: u64 = 50;
    /// At most this many servers and record types a check: their product bounds the packets.
    pub const MAX_SERVERS: usize = 8;
    /// As many as there are root servers.
    pub const MAX_ROOTS: usize = 13;
    pub const MAX_TYPES: usize = 8;
    /// More addresses than any load balancer's name has.
    pub const MAX_EXPECTED: usize = 16;
    /// Two keys are published during a change of the root's key.
    pub const MAX_ANCHORS: usize = 4;

    /// The servers named, parsed; those that are none are left out, which [`super::Params::parse`] has refused before.
    pub fn name_servers(&self) -> Vec<NameServer> {
        self.servers.iter().filter_map(|server| NameServer::parse(server)).collect()
    }

    pub fn control_server(&self) -> Option<NameServer> {
        NameServer::parse(self.control.as_deref()?)
    }

    /// The address at which no name server is, asked over UDP alone.
    pub fn unserved_server(&self) -> Option<NameServer> {
        let address = self.unserved.as_deref().and_then(parse_server)?;
        Some(NameServer { address, speaks: super::Speaks::Any })
    }

    pub fn subnet(&self) -> Option<ClientSubnet> {
        ClientSubnet::parse(self.client_subnet.as_deref()?)
    }

    /// Where a walk begins; none stands for the root servers.
    pub fn root_addresses(&self) -> Vec<SocketAddr> {
        self.roots.iter().filter_map(|server| parse_server(server)).collect()
    }

    /// The keys that a walk trusts, parsed.
    pub fn trust_anchors(&self) -> Vec<TrustAnchor> {
        self.anchors.iter().filter_map(|anchor| TrustAnchor::parse(anchor)).collect()
    }

    pub(super) fn validate(&self) -> Result<(), ParameterError> {
        let refuse = |key: &str, message: String| Err(ParameterError::of(key, message));
        if let Err(reason) = check_name(&self.name) {
            return refuse("name", format!("`{}` cannot be asked for: {reason}", self.name));
        }
        if self.types.is_empty() || self.types.len() > Self::MAX_TYPES {
            return refuse("types", format!("`types` has {} entries, but must have 1 to {}", self.types.len(), Self::MAX_TYPES));
        }
        if self.servers.len() > Self::MAX_SERVERS {
            return refuse(
                "servers",
                format!("`servers` has {} entries, but must have at most {}", self.servers.len(), Self::MAX_SERVERS),
            );
        }
        if let Some(unknown) = self.types.iter().find(|name| !is_record_type(name)) {
            let hint = match nearest(unknown, RECORD_TYPES) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known: {}, and any other by its number, such as TYPE64", RECORD_TYPES.join(", ")),
            };
            return refuse("types", format!("`{unknown}` is no record type that can be asked for ({hint})"));
        }
        let no_server = |key: &str, server: &str| {
            refuse(
                key,
                format!(
                    "`{server}` is not the address of a name server: write 192.0.2.53, 192.0.2.53:5353, [2001:db8::53]:53, tls://192.0.2.53#NAME or https://192.0.2.53/dns-query#NAME"
                ),
            )
        };
        if let Some(server) = self.servers.iter().find(|server| NameServer::parse(server).is_none()) {
            return no_server("servers", server);
        }
        if let Some(server) = self.control.as_ref().filter(|server| NameServer::parse(server).is_none()) {
            return no_server("control", server);
        }
        if let Some(server) = self.unserved.as_ref().filter(|server| parse_server(server).is_none()) {
            return refuse("unserved", format!("`{server}` is not an address: write 192.0.2.1 or 192.0.2.1:53"));
        }
        if self.expect.len() > Self::MAX_EXPECTED {
            let message = format!("`expect` has {} entries, but must have at most {}", self.expect.len(), Self::MAX_EXPECTED);
            return refuse("expect", message);
        }
        if let Some(text) = self.expect.iter().find(|text| text.parse::<IpAddr>().is_err()) {
            return refuse("expect", format!("`{text}` is not an address: write 192.0.2.1 or 2001:db8::1"));
        }
        if self.roots.len() > Self::MAX_ROOTS {
            return refuse(
                "roots",
                format!("`roots` has {} entries, but must have at most {}", self.roots.len(), Self::MAX_ROOTS),
            );
        }
        if let Some(server) = self.roots.iter().find(|server| parse_server(server).is_none()) {
            return refuse(
                "roots",
                format!("`{server}` is not the address of a name server: write 192.0.2.53 or 192.0.2.53:5353"),
            );
        }
        if self.anchors.len() > Self::MAX_ANCHORS {
            let message = format!("`anchors` has {} entries, but must have at most {}", self.anchors.len(), Self::MAX_ANCHORS);
            return refuse("anchors", message);
        }
        if let Some(anchor) = self.anchors.iter().find(|anchor| TrustAnchor::parse(anchor).is_none()) {
            return refuse(
                "anchors",
                format!(
                    "`{anchor}` is not a key's digest: write key tag, algorithm, digest type and digest, such as 20326 8 2 e06d44b8…"
                ),
            );
        }
        match self.client_subnet.as_ref().filter(|subnet| ClientSubnet::parse(subnet).is_none()) {
            Some(subnet) => refuse("client_subnet", format!("`{subnet}` is not a network: write 192.0.2.0/24 or 2001:db8::/56")),
            None => Ok(()),
        }
    }
}

/// A server as written: an address, or an address and a port; port 53 where none is given.
pub fn parse_server(text: &str) -> Option<SocketAddr> {
    parse_address(text, 53)
}

fn is_record_type(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let numbered = || text.strip_prefix("TYPE")?.parse::<u16>().ok();
    RECORD_TYPES.contains(&text.as_str()) || numbered().is_some_and(|number| number > 0 && !NO_QUESTION.contains(&number))
}

/// Whether a name can stand in a question: any printable ASCII in labels of 1 to 63 characters, 253 in all (RFC 1035 section 2.3.4).
fn check_name(name: &str) -> Result<(), &'static str> {
    let labels = name.strip_suffix('.').unwrap_or(name);
    if name.parse::<IpAddr>().is_ok() {
        Ok(())
    } else if name.contains("://") {
        Err("it is a URL: give its host name alone")
    } else if name.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())) {
        Err("it has a port: give the name alone")
    } else if !name.is_ascii() {
        Err("it has characters outside ASCII: give the form that the network carries, which begins with xn--")
    } else if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err("it has white space or control characters")
    } else if name == "." {
        Ok(())
    } else if labels.len() > 253 {
        Err("it is longer than 253 characters")
    } else if !labels.split('.').all(|label| (1..=63).contains(&label.len())) {
        Err("it has a label that is empty or longer than 63 characters")
    } else {
        Ok(())
    }
}

/// A forger that loses the race is close behind the server that it races, or just ahead of it.
fn listen_ms() -> u64 {
    DnsParams::LISTEN_MS
}

fn address_types() -> Vec<String> {
    vec!["A".into(), "AAAA".into()]
}

fn yes() -> bool {
    true
}

fn timeout_ms() -> u64 {
    2_000
}

fn attempts() -> u32 {
    2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{Kind, Params};
    use serde_json::{Value, json};

    fn message(with: Value) -> String {
        Params::parse(Kind::Dns, with).unwrap_err().to_string()
    }

    #[test]
    fn a_mistyped_record_type_is_refused_with_the_one_that_was_meant() {
        assert!(message(json!({"name": "x.example", "types": ["AAA"]})).contains("did you mean `A"));
        assert!(message(json!({"name": "x.example", "types": ["CNMAE"]})).contains("did you mean `CNAME`?"));
        assert!(message(json!({"name": "x.example", "types": ["AXFR"]})).contains("no record type"));
        assert!(message(json!({"name": "x.example", "types": ["TYPE252"]})).contains("no record type"));
        for fine in ["a", "Https", "TYPE64"] {
            Params::parse(Kind::Dns, json!({"name": "x.example", "types": [fine]})).unwrap();
        }
    }

    #[test]
    fn more_servers_or_types_than_allowed_are_refused() {
        assert!(message(json!({"name": "x", "types": vec!["A"; 9]})).contains("1 to 8"));
        assert!(message(json!({"name": "x", "types": []})).contains("1 to 8"));
        assert!(message(json!({"name": "x", "servers": vec!["192.0.2.1"; 9]})).contains("at most 8"));
    }

    #[test]
    fn a_server_that_is_no_address_is_refused_with_how_to_write_it() {
        for wrong in ["dns.example", "192.0.2.1:0", "192.0.2.300", ""] {
            assert!(message(json!({"name": "x", "servers": [wrong]})).contains("write 192.0.2.53"), "{wrong}");
        }
        let expected =
            [("192.0.2.1", "192.0.2.1:53"), ("2001:db8::1", "[2001:db8::1]:53"), ("[2001:db8::1]:5353", "[2001:db8::1]:5353")];
        for (text, address) in expected {
            assert_eq!(parse_server(text), address.parse().ok());
        }
    }

    #[test]
    fn a_client_subnet_is_a_network_and_hides_the_bits_of_its_host() {
        let shown = |text: &str| ClientSubnet::parse(text).map(|subnet| format!("{}/{}", subnet.address, subnet.prefix));
        for (text, network) in [
            ("192.0.2.77/24", "192.0.2.0/24"),
            ("192.0.2.77/32", "192.0.2.77/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("192.0.2.77/0", "0.0.0.0/0"),
            ("2001:db8:1:2:3::4/56", "2001:db8:1::/56"),
            ("2001:db8::1/0", "::/0"),
            ("2001:db8::1/128", "2001:db8::1/128"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(network));
        }
        for wrong in ["192.0.2.0", "192.0.2.0/33", "2001:db8::/129", "x/8", "192.0.2.0/-1"] {
            assert!(message(json!({"name": "x", "client_subnet": wrong})).contains("not a network"), "{wrong}");
        }
    }

    #[test]
    fn a_trust_anchor_is_a_whole_digest() {
        let anchor = TrustAnchor::parse("20326 8 2 E06D 44B8").unwrap();
        assert_eq!((anchor.key_tag, anchor.digest), (20326, vec![0xe0, 0x6d, 0x44, 0xb8]));
        for wrong in ["", "20326 8 2", "20326 8 2 e06", "x 8 2 e06d", "20326 8 2 xyzz", &format!("1 8 2 {}", "ab".repeat(65))] {
            assert!(message(json!({"name": "x", "anchors": [wrong]})).contains("20326 8 2"), "{wrong}");
        }
        assert!(message(json!({"name": "x", "anchors": vec!["1 8 2 ab"; 5]})).contains("at most 4"));
    }

    #[test]
    fn every_use_of_edns_can_be_chosen() {
        for word in ["fallback", "always", "never"] {
            Params::parse(Kind::Dns, json!({"name": "x", "edns": word})).unwrap();
        }
        assert!(message(json!({"name": "x", "edns": "no"})).contains("fallback, always, never"));
    }

    #[test]
    fn a_walk_begins_at_addresses_only() {
        assert!(message(json!({"name": "x", "roots": ["tls://192.0.2.1"]})).contains("write 192.0.2.53"));
        assert!(message(json!({"name": "x", "roots": vec!["192.0.2.1"; 14]})).contains("at most 13"));
        assert!(message(json!({"name": "x", "control": "dns.example"})).contains("write 192.0.2.53"));
        Params::parse(Kind::Dns, json!({"name": "x", "roots": ["192.0.2.1:5353"], "control": "tls://192.0.2.1"})).unwrap();
    }

    #[test]
    fn a_name_that_no_question_can_carry_is_refused() {
        let long = "a".repeat(64);
        for (name, reason) in [
            ("", "label"),
            ("a..b", "label"),
            (&long, "label"),
            ("bücher.example", "xn--"),
            ("a b", "white space"),
            ("https://shop.example/", "URL"),
            ("shop.example:443", "port"),
        ] {
            assert!(message(json!({ "name": name })).contains(reason), "{name}");
        }
        for fine in [".", "_sip._tcp.example.", "x", "192.0.2.1", "2001:db8::1"] {
            Params::parse(Kind::Dns, json!({ "name": fine })).unwrap();
        }
    }
}
