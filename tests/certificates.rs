use anyhow::{Context, Result};
use base64::Engine;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// A root that a test trusts, and one that nobody does.
pub struct Pki {
    root: CertifiedIssuer<'static, KeyPair>,
    foreign: CertifiedIssuer<'static, KeyPair>,
}

/// What is wrong with a certificate, if anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    #[default]
    None,
    Expired,
    NotYetValid,
    SelfSigned,
    UnknownIssuer,
}

/// A chain with its key, as a server wants it.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Chain and key in PEM, one after the other.
    pub fn to_pem(&self) -> String {
        let block = |label: &str, der: &[u8]| {
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
        };
        let chain: String = self.chain.iter().map(|certificate| block("CERTIFICATE", certificate)).collect();
        chain + &block("PRIVATE KEY", self.key.secret_der())
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Pki {
    /// # Errors
    /// Where keys cannot be made.
    pub fn new() -> Result<Self> {
        Ok(Self { root: authority("Lab Root")?, foreign: authority("Root That Nobody Trusts")? })
    }

    /// The trusted root in PEM.
    pub fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// A server's certificate for the given names and addresses.
    ///
    /// # Errors
    /// Where a name cannot stand in a certificate.
    #[expect(
        clippy::disallowed_methods,
        reason = "certificates are dated against the real clock, as the programs under test read it"
    )]
    pub fn identity(&self, names: &[String], flaw: Flaw) -> Result<Identity> {
        let now = SystemTime::now();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, names.first().map_or("nobody", String::as_str));
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().with_context(|| format!("{name} in a certificate"))?),
            });
        }
        let (from, until) = match flaw {
            Flaw::Expired => (now - 60 * DAY, now - 2 * DAY),
            Flaw::NotYetValid => (now + 2 * DAY, now + 60 * DAY),
            _ => (now - DAY, now + 60 * DAY),
        };
        params.not_before = from.into();
        params.not_after = until.into();
        let key = KeyPair::generate().context("making a key")?;
        let certificate = match flaw {
            Flaw::SelfSigned => params.self_signed(&key),
            Flaw::UnknownIssuer => params.signed_by(&key, &self.foreign),
            _ => params.signed_by(&key, &self.root),
        }
        .context("signing a certificate")?;
        Ok(Identity { chain: vec![certificate.der().clone()], key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() })
    }
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().context("making a key")?).context("making a root certificate")
}
