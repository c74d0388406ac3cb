use anyhow::{Context, Result};
use base64::Engine;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair, SanType};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// A root that a test trusts, and one that nobody does.
pub struct Pki {
    root: CertifiedIssuer<'static, KeyPair>,
    /// Issued by the root, and what a careless server leaves out.
    middle: CertifiedIssuer<'static, KeyPair>,
    /// As an inspecting firewall has it: nobody trusts it, and its name is the product's.
    inspecting: CertifiedIssuer<'static, KeyPair>,
    foreign: CertifiedIssuer<'static, KeyPair>,
}

/// What is wrong with a certificate, if anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    #[default]
    None,
    Expired,
    NotYetValid,
    SelfSigned,
    UnknownIssuer,
    /// The intermediate's certificate is left out; the server's names [`ISSUER_URL`] as where it lies.
    MissingIntermediate,
    /// The root stands before the intermediate.
    Misordered,
    /// A firewall that opens connections made it.
    Inspected,
    /// It ends in ten days.
    NearEnd,
}

/// Where the intermediate's certificate can be fetched in the lab.
pub const ISSUER_URL: &str = "http://issuer.lab:8080/middle.crt";

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
        let root = authority("Lab Root")?;
        let key = KeyPair::generate().context("making a key")?;
        let middle = CertifiedIssuer::signed_by(authority_params("Lab Middle"), key, &root).context("making an intermediate")?;
        let inspecting = authority("FortiGate CA")?;
        Ok(Self { root, middle, inspecting, foreign: authority("Root That Nobody Trusts")? })
    }

    /// The intermediate's certificate in DER.
    pub fn middle_der(&self) -> &[u8] {
        self.middle.der()
    }

    /// The trusted root's key in PEM, for programs that sign what no library here does.
    pub fn root_key_pem(&self) -> String {
        self.root.key().serialize_pem()
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
            Flaw::NearEnd => (now - 80 * DAY, now + 10 * DAY),
            _ => (now - DAY, now + 60 * DAY),
        };
        params.not_before = from.into();
        params.not_after = until.into();
        if flaw == Flaw::MissingIntermediate {
            params.custom_extensions.push(issuer_at(ISSUER_URL)?);
        }
        let key = KeyPair::generate().context("making a key")?;
        let certificate = match flaw {
            Flaw::SelfSigned => params.self_signed(&key),
            Flaw::MissingIntermediate | Flaw::Misordered => params.signed_by(&key, &self.middle),
            Flaw::Inspected => params.signed_by(&key, &self.inspecting),
            Flaw::UnknownIssuer => params.signed_by(&key, &self.foreign),
            _ => params.signed_by(&key, &self.root),
        }
        .context("signing a certificate")?;
        let mut chain = vec![certificate.der().clone()];
        if flaw == Flaw::Misordered {
            chain.extend([self.root.der().clone(), self.middle.der().clone()]);
        }
        Ok(Identity { chain, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() })
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// Authority information access: the issuer's certificate lies there (RFC 5280 section 4.2.2.1).
fn issuer_at(url: &str) -> Result<CustomExtension> {
    const CA_ISSUERS: [u8; 10] = [0x06, 0x08, 43, 6, 1, 5, 5, 7, 48, 2];
    let element = |tag: u8, content: &[u8]| -> Result<Vec<u8>> {
        // The short form of a length (X.690 section 8.1.3.4).
        let length = u8::try_from(content.len()).ok().filter(|length| *length < 128).context("the URL is too long")?;
        Ok([&[tag, length], content].concat())
    };
    let location = element(0x86, url.as_bytes())?;
    let access = element(0x30, &element(0x30, &[&CA_ISSUERS[..], &location].concat())?)?;
    Ok(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access))
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().context("making a key")?)
        .context("making a root certificate")
}
