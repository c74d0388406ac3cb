//! What each kind sees, on which system and with which right.
//!
//! There is one table ([`table`]). The kinds ask it before they measure and take their refusals from it, an agent tells by it what it can
//! measure, the diagnosis names by it the right that would tell more, and `netsonde capabilities` and `docs/capabilities.md` print it. So what is
//! said cannot differ from what is done; that it is true is tested by running the kinds with and without each right.

mod right;
mod sheet;
mod table;
#[cfg(test)]
mod tests;

pub use right::{Grantor, Right, Rights};
pub use sheet::{markdown, plain};
pub use table::*;

use crate::kind::Kind;
use crate::outcome::Note;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A family of operating systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum System {
    Linux,
    Windows,
    Macos,
}

impl System {
    pub const ALL: [Self; 3] = [Self::Linux, Self::Windows, Self::Macos];

    /// The one that this program was built for.
    pub fn here() -> Self {
        Self::of(std::env::consts::OS)
    }

    /// By its name in [`Environment::os`](crate::environment::Environment::os); what is neither Windows nor macOS is taken for a Linux.
    pub fn of(os: &str) -> Self {
        match os {
            "windows" => Self::Windows,
            "macos" => Self::Macos,
            _ => Self::Linux,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::Windows => "Windows",
            Self::Macos => "macOS",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Linux => 0,
            Self::Windows => 1,
            Self::Macos => 2,
        }
    }
}

/// What it takes to see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// No right.
    Free,
    With(Right),
    /// This version has no means of that system.
    Unbuilt,
}

/// Something that a kind sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Stable, such as `traceroute.icmp`.
    pub name: &'static str,
    /// The kind that sees it; what every run has where there is none.
    pub kind: Option<Kind>,
    pub what: &'static str,
    /// On Linux, Windows and macOS.
    means: [Means; 3],
    /// What does nearly as well and needs no right, as a sentence's beginning.
    instead: Option<&'static str>,
}

/// Whether something is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Yes,
    Lacks(Right),
    Unbuilt,
}

impl Sight {
    pub fn means(&self, system: System) -> Means {
        self.means[system.place()]
    }

    pub fn seen(&self, system: System, rights: Rights) -> Seen {
        match self.means(system) {
            Means::Unbuilt => Seen::Unbuilt,
            Means::With(right) if !rights.include(right) => Seen::Lacks(right),
            Means::Free | Means::With(_) => Seen::Yes,
        }
    }

    /// Why it is not seen, with what grants it; nothing where it is.
    pub fn missing(&self, system: System, rights: Rights) -> Option<Note> {
        match self.seen(system, rights) {
            Seen::Yes => None,
            Seen::Unbuilt => {
                Some(Note { why: format!("{} cannot be measured on {} by this version", self.what, system.name()), grant: None })
            }
            Seen::Lacks(right) => {
                let grant = right.grant(system, rights.grantor);
                Some(Note {
                    why: format!("{} needs {}, which this process does not have", self.what, right.name()),
                    grant: Some(self.instead.map_or_else(|| grant.clone(), |instead| format!("{instead}, or {grant}"))),
                })
            }
        }
    }
}

/// Whether anything of the kind can be measured.
pub fn is_any_seen(kind: Kind, system: System, rights: Rights) -> bool {
    SIGHTS.iter().any(|sight| sight.kind == Some(kind) && sight.seen(system, rights) == Seen::Yes)
}
