use super::service::SUBMISSIONS;
use super::{ParameterError, alpn};
use crate::pin::ExpectedCertificate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsParams {
    /// The host name or address to make the handshake with.
    pub host: String,
    /// The port to connect to.
    #[serde(default = "port")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// The server name to send and to look for in the certificate; none takes the host.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Application protocols to offer (ALPN), the preferred first, at most 16.
    #[serde(default = "protocols")]
    pub alpn: Vec<String>,
    /// Milliseconds to wait for the connection, and again for the handshake.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 30_000))]
    pub timeout_ms: u64,
    /// Bytes of data in one segment at most, both ways: what drops larger packets alone lets these pass. None leaves it to the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 536, max = 8_960))]
    pub max_segment_bytes: Option<u32>,
    /// The protocol to begin in the clear and to leave for TLS (STARTTLS); `smtp` says nothing at port 465, which begins in TLS.
    #[serde(default)]
    pub starttls: StartTlsProtocol,
    /// The certificate that is expected: the SHA-256 of its DER form in hexadecimal, or `sha256:` and the base64url digest of its key.
    #[serde(default)]
    pub pin: Option<String>,
    /// Make a second handshake with classic key-exchange groups only, whose hello is smaller than the post-quantum one.
    #[serde(default)]
    pub compare_groups: bool,
    /// Wait for session tickets and make a second handshake that resumes the session.
    #[serde(default)]
    pub resumption: bool,
    /// Ask for every TLS version from 1.0 to 1.3 by itself, one connection each.
    #[serde(default)]
    pub versions: bool,
    /// Find every cipher suite that the server accepts, one connection each.
    #[serde(default)]
    pub ciphers: bool,
    /// Other server names to make a handshake with, at most 8; `none` sends no name.
    #[serde(default)]
    pub compare_names: Vec<String>,
    /// Fetch an issuer's certificate that the server did not send from the address that the certificate names.
    #[serde(default)]
    pub fetch_issuers: bool,
    /// Ask the responder that the server's certificate names whether it was revoked, or fetch the list that it names.
    #[serde(default)]
    pub revocation: bool,
}

impl TlsParams {
    /// Names of `compare_names` at most.
    pub const MAX_NAMES: usize = 8;
    /// Connections for `versions` and `ciphers` at most: four versions with some thirty suites each, which no usual server has.
    pub const MAX_QUESTIONS: u32 = 120;
    /// The same for MySQL, which locks out a host after 100 connections in a row that break off before they sign in
    /// (`max_connect_errors`).
    pub const MAX_MYSQL_QUESTIONS: u32 = 40;
    /// Certificates fetched by `fetch_issuers` at most: a chain misses one intermediate, hardly ever two.
    pub const MAX_FETCHES: u32 = 3;
    /// Places asked by `revocation` at most: a responder, and a list where it gives no statement.
    pub const MAX_STATEMENTS: u32 = 2;

    pub(super) fn validate(&self) -> Result<(), ParameterError> {
        alpn::check(&self.alpn, 0)?;
        if self.compare_names.len() > Self::MAX_NAMES {
            let given = self.compare_names.len();
            let text = format!("`compare_names` has {given} names, but must have at most {}", Self::MAX_NAMES);
            return Err(ParameterError::of("compare_names", text));
        }
        let expected = self.pin.as_deref().map(str::parse::<ExpectedCertificate>).transpose();
        expected.map_err(|error| ParameterError::of("pin", error.to_string()))?;
        Ok(())
    }

    /// What is spoken before TLS, at the port in question.
    pub fn spoken_first(&self) -> StartTlsProtocol {
        match self.starttls {
            StartTlsProtocol::Smtp if self.port == SUBMISSIONS => StartTlsProtocol::None,
            protocol => protocol,
        }
    }

    /// Connections for `versions` and `ciphers` at most with this protocol.
    pub fn max_questions(&self) -> u32 {
        if self.starttls == StartTlsProtocol::Mysql { Self::MAX_MYSQL_QUESTIONS } else { Self::MAX_QUESTIONS }
    }

    /// Connections to the host at most, fetches of issuers and questions about revocation left out.
    pub fn connections(&self) -> u32 {
        let questions = match (self.versions, self.ciphers) {
            (_, true) => self.max_questions(),
            (true, false) => 4,
            (false, false) => 0,
        };
        let names = u32::try_from(self.compare_names.len().min(Self::MAX_NAMES)).unwrap_or(0);
        1 + u32::from(self.compare_groups) + u32::from(self.resumption) + names + questions
    }
}

/// What is spoken before TLS begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum StartTlsProtocol {
    #[default]
    None,
    Smtp,
    Imap,
    Postgres,
    Mysql,
    Ldap,
}

fn port() -> u16 {
    443
}

fn protocols() -> Vec<String> {
    vec!["h2".into(), "http/1.1".into()]
}

fn timeout_ms() -> u64 {
    5_000
}

#[cfg(test)]
mod tests {
    use super::{StartTlsProtocol, TlsParams};
    use serde_json::json;

    fn connections(value: serde_json::Value) -> u32 {
        serde_json::from_value::<TlsParams>(value).unwrap().connections()
    }

    #[test]
    fn mail_at_465_begins_in_tls() {
        let first = |port: u16| {
            let value = json!({"host": "x", "port": port, "starttls": "smtp"});
            serde_json::from_value::<TlsParams>(value).unwrap().spoken_first()
        };
        assert_eq!((first(465), first(587)), (StartTlsProtocol::None, StartTlsProtocol::Smtp));
    }

    #[test]
    fn whoever_asks_for_little_costs_little_and_no_mysql_server_locks_the_machine_out() {
        assert_eq!(connections(json!({"host": "x"})), 1);
        assert_eq!(connections(json!({"host": "x", "versions": true, "resumption": true, "compare_names": ["none"]})), 7);
        let everything = json!({"host": "x", "starttls": "mysql", "ciphers": true, "compare_groups": true, "resumption": true, "compare_names": vec!["none"; 20]});
        assert!(connections(everything) < 100);
    }
}
