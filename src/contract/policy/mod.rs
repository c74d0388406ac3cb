//! The customer's local policy: `policy.toml`, which only this machine's owner writes.
//!
//! It says what may be asked of the machine from elsewhere, and nothing of what a person at its keyboard may do. Without the file every order is
//! refused. [`Policy::parse`] reads it and reports the first error with its line; [`Policy::judge`] puts a verified order before it and names
//! the line that decided; [`Reach`] is what every packet of the run is then held against, on the address that a name led to.

mod address;
mod hours;
mod judge;
mod name_pattern;
mod ordered;
mod parse;
mod reach;
mod reverse_name;
mod serving;
mod share;

pub use address::{plain, special, translators};
pub use hours::{Hours, LocalTime};
pub use judge::{Decision, Local, Verdict};
pub use name_pattern::NamePattern;
pub use parse::TEMPLATE;
pub use reach::{Question, Reach};
pub use reverse_name::reverse_name;
pub use serving::Serving;

use crate::config_error::ConfigError;
use crate::kind::Kind;
use crate::redaction::Level;
use ipnet::{IpNet, Ipv6Net};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A policy's text may be this long at most.
pub const MAX_BYTES: usize = 256 * 1024;

/// What becomes of orders that everything else allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remote {
    #[default]
    Deny,
    /// A person at the machine is asked.
    Ask,
    Allow,
}

impl Remote {
    pub const ALL: [(&'static str, Self); 3] = [("deny", Self::Deny), ("ask", Self::Ask), ("allow", Self::Allow)];

    pub fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Ask => "ask",
            Self::Allow => "allow",
        }
    }
}

/// What one order may cost at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub time: Duration,
    pub packets: u64,
    /// Sent and received.
    pub bytes: u64,
    /// Packets a second to one address, divided by the number of agents that the order is for.
    pub per_target_rate: u32,
    /// Checks that run at the same time.
    pub concurrency: u32,
}

impl Default for Budget {
    /// A fifth of the packets that a person may send, at a tenth of the rate: somebody else's machine is at work here. 100 MB are the largest
    /// download that a check may ask for at once, and more than any set but a load takes.
    fn default() -> Self {
        Self { time: Duration::from_secs(300), packets: 10_000, bytes: 100_000_000, per_target_rate: 20, concurrency: 8 }
    }
}

/// What an order may ask to be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedules {
    /// For so long at most; nothing is repeated where absent.
    pub life: Option<Duration>,
    /// Not more often than this.
    pub every: Duration,
}

impl Default for Schedules {
    fn default() -> Self {
        Self { life: None, every: Duration::from_secs(300) }
    }
}

/// A parsed policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub remote: Remote,
    /// Fingerprints as `ssh-keygen -l` prints them; empty for every signer that the organisation lists.
    pub signers: Vec<String>,
    /// So many engineers must have signed, whatever the order says.
    pub signatures: usize,
    /// The kinds that an order may use.
    pub kinds: Vec<Kind>,
    /// When orders may run; empty for always.
    pub hours: Vec<Hours>,
    /// The time zone of the hours, an IANA name; the machine's own where absent.
    pub zone: Option<String>,
    /// Host names that may be measured.
    pub names: Vec<NamePattern>,
    /// Addresses that may be measured. Only these reach what is special: loopback, private, link-local, multicast, and clouds' own addresses.
    pub networks: Vec<IpNet>,
    pub denied_names: Vec<NamePattern>,
    pub denied_networks: Vec<IpNet>,
    /// Empty for every port.
    pub ports: Vec<RangeInclusive<u16>>,
    /// The machine's own resolvers may be asked for names, wherever they are: at port 53, or at 853 over TLS.
    pub resolvers: bool,
    /// Names that may be asked for through a proxy, behind which nobody here sees the address.
    pub proxied: Vec<NamePattern>,
    /// Addresses that a certificate names (AIA, OCSP) may be asked.
    pub certificate_urls: bool,
    /// Prefixes of this network's own NAT64, whose addresses are held against the policy as the IPv4 addresses that they stand for.
    pub nat64: Vec<Ipv6Net>,
    pub budget: Budget,
    /// Whether an order may be repeated.
    pub schedules: Schedules,
    /// Whose test packets this machine may be asked to answer.
    pub serve: Serving,
    /// Base URLs to which bundles of orders may go; empty for the one that the agent enrolled with.
    pub backends: Vec<String>,
    /// Whatever this machine trusts vouches for the backend's TLS, although the enrolment names its key: something on the way opens TLS.
    pub accept_inspection: bool,
    /// Bundles of orders are redacted at least so far.
    pub redaction: Level,
    /// The exact text, which the digest covers.
    pub text: String,
    /// Where each key stands, for saying what decided.
    lines: BTreeMap<String, usize>,
}

impl Policy {
    /// What holds where there is no file: no order runs.
    pub fn absent() -> Self {
        Self {
            remote: Remote::Deny,
            signers: Vec::new(),
            signatures: 1,
            kinds: default_kinds(),
            hours: Vec::new(),
            zone: None,
            names: Vec::new(),
            networks: Vec::new(),
            denied_names: Vec::new(),
            denied_networks: Vec::new(),
            ports: Vec::new(),
            resolvers: true,
            proxied: Vec::new(),
            certificate_urls: false,
            nat64: Vec::new(),
            budget: Budget::default(),
            schedules: Schedules::default(),
            serve: Serving::default(),
            backends: Vec::new(),
            accept_inspection: false,
            redaction: Level::Default,
            text: String::new(),
            lines: BTreeMap::new(),
        }
    }

    /// Reads a policy's text. `origin` names it in errors.
    ///
    /// # Errors
    /// The first thing that is wrong, with line, column and the nearest known word.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ConfigError> {
        parse::parse(origin, text)
    }

    /// It lets and forbids the same, however it is laid out and whatever its comments say.
    pub fn rules_as(&self, other: &Self) -> bool {
        let rules = |policy: &Self| Self { text: String::new(), lines: BTreeMap::new(), ..policy.clone() };
        rules(self) == rules(other)
    }

    /// SHA-256 of the text, lower-case hexadecimal, as bundles name the policy that was in force.
    pub fn sha256(&self) -> String {
        crate::bundle::hexadecimal(&Sha256::digest(&self.text))
    }

    /// The line of a key such as `orders.remote`, from 1, where the file has it.
    pub fn line(&self, key: &str) -> Option<usize> {
        self.lines.get(key).copied()
    }
}

/// Every kind but `load`, which fills the customer's line.
fn default_kinds() -> Vec<Kind> {
    Kind::ALL.iter().copied().filter(|kind| *kind != Kind::Load).collect()
}
