//! The signing key's public half in the forms that other tools read.

use super::hexadecimal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

pub(crate) const SSH_ALGORITHM: &str = "ssh-ed25519";
/// The SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410 section 4).
const PUBLIC_KEY_INFO: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// How a key is named: `sha256:` and the hexadecimal digest of its 32 raw bytes.
pub fn key_id(key: &VerifyingKey) -> String {
    format!("sha256:{}", hexadecimal(&Sha256::digest(key.as_bytes())))
}

/// One line of OpenSSH's public key form (RFC 4253 section 6.6, RFC 8709 section 4).
pub fn open_ssh(key: &VerifyingKey) -> String {
    format!("{SSH_ALGORITHM} {} netsonde-agent\n", STANDARD.encode(ssh_blob(key)))
}

/// The PEM form that openssl reads (RFC 7468 section 13).
pub(super) fn pem(key: &VerifyingKey) -> String {
    let der = [PUBLIC_KEY_INFO.as_slice(), key.as_bytes()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

pub(crate) fn ssh_blob(key: &VerifyingKey) -> Vec<u8> {
    let mut blob = Vec::new();
    push_ssh_string(&mut blob, SSH_ALGORITHM.as_bytes());
    push_ssh_string(&mut blob, key.as_bytes());
    blob
}

/// A length of four bytes, big-endian, and the bytes (RFC 4251 section 5). What is written here is far below 4 GiB.
pub(super) fn push_ssh_string(blob: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    blob.extend_from_slice(&length.to_be_bytes());
    blob.extend_from_slice(bytes);
}
