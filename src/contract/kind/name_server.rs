use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A name server as a person writes it: an address, how to speak to it, and the name that its certificate must have.
///
/// `192.0.2.53`, `192.0.2.53:5353`, `[2001:db8::53]:53`; `udp://192.0.2.53` and `tcp://192.0.2.53` for one transport only;
/// `tls://192.0.2.53#dns.example` for DNS over TLS (RFC 7858); `https://192.0.2.53/dns-query#dns.example` for DNS over HTTPS
/// (RFC 8484); `quic://192.0.2.53#dns.example` for DNS over QUIC (RFC 9250).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameServer {
    pub address: SocketAddr,
    pub speaks: Speaks,
}

/// How a server is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaks {
    /// As the check's `transport` says.
    Any,
    Udp,
    Tcp,
    Tls {
        /// The name to send and to look for in the certificate; the address where none is given.
        name: Option<String>,
    },
    Https {
        name: Option<String>,
        /// The path of the URL, with its slash.
        path: String,
    },
    Quic {
        name: Option<String>,
    },
}

/// RFC 1035 section 4.2.
const DNS_PORT: u16 = 53;
/// RFC 7858 section 3.1.
const TLS_PORT: u16 = 853;
const HTTPS_PORT: u16 = 443;
/// RFC 9250 section 4.1.1.
const QUIC_PORT: u16 = 853;

/// The path that RFC 8484 shows in its examples and that every public resolver has.
const HTTPS_PATH: &str = "/dns-query";

/// Longest text that is read as a server: more than any path in use, and little enough for a table.
const MAX_LENGTH: usize = 512;

impl NameServer {
    /// None where the text is not one of the forms above. Never panics.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LENGTH || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Some(Self { address: parse_address(text, DNS_PORT)?, speaks: Speaks::Any });
        };
        let (rest, name) = match rest.split_once('#') {
            Some((rest, name)) => (rest, Some(Some(name.trim_end_matches('.').to_owned()).filter(|name| is_host_name(name))?)),
            None => (rest, None),
        };
        let (address, path) = rest.find('/').map_or((rest, None), |slash| (&rest[..slash], Some(&rest[slash..])));
        let (port, speaks) = match (scheme, path, name) {
            ("udp", None, None) => (DNS_PORT, Speaks::Udp),
            ("tcp", None, None) => (DNS_PORT, Speaks::Tcp),
            ("tls", None, name) => (TLS_PORT, Speaks::Tls { name }),
            ("quic", None, name) => (QUIC_PORT, Speaks::Quic { name }),
            ("https", path, name) => (HTTPS_PORT, Speaks::Https { name, path: path.unwrap_or(HTTPS_PATH).to_owned() }),
            _ => return None,
        };
        Some(Self { address: parse_address(address, port)?, speaks })
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |name: &Option<String>| name.as_ref().map_or(String::new(), |name| format!("#{name}"));
        match &self.speaks {
            Speaks::Any => write!(f, "{}", self.address),
            Speaks::Udp => write!(f, "udp://{}", self.address),
            Speaks::Tcp => write!(f, "tcp://{}", self.address),
            Speaks::Tls { name } => write!(f, "tls://{}{}", self.address, after(name)),
            Speaks::Quic { name } => write!(f, "quic://{}{}", self.address, after(name)),
            Speaks::Https { name, path } => write!(f, "https://{}{path}{}", self.address, after(name)),
        }
    }
}

/// An address, or an address and a port; `port` where none is given.
pub(super) fn parse_address(text: &str, port: u16) -> Option<SocketAddr> {
    let with_port = text.parse().ok().filter(|server: &SocketAddr| server.port() != 0);
    with_port.or_else(|| Some(SocketAddr::new(text.trim_matches(['[', ']']).parse::<IpAddr>().ok()?, port)))
}

fn is_host_name(name: &str) -> bool {
    let fits = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_form_has_the_port_of_its_protocol() {
        let expected = [
            ("192.0.2.53", "192.0.2.53:53"),
            ("udp://[2001:db8::53]", "udp://[2001:db8::53]:53"),
            ("tcp://192.0.2.53:5353", "tcp://192.0.2.53:5353"),
            ("tls://192.0.2.53", "tls://192.0.2.53:853"),
            ("tls://2001:db8::53#dns.example.", "tls://[2001:db8::53]:853#dns.example"),
            ("quic://192.0.2.53#dns.example", "quic://192.0.2.53:853#dns.example"),
            ("https://192.0.2.53#dns.example", "https://192.0.2.53:443/dns-query#dns.example"),
            ("https://192.0.2.53:8443/x/y?z", "https://192.0.2.53:8443/x/y?z"),
        ];
        for (text, whole) in expected {
            assert_eq!(NameServer::parse(text).unwrap_or_else(|| panic!("{text}")).to_string(), whole);
        }
    }

    #[test]
    fn what_names_no_address_or_two_things_at_once_is_refused() {
        for text in [
            "tls://dns.example",
            "udp://192.0.2.53#a",
            "tls://192.0.2.53/x",
            "ftp://192.0.2.53",
            "tls://192.0.2.53#a b",
            "tls://192.0.2.53#",
            "quic://192.0.2.1/x",
            "tls://192.0.2.53:0",
            "://",
            "https:///x",
        ] {
            assert_eq!(NameServer::parse(text), None, "{text}");
        }
    }

    proptest! {
        /// What is shown is read as the same server again, so that parameters survive a round trip.
        #[test]
        fn any_text_is_refused_or_reads_back_as_it_is_shown(text in "(tls://|https://|quic://|udp://|)[0-9a-f:.\\[\\]]{0,20}(/[a-z]{0,3})?(#[a-z.]{0,5})?|\\PC{0,40}") {
            if let Some(server) = NameServer::parse(&text) {
                prop_assert_eq!(NameServer::parse(&server.to_string()), Some(server));
            }
        }
    }
}
