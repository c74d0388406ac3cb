use crate::bundle::{SSH_ALGORITHM, ssh_blob};
use crate::harmless::is_clean;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ed25519_dalek::VerifyingKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// A comment longer than this is no name of a key.
const MAX_COMMENT_CHARS: usize = 128;

/// An Ed25519 public key as OpenSSH writes it: `ssh-ed25519 AAAA… comment` (RFC 8709 section 4). The comment says whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct PublicKey {
    key: VerifyingKey,
    comment: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    #[error("this is no line of an OpenSSH public key, such as `ssh-ed25519 AAAA… name`")]
    Malformed,
    #[error("the key is of type `{0}`, and only ssh-ed25519 is taken: make one with ssh-keygen -t ed25519")]
    OtherAlgorithm(String),
}

impl PublicKey {
    pub fn new(key: VerifyingKey, comment: &str) -> Self {
        Self { key, comment: comment.to_owned() }
    }

    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Whose key it is, in its owner's words; may be empty.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// `SHA256:` and base64 without padding, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.key)
    }
}

/// `SHA256:` and base64 without padding, as `ssh-keygen -l` prints it.
pub fn fingerprint(key: &VerifyingKey) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(ssh_blob(key))))
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SSH_ALGORITHM} {}", STANDARD.encode(ssh_blob(&self.key)))?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, " {}", self.comment) }
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let mut words = text.trim().splitn(3, ' ');
        let (Some(algorithm), Some(encoded)) = (words.next(), words.next()) else { return Err(PublicKeyError::Malformed) };
        let comment = words.next().unwrap_or_default().trim();
        if algorithm != SSH_ALGORITHM {
            let looks_like_one = algorithm.len() < 64 && is_clean(algorithm) && encoded.starts_with("AAAA");
            return Err(if looks_like_one {
                PublicKeyError::OtherAlgorithm(algorithm.to_owned())
            } else {
                PublicKeyError::Malformed
            });
        }
        let blob = STANDARD.decode(encoded).map_err(|_| PublicKeyError::Malformed)?;
        let (_, bytes) = blob.split_last_chunk::<32>().ok_or(PublicKeyError::Malformed)?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| PublicKeyError::Malformed)?;
        let fits = !key.is_weak() && blob == ssh_blob(&key) && is_clean(comment) && comment.chars().count() <= MAX_COMMENT_CHARS;
        if fits { Ok(Self { key, comment: comment.to_owned() }) } else { Err(PublicKeyError::Malformed) }
    }
}

impl TryFrom<String> for PublicKey {
    type Error = PublicKeyError;

    fn try_from(text: String) -> Result<Self, PublicKeyError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;

    /// The public half of the key of 32 bytes 7; `ssh-keygen -l` printed the fingerprint.
    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs asha@desk";

    #[test]
    fn a_line_of_open_ssh_survives() {
        let key: PublicKey = LINE.parse().unwrap();
        assert_eq!(key.to_string(), LINE);
        assert_eq!(key.comment(), "asha@desk");
        assert_eq!(*key.key(), SigningKey::from_bytes(&[7; 32]).verifying_key());
        assert!(key.fingerprint().starts_with("SHA256:") && key.fingerprint().len() == 7 + 43);
    }

    #[test]
    fn a_key_of_another_kind_is_told_from_a_broken_line() {
        let rsa = "ssh-rsa AAAAB3NzaC1yc2E= me".parse::<PublicKey>().unwrap_err();
        assert_eq!(rsa, PublicKeyError::OtherAlgorithm("ssh-rsa".into()));
        for text in ["", "ssh-ed25519", "ssh-ed25519 AAAA", &LINE.replace("AAAAC3", "AAAAC4"), &format!("{LINE}\u{1b}[2J")] {
            assert_eq!(text.parse::<PublicKey>(), Err(PublicKeyError::Malformed), "{text}");
        }
    }
}
