//! Every parser here of text and bytes that somebody else chose. `tests/fuzz` makes a target of each, and the test below reads every seed and
//! every input that once broke something.
#![expect(clippy::unwrap_used, reason = "what a fuzz target prepares by itself is right, or the target is wrong")]

use crate::agent_config::{
    AgentConfig, LONGEST_INTERVAL, LONGEST_JITTER, LONGEST_SPLAY, MAX_SCHEDULES, MAX_SILENCES, SHORTEST_INTERVAL, Timing,
};
use crate::audit::{Excerpt, Reading};
use crate::bundle::fuzzing as bundle;
use crate::desk_token::DeskToken;
use crate::dsse::Envelope;
use crate::enrolment::{self, Enrolment, Introduction};
use crate::harmless::{clean, clean_lines, is_clean};
use crate::id::{AgentId, BundleId, CaseId, TicketId};
use crate::kind::{Kind, Params};
use crate::order::{self, Addressees, Epoch, Epochs, MerkleProof, Situation};
use crate::pasted;
use crate::pin::Pin;
use crate::policy::{Hours, NamePattern, Policy, Reach};
use crate::receipt::{self, Receipt};
use crate::request_signature::{self, Covered, Headers};
use crate::set::{ProbeSet, Request};
use crate::target::{Target, TargetForm};
use crate::ticket::Ticket;
use crate::trust::{self, Anchor, KeyList, MAX_LIST_LIFE, PublicKey, RoleKeys, RootStatement};
use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// A parser's name, which is also that of its folder of seeds, and the parser. It panics where it breaks its promises.
pub type Parser = (&'static str, fn(&[u8]));

/// The one list.
pub const PARSERS: &[Parser] = &[
    ("agent_config", agent_config),
    ("audit_excerpt", audit_excerpt),
    ("bundle_archive", bundle::archive),
    ("bundle_files", bundle::files),
    ("bundle_manifest", bundle::manifest),
    ("bundle_verify", bundle::bundle),
    ("desk_token", desk_token),
    ("dsse_envelope", envelope),
    ("enrolment", enrolment),
    ("harmless_text", harmless),
    ("key_list", key_list),
    ("order", signed_order),
    ("parameters", parameters),
    ("pin", pin),
    ("policy", policy),
    ("probe_set", set),
    ("receipt", signed_receipt),
    ("request_signature", request_signature),
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

/// An excerpt as it comes, and one whose first line is signed by the key that it names.
fn audit_excerpt(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let excerpt = serde_json::from_slice::<Excerpt>(first).ok();
    let signed = excerpt.map(|excerpt| Excerpt { key: PublicKey::new(key().verifying_key(), ""), ..excerpt }.sign(&key()));
    for first in [Some(first.to_vec()), signed].into_iter().flatten() {
        let Ok(mut reading) = Reading::begin(&first) else { continue };
        if lines.clone().all(|line| reading.take(line).is_ok()) {
            let _ = reading.end();
        }
    }
}

/// As it is pasted, and behind a checksum that holds; what an agent says of itself, as it comes and signed.
fn enrolment(bytes: &[u8]) {
    let _ = Enrolment::parse(&String::from_utf8_lossy(bytes));
    if let Ok(value) = serde_json::from_slice::<Value>(bytes)
        && let Ok(enrolment) = Enrolment::parse(&pasted::encode("nse1_", &value))
    {
        assert!(Enrolment::parse(&enrolment.encode()).is_ok(), "an enrolment does not survive its own text");
    }
    let _ = Introduction::verify(bytes, None);
    let signed = Envelope::sign(enrolment::MEDIA_TYPE, bytes.to_vec(), &key());
    let _ = Introduction::verify(&signed.to_json(), Some(&key().verifying_key()));
}

/// The root that trusts one key, which is also the only one that may sign orders.
fn anchor() -> Anchor {
    let own = PublicKey::new(key().verifying_key(), "");
    let issued = Timestamp::UNIX_EPOCH;
    let root =
        RootStatement { name: "Fuzz".into(), organisation: None, version: 1, issued, keys: vec![own.clone()], threshold: 1 };
    let payload = root.envelope().unverified().to_vec();
    let fingerprint = RootStatement::fingerprint(&payload);
    let mut anchor = Anchor::pinned(&Envelope::sign(trust::ROOT_MEDIA_TYPE, payload, &key()).to_json(), &fingerprint).unwrap();
    let keys = || RoleKeys { threshold: 1, keys: vec![own.clone()] };
    let expires = issued + MAX_LIST_LIFE;
    let organisation = anchor.organisation().clone();
    let list =
        KeyList { organisation, root: 1, version: 1, issued, expires, order: keys(), receipt: keys(), revoked: Vec::new() };
    let list = Envelope::sign(trust::KEY_LIST_MEDIA_TYPE, list.envelope().unverified().to_vec(), &key());
    anchor.accept_list(&list.to_json()).unwrap();
    anchor
}

/// Lists and roots as they come, and as the root's own key signed them. What is taken goes forward.
fn key_list(bytes: &[u8]) {
    let mut anchor = anchor();
    let before = anchor.versions();
    let _ = anchor.accept_list(bytes);
    let _ = anchor.accept_list(&Envelope::sign(trust::KEY_LIST_MEDIA_TYPE, bytes.to_vec(), &key()).to_json());
    let _ = anchor.accept_root(bytes);
    let _ = anchor.accept_root(&Envelope::sign(trust::ROOT_MEDIA_TYPE, bytes.to_vec(), &key()).to_json());
    let after = anchor.versions();
    assert!(after.0 >= before.0 && after.1 >= before.1, "it went back");
    let _ = serde_json::from_slice::<Anchor>(bytes);
}

/// An order as it comes, and one that a listed engineer signed. One that is taken names the agent.
fn signed_order(bytes: &[u8]) {
    let (anchor, agent) = (anchor(), AgentId::of(&key().verifying_key()));
    let epochs = Epochs::begin(Epoch::from_bytes([7; 16]), None, Duration::ZERO);
    let now = Timestamp::UNIX_EPOCH;
    let situation = Situation { anchor: &anchor, agent: &agent, epochs: &epochs, now, taken: &|_| false };
    let _ = order::verify(bytes, None, &situation);
    let signed = Envelope::sign(order::MEDIA_TYPE, bytes.to_vec(), &key());
    if let Ok(verified) = order::verify(&signed.to_json(), None, &situation) {
        let Addressees::Listed(agents) = &verified.order.agents else { panic!("a tree without a proof was taken") };
        assert!(agents.iter().any(|one| one.agent == agent && epochs.accepts(&one.epoch)));
        assert!(verified.plan.checks.len() <= crate::set::MAX_PLANNED);
    }
    if let Ok(proof) = serde_json::from_slice::<MerkleProof>(bytes) {
        proof.holds(b"leaf", &"0".repeat(64), u64::MAX);
        proof.holds(b"leaf", &"0".repeat(64), 0);
    }
}

/// What the agent measures by itself: what it takes in is within its bounds.
fn agent_config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(config) = AgentConfig::parse("agent.toml", &text) {
        assert!(config.schedules.len() <= MAX_SCHEDULES && config.silences.len() <= MAX_SILENCES);
        for schedule in &config.schedules {
            assert!(schedule.splay <= LONGEST_SPLAY && schedule.jitter <= LONGEST_JITTER);
            if let Timing::Every(interval) = schedule.timing {
                assert!((SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval));
            }
        }
        assert!(config.metrics.is_none_or(|metrics| metrics.listen.ip().is_loopback()));
    }
}

/// A policy, and what it says of addresses that no name may open.
fn policy(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(mut policy) = Policy::parse("policy.toml", &text) {
        policy.networks.clear();
        let reach = Reach::of(&policy, &[]);
        for special in ["127.0.0.1", "::ffff:169.254.169.254", "10.0.0.1", "fe80::1"] {
            assert!(reach.address(special.parse().unwrap(), Some("shop.example")).is_err(), "{special}");
        }
        let _ = reach.host(&text);
    }
    if let Ok(pattern) = text.parse::<NamePattern>() {
        assert!(!pattern.fits("10.0.0.1") && !pattern.fits(""));
    }
    if let Ok(hours) = text.parse::<Hours>() {
        assert_eq!(hours.to_string().parse(), Ok(hours));
    }
}

fn request_signature(bytes: &[u8]) {
    let input = String::from_utf8_lossy(bytes).into_owned();
    let covered = Covered { method: "GET", authority: "a", path: "/", query: "", content_digest: "" };
    let headers = Headers { signature: format!("netsonde=:{input}:"), input };
    assert!(headers.verify(&covered, &key().verifying_key(), Timestamp::UNIX_EPOCH).is_err(), "nobody signed this");
    if let Ok(claim) = headers.claim() {
        let signed = request_signature::sign(&covered, &claim.key_id, claim.created, &claim.nonce, &key());
        assert_eq!(signed.input, headers.input, "there is more than one way to write it");
    }
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
