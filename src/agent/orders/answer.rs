use crate::disk::{create_private_folder, file_of, read_json, sync_folder, write_json};
use crate::state::StateDirectory;
use crate::state_names;
use netsonde_contract::id::OrderId;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

const FOLDER: &str = state_names::ANSWERS;

/// What a person at the machine said to an order. Whoever may write the state directory may answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) approved: bool,
    /// In their words, to the engineer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) words: String,
}

/// Answers on their way from the command line to the daemon.
pub(crate) struct Answers {
    folder: PathBuf,
}

impl Answers {
    pub(crate) fn of(state: &StateDirectory) -> Self {
        Self { folder: state.path().join(FOLDER) }
    }

    pub(crate) fn give(&self, id: &OrderId, answer: &Answer) -> io::Result<()> {
        create_private_folder(&self.folder)?;
        write_json(&self.file(id)?, answer)
    }

    /// The answer to the order, once; none while nobody has answered. A damaged one is a no.
    pub(crate) fn take(&self, id: &OrderId) -> Option<Answer> {
        let file = self.file(id).ok()?;
        let answer = match read_json(&file) {
            Ok(answer) => answer?,
            Err(_) => Answer { approved: false, words: "the answer could not be read".to_owned() },
        };
        let _ = std::fs::remove_file(&file);
        let _ = sync_folder(&self.folder);
        Some(answer)
    }

    fn file(&self, id: &OrderId) -> io::Result<PathBuf> {
        file_of(&self.folder, id)
    }
}
