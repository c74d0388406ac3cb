use crate::exit;

/// Why a command ends without its work done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) exit: u8,
    /// What was attempted on what, and why it failed.
    pub(crate) message: String,
    /// One thing to do about it.
    pub(crate) next: Option<String>,
}

impl Stop {
    /// The command line or a file that it names cannot be used.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: exit::USAGE, message: message.into(), next: None }
    }

    /// Policy, or the person asked, said no.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { exit: exit::REFUSED, message: message.into(), next: None }
    }

    /// What was looked at is not in order, such as a bundle that was altered.
    pub(crate) fn found(message: impl Into<String>) -> Self {
        Self { exit: exit::FOUND, message: message.into(), next: None }
    }

    pub(crate) fn next(mut self, step: impl Into<String>) -> Self {
        self.next = Some(step.into());
        self
    }
}

/// An error with its causes, the outermost first, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
