use crate::failure::Failure;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// One TLS handshake. Every chain is accepted and recorded; what each trust store says of it stands beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Handshake {
    pub host: String,
    pub address: SocketAddr,
    /// The server name sent (SNI); none for an address (RFC 6066 section 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    pub connect_us: u64,
    /// From the first byte of the ClientHello to the end of the handshake or its failure.
    pub took_us: u64,
    /// `TLSv1.3` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The key-exchange group, such as `X25519MLKEM768`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
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
    /// The first bytes of a reply that is not TLS, as printable ASCII, at most 128 of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_reply: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl Handshake {
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
    pub subject: String,
    pub issuer: String,
    /// Subject alternative names: DNS names and addresses.
    pub names: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Such as `ECDSA P-256` or `RSA 2048`.
    pub key: String,
    pub signature: String,
    pub is_ca: bool,
    /// Subject and issuer are the same name and its own key verifies it.
    pub self_signed: bool,
    /// SHA-256 of the DER form, lower-case hexadecimal.
    pub sha256: String,
    /// The DER form in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub der_base64: Option<String>,
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
    pub store: TrustStore,
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
    Expired,
    NotYetValid,
    NameMismatch,
    UnknownIssuer,
    Revoked,
    #[serde(other)]
    Other,
}
