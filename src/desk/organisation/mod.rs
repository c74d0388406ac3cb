//! The organisation: its root, whose word counts, and the folder in which the desk holds both.
//!
//! The folder is plain files, so that it can be carried to a machine without a network: `roots/N.json` (every root, signed), `root.json` (the
//! newest), `keys.json` (the newest list, signed), `next.json` (what the next list will say), `published.json` (what a backend was handed last),
//! `pending/` (documents that more root keys must sign) and `root-keys/` (private root keys made here, until they are carried away). What is
//! signed is verified again each time that it is read: a changed file is no document.

/// The folder and what it holds.
mod folder;
/// `org init`.
mod init;
/// `org add-signer`, `org remove-signer`, `org receipt-key`.
mod keys;
/// `org sign-list`.
mod list;
/// What the next list will say.
mod next_list;
/// `org publish`.
mod publish;
/// Root keys, where they are at hand.
mod root_keys;
/// `org rotate-root`.
mod rotate;
/// Signs a document, and puts it in its place once enough keys have.
mod settle;
/// `org status`.
mod status;

pub(crate) use folder::{Folder, Organisation};

use crate::arguments::{Format, OrganisationCommand};
use crate::backend::Backend;
use crate::signing::Passphrases;
use crate::stop::Stop;
use std::path::PathBuf;

/// One `org` command. Only `publish` and `receipt-key` ask the backend; all others work without a network.
pub(crate) async fn organisation(
    command: OrganisationCommand,
    place: Option<PathBuf>,
    backend: impl FnOnce() -> Result<Backend, Stop>,
    format: Format,
) -> Result<(), Stop> {
    use OrganisationCommand as Command;
    let folder = Folder::at(place)?;
    let passphrases = &mut Passphrases::default();
    match command {
        Command::Init { name, root } => init::init(&folder, &name, &root, passphrases),
        Command::AddSigner { key } => keys::add_signer(&folder, &key),
        Command::RemoveSigner { key, forget } => keys::remove_signer(&folder, &key, forget),
        Command::ReceiptKey { key, replace, yes } => keys::receipt_key(&folder, key.as_deref(), replace, yes, backend).await,
        Command::SignList { life, root_keys, order_threshold, without_receipts } => {
            let wanted = list::Wanted { life: &life, order_threshold, without_receipts };
            list::sign_list(&folder, &wanted, &root_keys, passphrases)
        }
        Command::Sign { file, root_keys } => settle::sign(&folder, &file, &root_keys, passphrases),
        Command::RotateRoot { name, root, old_root_keys } => rotate::rotate(&folder, name, &root, &old_root_keys, passphrases),
        Command::Publish => publish::publish(&folder, &backend()?).await,
        Command::Status => status::status(&folder, format),
    }
}

#[cfg(test)]
pub(crate) mod tests;
