//! What systemd wants to hear of a service of `Type=notify` (sd_notify(3)): that it is ready, alive, and ending. Datagrams on a socket that the
//! environment names; without one nothing is said.

use crate::interruption::Interruption;
use std::time::Duration;

/// systemd asks for a sign of life within a time; half of it leaves room for a machine under load.
const SIGNS_WITHIN: u32 = 2;

/// The service manager.
pub(crate) struct Notify {
    socket: Option<String>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say.
    pub(crate) fn of_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let is_ours = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = variable("WATCHDOG_USEC").filter(|_| is_ours).and_then(|time| time.parse().ok());
        Self { socket: variable("NOTIFY_SOCKET"), watchdog: watchdog.filter(|time| *time > 0).map(Duration::from_micros) }
    }

    pub(crate) fn ready(&self) {
        self.say("READY=1");
    }

    /// Tells that the loop goes on, until it is to end.
    pub(crate) async fn keep_alive(&self, interruption: &Interruption) {
        loop {
            let rest = async {
                match self.watchdog {
                    Some(within) if self.socket.is_some() => tokio::time::sleep(within / SIGNS_WITHIN).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = interruption.came() => return self.say("STOPPING=1"),
                () = rest => self.say("WATCHDOG=1"),
            }
        }
    }

    /// A manager that does not listen misses nothing that the agent depends on.
    fn say(&self, words: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = send(socket, words.as_bytes())
        {
            tracing::debug!(%error, "the service manager does not listen");
        }
    }
}

#[cfg(target_os = "linux")]
fn send(socket: &str, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(bytes, &address).map(drop)
}

#[cfg(not(target_os = "linux"))]
fn send(_: &str, _: &[u8]) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use tokio_util::sync::CancellationToken;

    #[test]
    fn systemd_hears_that_the_service_is_ready_alive_and_ending() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let heard = || {
            let mut bytes = [0; 64];
            let length = manager.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        };
        let socket = Some(path.to_str().unwrap().to_owned());
        let notify = Notify { socket, watchdog: Some(Duration::from_millis(2)) };
        notify.ready();
        assert_eq!(heard(), "READY=1");
        let stop = CancellationToken::new();
        let interruption = Interruption::of(stop.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let living = std::thread::spawn(move || runtime.block_on(notify.keep_alive(&interruption)));
        assert_eq!(heard(), "WATCHDOG=1");
        stop.cancel();
        while heard() != "STOPPING=1" {}
        living.join().unwrap();
    }
}
