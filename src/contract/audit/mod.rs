//! The backend's audit log, as it is exported.
//!
//! Each entry's hash covers the hash of the entry before, so that nothing in the middle can be changed, added or taken out without changing
//! everything after it; the head that a receipt names, signed and in the customer's hands, tells a log that was rewritten as a whole or cut
//! at its end.
//!
//! One customer gets an [`Excerpt`]: the entries that concern them as they are, and every other one [`Sealed`], which is enough to follow the
//! chain, and to see that it concerns none of theirs.

/// One customer's part of the log.
mod excerpt;
/// An entry for those whom it does not concern.
mod sealed;

pub use excerpt::{EXCERPT_MEDIA_TYPE, Excerpt, ExcerptFault, Line, MAX_LINE_BYTES, Reading, Subject};
pub use sealed::Sealed;

use crate::bundle::hexadecimal;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Separates these hashes from all others.
const LABEL: &[u8] = b"netsonde audit entry v1";

/// Where a log stands: its last entry. Before the first one there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Head {
    pub number: u64,
    /// The entry's hash, lower-case hexadecimal.
    pub sha256: String,
}

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Counts the entries, from 1.
    pub number: u64,
    pub at: Timestamp,
    /// Who did it: `desk`, `page`, `backend`, or `agent` and its id.
    pub actor: String,
    /// What was done, such as `order.submitted`.
    pub action: String,
    /// To what: an id.
    pub subject: String,
    pub detail: String,
    /// Whom it concerns: ids of agents; where it is about no agent alone, that of the order, ticket, enrolment code, draft or bundle. Empty where it
    /// concerns everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<String>,
    /// 128 random bits, lower-case hexadecimal, without which nobody finds out by trying what a sealed entry says. Entries of before there were
    /// excerpts have none, and cannot be sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    pub sha256: String,
}

/// The first entry that does not follow from those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {number} of the audit log does not follow from the one before: the log was altered")]
pub struct Altered {
    pub number: u64,
}

impl Entry {
    /// The entry's hash, given that of the one before; empty before the first.
    pub fn hash(&self, before: &str) -> String {
        if let Some(sealed) = self.sealed() {
            return sealed.hash(before);
        }
        let mut hash = Sha256::new_with_prefix(LABEL);
        hash.update(self.number.to_be_bytes());
        hash.update(self.at.as_microsecond().to_be_bytes());
        add(&mut hash, [before, &self.actor, &self.action, &self.subject, &self.detail]);
        hexadecimal(&hash.finalize())
    }

    /// Whether whoever these ids belong to may read it.
    pub fn concerns(&self, ids: &BTreeMap<String, Subject>) -> bool {
        self.about.is_empty() || self.about.iter().any(|id| ids.contains_key(id))
    }

    pub fn head(&self) -> Head {
        Head { number: self.number, sha256: self.sha256.clone() }
    }
}

/// Adds texts so that no byte moves from one to the next.
fn add<'t>(hash: &mut Sha256, texts: impl IntoIterator<Item = &'t str>) {
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
}

/// Follows the chain over `entries`, which come after `before`, and returns where it stands then.
///
/// # Errors
/// At the first entry that is missing or was altered.
pub fn follow(before: Option<Head>, entries: &[Entry]) -> Result<Option<Head>, Altered> {
    let mut head = before;
    for entry in entries {
        let (number, hash) = head.as_ref().map_or((0, ""), |head| (head.number, head.sha256.as_str()));
        if entry.number != number + 1 || entry.hash(hash) != entry.sha256 {
            return Err(Altered { number: number + 1 });
        }
        head = Some(entry.head());
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for number in 1..=4 {
            let mut entry = Entry {
                number,
                at: Timestamp::UNIX_EPOCH,
                actor: "desk".into(),
                action: "order.submitted".into(),
                subject: format!("{number}"),
                detail: String::new(),
                about: Vec::new(),
                salt: (number > 2).then(|| "5a".repeat(16)),
                sha256: String::new(),
            };
            entry.sha256 = entry.hash(entries.last().map_or("", |last| &last.sha256));
            entries.push(entry);
        }
        entries
    }

    #[test]
    fn an_entry_that_was_changed_moved_or_taken_out_is_found() {
        let whole = chain();
        assert_eq!(follow(None, &whole), Ok(Some(whole[3].head())));
        assert_eq!(follow(Some(whole[1].head()), &whole[2..]), Ok(Some(whole[3].head())));
        let mut changed = chain();
        changed[1].detail = "x".into();
        assert_eq!(follow(None, &changed), Err(Altered { number: 2 }));
        changed[1].sha256 = changed[1].hash(&changed[0].sha256);
        assert_eq!(follow(None, &changed), Err(Altered { number: 3 }), "also where its own hash was made anew");
        let mut missing = chain();
        missing.remove(1);
        assert_eq!(follow(None, &missing), Err(Altered { number: 2 }));
        let mut shifted = chain();
        (shifted[0].actor, shifted[0].action) = ("desko".into(), "rder.submitted".into());
        assert_eq!(follow(None, &shifted), Err(Altered { number: 1 }), "no byte moves from one field to the next");
        for change in [
            |entry: &mut Entry| entry.about = vec!["one".into()],
            |entry: &mut Entry| entry.salt = Some("5b".repeat(16)),
            |entry: &mut Entry| entry.salt = None,
            |entry: &mut Entry| entry.action = "order.resumed".into(),
        ] {
            let mut changed = chain();
            change(&mut changed[2]);
            assert_eq!(follow(None, &changed), Err(Altered { number: 3 }), "{:?}", changed[2]);
        }
    }
}
