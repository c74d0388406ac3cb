//! SIGHUP: the customer's wish that their files be read anew.

/// Listens for it. Where there is no such signal it never comes.
pub(crate) struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    /// Needs a running runtime.
    #[cfg(unix)]
    pub(crate) fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        // Where no handler can be installed the system's own one ends the program, which is what it does without.
        Self { signal: signal(SignalKind::hangup()).ok() }
    }

    #[cfg(not(unix))]
    pub(crate) fn listen() -> Self {
        Self {}
    }

    #[cfg(unix)]
    pub(crate) async fn came(&mut self) {
        let Some(signal) = &mut self.signal else { return std::future::pending().await };
        if signal.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    #[cfg(not(unix))]
    pub(crate) async fn came(&mut self) {
        std::future::pending().await
    }
}
