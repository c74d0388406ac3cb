//! Links tell a copy of an agent from the agent: each answer to a check-in carries the next one, which the agent shows with the next check-in.
//!
//! A link says when it was given and is sealed by the backend. So a link that the database does not know is told from a superseded one: it was
//! given after the last thing that the database remembers of the agent, where the database was put back to an older state.

use crate::random;
use ed25519_dalek::{Signer, SigningKey};
use jiff::Timestamp;
use netsonde_contract::bundle::hexadecimal;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Nothing else that the key signs begins so.
const CONTEXT: &str = "netsonde link 1";
/// Bytes of the seal, which are 128 bits.
const SEAL: usize = 16;

/// A link given at `now`.
pub(super) fn make(key: &SigningKey, agent: &str, now: Timestamp) -> Result<String, random::NoRandomness> {
    let text = format!("{}.{}", now.as_microsecond(), hexadecimal(&random::bytes::<16>()?));
    let seal = seal(key, agent, &text);
    Ok(format!("{text}.{seal}"))
}

/// When this backend gave the link to this agent; nothing where it did not, or before links said so.
pub(super) fn given(key: &SigningKey, agent: &str, link: &str) -> Option<Timestamp> {
    let (text, shown) = link.rsplit_once('.')?;
    let is_own: bool = seal(key, agent, text).as_bytes().ct_eq(shown.as_bytes()).into();
    let (micros, _) = text.split_once('.').filter(|_| is_own)?;
    Timestamp::from_microsecond(micros.parse().ok()?).ok()
}

/// Signatures of this kind are deterministic (RFC 8032 section 5.1.6) and nobody sees one: the digest of one is a seal.
fn seal(key: &SigningKey, agent: &str, text: &str) -> String {
    let signature = key.sign(format!("{CONTEXT} {agent} {text}").as_bytes()).to_bytes();
    hexadecimal(&Sha256::digest(signature)[..SEAL])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_backends_own_links_tell_when_they_were_given() {
        let (key, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let link = make(&key, "a", now).unwrap();
        assert_eq!(given(&key, "a", &link), Some(now));
        assert!(link.len() <= 128 && link != make(&key, "a", now).unwrap());
        let later = link.replacen("17", "18", 1);
        for (key, agent, link) in [(&other, "a", &link), (&key, "b", &link), (&key, "a", &later), (&key, "a", &"x".to_owned())] {
            assert_eq!(given(key, agent, link), None, "{link}");
        }
    }
}
