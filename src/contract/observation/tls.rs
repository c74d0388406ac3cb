use super::tcp::{ConnectAttempt, TcpState};
use crate::failure::Failure;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// One TLS handshake. Every chain is accepted and recorded; what each trust store says of it stands beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Handshake {
    /// The host as it was asked for.
    pub host: String,
    /// The address and port of the server.
    pub address: SocketAddr,
    /// The server name sent (SNI); none for an address (RFC 6066 section 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// From the first attempt at a TCP connection, at whichever address, until one stood or all had failed, in microseconds by
    /// netsonde's own clock.
    pub connect_us: u64,
    /// Every attempt at a connection, where more than one address was tried or one failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<ConnectAttempt>,
    /// From the first byte of the ClientHello, as it was handed to the system, to the end of the handshake or its failure, in microseconds
    /// by netsonde's own clock.
    pub took_us: u64,
    /// `TLSv1.3` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The cipher suite by its IANA name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The key-exchange group, such as `X25519MLKEM768`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The protocol that ALPN agreed on (RFC 7301).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// As sent, the leaf first.
    #[serde(default)]
    pub chain: Vec<Certificate>,
    /// Whether a certificate name fits the host; none before a certificate was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<NameVerdict>,
    /// One verdict a trust store, each at `verified_at`.
    #[serde(default)]
    pub trust: Vec<TrustVerdict>,
    /// The machine's wall clock when the verdicts were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
    /// A stapled OCSP response came with the chain.
    #[serde(default)]
    pub ocsp_stapled: bool,
    /// What the stapled OCSP response says (RFC 6960).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocsp: Option<Ocsp>,
    /// The chain as it can be put together from what was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<BuiltChain>,
    /// The signed certificate timestamps embedded in the server's certificate (RFC 6962 section 3.3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timestamps: Vec<CertificateTimestamp>,
    /// Whether the certificate is the one that was expected; none where none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<PinVerdict>,
    /// The server asked for a certificate of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_request: Option<CertificateRequest>,
    /// Session tickets that came; none where they were not waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tickets: Option<Tickets>,
    /// What was spoken before TLS began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starttls: Option<StartTls>,
    /// The first bytes of a reply that is not TLS, as printable ASCII, at most 128 of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_reply: Option<String>,
    /// Of a handshake that failed, what the kernel knew of the connection then: whether the hello was acknowledged, and what was sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_close: Option<Box<TcpState>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// How other protocols begin.
const BEGINNINGS: [(&str, &str); 8] = [
    ("HTTP/", "plain HTTP"),
    ("<", "plain HTTP"),
    ("SSH-", "SSH"),
    ("* OK", "IMAP"),
    ("+OK", "POP3"),
    ("220 ", "SMTP or FTP"),
    ("220-", "SMTP or FTP"),
    ("-ERR", "Redis or POP3"),
];

impl Handshake {
    /// What the reply that is not TLS is instead, where it is known.
    pub fn plain_protocol(&self) -> Option<&'static str> {
        let reply = self.plain_reply.as_deref()?;
        BEGINNINGS.iter().find(|(beginning, _)| reply.starts_with(beginning)).map(|(_, protocol)| *protocol)
    }

    /// The status of a reply in plain HTTP (RFC 9112 section 4).
    pub fn plain_status(&self) -> Option<u16> {
        let line = self.plain_reply.as_deref()?.strip_prefix("HTTP/")?;
        line.split(' ').nth(1)?.get(..3)?.parse().ok()
    }

    /// The verdict that counts for this machine: the trust store given by hand if there is one, else the platform's, else Mozilla's.
    pub fn deciding_verdict(&self) -> Option<&TrustVerdict> {
        [TrustStore::Given, TrustStore::Platform, TrustStore::Mozilla]
            .into_iter()
            .find_map(|store| self.trust.iter().find(|verdict| verdict.store == store))
    }
}

/// One certificate of the chain (RFC 5280).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// Whose it is, as a distinguished name (RFC 4514).
    pub subject: String,
    /// Who signed it, as a distinguished name (RFC 4514).
    pub issuer: String,
    /// Subject alternative names: DNS names and addresses.
    pub names: Vec<String>,
    /// The first moment of its validity (RFC 5280 section 4.1.2.5).
    pub not_before: Timestamp,
    /// The last moment of its validity (RFC 5280 section 4.1.2.5).
    pub not_after: Timestamp,
    /// Such as `ECDSA P-256` or `RSA 2048`.
    pub key: String,
    /// The algorithm that it was signed with.
    pub signature: String,
    /// It may sign others (RFC 5280 section 4.2.1.9).
    pub is_ca: bool,
    /// Subject and issuer are the same name and its own key verifies it.
    pub self_signed: bool,
    /// SHA-256 of the DER form, lower-case hexadecimal.
    pub sha256: String,
    /// The DER form in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub der_base64: Option<String>,
}

/// The server's certificate and its issuers, as far as what was sent goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuiltChain {
    /// Positions in the chain as sent, from 0: the server's certificate, then each one's issuer.
    pub path: Vec<u32>,
    /// Every certificate that was sent directly certifies the one before it (RFC 5246 section 7.4.2 demands it, RFC 8446 section
    /// 4.4.2 recommends it).
    pub in_order: bool,
    /// The path ends in a certificate that signed itself.
    pub ends_in_root: bool,
    /// The issuer of the path's last certificate where nobody has it: it was not sent, and no trust store knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_issuer: Option<String>,
    /// Where the path's last certificate says that its issuer's can be fetched (RFC 5280 section 4.2.2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_url: Option<String>,
}

/// A log's promise to publish the certificate (RFC 6962 section 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateTimestamp {
    /// 0 stands for version 1.
    pub version: u8,
    /// SHA-256 of the log's key, lower-case hexadecimal.
    pub log_sha256: String,
    /// When the log saw the certificate.
    pub at: Timestamp,
}

/// An OCSP response (RFC 6960 section 4.2.1), or what a revocation list says in its terms (RFC 5280 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ocsp {
    /// What it says of the certificate (RFC 6960 section 2.2).
    pub status: OcspStatus,
    /// The response is about the server's certificate, by its serial number.
    pub about_leaf: bool,
    /// The issuer, or a responder that the issuer appointed, signed it; none where the issuer's certificate was not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_valid: Option<bool>,
    /// When the responder signed it (RFC 6960 section 2.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produced: Option<Timestamp>,
    /// When it was known to be right (RFC 6960 section 2.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub this_update: Option<Timestamp>,
    /// When the next statement is due (RFC 6960 section 2.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_update: Option<Timestamp>,
    /// When the certificate was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// The number of the reason (RFC 5280 section 5.3.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_reason: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OcspStatus {
    /// The issuer knows of no revocation (RFC 6960 section 2.2).
    Good,
    /// The issuer has revoked the certificate.
    Revoked,
    /// The responder does not know the certificate.
    Unknown,
    /// The responder gave an error instead of an answer.
    NoAnswer,
    /// The bytes are no OCSP response.
    Unreadable,
    /// Another one, which this version has no word for.
    #[serde(other)]
    Other,
}

/// The server's certificate beside the one that was expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PinVerdict {
    /// As it was given.
    pub wanted: String,
    /// SHA-256 of the certificate's public key (SubjectPublicKeyInfo), lower-case hexadecimal; empty where the certificate is unreadable.
    pub key_sha256: String,
    /// The key is the one that was expected.
    pub fits: bool,
}

/// Asked of the client by the server (RFC 8446 section 4.3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateRequest {
    /// The names of the authorities that the server accepts, at most 64 of them; often empty, which means any.
    #[serde(default)]
    pub authorities: Vec<String>,
}

/// Session tickets of one connection (RFC 8446 section 4.6.1, RFC 5077).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tickets {
    /// Tickets or session ids that would resume the session.
    pub count: u32,
    /// Bytes of early data (0-RTT) that the server would take; 0 where it takes none.
    pub max_early_data_bytes: u32,
}

/// What was spoken in the clear before TLS began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartTls {
    /// `smtp`, `imap`, `postgres`, `mysql` or `ldap`.
    pub protocol: String,
    /// The server's first line, as printable ASCII, at most 128 bytes of it; empty where the protocol has none.
    #[serde(default)]
    pub greeting: String,
    /// Bytes that the server said before it agreed, as far as it came; none from versions before they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_bytes: Option<u32>,
    /// The server agreed to go on in TLS.
    pub agreed: bool,
    /// From the established connection to the server's agreement or refusal, or until it was waited for no longer, in microseconds by
    /// netsonde's own clock.
    pub took_us: u64,
}

/// One more handshake with the same address, which differs from the check's own in one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HandshakeVariant {
    /// The host as it was asked for.
    pub host: String,
    /// The address that was asked or measured.
    pub address: SocketAddr,
    pub variant: Variant,
    /// The server name sent (SNI); none where none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// How long the TCP connection took, in microseconds.
    pub connect_us: u64,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// The version of TLS that was agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The cipher suite by its IANA name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The key-exchange group that was agreed on, by its IANA name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// SHA-256 of the server's certificate; none where none was seen, as in a resumed session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf_sha256: Option<String>,
    /// The certificate's subject and names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf_subject: Option<String>,
    /// The server went on with the session of the ticket.
    #[serde(default)]
    pub resumed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// In what a handshake differs from the check's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// It offers no post-quantum group, so that its hello fits one packet.
    ClassicGroups,
    /// It sends another server name, or none.
    ServerName,
    /// It offers the session of the handshake before.
    Resumption,
    /// Another one, which this version has no word for.
    #[serde(other)]
    Other,
}

/// Which versions and cipher suites a server accepts, each asked for by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TlsSupport {
    /// The host as it was asked for.
    pub host: String,
    /// The address that was asked or measured.
    pub address: SocketAddr,
    /// The server name sent (SNI).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// In the order asked, 1.0 first.
    pub versions: Vec<VersionSupport>,
    /// Connections that this took.
    pub connections: u32,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// Why it ended before everything was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VersionSupport {
    /// `TLSv1.0` to `TLSv1.3`.
    pub protocol: String,
    /// The server accepts it.
    pub accepted: bool,
    /// The cipher suites that were accepted: the first only where ciphers were not asked for. In the order in which the server took
    /// them from a full offer.
    #[serde(default)]
    pub ciphers: Vec<String>,
    /// The server takes what it prefers, not what the client names first; none where fewer than two suites are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_order: Option<bool>,
    /// How the server refused; none where it accepted. `tls_alert`, `other_version` (it answered with another one), `closed` and
    /// `reset` are refusals where the server accepts another version; any other failure says nothing about the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// A certificate fetched from the address that another names for its issuer (RFC 5280 section 4.2.2.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FetchedIssuer {
    /// The URL that was asked for.
    pub url: String,
    /// The address that it was fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// How long it took, in microseconds.
    pub took_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// It signed the certificate that named it.
    #[serde(default)]
    pub fits: bool,
    /// What each trust store says of the server's chain with this certificate, and those fetched before it, added.
    #[serde(default)]
    pub trust: Vec<TrustVerdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What came of asking where the server's certificate says that its revocation can be looked up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Revocation {
    /// The host as it was asked for.
    pub host: String,
    /// The server whose certificate it is about.
    pub server: SocketAddr,
    /// How it was asked for.
    pub by: RevocationSource,
    /// The URL that the certificate names.
    pub url: String,
    /// The address that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// What was said of the certificate; none where nothing came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Ocsp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Where a revocation is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevocationSource {
    /// A responder that answers for one certificate (RFC 6960).
    Ocsp,
    /// A list of all certificates that an authority revoked (RFC 5280 section 5).
    Crl,
    /// A means that this version does not know.
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NameVerdict {
    /// The name or address that was looked for.
    pub wanted: String,
    /// RFC 9525: a DNS name or address of the certificate fits.
    pub fits: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrustVerdict {
    /// Which trust store was asked.
    pub store: TrustStore,
    /// It trusts the chain.
    pub trusted: bool,
    /// Why not; none where it is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<TrustReason>,
    /// The verifier's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrustStore {
    /// What the operating system trusts.
    Platform,
    /// Mozilla's roots, built in.
    Mozilla,
    /// Certificates that the person named (`--trust`, `SSL_CERT_FILE`).
    Given,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrustReason {
    /// A certificate of the chain is past its end.
    Expired,
    /// A certificate of the chain begins later.
    NotYetValid,
    /// The certificate is for another name.
    NameMismatch,
    /// No trusted authority is at the end of the chain.
    UnknownIssuer,
    /// A certificate of the chain was revoked.
    Revoked,
    /// Another one, which this version has no word for.
    #[serde(other)]
    Other,
}
