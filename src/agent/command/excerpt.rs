//! `netsonde audit verify FILE`: what the support organisation gave of its own log.

use crate::identity::{Home, Identity};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, terminal};
use ed25519_dalek::VerifyingKey;
use jiff::SignedDuration;
use netsonde_contract::audit::{Excerpt, Head, MAX_LINE_BYTES, Reading, Subject};
use netsonde_contract::receipt::Receipt;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A receipt that was given this long before the excerpt was made names no entry behind its end.
const AT_ONCE: SignedDuration = SignedDuration::from_mins(1);

/// Reads the excerpt and says what of it holds.
///
/// # Errors
/// Where the file cannot be read, or anything speaks against it: what stands in it, the enrolment of this machine, or a receipt.
pub(super) fn verify(file: &Path, receipts: &[PathBuf], state: Option<&StateDirectory>) -> Result<u8, Stop> {
    let shown = file.display();
    let unreadable = |error: std::io::Error| Stop::usage(format!("{shown} cannot be read: {error}"));
    let found = |what: &dyn std::fmt::Display| {
        Stop::found(format!("{shown}: {what}")).next("do not rely on it; ask the support organisation for a new one, and why")
    };
    let mut lines = Lines { file: BufReader::new(File::open(file).map_err(unreadable)?) };
    let first = lines.next().map_err(unreadable)?.unwrap_or_default();
    let mut reading = Reading::begin(&first).map_err(|fault| found(&fault))?;
    let excerpt = reading.excerpt().clone();
    let enrolment = state.map(Enrolment::of).transpose()?.flatten();
    if let Some(enrolment) = &enrolment
        && !enrolment.keys.contains(excerpt.key.key())
    {
        let (key, organisation) = (excerpt.key.fingerprint(), &enrolment.identity.organisation);
        return Err(found(&format!("it is signed by {key}, which signs no receipts of {organisation}'s")));
    }
    let mut told = Receipts::read(&excerpt, receipts, state)?;
    if let Some(after) = &excerpt.after {
        told.meet(after).map_err(|fault| found(&fault))?;
    }
    while let Some(line) = lines.next().map_err(unreadable)? {
        let head = reading.take(&line).map_err(|fault| found(&fault))?;
        told.meet(head).map_err(|fault| found(&fault))?;
    }
    let counts = reading.counts();
    reading.end().map_err(|fault| found(&fault))?;
    told.expect_no_later(&excerpt).map_err(|fault| found(&fault))?;
    terminal::output(&words(&excerpt, counts, enrolment.as_ref(), &told))?;
    Ok(exit::AS_EXPECTED)
}

fn words(excerpt: &Excerpt, (open, sealed): (u64, u64), enrolment: Option<&Enrolment>, told: &Receipts) -> String {
    let mut text = format!("{open} entries told, {sealed} sealed; unbroken\n");
    let mut line = |words: String| {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{}", netsonde_contract::harmless::clean(&words));
    };
    if let Some(Head { number, .. }) = &excerpt.after {
        line(format!("entries 1 to {number} are older than excerpts and not in it"));
    }
    let own = enrolment.map(|enrolment| enrolment.identity.agent.as_str());
    for (agent, _) in excerpt.about.iter().filter(|(_, what)| **what == Subject::Agent) {
        line(format!("about agent {agent}{}", if own == Some(agent) { " (this machine)" } else { "" }));
    }
    if own.is_some_and(|own| !excerpt.about.contains_key(own)) {
        line("this machine's agent is not among those that it tells of".to_owned());
    }
    match told.met {
        0 => line("no receipt was held against it".to_owned()),
        met => line(format!("receipts that it fits: {met}")),
    }
    line(format!("head {} {}, at {}", excerpt.head.number, excerpt.head.sha256, excerpt.made));
    let key = excerpt.key.fingerprint();
    match enrolment {
        Some(Enrolment { identity, .. }) => line(format!("signed by {key}, as the receipts of {} are", identity.organisation)),
        None => line(format!("signed by {key}: hold that against the receipt key that `netsonde enroll` showed")),
    }
    text
}

/// What this machine knows of the organisation.
struct Enrolment {
    identity: Identity,
    /// The keys that may sign its receipts.
    keys: Vec<VerifyingKey>,
}

impl Enrolment {
    fn of(state: &StateDirectory) -> Result<Option<Self>, Stop> {
        let home = Home::of(state);
        let Some(identity) = home.identity()? else { return Ok(None) };
        let anchor = home.anchor()?;
        let listed = anchor.iter().flat_map(|anchor| anchor.receipt_keys().copied());
        let keys = [*identity.receipt_key.key()].into_iter().chain(listed).collect();
        Ok(Some(Self { identity, keys }))
    }
}

/// What receipts say of the log.
struct Receipts {
    /// By the number of the entry that they name.
    waiting: BTreeMap<u64, Vec<Receipt>>,
    met: usize,
}

impl Receipts {
    /// Those that were named, and those of this machine's bundles that the same key signed.
    fn read(excerpt: &Excerpt, named: &[PathBuf], state: Option<&StateDirectory>) -> Result<Self, Stop> {
        let key = excerpt.key.key();
        let mut all = Vec::new();
        for path in named {
            let wrong = |why: String| Stop::usage(format!("the receipt {} cannot be used: {why}", path.display()));
            let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            all.push(Receipt::verify(&bytes, key).map_err(|error| wrong(error.to_string()))?);
        }
        if let Some(spool) = state.map(StateDirectory::spool) {
            let kept = spool.delivered_entries().into_iter().filter_map(|entry| spool.receipt(&entry.bundle).ok());
            all.extend(kept.filter_map(|bytes| Receipt::verify(&bytes, key).ok()));
        }
        let mut waiting: BTreeMap<u64, Vec<Receipt>> = BTreeMap::new();
        for receipt in all {
            if let Some(head) = &receipt.audit {
                waiting.entry(head.number).or_default().push(receipt);
            }
        }
        Ok(Self { waiting, met: 0 })
    }

    /// Holds an entry against the receipts that name it.
    fn meet(&mut self, head: &Head) -> Result<(), String> {
        let naming = self.waiting.remove(&head.number).unwrap_or_default();
        self.met += naming.len();
        match naming.iter().find(|receipt| receipt.audit.as_ref() != Some(head)) {
            Some(receipt) => Err(format!(
                "entry {} is not the one that the receipt of bundle {} names: the log was rewritten",
                head.number,
                receipt.bundle.short()
            )),
            None => Ok(()),
        }
    }

    /// After the last entry.
    fn expect_no_later(&self, excerpt: &Excerpt) -> Result<(), String> {
        let later = self.waiting.iter().filter(|(number, _)| **number > excerpt.head.number).flat_map(|(_, receipts)| receipts);
        match later.into_iter().find(|receipt| excerpt.made.duration_since(receipt.received) > AT_ONCE) {
            Some(receipt) => Err(format!(
                "the receipt of bundle {} names an entry behind the log's last one: its end was cut off",
                receipt.bundle.short()
            )),
            None => Ok(()),
        }
    }
}

/// The file's lines, none of them longer than any may be.
struct Lines {
    file: BufReader<File>,
}

impl Lines {
    /// Without its end; none after the last.
    fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        self.file.by_ref().take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        line.pop_if(|byte| *byte == b'\n');
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::TransportKey;
    use ed25519_dalek::SigningKey;
    use jiff::Timestamp;
    use netsonde_contract::audit::Entry;
    use netsonde_contract::id::{AgentId, BundleId};
    use netsonde_contract::trust::PublicKey;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    fn own() -> AgentId {
        AgentId::of(&key(1).verifying_key())
    }

    /// A machine, a file of its support organisation's, and receipts.
    struct Place {
        folder: tempfile::TempDir,
        state: StateDirectory,
        log: Vec<Entry>,
    }

    impl Place {
        /// Six entries, an hour after another; the agent's own ones are the second, fourth and sixth.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let state = StateDirectory::open(Some(&folder.path().join("state"))).unwrap();
            let mut log: Vec<Entry> = Vec::new();
            for number in 1..=6 {
                let agent = if number % 2 == 0 { own() } else { AgentId::of(&key(2).verifying_key()) };
                let mut entry = Entry {
                    number,
                    at: at(60 * number as i64),
                    actor: format!("agent {agent}"),
                    action: "delivery.uploaded".into(),
                    subject: "an order".into(),
                    detail: String::new(),
                    about: vec![agent.as_str().to_owned()],
                    salt: Some(format!("{number:032x}")),
                    sha256: String::new(),
                };
                entry.sha256 = entry.hash(log.last().map_or("", |last| &last.sha256));
                log.push(entry);
            }
            Self { folder, state, log }
        }

        fn enrol(&self, receipt_key: &SigningKey) {
            let identity = Identity {
                backend: "https://support.example".into(),
                tls_pin: None,
                organisation: "Example".into(),
                root: "SHA256:root".into(),
                receipt_key: PublicKey::new(receipt_key.verifying_key(), ""),
                agent: own(),
                number: 1,
                transport: TransportKey::fresh().unwrap(),
            };
            Home::of(&self.state).save_identity(&identity).unwrap();
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        }

        /// The excerpt's lines, made when the log was this long.
        fn lines(&self, length: usize) -> Vec<Vec<u8>> {
            let excerpt = Excerpt {
                made: at(60 * length as i64 + 5),
                key: PublicKey::new(key(7).verifying_key(), ""),
                after: None,
                head: self.log[length - 1].head(),
                about: [(own().as_str().to_owned(), Subject::Agent)].into(),
            };
            let lines = self.log[..length].iter().map(|entry| serde_json::to_vec(&excerpt.line(entry).unwrap()).unwrap());
            [excerpt.sign(&key(7))].into_iter().chain(lines).collect()
        }

        fn excerpt(&self, lines: &[Vec<u8>]) -> PathBuf {
            self.file("audit.jsonl", &[lines.join(&b'\n'), vec![b'\n']].concat())
        }

        /// The receipt of a bundle that came when the log stood at this entry.
        fn receipt(&self, head: Head) -> PathBuf {
            let receipt = Receipt {
                bundle: BundleId::new("ab".repeat(32)),
                file_sha256: "cd".repeat(32),
                size_bytes: 7,
                ticket: None,
                case: None,
                received: at(60 * head.number as i64 + 1),
                case_url: None,
                audit: Some(head),
            };
            self.file("receipt.dsse.json", &receipt.sign(&key(7)).to_json())
        }

        fn fault(&self, lines: &[Vec<u8>], receipts: &[PathBuf]) -> String {
            let stop = verify(&self.excerpt(lines), receipts, Some(&self.state)).unwrap_err();
            assert_eq!(stop.exit, exit::FOUND, "{}", stop.message);
            stop.message
        }
    }

    #[test]
    fn an_excerpt_that_fits_its_receipts_holds_with_and_without_an_enrolment() {
        let place = Place::new();
        let lines = place.lines(6);
        let receipt = place.receipt(place.log[2].head());
        let file = place.excerpt(&lines);
        assert_eq!(verify(&file, std::slice::from_ref(&receipt), None), Ok(exit::AS_EXPECTED));
        place.enrol(&key(7));
        assert_eq!(verify(&file, &[receipt], Some(&place.state)), Ok(exit::AS_EXPECTED));
        let newer = place.receipt(place.log[5].head());
        assert_eq!(verify(&place.excerpt(&place.lines(5)), &[newer], None), Ok(exit::AS_EXPECTED), "it came later");
    }

    #[test]
    fn what_was_altered_cut_off_or_signed_by_another_is_told() {
        let place = Place::new();
        place.enrol(&key(7));
        let lines = place.lines(6);
        assert!(place.fault(&lines[..6], &[]).contains("ends after entry 5"));
        let mut altered = lines.clone();
        altered[4] = String::from_utf8(altered[4].clone()).unwrap().replace("uploaded", "refused").into_bytes();
        assert!(place.fault(&altered, &[]).contains("entry 4 does not follow"));
        let mut dropped = lines.clone();
        dropped.remove(3);
        assert!(place.fault(&dropped, &[]).contains("entry 3 does not follow"));
        place.enrol(&key(8));
        assert!(place.fault(&lines, &[]).contains("signs no receipts of Example's"));
        assert_eq!(verify(&place.folder.path().join("nowhere"), &[], None).unwrap_err().exit, exit::USAGE);
        assert_eq!(verify(&place.excerpt(&[]), &[], None).unwrap_err().exit, exit::FOUND);
    }

    #[test]
    fn a_log_that_was_written_anew_does_not_fit_an_older_receipt() {
        let place = Place::new();
        let lines = place.lines(6);
        let other = place.receipt(Head { number: 3, sha256: "0".repeat(64) });
        assert!(place.fault(&lines, &[other]).contains("the log was rewritten"));
        let shorter = Place::new();
        let receipt = shorter.receipt(shorter.log[3].head());
        let cut = Excerpt { made: at(600), ..Reading::begin(&shorter.lines(3)[0]).unwrap().excerpt().clone() };
        let mut lines = shorter.lines(3);
        lines[0] = cut.sign(&key(7));
        assert!(shorter.fault(&lines, &[receipt]).contains("its end was cut off"));
    }
}
