//! SSH signatures (OpenSSH `PROTOCOL.sshsig`) with Ed25519 and SHA-512.

use super::public_key::{SSH_ALGORITHM, push_ssh_string, ssh_blob};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha512};

/// What the signature is for; `ssh-keygen -n` must be given the same.
pub(super) const NAMESPACE: &str = "bundle@netsonde";
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
const HASH: &str = "sha512";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// The length of an armour line, as ssh-keygen writes it.
const LINE: usize = 70;

/// The armoured signature of `message`.
pub(super) fn sign(message: &[u8], key: &SigningKey) -> String {
    let mut signature = Vec::new();
    push_ssh_string(&mut signature, SSH_ALGORITHM.as_bytes());
    push_ssh_string(&mut signature, &key.sign(&signed_blob(message)).to_bytes());
    let mut blob = blob_before_signature(&key.verifying_key());
    push_ssh_string(&mut blob, &signature);
    armour(&blob)
}

/// The key that made the armoured signature of `message`, or nothing where the signature is not of our form or does not hold.
pub(super) fn verify(armoured: &[u8], message: &[u8]) -> Option<VerifyingKey> {
    let blob = blob_of(armoured)?;
    // Every length in the blob is fixed, so that the key has one place and all else is compared as bytes.
    let key_at = MAGIC.len() + 4 + 4 + 4 + SSH_ALGORITHM.len() + 4;
    let key = VerifyingKey::from_bytes(blob.get(key_at..key_at + 32)?.try_into().ok()?).ok()?;
    let signature = blob.strip_prefix(blob_before_signature(&key).as_slice())?;
    let (head, signature) = signature.split_last_chunk::<64>()?;
    let mut expected_head = Vec::new();
    push_ssh_string(&mut expected_head, SSH_ALGORITHM.as_bytes());
    let inner = u32::try_from(expected_head.len() + 4 + 64).ok()?;
    let expected_head = [&inner.to_be_bytes(), expected_head.as_slice(), &64_u32.to_be_bytes()].concat();
    if head != expected_head {
        return None;
    }
    key.verify_strict(&signed_blob(message), &Signature::from_bytes(signature)).ok().map(|()| key)
}

fn armour(blob: &[u8]) -> String {
    let mut armour = format!("{BEGIN}\n");
    for line in STANDARD.encode(blob).as_bytes().chunks(LINE) {
        armour.extend(line.iter().copied().map(char::from));
        armour.push('\n');
    }
    armour.push_str(END);
    armour.push('\n');
    armour
}

/// What the armour holds, if it is written just as ssh-keygen writes it: other bytes in the file would be signed by nobody.
fn blob_of(text: &[u8]) -> Option<Vec<u8>> {
    let inner = std::str::from_utf8(text).ok()?.strip_prefix(BEGIN)?.trim_end().strip_suffix(END)?;
    let blob = STANDARD.decode(inner.split_ascii_whitespace().collect::<String>()).ok()?;
    (armour(&blob).as_bytes() == text).then_some(blob)
}

fn blob_before_signature(key: &VerifyingKey) -> Vec<u8> {
    let mut blob = [MAGIC, &VERSION.to_be_bytes()].concat();
    push_ssh_string(&mut blob, &ssh_blob(key));
    push_ssh_string(&mut blob, NAMESPACE.as_bytes());
    push_ssh_string(&mut blob, b"");
    push_ssh_string(&mut blob, HASH.as_bytes());
    blob
}

/// What is signed: the same preamble without a version and a key, and the message's hash.
fn signed_blob(message: &[u8]) -> Vec<u8> {
    let mut blob = MAGIC.to_vec();
    push_ssh_string(&mut blob, NAMESPACE.as_bytes());
    push_ssh_string(&mut blob, b"");
    push_ssh_string(&mut blob, HASH.as_bytes());
    push_ssh_string(&mut blob, &Sha512::digest(message));
    blob
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    /// Made by `ssh-keygen -Y sign -n bundle@netsonde` with the same key; Ed25519 signatures are deterministic.
    const FROM_SSH_KEYGEN: &str = "\
-----BEGIN SSH SIGNATURE-----\n\
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAg6kpsY+KcUgq+9VB7Ey7F+ZVHdq\n\
6+vnuSQh7qaRRG0iwAAAAPYnVuZGxlQG5ldHNvbmRlAAAAAAAAAAZzaGE1MTIAAABTAAAA\n\
C3NzaC1lZDI1NTE5AAAAQJYjJ9ajXKxX+aTlav/ytcRVQBvRoOcaiUNiJfMX6ZU6vvNH5e\n\
TnKr1+mvQu5iI4jZ+56BZK1nhuOuax5fg7Gwo=\n\
-----END SSH SIGNATURE-----\n\
";

    #[test]
    fn the_signature_is_what_ssh_keygen_writes() {
        assert_eq!(sign(b"hello\n", &key()), FROM_SSH_KEYGEN);
        assert_eq!(verify(FROM_SSH_KEYGEN.as_bytes(), b"hello\n"), Some(key().verifying_key()));
    }

    #[test]
    fn a_changed_message_or_any_flipped_bit_of_the_signature_is_refused() {
        assert_eq!(verify(FROM_SSH_KEYGEN.as_bytes(), b"hello"), None);
        let blob = blob_of(FROM_SSH_KEYGEN.as_bytes()).unwrap();
        for at in 0..blob.len() {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            assert_eq!(verify(armour(&changed).as_bytes(), b"hello\n"), None, "byte {at}");
        }
    }
}
