use crate::exit;
use std::io;

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

    /// The disk, or whoever holds it, refused what a service needs. What somebody has to change ends it as a wrong file does; all else may pass.
    pub(crate) fn disk(message: impl Into<String>, error: &io::Error) -> Self {
        use io::ErrorKind as K;
        let is_lasting = matches!(
            error.kind(),
            K::PermissionDenied | K::NotFound | K::NotADirectory | K::IsADirectory | K::InvalidInput | K::InvalidData
        );
        Self { exit: if is_lasting { exit::USAGE } else { exit::NOT_NOW }, ..Self::usage(message) }
    }

    /// Whether a service that ended so is to be started again.
    #[cfg(any(windows, test))]
    pub(crate) fn may_pass(&self) -> bool {
        self.exit == exit::NOT_NOW
    }

    /// Message and next step in one line.
    #[cfg(windows)]
    pub(crate) fn words(&self) -> String {
        match &self.next {
            Some(next) => format!("{}; next: {next}", self.message),
            None => self.message.clone(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_wrong_file() {
        let code = |error: io::Error| Stop::disk("", &error).exit;
        for passes in [io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::WouldBlock] {
            assert_eq!(code(passes.into()), exit::NOT_NOW, "{passes}");
        }
        assert_eq!(code(io::Error::other("EIO")), exit::NOT_NOW);
        assert_eq!(code(io::ErrorKind::PermissionDenied.into()), exit::USAGE);
    }

    #[test]
    fn a_service_is_started_again_for_what_may_pass_alone() {
        assert!(Stop::disk("", &io::ErrorKind::StorageFull.into()).may_pass());
        let lasting = [Stop::disk("", &io::ErrorKind::NotFound.into()), Stop::usage(""), Stop::refused(""), Stop::found("")];
        assert!(lasting.iter().all(|stop| !stop.may_pass()));
    }

    #[test]
    fn systemd_starts_the_agent_again_where_the_disk_refused_and_not_where_a_file_is_wrong() {
        let unit = include_str!("../../packaging/linux/netsonde-agent.service");
        assert!(unit.contains("\nRestart=on-failure\n"));
        let line = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).unwrap();
        let codes: Vec<u8> = line.split(' ').map(|code| code.parse().unwrap()).collect();
        assert!(codes.contains(&exit::USAGE) && !codes.contains(&exit::NOT_NOW), "{line}");
    }
}
