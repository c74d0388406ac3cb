use super::manifest::{self, Manifest};
use super::predicate::Predicate;
use super::{
    Contents, MAX_BYTES, MAX_ENTRIES, MAX_UNPACKED_BYTES, archive, bounds, file_name, hexadecimal, public_key, readme,
    ssh_signature,
};
use crate::dsse::Envelope;
use crate::id::BundleId;
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A finished bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    pub id: BundleId,
    /// The `.tar.gz`.
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    #[error("`{0}` cannot be the name of a bundle's file")]
    Name(String),
    #[error("the bundle would be too large: {0}")]
    TooLarge(String),
}

/// Makes a bundle of the contents. The same contents, predicate and key give the same bytes.
///
/// # Errors
/// Where a file's name is one that [`super::verify`] refuses or that the bundle makes itself, or a bound is passed.
pub fn pack(contents: Contents, mut predicate: Predicate, key: &SigningKey) -> Result<Packed, PackError> {
    let verifying = key.verifying_key();
    predicate.key_id = public_key::key_id(&verifying);
    let mut files = contents.files;
    if let Some(name) = files.keys().find(|name| is_own(name) || !archive::is_plain_name(name)) {
        return Err(PackError::Name(name.clone()));
    }
    files.insert(file_name::README.to_owned(), readme::README.as_bytes().to_vec());
    files.insert(file_name::SSH_PUBLIC_KEY.to_owned(), public_key::open_ssh(&verifying).into_bytes());
    files.insert(file_name::PEM_PUBLIC_KEY.to_owned(), public_key::pem(&verifying).into_bytes());
    files.insert(file_name::DIGESTS.to_owned(), digests(&files).into_bytes());
    let manifest = super::readable_json(&Manifest::of(&files, predicate));
    let id = BundleId::new(hexadecimal(&Sha256::digest(&manifest)));
    let envelope = Envelope::sign(manifest::PAYLOAD_TYPE, manifest.clone(), key);
    files.insert(file_name::ENVELOPE.to_owned(), envelope.to_json());
    files.insert(file_name::SSH_SIGNATURE.to_owned(), ssh_signature::sign(&manifest, key).into_bytes());
    files.insert(file_name::MANIFEST.to_owned(), manifest);
    if files.len() > MAX_ENTRIES {
        return Err(PackError::TooLarge(format!("{} files are more than {MAX_ENTRIES}", files.len())));
    }
    let unpacked: usize = files.values().map(|content| content.len() + 1024).sum();
    if unpacked > MAX_UNPACKED_BYTES {
        return Err(PackError::TooLarge(format!("{unpacked} bytes are more than {MAX_UNPACKED_BYTES}")));
    }
    bounds::check(&files).map_err(PackError::TooLarge)?;
    let bytes = archive::write(&files).map_err(PackError::Name)?;
    if bytes.len() > MAX_BYTES {
        return Err(PackError::TooLarge(format!("compressed, {} bytes are more than {MAX_BYTES}", bytes.len())));
    }
    Ok(Packed { id, bytes })
}

/// What `sha256sum -c` reads.
fn digests(files: &BTreeMap<String, Vec<u8>>) -> String {
    files.iter().fold(String::new(), |mut text, (name, content)| {
        let _ = writeln!(text, "{}  {name}", hexadecimal(&Sha256::digest(content)));
        text
    })
}

fn is_own(name: &str) -> bool {
    use file_name::{DIGESTS, PEM_PUBLIC_KEY, README, SSH_PUBLIC_KEY};
    manifest::is_proof(name) || [DIGESTS, PEM_PUBLIC_KEY, README, SSH_PUBLIC_KEY].contains(&name)
}
