use tokio::sync::oneshot;

/// Resolves on Ctrl-C or, on Unix, SIGTERM. The handlers are there once this returns.
pub(super) fn signal() -> std::io::Result<oneshot::Receiver<()>> {
    let (send, receive) = oneshot::channel();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            let _ = send.send(());
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        let _ = send.send(());
    });
    Ok(receive)
}
