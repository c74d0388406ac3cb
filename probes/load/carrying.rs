use super::Direction;
use super::portion::Portion;
use crate::context::Context;
use crate::http::carry;
use crate::http::meter::{Ledger, Reserved};
use futures_util::future::join_all;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::{HttpParams, LoadDirection, LoadParams};
use netsonde_contract::observation::{Exchange, TcpState, TransferEnd};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Kernel states kept: those of the first connections tell as much as those of the last.
const MAX_STATES: usize = 16;

/// What the load's requests came to until now. Clones are the same load, so that whoever is cut off in the midst of it still has it.
#[derive(Clone)]
pub(super) struct Carried {
    pub(super) ledger: Ledger,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    requests: u32,
    at_close: Vec<TcpState>,
    /// The first request that failed, where one did.
    failure: Option<Failure>,
    /// What is left of the time is too little for another body.
    time_used_up: bool,
}

impl Carried {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self { ledger, state: Arc::default() }
    }

    pub(super) fn requests(&self) -> u32 {
        self.state().requests
    }

    pub(super) fn at_close(&self) -> Vec<TcpState> {
        self.state().at_close.clone()
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.state().failure.clone()
    }

    /// How the load ended.
    pub(super) fn ended(&self) -> TransferEnd {
        let bound = self.ledger.ended();
        let state = self.state();
        if let Some(bound) = bound.or(state.time_used_up.then_some(TransferEnd::TimeLimit)) {
            return bound;
        }
        let used_up = state.failure.is_none() && state.requests >= LoadParams::MAX_REQUESTS;
        if used_up { TransferEnd::RequestLimit } else { TransferEnd::Complete }
    }

    /// Whether one more request may be made, which it then counts.
    fn may_ask(&self) -> bool {
        let mut state = self.state();
        let may = self.ledger.ended().is_none() && state.requests < LoadParams::MAX_REQUESTS;
        state.requests += u32::from(may);
        may
    }

    fn note(&self, at_close: Option<TcpState>, failure: Option<Failure>) {
        let mut state = self.state();
        if state.at_close.len() < MAX_STATES {
            state.at_close.extend(at_close);
        }
        if let Some(failure) = failure {
            state.failure.get_or_insert(failure);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests over several connections at once, all to this address, each asking again when its body ends, until the ledger's bytes or time
/// are used up.
pub(super) async fn carry(context: &Context, params: &LoadParams, direction: &Direction, address: SocketAddr, carried: &Carried) {
    let mut http = HttpParams::of(direction.url.as_str());
    http.timeout_ms = params.timeout_ms;
    join_all((0..params.connections).map(|_| connection(context, &http, direction, address, carried))).await;
}

async fn connection(context: &Context, http: &HttpParams, direction: &Direction, address: SocketAddr, carried: &Carried) {
    let ledger = &carried.ledger;
    let is_upload = direction.way == LoadDirection::Upload;
    let mut portion = Portion::FIRST;
    loop {
        let (before, began) = (ledger.bytes(), context.clock.now());
        let wanted = portion.within(ledger.remaining());
        if is_upload && wanted.is_none() {
            carried.state().time_used_up = true;
            return;
        }
        let reserved = wanted.filter(|_| is_upload).map(|wanted| ledger.reserve(wanted));
        let upload = reserved.as_ref().map(Reserved::bytes);
        // Where nothing could be set apart, the other connections have announced all that is left.
        if upload == Some(0) || !carried.may_ask() {
            return;
        }
        let exchange = carry::once(context, http, &direction.url, &direction.route, address, upload, ledger).await;
        let took = context.clock.now().saturating_sub(began);
        let mut failure = exchange.failure.clone().or_else(|| refused(&exchange, is_upload));
        if is_upload && failure.is_some() && ledger.ended().is_some() && exchange.status.is_none() {
            // The load's bounds cut the body off, as they are meant to.
            failure = None;
        } else if let Some(smaller) = portion.refused().filter(|_| is_too_large(&exchange, failure.as_ref())) {
            carried.note(exchange.at_close.as_deref().copied(), None);
            portion = smaller;
            continue;
        }
        portion = portion.taken(upload.unwrap_or_default(), took);
        if failure.is_none() && ledger.bytes() == before && ledger.ended().is_none() {
            let text = "the answers have no body, so that nothing loads the path: name the URL of a large file";
            failure = Some(Failure::new(FailureCode::Other("empty_body".into()), Step::Receive, text));
        }
        let is_over = failure.is_some();
        carried.note(exchange.at_close.as_deref().copied(), failure);
        if is_over {
            return;
        }
    }
}

/// The server takes no body of this length (RFC 9110 section 15.5.14).
const CONTENT_TOO_LARGE: u16 = 413;

/// The server says that the body is too large, or hangs up in its midst, as some do instead.
fn is_too_large(exchange: &Exchange, failure: Option<&Failure>) -> bool {
    let hung_up = |failure: &Failure| matches!(failure.code, FailureCode::Reset | FailureCode::Closed);
    exchange.status == Some(CONTENT_TOO_LARGE) || (exchange.status.is_none() && failure.is_some_and(hung_up))
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
