use netsonde_contract::observation::Tickets;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls_pki_types::ServerName;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Tickets kept of one connection; servers send one or two.
const MAX_TICKETS: usize = 8;

/// Keeps what would resume the session of one connection, and hands it to the next.
#[derive(Default)]
pub(super) struct TicketBox {
    kept: Mutex<Kept>,
    came: Notify,
}

#[derive(Default)]
struct Kept {
    count: u32,
    max_early_data_bytes: u32,
    tls13: Vec<Tls13ClientSessionValue>,
    tls12: Option<Tls12ClientSessionValue>,
}

impl TicketBox {
    pub(super) fn seen(&self) -> Tickets {
        let kept = self.kept();
        Tickets { count: kept.count, max_early_data_bytes: kept.max_early_data_bytes }
    }

    /// Waits for the first ticket after which none was looked for yet.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for TicketBox {
    fn set_kx_hint(&self, _server_name: ServerName<'static>, _group: NamedGroup) {}

    /// Every hello is to look like the first.
    fn kx_hint(&self, _server_name: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        let mut kept = self.kept();
        kept.count = kept.count.saturating_add(1);
        kept.tls12 = Some(value);
        self.came.notify_one();
    }

    fn tls12_session(&self, _server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept().tls12.clone()
    }

    fn remove_tls12_session(&self, _server_name: &ServerName<'static>) {
        self.kept().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut kept = self.kept();
        kept.count = kept.count.saturating_add(1);
        kept.max_early_data_bytes = kept.max_early_data_bytes.max(value.max_early_data_size());
        if kept.tls13.len() < MAX_TICKETS {
            kept.tls13.push(value);
        }
        self.came.notify_one();
    }

    fn take_tls13_ticket(&self, _server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept().tls13.pop()
    }
}

impl fmt::Debug for TicketBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketBox").field("seen", &self.seen()).finish_non_exhaustive()
    }
}
