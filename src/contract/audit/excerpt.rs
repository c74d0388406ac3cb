use super::{Entry, Head, Sealed};
use crate::dsse::{DsseError, Envelope};
use crate::trust::PublicKey;
use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The DSSE payload type of an excerpt's first line.
pub const EXCERPT_MEDIA_TYPE: &str = "application/vnd.netsonde.audit-excerpt+json";
/// The first line names every id that the excerpt is about: a hundred thousand fit. All others are far shorter.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// What the first line of an excerpt says, signed with the key that signs receipts: whoever is given two excerpts that do not agree can show
/// that to others. A [`Line`] for each entry follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Excerpt {
    /// By the backend's clock.
    pub made: Timestamp,
    /// The key that signs it.
    pub key: PublicKey,
    /// The entry after which it begins, where older ones cannot be sealed; none where it begins with the first of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Head>,
    /// The entry with which it ends, which was the log's last one.
    pub head: Head,
    /// Whose entries it tells, by id.
    pub about: BTreeMap<String, Subject>,
}

/// What an id is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    Agent,
    Order,
    Ticket,
    Bundle,
    /// What a later version knows.
    #[serde(other)]
    Other,
}

/// One entry in an excerpt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Line {
    Sealed(Sealed),
    Open(Entry),
}

/// Why an excerpt is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExcerptFault {
    #[error("the first line is none of an audit excerpt: {0}")]
    First(String),
    #[error("the first line was altered: the key that it names has not signed it")]
    NotSigned,
    #[error("line {line} is no entry: {why}")]
    Malformed { line: u64, why: String },
    #[error("entry {number} does not follow from those before it: something was altered, added or left out")]
    Altered { number: u64 },
    #[error("entry {number} is sealed, and concerns {id}, of which the excerpt is to tell")]
    Hidden { number: u64, id: String },
    #[error("entry {number} is sealed, and concerns everybody")]
    HiddenFromAll { number: u64 },
    #[error("the excerpt ends after entry {found}, and should end with entry {expected} of another hash or number")]
    OtherEnd { found: u64, expected: u64 },
}

impl Excerpt {
    /// The first line, without its end. `key` is [`Self::key`]'s secret half.
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        Envelope::sign(EXCERPT_MEDIA_TYPE, crate::bundle::json_bytes(self), key).to_json()
    }

    /// The line for an entry; none of one without a salt, which does not say whom it concerns.
    pub fn line(&self, entry: &Entry) -> Option<Line> {
        let sealed = entry.sealed()?;
        Some(if entry.concerns(&self.about) { Line::Open(entry.clone()) } else { Line::Sealed(sealed) })
    }

    fn verified(first: &[u8]) -> Result<Self, ExcerptFault> {
        let malformed = |why: String| ExcerptFault::First(why);
        let envelope = Envelope::from_json(first).map_err(|error| malformed(error.to_string()))?;
        let excerpt: Self = serde_json::from_slice(envelope.unverified()).map_err(|error| malformed(error.to_string()))?;
        match envelope.verify(EXCERPT_MEDIA_TYPE, excerpt.key.key()) {
            Ok(_) => Ok(excerpt),
            Err(DsseError::NotSigned) => Err(ExcerptFault::NotSigned),
            Err(error) => Err(malformed(error.to_string())),
        }
    }
}

/// An excerpt as it is read, line by line. It says that the key which the excerpt names vouches for all of it; whose key that is, the reader must
/// know.
#[derive(Debug)]
pub struct Reading {
    excerpt: Excerpt,
    at: Option<Head>,
    open: u64,
    sealed: u64,
}

impl Reading {
    /// # Errors
    /// Where the first line is none of an excerpt, or was altered.
    pub fn begin(first: &[u8]) -> Result<Self, ExcerptFault> {
        let excerpt = Excerpt::verified(first)?;
        Ok(Self { at: excerpt.after.clone(), excerpt, open: 0, sealed: 0 })
    }

    pub fn excerpt(&self) -> &Excerpt {
        &self.excerpt
    }

    /// The entry that was read last.
    pub fn at(&self) -> Option<&Head> {
        self.at.as_ref()
    }

    /// Entries so far that are told, and that are sealed.
    pub fn counts(&self) -> (u64, u64) {
        (self.open, self.sealed)
    }

    /// The next line.
    ///
    /// # Errors
    /// Where it is no entry, does not follow from those before it, or is sealed and should not be. Nothing after it counts.
    pub fn take(&mut self, line: &[u8]) -> Result<&Head, ExcerptFault> {
        let (last, before) = self.at.as_ref().map_or((0, ""), |head| (head.number, head.sha256.as_str()));
        let number = last.saturating_add(1);
        let place = self.open + self.sealed + 2;
        let parsed = serde_json::from_slice(line).map_err(|why| ExcerptFault::Malformed { line: place, why: why.to_string() })?;
        let sha256 = match &parsed {
            Line::Open(entry) if entry.number == number && entry.hash(before) == entry.sha256 => entry.sha256.clone(),
            Line::Sealed(sealed) if sealed.number == number => sealed.hash(before),
            _ => return Err(ExcerptFault::Altered { number }),
        };
        match &parsed {
            Line::Open(_) => self.open += 1,
            Line::Sealed(sealed) => {
                self.check_sealed(sealed)?;
                self.sealed += 1;
            }
        }
        Ok(self.at.insert(Head { number, sha256 }))
    }

    fn check_sealed(&self, sealed: &Sealed) -> Result<(), ExcerptFault> {
        let number = sealed.number;
        if sealed.marks.is_empty() {
            return Err(ExcerptFault::HiddenFromAll { number });
        }
        match self.excerpt.about.keys().find(|id| sealed.is_about(id)) {
            Some(id) => Err(ExcerptFault::Hidden { number, id: id.clone() }),
            None => Ok(()),
        }
    }

    /// After the last line.
    ///
    /// # Errors
    /// Where lines are missing at the end, or were added, or what was sealed at the end was altered.
    pub fn end(self) -> Result<(), ExcerptFault> {
        let expected = &self.excerpt.head;
        if self.at.as_ref() == Some(expected) {
            return Ok(());
        }
        Err(ExcerptFault::OtherEnd { found: self.at.map_or(0, |head| head.number), expected: expected.number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const OWN: &str = "0101010101010101010101010101010101010101010101010101010101010101";
    const OTHER: &str = "0202020202020202020202020202020202020202020202020202020202020202";

    /// Ten entries: of both agents in turn, and the fifth for everybody.
    fn log() -> Vec<Entry> {
        let mut log: Vec<Entry> = Vec::new();
        for number in 1..=10 {
            let agent = if number % 2 == 0 { OWN } else { OTHER };
            let mut entry = Entry {
                number,
                at: Timestamp::UNIX_EPOCH,
                actor: format!("agent {agent}"),
                action: "delivery.uploaded".into(),
                subject: format!("order of {agent}"),
                detail: String::new(),
                about: if number == 5 { Vec::new() } else { vec![agent.into()] },
                salt: Some(format!("{number:032x}")),
                sha256: String::new(),
            };
            entry.sha256 = entry.hash(log.last().map_or("", |last| &last.sha256));
            log.push(entry);
        }
        log
    }

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn excerpt(log: &[Entry]) -> Excerpt {
        let key = PublicKey::new(key().verifying_key(), "");
        let head = log.last().unwrap().head();
        Excerpt { made: Timestamp::UNIX_EPOCH, key, after: None, head, about: [(OWN.to_owned(), Subject::Agent)].into() }
    }

    /// The excerpt's first line, and those of the entries.
    fn lines(log: &[Entry]) -> Vec<Vec<u8>> {
        let excerpt = excerpt(log);
        let entries = log.iter().map(|entry| serde_json::to_vec(&excerpt.line(entry).unwrap()).unwrap());
        [excerpt.sign(&key())].into_iter().chain(entries).collect()
    }

    fn read(lines: &[Vec<u8>]) -> Result<(u64, u64), ExcerptFault> {
        let mut reading = Reading::begin(&lines[0])?;
        for line in &lines[1..] {
            reading.take(line)?;
        }
        let counts = reading.counts();
        reading.end().map(|()| counts)
    }

    fn replaced(lines: &[Vec<u8>], at: usize, from: &str, to: &str) -> Vec<Vec<u8>> {
        let mut lines = lines.to_vec();
        let text = String::from_utf8(lines[at].clone()).unwrap();
        assert!(text.contains(from), "{text}");
        lines[at] = text.replace(from, to).into_bytes();
        lines
    }

    #[test]
    fn what_concerns_another_is_followed_and_not_told() {
        let lines = lines(&log());
        assert_eq!(read(&lines), Ok((6, 4)), "its own five, and the one for everybody");
        let others: Vec<_> = lines.iter().enumerate().filter(|(at, _)| *at != 5).map(|(_, line)| line.as_slice()).collect();
        let told = String::from_utf8(others.concat()).unwrap();
        assert!(!told.contains(OTHER) && told.contains(OWN));
    }

    #[test]
    fn an_altered_or_missing_entry_shows() {
        let whole = lines(&log());
        let altered = replaced(&whole, 4, "delivery.uploaded", "delivery.refused");
        assert_eq!(read(&altered), Err(ExcerptFault::Altered { number: 4 }));
        let of_everybody = replaced(&whole, 5, OTHER, OWN);
        assert_eq!(read(&of_everybody), Err(ExcerptFault::Altered { number: 5 }));
        let sealed = log()[2].sealed().unwrap().content;
        let altered = replaced(&whole, 3, &sealed, &"0".repeat(64));
        assert_eq!(read(&altered), Err(ExcerptFault::Altered { number: 4 }), "a sealed one is told by the next");
        for at in 1..whole.len() - 1 {
            let mut dropped = whole.clone();
            dropped.remove(at);
            assert_eq!(read(&dropped), Err(ExcerptFault::Altered { number: at as u64 }));
        }
        let mut swapped = whole.clone();
        swapped.swap(1, 3);
        assert_eq!(read(&swapped), Err(ExcerptFault::Altered { number: 1 }));
        assert!(matches!(read(&replaced(&whole, 2, "{", "[")), Err(ExcerptFault::Malformed { line: 3, .. })));
    }

    #[test]
    fn an_end_that_is_missing_or_altered_shows() {
        let whole = lines(&log());
        for length in 1..whole.len() {
            let fault = read(&whole[..length]).unwrap_err();
            assert_eq!(fault, ExcerptFault::OtherEnd { found: length as u64 - 1, expected: 10 });
        }
        let mut log = log();
        log.truncate(9);
        let whole = lines(&log);
        let last = log[8].sealed().unwrap().content;
        let altered = replaced(&whole, 9, &last, &"0".repeat(64));
        assert_eq!(read(&altered), Err(ExcerptFault::OtherEnd { found: 9, expected: 9 }));
    }

    #[test]
    fn an_entry_of_the_customers_cannot_be_sealed() {
        let log = log();
        let whole = lines(&log);
        for (at, fault) in
            [(4, ExcerptFault::Hidden { number: 4, id: OWN.into() }), (5, ExcerptFault::HiddenFromAll { number: 5 })]
        {
            let mut hidden = whole.clone();
            hidden[at] = serde_json::to_vec(&Line::Sealed(log[at - 1].sealed().unwrap())).unwrap();
            assert_eq!(read(&hidden), Err(fault));
        }
        let mut hidden = whole.clone();
        let sealed = Sealed { marks: log[4].about.clone(), ..log[3].sealed().unwrap() };
        hidden[4] = serde_json::to_vec(&Line::Sealed(sealed)).unwrap();
        assert!(read(&hidden).is_err(), "nor without its mark");
    }

    #[test]
    fn the_first_line_is_the_backends_word() {
        let whole = lines(&log());
        let wrong = Excerpt { head: log()[8].head(), ..excerpt(&log()) };
        let mut resigned = whole.clone();
        resigned[0] = wrong.sign(&SigningKey::from_bytes(&[8; 32]));
        assert_eq!(read(&resigned), Err(ExcerptFault::NotSigned));
        assert!(matches!(read(&whole[1..]), Err(ExcerptFault::First(_))));
    }

    #[test]
    fn marks_tell_nothing_to_whoever_does_not_know_the_id() {
        let log = log();
        let marks: Vec<String> = log.iter().flat_map(|entry| entry.sealed().unwrap().marks).collect();
        assert_eq!(marks.iter().collect::<BTreeSet<_>>().len(), 9, "no mark comes twice");
        let same = Entry { salt: Some("1".repeat(32)), ..log[0].clone() };
        assert_ne!(same.sealed().unwrap().content, log[0].sealed().unwrap().content);
        let old = Entry { salt: None, about: Vec::new(), ..log[0].clone() };
        assert!(old.sealed().is_none() && excerpt(&log).line(&old).is_none());
    }
}
