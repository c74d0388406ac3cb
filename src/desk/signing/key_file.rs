//! OpenSSH private key files (the format `openssh-key-v1`), as ssh-keygen makes and reads them.

use super::{Passphrases, Signer};
use crate::stop::Stop;
use crate::{private_file, random};
use ed25519_dalek::SigningKey;
use netsonde_contract::trust::PublicKey;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};
use std::path::Path;
use zeroize::Zeroizing;

/// Any Ed25519 key is far smaller.
const MAX_KEY_FILE_BYTES: u64 = 64 * 1024;

/// Opens a private key; asks for the passphrase of an encrypted one.
pub(crate) fn read(path: &Path, passphrases: &mut Passphrases) -> Result<Signer, Stop> {
    let shown = path.display().to_string();
    refuse_shared(path)?;
    let bytes = Zeroizing::new(private_file::read(path, MAX_KEY_FILE_BYTES)?);
    let unusable = |why: &str| Stop::failed(format!("{shown} {why}")).next("make an Ed25519 key with: ssh-keygen -t ed25519");
    let key = PrivateKey::from_openssh(&*bytes)
        .map_err(|error| unusable(&format!("is no OpenSSH private key that can be read: {error}")))?;
    // The public half stands outside the encryption, so that no passphrase is asked for in vain.
    if key.algorithm() != ssh_key::Algorithm::Ed25519 {
        return Err(unusable(&format!("is a key of type {}, and only ssh-ed25519 is taken", key.algorithm())));
    }
    let key = match key.is_encrypted() {
        true => passphrases.open(&shown, |passphrase| key.decrypt(passphrase).ok())?,
        false => key,
    };
    let KeypairData::Ed25519(pair) = key.key_data() else { return Err(unusable("holds another kind of key than it says")) };
    let signing = SigningKey::from_bytes(&Zeroizing::new(pair.private.to_bytes()));
    if signing.verifying_key().as_bytes() != &pair.public.0 {
        return Err(unusable("holds two halves that do not belong together"));
    }
    let public = named(&signing, key.comment());
    Ok(Signer::File(Box::new(signing), public))
}

/// Makes a key: the private half in `path`, the public one beside it with `.pub`. Neither replaces a file.
pub(crate) fn make(path: &Path, comment: &str, passphrase: Option<&str>) -> Result<Signer, Stop> {
    let failed = |error: ssh_key::Error| Stop::failed(format!("the key cannot be made: {error}")).next("try another --name");
    let signing = SigningKey::from_bytes(&Zeroizing::new(random::bytes::<32>()?));
    let pair = Ed25519Keypair::from_bytes(&signing.to_keypair_bytes()).map_err(failed)?;
    let mut key = PrivateKey::new(KeypairData::Ed25519(pair), comment).map_err(failed)?;
    if let Some(passphrase) = passphrase {
        key = key.encrypt(&mut ssh_key::rand_core::OsRng, passphrase).map_err(failed)?;
    }
    let public = named(&signing, comment);
    private_file::create(path, key.to_openssh(LineEnding::LF).map_err(failed)?.as_bytes())?;
    private_file::create(&path.with_extension("pub"), format!("{public}\n").as_bytes())?;
    Ok(Signer::File(Box::new(signing), public))
}

/// A comment is whatever somebody wrote into the file: one that is no plain name is left out.
fn named(signing: &SigningKey, comment: &str) -> PublicKey {
    let plain = PublicKey::new(signing.verifying_key(), "");
    format!("{plain} {comment}").parse().unwrap_or(plain)
}

/// A private key that others can read is no longer its owner's alone; ssh refuses it too.
#[cfg(unix)]
fn refuse_shared(path: &Path) -> Result<(), Stop> {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS: u32 = 0o077;
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or(0);
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let shown = path.display();
    Err(Stop::failed(format!("others on this machine can read the private key {shown}"))
        .next(format!("run `chmod 600 {shown}`, and think of it as known to them")))
}

/// Elsewhere the profile folder's own access list keeps others out.
#[cfg(not(unix))]
fn refuse_shared(_: &Path) -> Result<(), Stop> {
    Ok(())
}
