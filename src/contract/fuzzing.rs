//! Every parser here of text and bytes that somebody else chose. `tests/fuzz` makes a target of each, and the test below reads every seed and
//! every input that once broke something.

use crate::bundle::fuzzing as bundle;
use crate::desk_token::DeskToken;
use crate::dsse::Envelope;
use crate::harmless::{clean, clean_lines, is_clean};
use crate::id::{BundleId, CaseId, TicketId};
use crate::kind::{Kind, Params};
use crate::pasted;
use crate::pin::Pin;
use crate::receipt::{self, Receipt};
use crate::set::{ProbeSet, Request};
use crate::target::{Target, TargetForm};
use crate::ticket::Ticket;
use ed25519_dalek::SigningKey;
use serde_json::Value;

/// A parser's name, which is also that of its folder of seeds, and the parser. It panics where it breaks its promises.
pub type Parser = (&'static str, fn(&[u8]));

/// The one list.
pub const PARSERS: &[Parser] = &[
    ("bundle_archive", bundle::archive),
    ("bundle_files", bundle::files),
    ("bundle_manifest", bundle::manifest),
    ("bundle_verify", bundle::bundle),
    ("desk_token", desk_token),
    ("dsse_envelope", envelope),
    ("harmless_text", harmless),
    ("parameters", parameters),
    ("pin", pin),
    ("probe_set", set),
    ("receipt", signed_receipt),
    ("target_text", target),
    ("ticket", ticket),
];

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// As it is pasted, and behind a checksum that holds.
fn ticket(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Ticket::parse(&text);
    TicketId::parse(&text);
    if let Ok(value) = serde_json::from_slice::<Value>(bytes)
        && let Ok(ticket) = Ticket::parse(&pasted::encode("nst1_", &value))
    {
        assert!(Ticket::parse(&ticket.encode()).is_ok(), "a ticket does not survive its own text");
    }
}

fn desk_token(bytes: &[u8]) {
    let _ = DeskToken::parse(&String::from_utf8_lossy(bytes));
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        let _ = DeskToken::parse(&pasted::encode("nsd1_", &value));
    }
}

fn envelope(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::from_json(bytes) {
        let _ = envelope.verify(receipt::MEDIA_TYPE, &key().verifying_key());
        envelope.key_ids().count();
        envelope.to_json();
    }
}

/// An envelope as it comes, and one around a payload that the backend's key signed.
fn signed_receipt(bytes: &[u8]) {
    let verifying = key().verifying_key();
    let _ = Receipt::verify(bytes, &verifying);
    let signed = Envelope::sign(receipt::MEDIA_TYPE, bytes.to_vec(), &key());
    let _ = Receipt::verify(&signed.to_json(), &verifying);
}

/// A file of a probe set, planned for no target, one, and more than there may be.
fn set(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(set) = ProbeSet::parse("a.toml", &text) else { return };
    for count in [0, 1, 40] {
        let targets = (0..count).map(|number| format!("host-{number}.example")).collect();
        let request = Request { targets, ..Request::default() };
        if let Ok(plan) = set.plan(&request) {
            assert!(plan.checks.len() <= crate::set::MAX_PLANNED && plan.budget <= crate::set::MAX_BUDGET);
        }
    }
}

/// What a set or a ticket says of a check's parameters. What is taken passes the same checks again.
fn parameters(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    for kind in Kind::ALL {
        if let Ok(taken) = Params::parse(*kind, value.clone()) {
            assert_eq!(Params::parse(*kind, taken.to_value()).ok(), Some(taken), "{kind:?}");
        }
    }
}

fn target(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for form in [TargetForm::Host, TargetForm::Endpoint, TargetForm::Url] {
        if let Ok(target) = Target::parse(&text, form) {
            assert!(is_clean(&target.host), "{:?}", target.host);
            target.address();
            target.url();
        }
    }
    pasted::base_url(&text);
    BundleId::parse(&text);
    CaseId::parse(&text);
}

fn pin(bytes: &[u8]) {
    Pin::of_certificate(bytes);
    if let Ok(pin) = String::from_utf8_lossy(bytes).parse::<Pin>() {
        assert_eq!(pin.to_string().parse(), Ok(pin));
    }
}

fn harmless(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let cleaned = clean(&text);
    assert!(is_clean(&cleaned) && clean(&cleaned) == cleaned);
    assert!(clean_lines(&text).lines().all(is_clean));
}

#[cfg(test)]
#[path = "../../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parser_reads_its_seeds_and_what_once_broke_it() {
        replay::all(PARSERS);
    }
}
