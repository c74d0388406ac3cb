use crate::outcome::Note;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Proxies that are set for this process, and beside it for the system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proxies {
    /// In force for this process.
    pub settings: Vec<ProxySetting>,
    /// `NO_PROXY`, as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
    /// Set in files of the system and of the user's desktop, which other programs read and this process does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of_system: Vec<ProxySetting>,
    /// Why settings that may be there were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Note>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProxySetting {
    /// `http`, `https`, `ftp`, `all`, or `pac` for the address of a script that chooses (proxy auto-configuration).
    pub scheme: String,
    /// The proxy's URL without credentials.
    pub url: String,
    /// The variable, file or setting it came from.
    pub set_by: String,
}
