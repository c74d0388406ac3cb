//! Whom this machine is to a support organisation: keys, anchor, epochs, link.
//!
//! The bundle key is the agent; its digest is the agent's id. A transport key, for which the bundle key vouches in an
//! [`netsonde_contract::enrolment::Introduction`], signs what the agent asks of the backend. All of it lies in the state directory, in
//! files that are written whole or not at all.

/// What an agent says of itself.
mod check_in;
/// From an enrolment string to an identity, online and by file.
mod enrolling;
/// The epochs on disk.
mod epochs;
/// How long the list of keys is held already.
mod held_list;
/// A new transport key, or a new key altogether.
mod rotating;

pub(crate) use check_in::check_in;
#[cfg(feature = "load")]
pub(crate) use enrolling::anchor_of;
pub(crate) use enrolling::{Accepted, Enrolling, accept};
pub(crate) use epochs::{current_epochs, held_epochs};
pub(crate) use rotating::Rotation;

use crate::disk::{read_json, write_json};
use crate::schedule::Reading;
use crate::state::{StateDirectory, random};
use crate::state_names;
use crate::stop::Stop;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use netsonde_contract::api::fleet::is_link;
use netsonde_contract::id::AgentId;
use netsonde_contract::pin::Pin;
use netsonde_contract::policy::Policy;
use netsonde_contract::trust::{Anchor, PublicKey};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const IDENTITY_FILE: &str = state_names::IDENTITY;
const ENROLLING_FILE: &str = state_names::ENROLLING;
const ANCHOR_FILE: &str = state_names::ANCHOR;
const EPOCHS_FILE: &str = state_names::EPOCHS;
const LINK_FILE: &str = state_names::LINK;
const HELD_LIST_FILE: &str = state_names::HELD_LIST;
const PAUSE_FILE: &str = state_names::PAUSED;
/// Which policy the agent that runs here goes by.
const POLICY_FILE: &str = state_names::POLICY_IN_FORCE;

/// An enrolled agent. It has no `Debug`, for the key's sake.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The backend's base URL, without a final slash.
    pub(crate) backend: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_pin: Option<Pin>,
    /// The organisation's name, for people.
    pub(crate) organisation: String,
    /// The root's fingerprint, as the enrolment string pinned it.
    pub(crate) root: String,
    /// Signs receipts, whatever the list of keys adds to it.
    pub(crate) receipt_key: PublicKey,
    pub(crate) agent: AgentId,
    /// Of the last introduction.
    pub(crate) number: u64,
    pub(crate) transport: TransportKey,
}

impl Identity {
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        (self.number, &self.agent, &self.root) == (other.number, &other.agent, &other.root)
            && *self.transport.0 == *other.transport.0
    }

    /// It is `other` with newer keys, and not another enrolment.
    pub(crate) fn succeeds(&self, other: &Self) -> bool {
        (&self.root, &self.backend) == (&other.root, &other.backend) && self.number > other.number
    }

    /// Without the backend's own key where the policy accepts that something on the way opens TLS.
    #[must_use]
    pub(crate) fn by_policy(self, policy: Option<&Policy>) -> Self {
        if policy.is_some_and(|policy| policy.accept_inspection) { Self { tls_pin: None, ..self } } else { self }
    }
}

/// The transport key's 32 secret bytes, in base64.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct TransportKey(Zeroizing<String>);

impl TransportKey {
    pub(crate) fn fresh() -> Result<Self, Stop> {
        let secret = Zeroizing::new(random::<32>()?);
        Ok(Self(Zeroizing::new(STANDARD.encode(*secret))))
    }

    /// # Errors
    /// Where the file was damaged.
    pub(crate) fn key(&self) -> Result<SigningKey, Stop> {
        let bytes = STANDARD.decode(&*self.0).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(|| Stop::usage("the transport key in identity.json is damaged").next(ENROL_ANEW))?;
        Ok(SigningKey::from_bytes(&Zeroizing::new(bytes)))
    }
}

const ENROL_ANEW: &str = "netsonde identity forget, and then netsonde enroll with a new string from support";

/// The state directory, as far as it holds the agent's identity.
pub(crate) struct Home<'a> {
    pub(crate) state: &'a StateDirectory,
}

impl<'a> Home<'a> {
    pub(crate) fn of(state: &'a StateDirectory) -> Self {
        Self { state }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    fn unreadable(&self, name: &str, error: &io::Error) -> Stop {
        Stop::usage(format!("{} cannot be used: {error}", self.file(name).display())).next(ENROL_ANEW)
    }

    /// None where the machine is not enrolled.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, Stop> {
        read_json(&self.file(IDENTITY_FILE)).map_err(|error| self.unreadable(IDENTITY_FILE, &error))
    }

    /// # Errors
    /// Where the machine is not enrolled.
    pub(crate) fn enrolled(&self) -> Result<Identity, Stop> {
        self.identity()?.ok_or_else(|| {
            Stop::usage("this machine is not enrolled with a support organisation")
                .next("netsonde enroll, with the string nse1_… from support")
        })
    }

    pub(crate) fn save_identity(&self, identity: &Identity) -> io::Result<()> {
        write_json(&self.file(IDENTITY_FILE), identity)
    }

    /// What was signed is verified again as it is read, and is as old as it was seen to be.
    pub(crate) fn anchor(&self) -> Result<Option<Anchor>, Stop> {
        let anchor: Option<Anchor> = read_json(&self.file(ANCHOR_FILE)).map_err(|error| self.unreadable(ANCHOR_FILE, &error))?;
        Ok(anchor.map(|anchor| self.aged(anchor, &Reading::now())))
    }

    pub(crate) fn save_anchor(&self, anchor: &Anchor) -> io::Result<()> {
        write_json(&self.file(ANCHOR_FILE), anchor)
    }

    pub(crate) fn link(&self) -> Option<String> {
        read_json(&self.file(LINK_FILE)).ok().flatten().filter(|link: &String| is_link(link))
    }

    /// Keeps what the next check-in shows. What no backend would take is not kept: with it none would take any check-in.
    pub(crate) fn save_link(&self, link: &str) -> io::Result<()> {
        if is_link(link) { write_json(&self.file(LINK_FILE), &link) } else { Ok(()) }
    }

    /// Where the policy is that the agent goes by, as that agent wrote it down; none where none has run.
    pub(crate) fn policy_path(&self) -> Option<PathBuf> {
        read_json(&self.file(POLICY_FILE)).ok().flatten()
    }

    pub(crate) fn save_policy_path(&self, path: &Path) -> io::Result<()> {
        let path = std::path::absolute(path)?;
        if self.policy_path().as_deref() == Some(&path) { Ok(()) } else { write_json(&self.file(POLICY_FILE), &path) }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.file(PAUSE_FILE).exists()
    }

    /// Whether anything changed.
    pub(crate) fn set_paused(&self, paused: bool) -> io::Result<bool> {
        let file = self.file(PAUSE_FILE);
        if file.exists() == paused {
            return Ok(false);
        }
        if paused {
            crate::disk::replace_file(&file, b"")?
        } else {
            fs::remove_file(&file)?
        }
        crate::disk::sync_folder(self.state.path())?;
        Ok(true)
    }

    /// Ends the enrolment on this machine: no key of it stays that could ask the backend for anything. The bundle key and the audit log stay.
    pub(crate) fn forget(&self) -> io::Result<()> {
        for name in [IDENTITY_FILE, ENROLLING_FILE, rotating::ROTATING_FILE, ANCHOR_FILE, HELD_LIST_FILE, EPOCHS_FILE, LINK_FILE]
        {
            match fs::remove_file(self.file(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        crate::disk::sync_folder(self.state.path())
    }
}
