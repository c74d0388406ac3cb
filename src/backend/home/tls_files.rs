use super::{Home, HomeError, write_private};
use crate::accept::HTTP2;
use netsonde_contract::pin::Pin;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::path::Path;
use std::sync::Arc;

/// The generated certificate and its key. The certificate has no end that anybody would see: nothing but the key is trusted, and a
/// backend that stops working one day by itself helps nobody. Tickets and desk tokens pin the key, so the key is made once and stays;
/// the certificate is signed anew when the server's name changes.
pub(crate) struct TlsFiles {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl TlsFiles {
    /// The certificate for `host` and for loopback; made where there is none yet.
    pub(crate) fn of(home: &Home, host: &str) -> Result<Self, HomeError> {
        let path = |name: &str| home.tls().join(name);
        let (key_file, certificate_file, names_file) = (path("key.pem"), path("certificate.pem"), path("names.txt"));
        let key = match read(&key_file)? {
            Some(pem) => KeyPair::from_pem(&pem).map_err(damaged(&key_file))?,
            None => {
                let key = KeyPair::generate().map_err(damaged(&key_file))?;
                write(&key_file, &key.serialize_pem())?;
                key
            }
        };
        let names = names(host);
        let listed = names.join("\n");
        let pem = match read(&certificate_file)? {
            Some(pem) if read(&names_file)?.as_deref() == Some(&*listed) => pem,
            _ => {
                let mut parameters = CertificateParams::new(names).map_err(damaged(&names_file))?;
                parameters.distinguished_name = DistinguishedName::new();
                parameters.distinguished_name.push(DnType::CommonName, "netsonde-backend");
                let pem = parameters.self_signed(&key).map_err(damaged(&certificate_file))?.pem();
                write(&certificate_file, &pem)?;
                write(&names_file, &listed)?;
                pem
            }
        };
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| HomeError::Damaged { path: certificate_file, reason: error.to_string() })?;
        Ok(Self { certificate, key: PrivatePkcs8KeyDer::from(key.serialize_der()) })
    }

    /// What tickets carry so that agents know this server.
    pub(crate) fn pin(&self) -> Option<Pin> {
        Pin::of_certificate(&self.certificate)
    }

    /// HTTP/2 or HTTP/1.1 over TLS 1.2 or 1.3.
    pub(crate) fn server_config(self) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate], self.key.into())?;
        config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The public host first, then what reaches the server from its own machine.
fn names(host: &str) -> Vec<String> {
    let mut names = vec![host.trim_matches(['[', ']']).to_owned()];
    for loopback in ["localhost", "127.0.0.1", "::1"] {
        if names[0] != loopback {
            names.push(loopback.to_owned());
        }
    }
    names
}

fn damaged(path: &Path) -> impl Fn(rcgen::Error) -> HomeError + use<> {
    let path = path.to_owned();
    move |error| HomeError::Damaged { path: path.clone(), reason: error.to_string() }
}

fn read(path: &Path) -> Result<Option<String>, HomeError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HomeError::File { path: path.to_owned(), source }),
    }
}

fn write(path: &Path, text: &str) -> Result<(), HomeError> {
    write_private(path, text.as_bytes()).map_err(|source| HomeError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_makes_a_new_certificate_with_the_same_pin() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::create(folder.path()).unwrap();
        let first = TlsFiles::of(&home, "support.example").unwrap();
        let again = TlsFiles::of(&home, "support.example").unwrap();
        let renamed = TlsFiles::of(&home, "[2001:db8::1]").unwrap();
        assert_eq!(first.certificate, again.certificate);
        assert_ne!(first.certificate, renamed.certificate);
        assert_eq!(first.pin(), renamed.pin());
        assert!(renamed.server_config().is_ok());
    }
}
