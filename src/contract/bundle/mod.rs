//! The bundle: one signed file that holds a run and proves itself.
//!
//! A bundle is a deterministic `.tar.gz`. Its `manifest.json` is an in-toto Statement (v1) that names every other file with its SHA-256;
//! the bundle's id is the manifest's own SHA-256. The same key signs the manifest twice, as a DSSE envelope and as an SSH signature, so
//! that stock `openssl` and `ssh-keygen` can both check it. [`pack`] writes one; [`verify`] reads one without trusting a byte and
//! without touching the disk. Verification says that a bundle is *intact*: this key signed these bytes. Whether the key is *known* is for
//! the caller, who knows tickets and agents.

mod archive;
mod bounds;
mod contents;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod manifest;
mod pack;
mod predicate;
mod public_key;
mod readme;
mod refusal;
mod ssh_signature;
mod verify;

#[cfg(test)]
mod tests;

pub use bounds::{MAX_FINDINGS, MAX_JSON_BYTES, MAX_LIST, MAX_OBSERVATIONS, MAX_TEXT_BYTES, MAX_VALUES};
pub use contents::Contents;
pub use pack::{PackError, Packed, pack};
pub use predicate::{Build, Clocks, Consent, Predicate, Scheduled, ScheduledFor, TicketProof};
pub(crate) use public_key::{SSH_ALGORITHM, ssh_blob};
pub use public_key::{key_id, open_ssh};
pub use refusal::{Refusal, RefusalCode};
pub use verify::{Bundle, verify};

use serde::Serialize;

pub const MEDIA_TYPE: &str = "application/vnd.netsonde.bundle+gzip";
/// A bundle may be this large as a file: what a mail gateway or a ticket system still takes, and what one upload may cost.
pub const MAX_BYTES: usize = 64 << 20;
/// A bundle may hold this much once unpacked; it is held in memory while it is verified. The largest built-in set on 32 targets stays
/// below a tenth.
pub const MAX_UNPACKED_BYTES: usize = 64 << 20;
/// A bundle may have this many files: 64 checks on 32 targets are 2048 outcomes.
pub const MAX_ENTRIES: usize = 4096;
/// A bundle may unpack to this many times its size: JSON stays below 50, and DEFLATE itself reaches 1032.
pub const MAX_RATIO: usize = 200;

/// Names of the files that every bundle has besides its contents.
pub mod file_name {
    pub const MANIFEST: &str = "manifest.json";
    pub const ENVELOPE: &str = "manifest.dsse.json";
    pub const SSH_SIGNATURE: &str = "manifest.json.sig";
    pub const SSH_PUBLIC_KEY: &str = "agent.pub";
    pub const PEM_PUBLIC_KEY: &str = "agent.pem";
    pub const DIGESTS: &str = "SHA256SUMS";
    pub const README: &str = "README.txt";
    pub const RUN: &str = "run.json";
    pub const ENVIRONMENT: &str = "environment.json";
    pub const FINDINGS: &str = "findings.json";
    pub const REDACTION: &str = "redaction.json";
    pub const JOURNAL: &str = "journal.jsonl";
    pub const REPORT: &str = "report.html";
    pub const OUTCOMES: &str = "outcomes/";
    /// The order that the run obeyed, as it was signed.
    pub const ORDER: &str = "order.dsse.json";
    /// The machine's policy that was in force.
    pub const POLICY: &str = "policy.toml";
    /// What scheduled checks measured before the run; only where there are any.
    pub const HISTORY: &str = "history.json";
    /// The run's own packets, headers only; only where that was asked for.
    pub const CAPTURE: &str = "captures/run.pcapng";
}

/// Lower-case hexadecimal.
pub fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A contract type as JSON on one line.
#[expect(clippy::expect_used, reason = "contract types have text keys only, and no serialiser of theirs fails")]
pub(crate) fn json_bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("contract types serialise")
}

/// A contract type as JSON that people read: indented, and ended by a newline.
#[expect(clippy::expect_used, reason = "contract types have text keys only, and no serialiser of theirs fails")]
fn readable_json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("contract types serialise");
    bytes.push(b'\n');
    bytes
}
