use super::folder::Folder;
use super::{root_keys, settle};
use crate::arguments::RootWish;
use crate::clock;
use crate::signing::Passphrases;
use crate::stop::Stop;
use crate::terminal;
use netsonde_contract::harmless::is_clean;
use netsonde_contract::trust::RootStatement;

/// A name is a line that fits a screen.
const MAX_NAME: usize = 120;

/// Makes the organisation's first root.
pub(super) fn init(folder: &Folder, name: &str, wish: &RootWish, passphrases: &mut Passphrases) -> Result<(), Stop> {
    if name.trim().is_empty() || name.len() > MAX_NAME || !is_clean(name) {
        return Err(Stop::usage("the organisation needs a name of one line").next("give it with --name \"Contoso support\""));
    }
    if folder.path.join("roots").exists() || !folder.pending().is_empty() {
        return Err(Stop::failed(format!("there is an organisation in {} already", folder.path.display()))
            .next("see `netsonde-desk org status`, or give another folder with --organisation"));
    }
    let threshold = wish.threshold.unwrap_or(1);
    let (keys, signers) =
        root_keys::fresh(folder, &wish.root_keys, (1, wish.keys.max(threshold)), !wish.no_passphrase, passphrases)?;
    check_threshold(threshold, keys.len())?;
    let name = name.to_owned();
    let root = RootStatement { name, organisation: None, version: 1, issued: clock::now(), keys, threshold };
    if signers.is_empty() {
        let wanted = root.keys.clone();
        return settle::settle(folder, root.envelope(), &root_keys::at_hand(folder, &[], &wanted, passphrases)?);
    }
    settle::settle(folder, root.envelope(), &signers)?;
    if wish.root_keys.is_empty() {
        terminal::say(&format!(
            "The root's private keys are in {}. Carry them to media that you keep offline, in at least two places, and remove them here: who has them \
             can name new signers, and who loses them cannot.",
            folder.path.join("root-keys").display()
        ));
    }
    Ok(())
}

pub(super) fn check_threshold(threshold: usize, keys: usize) -> Result<(), Stop> {
    if (1..=keys).contains(&threshold) {
        return Ok(());
    }
    Err(Stop::usage(format!("{threshold} of {keys} keys cannot be asked for"))
        .next("give --threshold between 1 and the number of root keys"))
}
