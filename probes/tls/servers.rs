//! Servers on loopback for the tests of TLS and HTTP, each with the fault it is named for.

use super::der::element;
use super::trust::Trust;
use crate::clock::Clock;
use crate::context::{Context, ProxyChoice, Recorder};
use crate::gate::{Gate, Limits};
use crate::names::Names;
use netsonde_contract::id::CheckId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint, CustomExtension,
    DistinguishedName, DnType, IsCa, Issuer, KeyIdMethod, KeyPair, RevocationReason, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::server::NoClientAuth;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub(crate) const LOOPBACK: &str = "127.0.0.1:0";

/// A context of a run that may do everything, trusting `given` beside the platform.
pub(crate) fn context(given: &[&Authority]) -> Context {
    let clock = Clock::start();
    let trust = Trust::new(given.iter().map(|authority| authority.pem.clone().into_bytes()).collect()).unwrap();
    Context {
        gate: Arc::new(Gate::new(Limits::PERSON, clock)),
        clock,
        names: Arc::new(Names::default()),
        trust: Arc::new(trust),
        proxy: ProxyChoice::None,
        recorder: Recorder::new(CheckId::new("test")),
        max_segment_bytes: None,
    }
}

/// A certificate authority of its own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    pub(crate) der: CertificateDer<'static>,
}

/// A server's certificates with their key.
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    ocsp: Vec<u8>,
}

/// The number of a certificate that can be revoked.
pub(crate) const NUMBER: [u8; 3] = [1, 2, 3];

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), pem: certificate.pem(), der: certificate.der().clone() }
    }

    /// An authority that this one vouches for.
    pub(crate) fn subordinate(&self, name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { issuer: Issuer::new(params, key), pem: certificate.pem(), der: certificate.der().clone() }
    }

    pub(crate) fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// A certificate that names where its issuer's can be fetched.
    pub(crate) fn issue_naming(&self, names: &[&str], issuer_url: &str) -> Identity {
        let length = u8::try_from(issuer_url.len()).unwrap();
        let method = [0x30, length + 12, 6, 8, 43, 6, 1, 5, 5, 7, 48, 2, 0x86, length];
        let access = [&[0x30, length + 14], &method[..], issuer_url.as_bytes()].concat();
        let mut params = leaf(names, 2020, 2090);
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access)];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: vec![certificate.der().clone()], key: key.into(), ocsp: Vec::new() }
    }

    /// A certificate with the number 1.2.3, sent with its issuer's, that names where its revocation can be asked and where the list of revoked ones lies.
    pub(crate) fn issue_with_places(&self, names: &[&str], responder: Option<&str>, list: Option<&str>) -> Identity {
        let mut params = leaf(names, 2020, 2090);
        params.serial_number = Some(SerialNumber::from(NUMBER.to_vec()));
        if let Some(url) = responder {
            let method = element(6, &[43, 6, 1, 5, 5, 7, 48, 1]);
            let access = element(0x30, &element(0x30, &[method, element(0x86, url.as_bytes())].concat()));
            params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access)];
        }
        params.crl_distribution_points = list.iter().map(|url| CrlDistributionPoint { uris: vec![(*url).to_owned()] }).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: vec![certificate.der().clone(), self.der.clone()], key: key.into(), ocsp: Vec::new() }
    }

    /// The list of what it revoked: the certificate with the number 1.2.3, or none.
    pub(crate) fn list(&self, revoked: bool) -> Vec<u8> {
        let entry = RevokedCertParams {
            serial_number: SerialNumber::from(NUMBER.to_vec()),
            revocation_time: date_time_ymd(2026, 4, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 5, 1),
            next_update: date_time_ymd(2026, 6, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.then_some(entry).into_iter().collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().der().to_vec()
    }

    /// A certificate for these names and addresses, good for the present.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.issue_for_years(names, 2020, 2090)
    }

    /// A certificate from the first day of one year to the first of another.
    pub(crate) fn issue_for_years(&self, names: &[&str], from: i32, to: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf(names, from, to).signed_by(&key, &self.issuer).unwrap();
        Identity { chain: vec![certificate.der().clone()], key: key.into(), ocsp: Vec::new() }
    }
}

impl Identity {
    /// Signed by itself; `authority` makes it call itself one, as `openssl req -x509` does.
    pub(crate) fn self_signed(names: &[&str], authority: bool) -> (Self, String) {
        let mut params = leaf(names, 2020, 2090);
        if authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (Self { chain: vec![certificate.der().clone()], key: key.into(), ocsp: Vec::new() }, certificate.pem())
    }

    /// Sends these bytes after its own certificate.
    pub(crate) fn followed_by(mut self, der: &[u8]) -> Self {
        self.chain.push(CertificateDer::from(der.to_vec()));
        self
    }

    /// Staples this OCSP response.
    pub(crate) fn stapling(mut self, ocsp: Vec<u8>) -> Self {
        self.ocsp = ocsp;
        self
    }

    pub(crate) fn leaf(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    pub(crate) fn config(self) -> ServerConfig {
        self.config_with(rustls::ALL_VERSIONS, Arc::new(NoClientAuth))
    }

    pub(crate) fn config_with(
        self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        clients: Arc<dyn ClientCertVerifier>,
    ) -> ServerConfig {
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert_with_ocsp(self.chain, self.key, self.ocsp)
            .unwrap()
    }
}

/// Listens on an ephemeral port and gives each connection to `serve`.
pub(crate) async fn listen<S, F>(address: &str, serve: S) -> SocketAddr
where
    S: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// A TLS server which gives each connection, once secured, to `serve`.
/// Says nothing, and stays until the client goes.
pub(crate) async fn stay<T: AsyncRead + Unpin>(mut stream: T) {
    let mut sink = [0_u8; 1_024];
    while stream.read(&mut sink).await.is_ok_and(|count| count > 0) {}
}

pub(crate) async fn listen_tls<S, F>(address: &str, config: ServerConfig, serve: S) -> SocketAddr
where
    S: Fn(tokio_rustls::server::TlsStream<TcpStream>) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (acceptor, serve) = (TlsAcceptor::from(Arc::new(config)), Arc::new(serve));
    listen(address, move |stream| {
        let (acceptor, serve) = (acceptor.clone(), Arc::clone(&serve));
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream).await;
            }
        }
    })
    .await
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn leaf(names: &[&str], from: i32, to: i32) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = named("server").distinguished_name;
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    params
}
