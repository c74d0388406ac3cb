/// The command was not done.
pub(crate) const FAILED: u8 = 1;
/// The command line cannot be used.
pub(crate) const USAGE: u8 = 2;
/// The order is signed and was not submitted: more engineers must sign it.
pub(crate) const NOT_SUBMITTED: u8 = 3;
/// An agent refused the order.
pub(crate) const REFUSED: u8 = 4;

/// Why a command stopped, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) message: String,
    pub(crate) next: Option<String>,
    pub(crate) exit: u8,
}

impl Stop {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), next: None, exit: FAILED }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), next: None, exit: USAGE }
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { message: message.into(), next: None, exit: REFUSED }
    }

    pub(crate) fn next(mut self, step: impl Into<String>) -> Self {
        self.next = Some(step.into());
        self
    }
}
