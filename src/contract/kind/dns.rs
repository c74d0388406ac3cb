use super::ParameterError;
use crate::nearest::nearest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsParams {
    /// The name to ask for.
    pub name: String,
    /// The record types to ask for, such as A, AAAA, CNAME, MX, TXT.
    #[serde(default = "address_types")]
    pub types: Vec<String>,
    /// The name servers to ask, as addresses with an optional port; none asks those that the system is configured with.
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

/// The record types that can be asked for by name; any other by its number, as `TYPE64`.
pub const RECORD_TYPES: [&str; 24] = [
    "A", "AAAA", "ANY", "CAA", "CDNSKEY", "CDS", "CERT", "CNAME", "DNAME", "DNSKEY", "DS", "HINFO", "HTTPS", "MX", "NAPTR", "NS",
    "NSEC", "PTR", "SOA", "SRV", "SSHFP", "SVCB", "TLSA", "TXT",
];

/// Types that stand for more than one question or for no record: OPT, TKEY, TSIG, IXFR and AXFR (RFC 6895 section 3.1).
const NO_QUESTION: [u16; 5] = [41, 249, 250, 251, 252];

impl DnsParams {
    /// At most this many servers and record types a check: their product bounds the packets.
    pub const MAX_SERVERS: usize = 8;
    pub const MAX_TYPES: usize = 8;

    /// The servers named, parsed; those that are no address are left out, which [`super::Params::parse`] has refused before.
    pub fn server_addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().filter_map(|server| parse_server(server)).collect()
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
        match self.servers.iter().find(|server| parse_server(server).is_none()) {
            Some(server) => refuse(
                "servers",
                format!("`{server}` is not the address of a name server: write 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53"),
            ),
            None => Ok(()),
        }
    }
}

/// A server as written: an address, or an address and a port; port 53 where none is given.
pub fn parse_server(text: &str) -> Option<SocketAddr> {
    let with_port = text.parse().ok().filter(|server: &SocketAddr| server.port() != 0);
    with_port.or_else(|| Some(SocketAddr::new(text.trim_matches(['[', ']']).parse::<IpAddr>().ok()?, 53)))
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
        Err("it is an address; for its name ask for the PTR record of its reverse name, such as 1.2.0.192.in-addr.arpa")
    } else if name.contains("://") {
        Err("it is a URL: give its host name alone")
    } else if name.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())) {
        Err("it has a port: give the name alone")
    } else if !name.is_ascii() {
        Err("it has characters outside ASCII: give the xn-- form")
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
    fn a_name_that_no_question_can_carry_is_refused() {
        let long = "a".repeat(64);
        for (name, reason) in [
            ("", "label"),
            ("a..b", "label"),
            (&long, "label"),
            ("192.0.2.1", "PTR"),
            ("bücher.example", "xn--"),
            ("a b", "white space"),
            ("https://shop.example/", "URL"),
            ("shop.example:443", "port"),
        ] {
            assert!(message(json!({ "name": name })).contains(reason), "{name}");
        }
        for fine in [".", "_sip._tcp.example.", "x"] {
            Params::parse(Kind::Dns, json!({ "name": fine })).unwrap();
        }
    }
}
