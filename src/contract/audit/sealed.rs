use super::{Entry, add};
use crate::bundle::hexadecimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Separate these hashes from all others.
const LABEL: &[u8] = b"netsonde audit entry v2";
const CONTENT_LABEL: &[u8] = b"netsonde audit content v1";
const MARK_LABEL: &[u8] = b"netsonde audit mark v1";
/// Of a mark: enough that none fits by chance.
const MARK_BYTES: usize = 16;

/// What whoever an entry does not concern is told of it: enough for the hash that the next entry covers, and no word of what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sealed {
    pub number: u64,
    /// One for each id that the entry is about, 128 bits in lower-case hexadecimal. Whoever knows an id can tell whether a mark is that id's, and
    /// only they: ids of agents, orders and tickets cannot be guessed. No two entries have a mark in common.
    pub marks: Vec<String>,
    /// SHA-256 of what the entry says and of its salt, lower-case hexadecimal.
    pub content: String,
}

impl Entry {
    /// None of an entry without a salt.
    pub fn sealed(&self) -> Option<Sealed> {
        let salt = self.salt.as_deref()?;
        let mut hash = Sha256::new_with_prefix(CONTENT_LABEL);
        hash.update(self.at.as_microsecond().to_be_bytes());
        add(&mut hash, [salt, &self.actor, &self.action, &self.subject, &self.detail]);
        add(&mut hash, self.about.iter().map(String::as_str));
        let marks = self.about.iter().map(|id| mark(self.number, id)).collect();
        Some(Sealed { number: self.number, marks, content: hexadecimal(&hash.finalize()) })
    }
}

impl Sealed {
    /// The entry's hash, given that of the one before; empty before the first.
    pub fn hash(&self, before: &str) -> String {
        let mut hash = Sha256::new_with_prefix(LABEL);
        hash.update(self.number.to_be_bytes());
        add(&mut hash, [before, &self.content]);
        add(&mut hash, self.marks.iter().map(String::as_str));
        hexadecimal(&hash.finalize())
    }

    /// Whether the entry is about this id.
    pub fn is_about(&self, id: &str) -> bool {
        !self.marks.is_empty() && self.marks.contains(&mark(self.number, id))
    }
}

fn mark(number: u64, id: &str) -> String {
    let mut hash = Sha256::new_with_prefix(MARK_LABEL);
    hash.update(number.to_be_bytes());
    hash.update(id);
    hexadecimal(&hash.finalize()[..MARK_BYTES])
}
