//! Who is told of what, and how it gets there.
//!
//! The store writes an alert into its outbox in the transaction that keeps what the alert tells. From there one task for each receiver sends what is due,
//! and writes down what became of it. A kill between sending and writing sends it twice, under the same id; nothing is sent never. What fails is tried
//! again, ever later, for a day; then it is given up, and the page of alerts says so.

mod address;
mod backoff;
mod config;
mod mail;
mod sender;
mod webhook;

pub(crate) use config::read;
pub(crate) use sender::{send, sweep};

use crate::store::Channel;
use address::Gate;
use mail::Mail;
use std::time::Duration;
use webhook::Webhook;

/// Everybody who is told. It has no `Debug`: it holds secrets.
#[derive(Default)]
pub(crate) struct Alerts {
    /// What the store needs to know of them.
    pub(crate) channels: Vec<Channel>,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) gate: Gate,
}

/// One that is told, under the name of its channel.
pub(crate) struct Receiver {
    pub(crate) name: String,
    pub(crate) way: Way,
}

pub(crate) enum Way {
    Webhook(Webhook),
    Mail(Mail),
}

impl Receiver {
    /// Where it leads, as the page of alerts may show it: without paths, which often hold secrets.
    pub(crate) fn place(&self) -> String {
        match &self.way {
            Way::Webhook(webhook) => webhook.place(),
            Way::Mail(mail) => mail.place(),
        }
    }
}

/// Why an alert did not arrive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// For the page of alerts.
    pub(crate) words: String,
    /// The receiver said when to come back.
    pub(crate) after: Option<Duration>,
    /// No later attempt would end otherwise.
    pub(crate) is_final: bool,
}

impl Trouble {
    fn of(words: impl Into<String>) -> Self {
        Self { words: words.into(), after: None, is_final: false }
    }
}

impl Receiver {
    /// Whether the receiver took it.
    pub(crate) async fn take(&self, gate: &Gate, alert: &crate::store::AlertRow, now: jiff::Timestamp) -> Result<(), Trouble> {
        match &self.way {
            Way::Webhook(webhook) => webhook.send(gate, alert, now).await,
            Way::Mail(mail) => mail.send(gate, alert).await,
        }
    }
}
