//! E-mail by way of the operator's own relay.

use super::Trouble;
use super::address::Gate;
use crate::store::AlertRow;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use netsonde_contract::api::alert::{Alert, AlertData};
use netsonde_contract::harmless::clean;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// For each command to the relay; one that greets slowly on purpose still fits.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer subjects are cut by those who show them.
const MAX_SUBJECT_CHARS: usize = 150;

/// The relay that takes the operator's mail.
pub(crate) struct Relay {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) secrecy: Secrecy,
    pub(super) credentials: Option<Credentials>,
    pub(super) from: Mailbox,
}

/// How the connection to the relay is protected.
pub(super) enum Secrecy {
    /// From the beginning, or by STARTTLS; never without.
    Tls(TlsParameters),
    StartTls(TlsParameters),
    /// The operator says that the way needs none.
    None,
}

/// A receiver by e-mail.
pub(crate) struct Mail {
    pub(super) relay: Arc<Relay>,
    pub(super) to: Vec<Mailbox>,
}

impl Mail {
    pub(super) fn place(&self) -> String {
        let to: Vec<String> = self.to.iter().map(|mailbox| mailbox.email.to_string()).collect();
        format!("{} by way of {}", to.join(", "), self.relay.host)
    }

    pub(super) async fn send(&self, gate: &Gate, alert: &AlertRow) -> Result<(), Trouble> {
        let message = self.message(alert)?;
        let relay = &self.relay;
        let mut trouble = Trouble::of(format!("{} has no address", relay.host));
        for address in gate.addresses(&relay.host, relay.port).await? {
            // The address that was checked, so that nothing is resolved twice; the relay's name stays with TLS.
            let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
                .port(relay.port)
                .timeout(Some(PATIENCE))
                .tls(match &relay.secrecy {
                    Secrecy::Tls(parameters) => Tls::Wrapper(parameters.clone()),
                    Secrecy::StartTls(parameters) => Tls::Required(parameters.clone()),
                    Secrecy::None => Tls::None,
                });
            let transport = match &relay.credentials {
                Some(credentials) => transport.credentials(credentials.clone()),
                None => transport,
            };
            match transport.build::<Tokio1Executor>().send(message.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => trouble = trouble_of(&relay.host, &error),
            }
            if trouble.is_final {
                break;
            }
        }
        Err(trouble)
    }

    /// The same however often it is made: its id is the alert's, its date that of the alert.
    fn message(&self, alert: &AlertRow) -> Result<Message, Trouble> {
        let relay = &self.relay;
        let mut builder = Message::builder()
            .from(relay.from.clone())
            .subject(subject(&alert.alert))
            .date(SystemTime::from(alert.made))
            .message_id(Some(format!("<{}@{}>", alert.id, relay.from.email.domain())))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        builder.body(text(&alert.alert)).map_err(|error| Trouble { is_final: true, ..Trouble::of(error.to_string()) })
    }
}

/// A relay that refuses the message for good will do so tomorrow; one that does not know the password may know another by then.
fn trouble_of(host: &str, error: &SmtpError) -> Trouble {
    let mut words = format!("the relay {host}: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _ = write!(words, ": {cause}");
        source = cause.source();
    }
    /// RFC 4954 section 6: 530, 534, 535 and 538 are about who signs in.
    const ABOUT_SIGNING_IN: std::ops::RangeInclusive<u16> = 530..=538;
    let status = error.status().map(u16::from);
    let is_final = error.is_permanent() && !status.is_some_and(|status| ABOUT_SIGNING_IN.contains(&status));
    Trouble { words: clean(&words).into_owned(), after: None, is_final }
}

fn subject(alert: &Alert) -> String {
    let summary: String = clean(&alert.data.summary).chars().take(MAX_SUBJECT_CHARS).collect();
    format!("[netsonde] {summary}")
}

fn text(alert: &Alert) -> String {
    let data: &AlertData = &alert.data;
    let mut text = format!("{}\n", clean(&data.summary));
    if let Some(sentence) = &data.sentence {
        let _ = writeln!(text, "\n{}", clean(sentence));
    }
    let labels: Vec<String> = data.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let lines = [
        ("Event", Some(alert.event.clone())),
        ("At", Some(alert.timestamp.to_string())),
        ("Began", data.began.map(|began| began.to_string())),
        ("State", data.health.map(|health| health.name().to_owned())),
        ("Target", data.target.clone()),
        ("Check", data.check.clone()),
        ("Schedule", data.schedule.clone()),
        ("Machine", data.host_name.clone()),
        ("Agent", Some(data.agent.to_string())),
        ("Labels", Some(labels.join(" ")).filter(|labels| !labels.is_empty())),
        ("Case", data.case.as_ref().map(ToString::to_string)),
        ("Bundle", data.bundle.as_ref().map(ToString::to_string)),
    ];
    text.push('\n');
    for (name, value) in lines {
        if let Some(value) = value {
            let _ = writeln!(text, "{name}: {}", clean(&value));
        }
    }
    let _ = writeln!(text, "\n{}", data.url);
    text
}
