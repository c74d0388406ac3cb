use super::predicate::Predicate;
use super::{archive, file_name, hexadecimal};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub(super) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "urn:netsonde:bundle:1";

/// `manifest.json`: an in-toto Statement, version 1.
#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    pub(super) predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
struct Subject {
    name: String,
    digest: Digests,
}

#[derive(Serialize, Deserialize)]
struct Digests {
    sha256: String,
}

impl Manifest {
    pub(super) fn of(files: &BTreeMap<String, Vec<u8>>, predicate: Predicate) -> Self {
        let subject = |(name, content): (&String, &Vec<u8>)| Subject {
            name: name.clone(),
            digest: Digests { sha256: hexadecimal(&Sha256::digest(content)) },
        };
        Self {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: files.iter().map(subject).collect(),
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate,
        }
    }

    /// Reads bytes whose signatures were verified; what is wrong with them otherwise.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| format!("manifest.json cannot be read: {error}"))?;
        if manifest.statement_type != STATEMENT_TYPE || manifest.predicate_type != PREDICATE_TYPE {
            return Err("manifest.json is not the statement of a netsonde bundle of this version".to_owned());
        }
        Ok(manifest)
    }

    /// Digest by file; an error where a file is named twice, or is one that cannot be a subject. A withheld file's name is shown to people
    /// although no file of that name was read, so it must be a plain one, too.
    pub(super) fn digests(&self) -> Result<BTreeMap<&str, &str>, String> {
        let mut digests = BTreeMap::new();
        for subject in &self.subject {
            let name = subject.name.as_str();
            if is_proof(name) || !archive::is_plain_name(name) || digests.insert(name, subject.digest.sha256.as_str()).is_some() {
                return Err(format!("manifest.json names `{}` where it must not", name.escape_default()));
            }
        }
        Ok(digests)
    }
}

/// The manifest and its two signatures: the files that cannot be subjects and cannot be withheld.
pub(super) fn is_proof(name: &str) -> bool {
    [file_name::MANIFEST, file_name::ENVELOPE, file_name::SSH_SIGNATURE].contains(&name)
}
