//! The one table of protocols, and what a conversation in one of them is made of.
//!
//! A protocol is a list of steps. A step's question is made from what was heard so far; its parser is a pure function from the bytes
//! that came back to what they say. Neither opens anything: [`super::stream`] and [`super::datagram`] carry them.

use super::{dhcp, ftp, ike, ldap, mssql, mysql, nfs, postgres, rdp, redis, rpcbind, smb, smtp, ssh};
use netsonde_contract::kind::ServiceProtocol;
use netsonde_contract::observation::ServiceRefusal;

/// Every protocol, in the order of [`ServiceProtocol::ALL`].
pub(super) const PROTOCOLS: [&Protocol; 14] = [
    &ssh::PROTOCOL,
    &ftp::PROTOCOL,
    &smtp::PROTOCOL,
    &ldap::PROTOCOL,
    &smb::PROTOCOL,
    &rpcbind::PROTOCOL,
    &nfs::PROTOCOL,
    &rdp::PROTOCOL,
    &redis::PROTOCOL,
    &postgres::PROTOCOL,
    &mysql::PROTOCOL,
    &mssql::PROTOCOL,
    &ike::PROTOCOL,
    &dhcp::PROTOCOL,
];

/// Entries of a list of abilities that are kept; OpenSSH, which lists most, has some fifty.
const MAX_CAPABILITIES: usize = 64;

pub(super) struct Protocol {
    pub(super) name: ServiceProtocol,
    pub(super) steps: &'static [Step],
    /// Said at the end, so that the service does not log a broken connection; not waited for.
    pub(super) farewell: &'static [u8],
    /// The local port that answers come to, where it is not any; then they come from any address.
    pub(super) local_port: Option<u16>,
}

impl Protocol {
    pub(super) const fn new(name: ServiceProtocol, steps: &'static [Step]) -> Self {
        Self { name, steps, farewell: b"", local_port: None }
    }

    pub(super) fn of(name: ServiceProtocol) -> Option<&'static Self> {
        PROTOCOLS.into_iter().find(|protocol| protocol.name == name)
    }
}

/// One question and its answer.
pub(super) struct Step {
    pub(super) name: &'static str,
    /// The question; empty where the service speaks first, none where the step is left out.
    pub(super) ask: fn(&Asking<'_>) -> Option<Vec<u8>>,
    /// Reads everything that came back since the step before; without it TLS begins with the question's last byte.
    pub(super) read: Option<fn(&[u8]) -> Reading>,
    /// The service is alive also where it leaves this unanswered.
    pub(super) optional: bool,
}

impl Step {
    pub(super) const fn new(name: &'static str, ask: fn(&Asking<'_>) -> Option<Vec<u8>>, read: fn(&[u8]) -> Reading) -> Self {
        Self { name, ask, read: Some(read), optional: false }
    }

    pub(super) const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }
}

/// What a question may be made of.
pub(super) struct Asking<'a> {
    pub(super) heard: &'a Heard,
    /// Fresh for every conversation: identifiers, keys that nobody uses.
    pub(super) random: &'a [u8; 64],
    pub(super) port: u16,
    /// TLS is wanted where it is offered.
    pub(super) tls: bool,
}

/// What bytes turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reading {
    /// The beginning of an answer.
    More,
    /// A whole answer, and how many of the bytes it is.
    Done(Box<Heard>, usize),
    /// Not of this protocol.
    NotThis,
}

impl Reading {
    pub(super) fn done(heard: Heard, used: usize) -> Self {
        Self::Done(Box::new(heard), used)
    }

    /// For readers that give up where the bytes cannot be what they look for: `None` there means that they are not.
    pub(super) fn or_not_this(reading: Option<Self>) -> Self {
        reading.unwrap_or(Self::NotThis)
    }
}

/// What the service said so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Heard {
    pub(super) greeting: Option<String>,
    pub(super) product: Option<String>,
    pub(super) version: Option<String>,
    pub(super) capabilities: Vec<String>,
    pub(super) tls_offered: Option<bool>,
    pub(super) tls_required: bool,
    /// TLS begins with the next byte.
    pub(super) tls_agreed: bool,
    /// The service's answer where it was asked for TLS and said no, in its own words.
    pub(super) tls_refused: Option<String>,
    /// The question for TLS came too early and may be asked again.
    pub(super) tls_too_early: bool,
    pub(super) refusal: Option<ServiceRefusal>,
}

impl Heard {
    pub(super) fn refused(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { refusal: Some(ServiceRefusal { code: code.into(), text: text.into() }), ..Self::default() }
    }

    /// Adds what a later step said; what was said first stays.
    pub(super) fn merge(&mut self, later: Self) {
        self.greeting = self.greeting.take().or(later.greeting);
        self.product = self.product.take().or(later.product);
        self.version = self.version.take().or(later.version);
        let room = MAX_CAPABILITIES.saturating_sub(self.capabilities.len());
        self.capabilities.extend(later.capabilities.into_iter().take(room));
        self.tls_offered = later.tls_offered.or(self.tls_offered);
        self.tls_required |= later.tls_required;
        self.tls_agreed |= later.tls_agreed;
        self.tls_too_early = later.tls_too_early;
        // Whoever never said that there is TLS only says now that there is none; whoever did goes back on it.
        match later.tls_refused {
            Some(_) if self.tls_offered != Some(true) => self.tls_offered = Some(false),
            Some(words) => self.tls_refused = Some(words),
            None => {}
        }
        self.refusal = self.refusal.take().or(later.refusal);
    }
}
