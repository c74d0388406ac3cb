use super::failure;
use super::request::Request;
use crate::tls::draft::Draft;
use crate::tls::wire::Notes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::failure::Failure;
use netsonde_contract::observation::Exchange;
use sha2::{Digest, Sha256};

/// Reads the body up to the bound. Each piece has the time that a first byte has: a transfer that goes on is not cut off here.
pub(super) async fn read(
    request: &Request<'_>,
    mut body: Incoming,
    notes: &Notes,
    draft: &mut Draft<Exchange>,
) -> Result<(), Failure> {
    let mut digest = Sha256::new();
    let announced = body.size_hint().exact();
    let result = loop {
        let frame = match tokio::time::timeout(request.timeout(), body.frame()).await {
            Ok(None) => break Ok(()),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => break Err(failure::of_body(&error, notes, draft.body_bytes, announced)),
            Err(_) => break Err(failure::stalled(request.params.timeout_ms)),
        };
        let Ok(data) = frame.into_data() else { continue };
        let room = request.params.max_body_bytes.saturating_sub(draft.body_bytes);
        let kept = usize::try_from(room).unwrap_or(usize::MAX).min(data.len());
        digest.update(&data[..kept]);
        draft.body_bytes += kept as u64;
        if kept < data.len() {
            draft.body_cut = true;
            break Ok(());
        }
    };
    draft.body_sha256 = Some(hexadecimal(&digest.finalize()));
    result
}
