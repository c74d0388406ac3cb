use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceParams {
    /// The host name or address of the service; for `dhcp` also 255.255.255.255, whoever answers on the own link.
    pub host: String,
    /// The protocol that the service should speak.
    pub protocol: ServiceProtocol,
    /// The port to speak at; 0 takes the protocol's own. SMTP at 465 is spoken within TLS.
    #[serde(default)]
    #[schemars(range(min = 0, max = 65_535))]
    pub port: u16,
    /// Milliseconds to wait for the connection, and again for each answer.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 30_000))]
    pub timeout_ms: u64,
    /// Where the service offers to go on in TLS, accept the offer and make the handshake.
    #[serde(default = "yes")]
    pub tls: bool,
}

impl ServiceParams {
    /// Addresses of the host that are spoken to at most: each is asked by itself, and more tell nothing new.
    pub const MAX_ADDRESSES: usize = 4;
    /// Bytes read from one service at most: a greeting and a list of abilities have some thousand.
    pub const MAX_BYTES: usize = 64 * 1024;
    /// Datagrams sent to one address at most where there is no connection: the question, and twice again without an answer.
    pub const MAX_DATAGRAMS: u32 = 3;

    /// The port in force.
    pub fn port(&self) -> u16 {
        if self.port == 0 { self.protocol.port() } else { self.port }
    }

    /// TLS comes before the first word there.
    pub fn begins_in_tls(&self) -> bool {
        self.protocol == ServiceProtocol::Smtp && self.port() == SUBMISSIONS
    }
}

/// Mail is handed in at this port within TLS from the first byte on (RFC 8314 section 3.3).
pub(super) const SUBMISSIONS: u16 = 465;

macro_rules! protocols {
    ($($variant:ident $name:literal $label:literal $port:literal $transport:ident $help:literal;)*) => {
        /// A protocol that a service is asked in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[schemars(inline)]
        pub enum ServiceProtocol {
            $(#[doc = $help] $variant,)*
        }

        impl ServiceProtocol {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word that stands for it in parameters and facts.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The name that people call it by.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }

            /// The port that it is usually found at.
            pub fn port(self) -> u16 {
                match self { $(Self::$variant => $port,)* }
            }

            /// What carries it here.
            pub fn transport(self) -> ServiceTransport {
                match self { $(Self::$variant => ServiceTransport::$transport,)* }
            }

            /// What is asked of such a service, in one line.
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

/// What carries a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceTransport {
    Tcp,
    Udp,
}

impl ServiceTransport {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

protocols! {
    Ssh "ssh" "SSH" 22 Tcp "identification and the algorithms of the key exchange (RFC 4253)";
    Ftp "ftp" "FTP" 21 Tcp "greeting, FEAT, AUTH TLS (RFC 959, RFC 2389, RFC 4217)";
    Smtp "smtp" "SMTP" 25 Tcp "greeting, EHLO, STARTTLS (RFC 5321, RFC 3207)";
    Ldap "ldap" "LDAP" 389 Tcp "the root entry that every server shows, StartTLS (RFC 4511, RFC 4512)";
    Smb "smb" "SMB" 445 Tcp "the negotiation of the dialect (MS-SMB2)";
    Rpcbind "rpcbind" "rpcbind" 111 Tcp "the list of programs and their ports (RFC 1833)";
    Nfs "nfs" "NFS" 2049 Tcp "the versions and the procedure that does nothing (RFC 5531, RFC 7530)";
    Rdp "rdp" "RDP" 3389 Tcp "the negotiation of the security protocol, TLS (MS-RDPBCGR)";
    Redis "redis" "Redis" 6379 Tcp "PING and INFO server (RESP)";
    Postgres "postgres" "PostgreSQL" 5432 Tcp "SSLRequest, and without TLS the versions of the protocol";
    Mysql "mysql" "MySQL" 3306 Tcp "greeting of MySQL or MariaDB, TLS";
    Mssql "mssql" "SQL Server" 1433 Tcp "PRELOGIN: version and encryption (MS-TDS)";
    Ike "ike" "IKEv2" 500 Udp "IKE_SA_INIT, which begins a VPN and signs nobody in (RFC 7296)";
    Dhcp "dhcp" "DHCP" 67 Udp "DISCOVER, which asks for an offer and takes no address (RFC 2131)";
}

fn timeout_ms() -> u64 {
    5_000
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mail_at_465_begins_in_tls() {
        let params = |protocol: &str, port: u16| -> ServiceParams {
            serde_json::from_value(serde_json::json!({"host": "x", "protocol": protocol, "port": port})).unwrap()
        };
        assert!(params("smtp", 465).begins_in_tls());
        assert!(!params("smtp", 0).begins_in_tls() && !params("ftp", 465).begins_in_tls());
    }

    #[test]
    fn a_protocol_is_written_by_its_name_and_has_its_own_port() {
        for protocol in ServiceProtocol::ALL {
            assert_eq!(serde_json::to_value(protocol).unwrap(), protocol.name());
            let params: ServiceParams =
                serde_json::from_value(serde_json::json!({"host": "x", "protocol": protocol.name()})).unwrap();
            assert_eq!(params.port(), protocol.port());
            assert_eq!(ServiceParams { port: 99, ..params }.port(), 99);
        }
    }
}
