use super::tries::Tries;
use super::{Spool, Stage};
use jiff::Timestamp;
use netsonde_contract::agent_config::UploadWhen;
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::id::{BundleId, CaseId, OrderId, TicketId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::path::Path;

pub(super) const ENTRY_FILE: &str = "entry.json";
pub(super) const RECEIPT_FILE: &str = "receipt.dsse.json";

/// What a bundle's folder says about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) bundle: BundleId,
    /// The file within the folder.
    pub(crate) file: String,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub(crate) sha256: String,
    /// Of the file. Entries of older versions do not say; the file's own length counts then.
    #[serde(default)]
    pub(crate) size_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) case: Option<CaseId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ticket: Option<TicketId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<OrderId>,
    /// The schedule that made it, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schedule: Option<String>,
    /// What it is made of, where a schedule made it. Entries of older versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failure>,
    /// When the agent sends it by itself. What a person made is sent at a person's word.
    #[serde(default)]
    pub(crate) upload: UploadWhen,
    /// When it was made, by this machine's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) made: Option<Timestamp>,
    /// When its receipt came, by this machine's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivered: Option<Timestamp>,
    /// What sending it came to so far.
    #[serde(default, skip_serializing_if = "Tries::is_none")]
    pub(crate) tries: Tries,
}

/// The failure of a schedule's target, which no other one of that schedule is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// As the history has it; none where the schedule measures this machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    /// When it was noted, by this machine's clock.
    pub(crate) since: Timestamp,
}

/// Who wanted a bundle. Only what a schedule made goes where there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker<'a> {
    Person,
    Order(&'a OrderId),
    Schedule(&'a str),
}

impl Entry {
    /// One that a person made; whoever else makes one says so.
    pub(crate) fn of(bundle: &BundleId, file: String, bytes: &[u8]) -> Self {
        Self {
            bundle: bundle.clone(),
            file,
            sha256: hexadecimal(&Sha256::digest(bytes)),
            size_bytes: bytes.len() as u64,
            case: None,
            ticket: None,
            order: None,
            schedule: None,
            failure: None,
            upload: UploadWhen::Never,
            made: None,
            delivered: None,
            tries: Tries::default(),
        }
    }

    pub(crate) fn maker(&self) -> Maker<'_> {
        match (&self.schedule, &self.order) {
            (Some(schedule), _) => Maker::Schedule(schedule),
            (None, Some(order)) => Maker::Order(order),
            (None, None) => Maker::Person,
        }
    }

    /// When the agent sends it by itself: an order's at once, whatever the entry of an older version says.
    pub(crate) fn sending(&self) -> UploadWhen {
        if let Maker::Order(_) = self.maker() { UploadWhen::Now } else { self.upload }
    }

    pub(super) fn json(&self) -> io::Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(io::Error::other)
    }
}

impl fmt::Display for Maker<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person => formatter.write_str("a person"),
            Self::Order(order) => write!(formatter, "order {}", order.short()),
            Self::Schedule(name) => write!(formatter, "schedule {name}"),
        }
    }
}

impl Spool {
    /// What a folder says, and whether its file is there with the length that it had.
    pub(super) fn read_entry(&self, folder: &Path) -> Result<Entry, String> {
        let files = self.disk.files();
        let bytes = files.read(&folder.join(ENTRY_FILE)).map_err(|error| format!("{ENTRY_FILE} cannot be read: {error}"))?;
        let mut entry: Entry = serde_json::from_slice(&bytes).map_err(|error| format!("{ENTRY_FILE} is damaged: {error}"))?;
        if folder.file_name().is_none_or(|name| name != entry.bundle.as_str()) {
            return Err("its folder has another bundle's name".to_owned());
        }
        if Path::new(&entry.file).components().count() != 1 {
            return Err("it names a file outside its folder".to_owned());
        }
        let length = files.length(&folder.join(&entry.file)).map_err(|error| format!("the bundle cannot be read: {error}"))?;
        if entry.size_bytes == 0 {
            entry.size_bytes = length;
        }
        if entry.size_bytes != length {
            return Err(format!("the bundle has {length} bytes and had {}", entry.size_bytes));
        }
        Ok(entry)
    }

    /// The same, and whether the bytes are those that were written.
    pub(super) fn read_whole(&self, stage: Stage, folder: &Path) -> Result<Entry, String> {
        let entry = self.read_entry(folder)?;
        let bytes =
            self.disk.files().read(&folder.join(&entry.file)).map_err(|error| format!("the bundle cannot be read: {error}"))?;
        if hexadecimal(&Sha256::digest(&bytes)) != entry.sha256 {
            return Err(super::scan::ALTERED.to_owned());
        }
        // A bundle is in `sent` with its receipt or not at all.
        if stage == Stage::Sent && entry.delivered.is_none() {
            return Err("it lies among the delivered ones, but does not say when it was delivered".to_owned());
        }
        Ok(entry)
    }
}
