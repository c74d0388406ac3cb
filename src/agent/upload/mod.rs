//! Sends one bundle to the backend that a ticket names, or that the agent is enrolled with. What to ask next is decided by [`machine`], which is pure; here are the
//! requests themselves, and the receipt without which nothing counts as delivered.

/// What the backend said, and why a bundle was not delivered.
mod answer;
/// The backend's HTTP interface, as far as the agent uses it.
mod backend;
/// Answers in, requests out.
mod machine;
/// How fast a bundle may go.
mod pace;
/// How long a backend wants to be left alone.
mod retry_after;
/// An enrolled agent's signature on its requests.
mod signer;

pub(crate) use answer::Failure;
pub(crate) use backend::{Backend, NoAnswer, Reply, TlsTrust, is_loopback, judged_by_platform};
pub(crate) use pace::Pace;
pub(crate) use signer::RequestSigner;

use crate::interruption::Interruption;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use machine::{Action, Event, Machine};
use netsonde_contract::api::{self, header};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::id::BundleId;
use netsonde_contract::receipt::Receipt;
use netsonde_contract::ticket::Ticket;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder};
use sha2::{Digest, Sha256};

/// A bundle on its way.
pub(crate) struct Parcel<'a> {
    pub(crate) errand: Errand<'a>,
    pub(crate) bundle: &'a BundleId,
    pub(crate) bytes: Bytes,
    /// The key that signed the bundle.
    pub(crate) key: VerifyingKey,
}

/// What the bundle is sent for.
pub(crate) enum Errand<'a> {
    Ticket(&'a Ticket),
    /// An order, which the bundle itself names, with the keys that may sign its receipt. The agent's transport key signs the requests.
    Order {
        receipt_keys: &'a [VerifyingKey],
    },
    /// A schedule of the machine's own, which the bundle names too; signed and answered as an order's is.
    Scheduled {
        receipt_keys: &'a [VerifyingKey],
    },
}

/// A verified receipt and the envelope it came in.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) receipt: Receipt,
    pub(crate) envelope: Vec<u8>,
}

/// Why the parcel was not delivered, or that TLS is not the ticket's.
#[derive(Debug)]
pub(crate) enum NotDelivered {
    PinMismatch,
    Failed(Failure),
}

/// Sends the parcel until there is a valid receipt, a refusal, or no use in trying on.
pub(crate) async fn send(
    backend: &Backend,
    parcel: &Parcel<'_>,
    pace: &Pace,
    interruption: &Interruption,
) -> Result<Delivered, NotDelivered> {
    tokio::select! {
        biased;
        () = interruption.came() => Err(NotDelivered::Failed(Failure::Interrupted)),
        sent = drive(backend, parcel, pace) => sent,
    }
}

async fn drive(backend: &Backend, parcel: &Parcel<'_>, pace: &Pace) -> Result<Delivered, NotDelivered> {
    let length = u64::try_from(parcel.bytes.len()).unwrap_or(u64::MAX);
    let mut machine = Machine::new(length, crate::state::chance).in_parts_of(pace.most_in_a_part());
    loop {
        let request = match machine.next() {
            Action::Create => create(backend, parcel),
            Action::Ask { location } => {
                backend.request(Method::HEAD, &location).header(header::DRAFT_INTEROP, api::DRAFT_INTEROP_VERSION)
            }
            Action::Append { location, offset, length, last } => {
                append(backend, parcel, pace, &location, Piece { offset, length, last })
            }
            Action::Wait(delay) => {
                tokio::time::sleep(delay).await;
                machine.handle(Event::Waited);
                continue;
            }
            Action::Done(envelope) => return check_receipt(parcel, envelope).map_err(NotDelivered::Failed),
            Action::Failed(failure) => return Err(NotDelivered::Failed(failure)),
        };
        machine.handle(match backend.answer(request).await {
            Ok(answer) => Event::Answered(answer),
            Err(NoAnswer::PinMismatch) => return Err(NotDelivered::PinMismatch),
            Err(NoAnswer::Unreachable(reason) | NoAnswer::Cut(reason)) => Event::Unanswered(reason),
        });
    }
}

fn create(backend: &Backend, parcel: &Parcel<'_>) -> RequestBuilder {
    let request = backend
        .request(Method::POST, api::path::UPLOADS)
        .header(header::DRAFT_INTEROP, api::DRAFT_INTEROP_VERSION)
        .header(header::UPLOAD_LENGTH, parcel.bytes.len())
        .header(header::UPLOAD_COMPLETE, "?0")
        .header(header::BUNDLE, parcel.bundle.as_str())
        .header(header::KEY, STANDARD.encode(parcel.key.as_bytes()))
        .body(Bytes::new());
    match parcel.errand {
        Errand::Ticket(ticket) => {
            let proof = ticket.proof_key().proof(&ticket.id, &parcel.key, &ticket.receipt_key);
            request.header(header::TICKET, ticket.id.as_str()).header(header::PROOF, proof)
        }
        Errand::Order { .. } => request,
        // What goes beyond the day's bounds is then refused before it is sent.
        Errand::Scheduled { .. } => request.header(header::SCHEDULED, "?1"),
    }
}

/// One part of the bundle.
struct Piece {
    offset: u64,
    length: u64,
    last: bool,
}

fn append(backend: &Backend, parcel: &Parcel<'_>, pace: &Pace, location: &str, piece: Piece) -> RequestBuilder {
    let Piece { offset, length, last } = piece;
    // The machine keeps both within the parcel's length, which is one of memory.
    let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(parcel.bytes.len());
    let end = begin.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(parcel.bytes.len());
    let part = parcel.bytes.slice(begin..end);
    backend
        .request(Method::PATCH, location)
        .header(header::DRAFT_INTEROP, api::DRAFT_INTEROP_VERSION)
        .header(CONTENT_TYPE, api::PARTIAL_UPLOAD)
        .header(header::UPLOAD_OFFSET, offset)
        .header(header::UPLOAD_COMPLETE, if last { "?1" } else { "?0" })
        .header(header::CONTENT_DIGEST, format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&part))))
        // A body that comes piece by piece does not tell its length itself.
        .header(CONTENT_LENGTH, part.len())
        .body(pace.body(part))
}

/// Holds the receipt against what was sent: signed by a key that may, for this very file and this ticket.
fn check_receipt(parcel: &Parcel<'_>, envelope: Vec<u8>) -> Result<Delivered, Failure> {
    let keys = match parcel.errand {
        Errand::Ticket(ticket) => std::slice::from_ref(&ticket.receipt_key),
        Errand::Order { receipt_keys } | Errand::Scheduled { receipt_keys } => receipt_keys,
    };
    let mut verified = keys.iter().map(|key| Receipt::verify(&envelope, key));
    let receipt = match verified.find(Result::is_ok) {
        Some(Ok(receipt)) => receipt,
        _ => return Err(Failure::Receipt("no key that may sign receipts signed it".to_owned())),
    };
    let wrong = |what: &str| Err(Failure::Receipt(format!("it is for another {what}")));
    if receipt.bundle != *parcel.bundle {
        return wrong("bundle");
    }
    if receipt.file_sha256 != hexadecimal(&Sha256::digest(&parcel.bytes)) {
        return wrong("file");
    }
    let ticket = if let Errand::Ticket(ticket) = parcel.errand { Some(&ticket.id) } else { None };
    if receipt.ticket.as_ref() != ticket {
        return wrong("ticket");
    }
    Ok(Delivered { receipt, envelope })
}

#[cfg(test)]
mod tests;
