use crate::alerts::Alerts;
use crate::blobs::Blobs;
use crate::clock::Clock;
use crate::fleet::{Notebook, Presence, Register, Seats, Trust};
use crate::ingest::{Arrivals, Turns};
use crate::limits::Limits;
use crate::pages::SignInLimit;
use crate::staging::Staging;
use crate::store::Store;
use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::pin::Pin;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where this server is reached: what tickets, tokens and receipts say of it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Without a final slash.
    pub(crate) url: String,
    pub(crate) tls_pin: Option<Pin>,
}

impl Place {
    pub(crate) fn is_https(&self) -> bool {
        self.url.starts_with("https://")
    }

    /// Host and, unless it is the scheme's own, port, in lower case: what agents' signatures cover.
    pub(crate) fn authority(&self) -> String {
        let (scheme, authority) = self.url.split_once("://").unwrap_or(("", &self.url));
        let own_port = if scheme == "https" { ":443" } else { ":80" };
        authority.strip_suffix(own_port).unwrap_or(authority).to_ascii_lowercase()
    }
}

/// Everything that a request may need. It has no `Debug`: it holds keys.
pub(crate) struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) blobs: Blobs,
    pub(crate) staging: Staging,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) place: Place,
    pub(crate) receipt_key: SigningKey,
    /// Who is told of changes.
    pub(crate) alerts: Alerts,
    /// Since when it hears agents.
    pub(crate) started: Timestamp,
    /// Which request may write to which upload.
    pub(crate) turns: Turns,
    /// Bodies of parts in memory.
    pub(crate) parts: Arc<Semaphore>,
    /// Whole files from the ticket page's form in memory.
    pub(crate) forms: Arc<Semaphore>,
    /// Arriving bundles being verified and diagnosed.
    pub(crate) verifications: Arc<Semaphore>,
    /// Stored bundles being read for a page.
    pub(crate) renderings: Arc<Semaphore>,
    /// Pages that are told of changes as they come.
    pub(crate) viewers: Arc<Semaphore>,
    /// Tickets whose page is taking a file at this moment.
    pub(crate) arriving: Arrivals,
    /// Held from a bundle's blob to its row, so that giving up one never takes the blob of another.
    pub(crate) storing: tokio::sync::Mutex<()>,
    /// The organisation's documents.
    pub(crate) trust: Trust,
    /// Which agents listen.
    pub(crate) presence: Presence,
    /// Who agents are, and what waits for them.
    pub(crate) register: Register,
    /// What comes often and has to be on the disk.
    pub(crate) notebook: Notebook,
    /// Connections of agents that wait for work.
    pub(crate) agent_seats: Arc<Semaphore>,
    /// How many of them each agent has.
    pub(crate) seats: Seats,
    /// The server is to stop: whoever waits is answered.
    pub(crate) stopping: CancellationToken,
    /// Work that goes on when its connection is gone, and that a stop waits for.
    pub(crate) tasks: TaskTracker,
    pub(crate) sign_ins: Mutex<SignInLimit>,
    /// Passwords being checked: each takes 19 MiB and tens of milliseconds of a core.
    pub(crate) passwords: Arc<Semaphore>,
}

/// What [`App::new`] is made of besides what it makes itself.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) blobs: Blobs,
    pub(crate) staging: Staging,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) place: Place,
    pub(crate) receipt_key: SigningKey,
    pub(crate) alerts: Alerts,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { store, blobs, staging, clock, limits, place, receipt_key, alerts } = parts;
        let presence = Presence::default();
        Arc::new(Self {
            trust: Trust::default(),
            notebook: Notebook::open(Arc::clone(&store), presence.clone()),
            register: Register::open(&store, &clock),
            presence,
            agent_seats: Arc::new(Semaphore::new(limits.agents)),
            seats: Seats::of_at_most(limits.connections_per_agent),
            stopping: CancellationToken::new(),
            turns: Turns::default(),
            parts: Arc::new(Semaphore::new(limits.parts)),
            forms: Arc::new(Semaphore::new(limits.forms)),
            verifications: Arc::new(Semaphore::new(limits.verifications)),
            renderings: Arc::new(Semaphore::new(limits.renderings)),
            viewers: Arc::new(Semaphore::new(limits.viewers)),
            arriving: Arrivals::default(),
            storing: tokio::sync::Mutex::new(()),
            tasks: TaskTracker::new(),
            sign_ins: Mutex::default(),
            passwords: Arc::new(Semaphore::new(2)),
            started: clock.now(),
            alerts,
            store,
            blobs,
            staging,
            clock,
            limits,
            place,
            receipt_key,
        })
    }

    /// Tells this installation's cookies from those of another on the same host: cookies know no ports.
    pub(crate) fn short_name(&self) -> String {
        hexadecimal(&Sha256::digest(self.receipt_key.verifying_key().as_bytes())[..4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_in_lower_case_and_without_the_schemes_own_port() {
        let authority = |url: &str| Place { url: url.to_owned(), tls_pin: None }.authority();
        assert_eq!(authority("https://Support.Example:443"), "support.example");
        assert_eq!(authority("https://support.example:80"), "support.example:80");
        assert_eq!(authority("http://[::1]:80"), "[::1]");
        assert_eq!(authority("http://127.0.0.1:8443"), "127.0.0.1:8443");
    }
}
