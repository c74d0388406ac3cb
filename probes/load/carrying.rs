use super::Direction;
use crate::context::Context;
use crate::http::carry;
use crate::http::meter::Ledger;
use futures_util::future::join_all;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::{HttpParams, LoadDirection, LoadParams};
use netsonde_contract::observation::{Exchange, TcpState, TransferEnd};
use std::sync::atomic::{AtomicU32, Ordering};

/// Kernel states kept: those of the first connections tell as much as those of the last.
const MAX_STATES: usize = 16;

/// What the load's requests came to.
#[derive(Default)]
pub(super) struct Carried {
    pub(super) requests: u32,
    pub(super) at_close: Vec<TcpState>,
    /// The first request that failed, where one did.
    pub(super) failure: Option<Failure>,
}

impl Carried {
    /// How the load ended where neither its bytes nor its time did.
    pub(super) fn ended(&self) -> TransferEnd {
        let used_up = self.failure.is_none() && self.requests >= LoadParams::MAX_REQUESTS;
        if used_up { TransferEnd::RequestLimit } else { TransferEnd::Complete }
    }
}

/// Requests over several connections at once, each asking again when its body ends, until the ledger's bytes or time are used up.
pub(super) async fn carry(context: &Context, params: &LoadParams, direction: &Direction, ledger: &Ledger) -> Carried {
    let mut http = HttpParams::of(direction.url.as_str());
    http.timeout_ms = params.timeout_ms;
    let requests = AtomicU32::new(0);
    let one = || connection(context, &http, direction, ledger, &requests);
    let mut carried = Carried::default();
    for (at_close, failure) in join_all((0..params.connections).map(|_| one())).await {
        carried.at_close.extend(at_close);
        carried.failure = carried.failure.or(failure);
    }
    carried.at_close.truncate(MAX_STATES);
    carried.requests = requests.load(Ordering::Relaxed).min(LoadParams::MAX_REQUESTS);
    carried
}

async fn connection(
    context: &Context,
    http: &HttpParams,
    direction: &Direction,
    ledger: &Ledger,
    requests: &AtomicU32,
) -> (Vec<TcpState>, Option<Failure>) {
    let is_upload = direction.way == LoadDirection::Upload;
    let mut at_close = Vec::new();
    while ledger.ended().is_none() && requests.fetch_add(1, Ordering::Relaxed) < LoadParams::MAX_REQUESTS {
        let before = ledger.bytes();
        let exchange = carry::once(context, http, &direction.url, &direction.route, is_upload, ledger).await;
        if at_close.len() < MAX_STATES {
            at_close.extend(exchange.at_close.as_deref().copied());
        }
        let failure = exchange.failure.clone().or_else(|| refused(&exchange, is_upload));
        if failure.is_some() {
            return (at_close, failure);
        }
        if ledger.bytes() == before && ledger.ended().is_none() {
            let text = "the answers have no body, so that nothing loads the path: name the URL of a large file";
            return (at_close, Some(Failure::new(FailureCode::Other("empty_body".into()), Step::Receive, text)));
        }
    }
    (at_close, None)
}

/// A status that carries no load, and what to do about it.
fn refused(exchange: &Exchange, is_upload: bool) -> Option<Failure> {
    let status = exchange.status.filter(|status| !(200..300).contains(status))?;
    let text = match (exchange.location.is_some(), is_upload) {
        (true, _) => format!("status {status} sends on to another URL: name that one"),
        (false, true) => format!("status {status} to a POST: name a URL that takes uploads with `upload_url`"),
        (false, false) => format!("status {status}: name the URL of a large file"),
    };
    Some(Failure::new(FailureCode::Other("unexpected_status".into()), Step::Receive, text))
}
