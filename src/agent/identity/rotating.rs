use super::{Home, Identity, TransportKey};
use crate::disk::{read_json, write_json};
use crate::stop::Stop;
use ed25519_dalek::{Signer, SigningKey};
use netsonde_contract::api::fleet::{CheckIn, Introduce};
use netsonde_contract::enrolment::Introduction;
use netsonde_contract::id::AgentId;
use netsonde_contract::trust::PublicKey;
use serde::{Deserialize, Serialize};

pub(super) const ROTATING_FILE: &str = crate::state_names::ROTATING;

/// A change of keys under way. It is on the disk before the backend hears of it, so that a lost answer is asked for again in the same words;
/// until the backend has answered, the former keys count.
#[derive(Serialize, Deserialize)]
pub(crate) struct Rotation {
    identity: Identity,
    introduction: String,
    /// The new bundle key's 32 secret bytes, where that changes too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bundle_key: Option<TransportKey>,
}

impl Rotation {
    /// The change that waits for its answer, or a new one: of the transport key, and of the bundle key too where that is asked for.
    pub(crate) fn begin(home: &Home<'_>, current: &Identity, key: &SigningKey, bundle_key_too: bool) -> Result<Self, Stop> {
        let path = home.file(ROTATING_FILE);
        let waiting: Option<Self> = read_json(&path).map_err(|error| home.unreadable(ROTATING_FILE, &error))?;
        if let Some(waiting) = waiting.filter(|waiting| waiting.identity.number == current.number + 1) {
            return Ok(waiting);
        }
        let bundle_key = if bundle_key_too { Some(TransportKey::fresh()?) } else { None };
        let next_key = bundle_key.as_ref().map(TransportKey::key).transpose()?.unwrap_or_else(|| key.clone());
        let transport = TransportKey::fresh()?;
        let introduction = Introduction {
            bundle_key: PublicKey::new(next_key.verifying_key(), ""),
            transport_key: PublicKey::new(transport.key()?.verifying_key(), ""),
            number: current.number + 1,
            replaces: bundle_key_too.then(|| current.agent.clone()),
            code: None,
            host_name: None,
        };
        let mut envelope = introduction.sign(&next_key);
        if bundle_key_too {
            envelope.add_signature(&key.verifying_key(), key.sign(&envelope.to_be_signed()).to_bytes());
        }
        let agent = AgentId::of(&next_key.verifying_key());
        let identity = Identity { agent, number: current.number + 1, transport, ..current.clone() };
        let introduction = String::from_utf8_lossy(&envelope.to_json()).into_owned();
        let rotation = Self { identity, introduction, bundle_key };
        write_json(&path, &rotation).map_err(|error| {
            Stop::usage(format!("the state directory {} cannot be written: {error}", home.state.path().display()))
        })?;
        Ok(rotation)
    }

    pub(crate) fn body(&self, check_in: CheckIn) -> Introduce {
        Introduce { introduction: self.introduction.clone(), check_in }
    }

    /// The backend knows the new keys: they count from now on.
    pub(crate) fn finish(self, home: &Home<'_>, link: &str) -> Result<Identity, Stop> {
        let kept = |error: std::io::Error| {
            Stop::usage(format!("the new keys could not be kept: {error}"))
                .next("make room on the disk and run netsonde identity rotate again: it goes on with the same keys")
        };
        if let Some(bundle_key) = &self.bundle_key {
            home.state.replace_signing_key(&bundle_key.key()?)?;
        }
        home.save_link(link).map_err(kept)?;
        home.save_identity(&self.identity).map_err(kept)?;
        let _ = std::fs::remove_file(home.file(ROTATING_FILE));
        Ok(self.identity)
    }
}
