use crate::dsse::DsseError;
use jiff::Timestamp;

/// Why a root or a list of keys is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error("it is no signed statement: {0}")]
    Envelope(#[from] DsseError),
    #[error("it is signed, but cannot be read: {0}")]
    Malformed(String),
    #[error("it is not the root whose fingerprint was given: {found} instead of {expected}")]
    OtherRoot { expected: String, found: String },
    #[error("it belongs to another organisation")]
    OtherOrganisation,
    #[error("{signed} of the root's keys signed it, and {needed} must")]
    TooFewSignatures { signed: usize, needed: usize },
    #[error("version {given} is older than version {held}, which this machine has seen")]
    Rollback { held: u64, given: u64 },
    #[error("it calls itself version {0}, as another one does that this machine has seen")]
    Mixed(u64),
    #[error("version {given} of the root does not follow version {held}")]
    NotTheNext { held: u64, given: u64 },
    #[error("there is no list of keys yet")]
    NoList,
    #[error("the list of keys expired at {0}")]
    Expired(Timestamp),
}

impl TrustError {
    /// The refusal's stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Envelope(_) | Self::Malformed(_) => "malformed",
            Self::OtherRoot { .. } => "root_substituted",
            Self::OtherOrganisation => "other_organisation",
            Self::TooFewSignatures { .. } => "too_few_signatures",
            Self::Rollback { .. } => "rolled_back",
            Self::Mixed(_) => "mixed",
            Self::NotTheNext { .. } => "not_the_next_root",
            Self::NoList => "no_key_list",
            Self::Expired(_) => "key_list_expired",
        }
    }
}
