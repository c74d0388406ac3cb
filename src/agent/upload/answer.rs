use netsonde_contract::api::Problem;
use std::time::Duration;

/// The parts of an answer that matter.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The path of the upload, on the same backend.
    pub(crate) location: Option<String>,
    pub(crate) offset: Option<u64>,
    pub(crate) complete: bool,
    pub(crate) max_append: Option<u64>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Body,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Body {
    Receipt(Vec<u8>),
    Problem(Box<Problem>),
    #[default]
    Other,
}

/// Why a bundle was not delivered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the backend did not answer: {0}")]
    Unreachable(String),
    #[error("the backend refused it: {0}")]
    Refused(Box<Problem>),
    #[error("the backend answered in a way that makes no sense: {0}")]
    Unexpected(String),
    #[error("the backend could not take it after several tries: {reason}")]
    GaveUp {
        reason: String,
        /// What the backend last asked for.
        retry_after: Option<Duration>,
    },
    #[error("the backend's receipt is not valid: {0}")]
    Receipt(String),
    #[error("the server that answers there does not have the key that the ticket names")]
    Untrusted,
    #[error("it was interrupted")]
    Interrupted,
}

impl Failure {
    /// How long the backend asked to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if let Self::GaveUp { retry_after, .. } = self { *retry_after } else { None }
    }
}
