//! `alerts.toml`: who is told. Read once, when the server starts.

use super::address::Gate;
use super::mail::{Mail, Relay, Secrecy};
use super::webhook::{self, Webhook};
use super::{Alerts, Receiver, Way};
use crate::store::Channel;
use anyhow::{Context, bail};
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use netsonde_contract::api::alert::event;
use netsonde_contract::harmless::is_clean;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use url::Url;

/// Each is a task and a line on a page.
const MAX_RECEIVERS: usize = 16;
const MAX_NAME_CHARS: usize = 64;
/// Of one e-mail; larger circles have a list's address.
const MAX_ADDRESSES: usize = 20;
/// Message submission (RFC 6409), and with TLS from the beginning (RFC 8314).
const SUBMISSION_PORT: u16 = 587;
const SUBMISSIONS_PORT: u16 = 465;

/// What is wrong with a value, and how it should be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Wrong(pub(super) String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Hosts that may have private addresses.
    #[serde(default)]
    allow: Vec<String>,
    /// Certificates besides the system's, as PEM.
    ca_file: Option<PathBuf>,
    #[serde(default)]
    webhook: Vec<WebhookTable>,
    smtp: Option<SmtpTable>,
    #[serde(default)]
    mail: Vec<MailTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookTable {
    name: String,
    url: String,
    secret: Option<String>,
    secret_file: Option<PathBuf>,
    events: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SmtpTable {
    host: String,
    port: Option<u16>,
    #[serde(default)]
    tls: SmtpTls,
    user: Option<String>,
    password: Option<String>,
    password_file: Option<PathBuf>,
    from: String,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SmtpTls {
    #[default]
    StartTls,
    Tls,
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MailTable {
    name: String,
    to: Vec<String>,
    events: Option<Vec<String>>,
}

/// Reads the file; files that it names are beside it unless their paths are absolute.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub(crate) fn read(path: &Path) -> anyhow::Result<Alerts> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: File = toml::from_str(&text).with_context(|| format!("{} does not fit", path.display()))?;
    expect_private(path, &file)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    alerts(file, folder).with_context(|| format!("{} does not fit", path.display()))
}

fn alerts(file: File, folder: &Path) -> anyhow::Result<Alerts> {
    let File { allow, ca_file, webhook, smtp, mail } = file;
    let gate = Gate::new(&allow);
    let authorities = ca_file.map(|path| read_certificates(&folder.join(path))).transpose()?.unwrap_or_default();
    let mut alerts = Alerts::default();
    if !webhook.is_empty() {
        let tls = client_config(&authorities)?;
        for table in webhook {
            let name = table.name.clone();
            let (webhook, events) = read_webhook(table, folder, &gate, &tls).with_context(|| format!("[[webhook]] {name}"))?;
            alerts.add(name, events, Way::Webhook(webhook))?;
        }
    }
    let relay = smtp.map(|table| read_relay(table, folder, &authorities)).transpose().context("[smtp]")?.map(Arc::new);
    for MailTable { name, to, events } in mail {
        let Some(relay) = &relay else { bail!("[[mail]] {name} needs an [smtp] table with host and from") };
        if to.is_empty() || to.len() > MAX_ADDRESSES {
            bail!("[[mail]] {name}: `to` has 1 to {MAX_ADDRESSES} addresses");
        }
        let to = to.iter().map(|address| mailbox(address)).collect::<anyhow::Result<Vec<_>>>();
        let to = to.with_context(|| format!("[[mail]] {name}"))?;
        alerts.add(name, events, Way::Mail(Mail { relay: Arc::clone(relay), to }))?;
    }
    alerts.gate = gate;
    Ok(alerts)
}

impl Alerts {
    fn add(&mut self, name: String, events: Option<Vec<String>>, way: Way) -> anyhow::Result<()> {
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || !is_clean(&name) {
            bail!("a receiver's name has 1 to {MAX_NAME_CHARS} characters");
        }
        if self.receivers.iter().any(|known| known.name == name) {
            bail!("two receivers are called {name}");
        }
        if self.receivers.len() == MAX_RECEIVERS {
            bail!("at most {MAX_RECEIVERS} receivers are told");
        }
        let all_but_details =
            || event::ALL.into_iter().filter(|event| *event != event::CHECK_CHANGED).map(str::to_owned).collect();
        let events: Vec<String> = events.unwrap_or_else(all_but_details);
        if let Some(unknown) = events.iter().find(|event| !event::ALL.contains(&event.as_str())) {
            bail!("{name}: no event is called {unknown}; there are {}", event::ALL.join(", "));
        }
        self.channels.push(Channel { name: name.clone(), events });
        self.receivers.push(Receiver { name, way });
        Ok(())
    }
}

fn read_webhook(
    table: WebhookTable,
    folder: &Path,
    gate: &Gate,
    tls: &Arc<rustls::ClientConfig>,
) -> anyhow::Result<(Webhook, Option<Vec<String>>)> {
    let WebhookTable { name: _, url, secret, secret_file, events } = table;
    let url = Url::parse(&url).with_context(|| format!("{url} is no URL"))?;
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() || !url.username().is_empty() || url.password().is_some() {
        bail!("the URL needs a host, and takes no user or password");
    }
    match url.scheme() {
        "https" => {}
        "http" if gate.names(host) => {}
        _ => bail!("the URL must be https://; http:// only to a host that `allow` names"),
    }
    let secret = secret_of(secret, secret_file, folder).context("secret")?;
    let key = webhook::key(&secret.ok_or_else(|| Wrong("give `secret` or `secret_file`".into()))?)?;
    Ok((Webhook::new(url, key, Arc::clone(tls)), events))
}

fn read_relay(table: SmtpTable, folder: &Path, authorities: &[CertificateDer<'static>]) -> anyhow::Result<Relay> {
    let SmtpTable { host, port, tls, user, password, password_file, from } = table;
    let parameters = || -> anyhow::Result<TlsParameters> {
        let mut builder = TlsParameters::builder(host.clone());
        for authority in authorities {
            builder = builder.add_root_certificate(Certificate::from_der(authority.to_vec())?);
        }
        Ok(builder.build()?)
    };
    let secrecy = match tls {
        SmtpTls::StartTls => Secrecy::StartTls(parameters()?),
        SmtpTls::Tls => Secrecy::Tls(parameters()?),
        SmtpTls::None => Secrecy::None,
    };
    let credentials = match (user, secret_of(password, password_file, folder).context("password")?) {
        (Some(_), Some(_)) if tls == SmtpTls::None => bail!("a password needs tls = \"starttls\" or \"tls\""),
        (Some(user), Some(password)) => Some(Credentials::new(user, password)),
        (None, None) => None,
        _ => bail!("`user` goes with `password` or `password_file`"),
    };
    let port = port.unwrap_or(if tls == SmtpTls::Tls { SUBMISSIONS_PORT } else { SUBMISSION_PORT });
    Ok(Relay { port, secrecy, credentials, from: mailbox(&from)?, host })
}

fn mailbox(text: &str) -> anyhow::Result<Mailbox> {
    text.parse().with_context(|| format!("{text} is no e-mail address"))
}

fn secret_of(inline: Option<String>, file: Option<PathBuf>, folder: &Path) -> anyhow::Result<Option<String>> {
    match (inline, file) {
        (Some(_), Some(_)) => bail!("it is given twice, in this file and in another"),
        (None, Some(file)) => {
            let path = folder.join(file);
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
        (inline, None) => Ok(inline),
    }
}

fn read_certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let failed = || format!("cannot read certificates from {}", path.display());
    let read: Vec<_> =
        CertificateDer::pem_file_iter(path).with_context(failed)?.collect::<Result<_, _>>().with_context(failed)?;
    if read.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    Ok(read)
}

/// The system's authorities and the operator's.
fn client_config(authorities: &[CertificateDer<'static>]) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for authority in authorities {
        roots.add(authority.clone()).context("a certificate of `ca_file` cannot be used")?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Secrets within the file are nobody's to read but the service's.
#[cfg(unix)]
fn expect_private(path: &Path, file: &File) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS: u32 = 0o007;
    let holds_secret = file.webhook.iter().any(|webhook| webhook.secret.is_some())
        || file.smtp.as_ref().is_some_and(|smtp| smtp.password.is_some());
    let mode = std::fs::metadata(path)?.permissions().mode();
    if holds_secret && mode & OTHERS != 0 {
        bail!("{0} holds secrets and anybody may read it: chmod 640 {0}", path.display());
    }
    Ok(())
}

#[cfg(not(unix))]
fn expect_private(_: &Path, _: &File) -> anyhow::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn parsed(text: &str) -> anyhow::Result<Alerts> {
        alerts(toml::from_str(&text.replace("SECRET", SECRET))?, Path::new("/nowhere"))
    }

    #[test]
    fn receivers_have_their_events_and_all_but_details_without_a_word() {
        let alerts = parsed(
            "allow = ['mail.internal.example']\n[[webhook]]\nname='ops'\nurl='https://hooks.example/x'\nsecret='SECRET'\n\
             [smtp]\nhost='mail.internal.example'\nfrom='Netsonde <netsonde@support.example>'\n\
             [[mail]]\nname='lead'\nto=['lead@support.example']\nevents=['agent.silent']",
        )
        .unwrap();
        assert_eq!(alerts.channels.len(), 2);
        assert_eq!(alerts.channels[0].events.len(), event::ALL.len() - 1);
        assert_eq!(alerts.channels[1].events, [event::AGENT_SILENT]);
        assert_eq!(alerts.receivers[0].place(), "https://hooks.example");
        assert_eq!(alerts.receivers[1].place(), "lead@support.example by way of mail.internal.example");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_name() {
        let webhook = |rest: &str| format!("[[webhook]]\nname='ops'\n{rest}");
        let wrong = [
            (webhook("url='http://hooks.example/'\nsecret='SECRET'"), "https"),
            (webhook("url='https://u:p@hooks.example/'\nsecret='SECRET'"), "password"),
            (webhook("url='https://hooks.example/'"), "secret"),
            (webhook("url='https://hooks.example/'\nsecret='short'"), "whsec_"),
            (webhook("url='https://hooks.example/'\nsecret='SECRET'\nevents=['case.opend']"), "case.opend"),
            (webhook("url='https://hooks.example/'\nsecret='SECRET'\ncolour='red'"), "colour"),
            ("[[mail]]\nname='lead'\nto=['a@b.example']".into(), "[smtp]"),
            ("[smtp]\nhost='m.example'\nfrom='nobody'".into(), "nobody"),
            ("[smtp]\nhost='m.example'\nfrom='a@b.example'\ntls='none'\nuser='a'\npassword='b'".into(), "starttls"),
        ];
        for (text, word) in wrong {
            let error = format!("{:#}", parsed(&text).err().expect(&text));
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
