use crate::exit;
use crate::terminal;
use tokio_util::sync::CancellationToken;

/// A person's wish to stop. The first one ends the measuring and keeps what is there; the second one leaves at once.
#[derive(Clone)]
pub(crate) struct Interruption {
    token: CancellationToken,
}

impl Interruption {
    /// Listens for Ctrl-C and for the system's request to end. Needs a running runtime.
    pub(crate) fn listen() -> Self {
        Self::listen_and(|| ())
    }

    /// The same, and does `first_of_all` before anything is said or ended.
    pub(crate) fn listen_and(first_of_all: fn()) -> Self {
        let token = CancellationToken::new();
        let first = token.clone();
        tokio::spawn(async move {
            if signal().await.is_err() {
                // Where no handler can be installed, the system's own one ends the program.
                return;
            }
            first_of_all();
            first.cancel();
            terminal::say("netsonde: stopping; what was measured is kept (again: leave at once)");
            if signal().await.is_ok() {
                std::process::exit(i32::from(exit::INTERRUPTED));
            }
        });
        Self { token }
    }

    /// One that comes when `token` is cancelled, as an order's end does.
    pub(crate) fn of(token: CancellationToken) -> Self {
        Self { token }
    }

    pub(crate) async fn came(&self) {
        self.token.cancelled().await;
    }
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        came = tokio::signal::ctrl_c() => came,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
