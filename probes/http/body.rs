use super::arrivals::Arrivals;
use super::failure;
use super::meter::Ledger;
use super::request::Request;
use super::sought::Sought;
use crate::tls::draft::Draft;
use crate::tls::wire::Notes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::failure::Failure;
use netsonde_contract::observation::{Exchange, Transfer, TransferEnd};
use sha2::{Digest, Sha256};
use socket2::Socket;
use std::time::Duration;

/// Reads the body up to the bounds. Each piece has the time that a first byte has: a transfer that goes on is not cut off here.
pub(super) async fn read(
    request: &Request<'_>,
    mut body: Incoming,
    (notes, socket): (&Notes, Option<&Socket>),
    draft: &mut Draft<Exchange>,
    sought: &mut Sought,
) -> Result<(), Failure> {
    let time = Duration::from_secs(request.params.max_body_s);
    let own = || Ledger::open(request.context.clock, request.params.max_body_bytes, time);
    let ledger = request.ledger.clone().unwrap_or_else(own);
    let _carrying = ledger.carrying();
    let mut digest = Sha256::new();
    let announced = body.size_hint().exact();
    let clock = request.context.clock;
    // What several requests share is counted over all of them.
    let mut arrivals = Arrivals::begin(socket.filter(|_| request.ledger.is_none()), clock.now());
    let mut patience = request.timeout();
    let result = loop {
        let now = clock.now();
        arrivals.note(now);
        let wait = patience.min(ledger.remaining());
        let wait = arrivals.wait(now).map_or(wait, |next| wait.min(next));
        patience = patience.saturating_sub(wait);
        let frame = match tokio::time::timeout(wait, body.frame()).await {
            Ok(None) => break Ok(()),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => break Err(failure::of_body(&error, notes, draft.body_bytes, announced)),
            Err(_) if ledger.ended().is_some() => {
                draft.body_cut = true;
                break Ok(());
            }
            Err(_) if !patience.is_zero() => continue,
            Err(_) => break Err(failure::stalled(request.params.timeout_ms)),
        };
        patience = request.timeout();
        let Ok(data) = frame.into_data() else { continue };
        let kept = ledger.take(data.len());
        // What several requests share the counting of is load, and no content.
        if request.ledger.is_none() {
            digest.update(&data[..kept]);
        }
        sought.feed(&data[..kept]);
        draft.body_bytes += kept as u64;
        if kept < data.len() {
            draft.body_cut = true;
            break Ok(());
        }
    };
    draft.body_sha256 = request.ledger.is_none().then(|| hexadecimal(&digest.finalize()));
    if draft.body_bytes > 0 {
        let end = if result.is_ok() { TransferEnd::Complete } else { TransferEnd::Broken };
        let arrived = arrivals.finish(clock.now());
        draft.transfer = Some(Box::new(Transfer { arrived, ..ledger.transfer(end) }));
    }
    result
}
