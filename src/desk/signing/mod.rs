//! The keys that sign: OpenSSH private key files, and keys that an ssh-agent holds and never gives away.
//!
//! What is signed is always the pre-authentication encoding of a DSSE envelope, which begins with `DSSEv1 `: no SSH login, commit or file
//! signature begins so, so that a key that also does those cannot be tricked from one into the other.

/// The ssh-agent, as it is spoken to.
mod agent;
/// Which key is meant by what a person gave.
mod choice;
/// Private key files.
mod key_file;
/// Passphrases, asked for once.
mod passphrase;

pub(crate) use agent::SshAgent;
pub(crate) use choice::{choose, public_key};
pub(crate) use key_file::{make, read};
pub(crate) use passphrase::Passphrases;

use crate::stop::Stop;
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use netsonde_contract::dsse::Envelope;
use netsonde_contract::trust::PublicKey;

/// A key that can sign. It has no `Debug`, for the key's sake.
pub(crate) enum Signer {
    File(Box<SigningKey>, PublicKey),
    Agent(SshAgent, PublicKey),
}

impl Signer {
    pub(crate) fn public(&self) -> &PublicKey {
        match self {
            Self::File(_, public) | Self::Agent(_, public) => public,
        }
    }

    /// Adds the key's signature. An ssh-agent may ask a person first, so that this can take a while.
    pub(crate) fn sign(&self, envelope: &mut Envelope) -> Result<(), Stop> {
        let message = envelope.to_be_signed();
        let signature = match self {
            Self::File(key, _) => key.sign(&message).to_bytes(),
            Self::Agent(agent, public) => agent.sign(public, &message)?,
        };
        let key = self.public().key();
        if key.verify_strict(&message, &Signature::from_bytes(&signature)).is_err() {
            return Err(Stop::failed("what the ssh-agent answered is no signature of this key")
                .next("use the key's file with --key FILE"));
        }
        envelope.add_signature(key, signature);
        Ok(())
    }

    /// Whose key it is, for people.
    pub(crate) fn name(&self) -> String {
        let public = self.public();
        if public.comment().is_empty() { public.fingerprint() } else { public.comment().to_owned() }
    }
}

#[cfg(test)]
mod tests;
