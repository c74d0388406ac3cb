use super::next_list::NextList;
use crate::arguments::Format;
use crate::stop::Stop;
use crate::{private_file, sign_in};
use jiff::Timestamp;
use netsonde_contract::api::fleet::TrustDocuments;
use netsonde_contract::dsse::Envelope;
use netsonde_contract::trust::{Anchor, KeyList, RootStatement, TrustError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A root of 16 keys and a list of 1,000 are far smaller.
const MAX_DOCUMENT_BYTES: u64 = 1 << 20;
const PUBLISHED: &str = "published.json";
/// More rotations than an organisation lives to see.
const MAX_ROOTS: u64 = 1_000;

/// Where an organisation is kept; there may be none yet.
pub(crate) struct Folder {
    pub(super) path: PathBuf,
}

/// What was handed to a backend last, for people: nobody has signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Published {
    /// The backend's address.
    pub(super) backend: String,
    pub(super) root: u64,
    pub(super) list: u64,
    pub(super) at: Timestamp,
}

/// An organisation that was read from its folder and verified.
pub(crate) struct Organisation {
    pub(crate) anchor: Anchor,
    /// The fingerprint of the newest root, which enrolment strings pin.
    pub(crate) fingerprint: String,
    /// All roots and the newest list, as they are published.
    pub(crate) documents: TrustDocuments,
}

impl Organisation {
    /// The list of keys that counts now.
    ///
    /// # Errors
    /// In words, where none does.
    pub(crate) fn live_list(&self, now: Timestamp) -> Result<&KeyList, String> {
        self.anchor.live_list(now).map_err(|error| match (&error, &self.documents.list) {
            (TrustError::NoList, Some(list)) => format!(
                "the list of keys is one that root version {} signed, and root version {} stands: a list counts under the root that signed it",
                signed_by(list).unwrap_or_default(),
                self.anchor.versions().0
            ),
            _ => error.to_string(),
        })
    }
}

impl Folder {
    /// The folder that was given, or `netsonde/organisation` in the person's configuration folder.
    pub(crate) fn at(given: Option<PathBuf>) -> Result<Self, Stop> {
        Ok(Self { path: given.map_or_else(|| sign_in::own_folder().map(|own| own.join("organisation")), Ok)? })
    }

    pub(crate) fn open(&self) -> Result<Organisation, Stop> {
        let documents = self.documents()?;
        let altered = |file: &str, error: &TrustError| {
            Stop::failed(format!("{}/{file} does not verify: {error}", self.path.display()))
                .next("take the file from a copy of the folder; see docs/runbook-lost-root.md")
        };
        let Some((first, later)) = documents.roots.split_first() else {
            let why = format!("there is no organisation in {}", self.path.display());
            return Err(match self.pending().first() {
                Some(_) => Stop::failed(format!("{why} before enough keys have signed its root")).next(format!(
                    "have others sign it: netsonde-desk org sign {}/root-1.json",
                    self.path.join("pending").display()
                )),
                None => Stop::failed(why)
                    .next("make one with `netsonde-desk org init --name NAME`, or give its folder with --organisation"),
            });
        };
        // The folder is the desk's own, so the first root in it is the pin.
        let mut fingerprint = fingerprint_of(first).map_err(|error| altered("roots/1.json", &error))?;
        let mut anchor = Anchor::pinned(first.as_bytes(), &fingerprint).map_err(|error| altered("roots/1.json", &error))?;
        for (place, root) in later.iter().enumerate() {
            let file = format!("roots/{}.json", place + 2);
            anchor.accept_root(root.as_bytes()).map_err(|error| altered(&file, &error))?;
            fingerprint = fingerprint_of(root).map_err(|error| altered(&file, &error))?;
        }
        if let Some(list) = &documents.list {
            // A list that the root before this one signed says nothing any more.
            match anchor.accept_list(list.as_bytes()) {
                Ok(_) => {}
                Err(_) if of_older_root(list, anchor.versions().0) => {}
                Err(error) => return Err(altered("keys.json", &error)),
            }
        }
        Ok(Organisation { anchor, fingerprint, documents })
    }

    fn documents(&self) -> Result<TrustDocuments, Stop> {
        let mut documents = TrustDocuments::default();
        for version in 1..=MAX_ROOTS {
            match self.read(&format!("roots/{version}.json"))? {
                Some(root) => documents.roots.push(root),
                None => break,
            }
        }
        documents.list = self.read("keys.json")?;
        Ok(documents)
    }

    /// What the next list will say: what is noted, else what the newest list says.
    pub(super) fn next_list(&self, organisation: Option<&Organisation>) -> Result<NextList, Stop> {
        let Some(text) = self.read("next.json")? else {
            return Ok(organisation.and_then(|own| own.anchor.list()).map(NextList::of).unwrap_or_default());
        };
        serde_json::from_str(&text).map_err(|error| {
            Stop::failed(format!("{}/next.json cannot be read: {error}", self.path.display())).next("mend or remove the file")
        })
    }

    pub(super) fn keep_next_list(&self, next: &NextList) -> Result<(), Stop> {
        self.write("next.json", Format::json(next)?.as_bytes())
    }

    /// What was published from this folder last.
    pub(super) fn published(&self) -> Result<Option<Published>, Stop> {
        let Some(text) = self.read(PUBLISHED)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            Stop::failed(format!("{}/{PUBLISHED} cannot be read: {error}", self.path.display()))
                .next("remove the file, and publish again: netsonde-desk org publish")
        })
    }

    pub(super) fn keep_published(&self, published: &Published) -> Result<(), Stop> {
        self.write(PUBLISHED, Format::json(published)?.as_bytes())
    }

    pub(super) fn write(&self, file: &str, bytes: &[u8]) -> Result<(), Stop> {
        let path = self.path.join(file);
        private_file::folder(path.parent().unwrap_or(&self.path))?;
        private_file::replace(&path, bytes)
    }

    pub(super) fn read(&self, file: &str) -> Result<Option<String>, Stop> {
        let path = self.path.join(file);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = private_file::read(&path, MAX_DOCUMENT_BYTES)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Documents that more keys must sign.
    /// A file as it is named from within the folder.
    pub(super) fn inside(&self, file: &Path) -> PathBuf {
        self.path.join(file)
    }

    pub(super) fn pending(&self) -> Vec<PathBuf> {
        files(&self.path.join("pending"))
    }

    /// Private root keys that lie in the folder.
    pub(super) fn root_keys(&self) -> Vec<PathBuf> {
        files(&self.path.join("root-keys")).into_iter().filter(|path| path.extension().is_none()).collect()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn fingerprint_of(root: &str) -> Result<String, TrustError> {
    Ok(RootStatement::fingerprint(Envelope::from_json(root.as_bytes())?.unverified()))
}

fn of_older_root(list: &str, root: u64) -> bool {
    signed_by(list).is_some_and(|signer| signer < root)
}

/// The version of the root that signed the list, as the list says it.
fn signed_by(list: &str) -> Option<u64> {
    let payload = Envelope::from_json(list.as_bytes()).ok().map(|envelope| envelope.unverified().to_vec());
    payload.and_then(|payload| serde_json::from_slice::<KeyList>(&payload).ok()).map(|list| list.root)
}
