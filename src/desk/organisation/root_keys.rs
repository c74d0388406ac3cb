use super::folder::Folder;
use super::next_list::holds;
use crate::private_file;
use crate::signing::{self, Passphrases, Signer, SshAgent};
use crate::stop::Stop;
use netsonde_contract::trust::PublicKey;
use std::path::{Path, PathBuf};

/// New root keys: those whose files were given, private or public, or `count` that are made in `root-keys/`. The private ones can sign.
pub(super) fn fresh(
    folder: &Folder,
    given: &[PathBuf],
    (version, count): (u64, usize),
    encrypt: bool,
    passphrases: &mut Passphrases,
) -> Result<(Vec<PublicKey>, Vec<Signer>), Stop> {
    let (mut public, mut signers) = (Vec::new(), Vec::new());
    for path in given {
        if path.extension().is_some_and(|ending| ending == "pub") {
            public.push(signing::public_key(&path.to_string_lossy())?);
        } else {
            let signer = signing::read(path, passphrases)?;
            public.push(signer.public().clone());
            signers.push(signer);
        }
    }
    if given.is_empty() {
        let place = folder.path.join("root-keys");
        private_file::folder(&place)?;
        let passphrase = if encrypt { passphrases.fresh()? } else { None };
        for number in 1..=count {
            let name = format!("root-{version}-{number}");
            let signer = signing::make(&place.join(&name), &name, passphrase.as_ref().map(|text| text.as_str()))?;
            public.push(signer.public().clone());
            signers.push(signer);
        }
    }
    Ok((public, signers))
}

/// Those of `wanted` that are at hand: in the files that were given, else in `root-keys/`; and in the ssh-agent.
pub(super) fn at_hand(
    folder: &Folder,
    given: &[PathBuf],
    wanted: &[PublicKey],
    passphrases: &mut Passphrases,
) -> Result<Vec<Signer>, Stop> {
    let mut signers: Vec<Signer> = Vec::new();
    for path in given {
        let signer = signing::read(path, passphrases)?;
        if !holds(wanted, signer.public()) {
            let why =
                format!("{} holds {}, which is none of the keys that must sign", path.display(), signer.public().fingerprint());
            return Err(Stop::usage(why).next("give a root key with --root-key; `netsonde-desk org status` lists them"));
        }
        signers.push(signer);
    }
    if given.is_empty() {
        for path in folder.root_keys().iter().filter(|path| is_wanted(path, wanted)) {
            signers.push(signing::read(path, passphrases)?);
        }
    }
    if let Some(agent) = SshAgent::from_environment() {
        // An agent that does not answer is one that holds no root key.
        for key in agent.identities().unwrap_or_default() {
            if holds(wanted, &key) && !signers.iter().any(|signer| signer.public().key() == key.key()) {
                signers.push(Signer::Agent(agent.clone(), key));
            }
        }
    }
    Ok(signers)
}

/// By the public half beside it, so that no passphrase is asked for in vain.
fn is_wanted(private: &Path, wanted: &[PublicKey]) -> bool {
    let public = private.with_extension("pub");
    signing::public_key(&public.to_string_lossy()).map_or(true, |key| holds(wanted, &key))
}
