use super::folder::Folder;
use super::init::check_threshold;
use super::{root_keys, settle};
use crate::arguments::RootWish;
use crate::clock;
use crate::signing::Passphrases;
use crate::stop::Stop;
use netsonde_contract::trust::RootStatement;
use std::path::PathBuf;

/// Replaces the root's keys. Enough keys of the old root and of the new one sign the new root, so that every agent can follow.
pub(super) fn rotate(
    folder: &Folder,
    name: Option<String>,
    wish: &RootWish,
    old_root_keys: &[PathBuf],
    passphrases: &mut Passphrases,
) -> Result<(), Stop> {
    let own = folder.open()?;
    let old = own.anchor.root();
    let version = old.version + 1;
    let threshold = wish.threshold.unwrap_or(old.threshold);
    let mut signers = root_keys::at_hand(folder, old_root_keys, &old.keys, passphrases)?;
    let (keys, fresh) =
        root_keys::fresh(folder, &wish.root_keys, (version, wish.keys.max(threshold)), !wish.no_passphrase, passphrases)?;
    check_threshold(threshold, keys.len())?;
    signers.extend(fresh);
    let root = RootStatement {
        name: name.unwrap_or_else(|| old.name.clone()),
        organisation: Some(own.anchor.organisation().clone()),
        version,
        issued: clock::now(),
        keys,
        threshold,
    };
    settle::settle(folder, root.envelope(), &signers)
}
