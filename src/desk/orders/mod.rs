//! Orders, from what an engineer wants to what was found.
//!
//! A [`Wish`] becomes a [`Prepared`] order: the set's exact text, the agents with the epochs that they published last, the window. What is shown is
//! made from that very order, and that very order is signed ([`signed`]) and handed to the backend, which cannot change a byte of it.

/// What an order will do, in words.
mod describe;
/// Waits for what becomes of an order.
mod follow;
/// `orders`: lists, shows, cancels.
mod listing;
/// A wish becomes an order.
mod prepare;
/// One agent answers the others.
mod serving;
/// Signs and submits.
mod signed;
/// What an engineer wants.
mod wish;

pub(crate) use describe::describe;
pub(crate) use listing::{orders, states};
pub(crate) use prepare::{Prepared, prepare};
pub(crate) use signed::{Outcome, finish};
pub(crate) use wish::{Wish, case, known_set, life};

use crate::arguments::{Format, SignWish, TriggerWish};
use crate::backend::Backend;
use crate::organisation::{Folder, Organisation};
use crate::signing::{self, Passphrases, Signer};
use crate::stop::Stop;
use crate::{clock, private_file, terminal};
use netsonde_contract::api::fleet::{KeptDraft, SubmitOrder};
use netsonde_contract::api::path;
use netsonde_contract::id::TicketId;
use netsonde_contract::trust::Role;
use std::path::{Path, PathBuf};

/// An order's file: the envelope, and the addressees of the largest fleet.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// `trigger`: from the command line to the findings.
pub(crate) async fn trigger(backend: &Backend, place: Option<PathBuf>, wish: TriggerWish, format: Format) -> Result<(), Stop> {
    let own = Folder::at(place)?.open()?;
    let how = &wish.how;
    let signer = signer(&own, how.key.as_deref())?;
    let wanted = Wish::of(&wish, &signer)?;
    let prepared = prepare(backend, &own, wanted, clock::now()).await?;
    carry_on(backend, &own, prepared, &signer, how, format).await
}

/// `sign`: a draft from a page, or an order that another engineer signed.
pub(crate) async fn sign(
    backend: &Backend,
    place: Option<PathBuf>,
    draft: &str,
    expires: &str,
    how: SignWish,
    format: Format,
) -> Result<(), Stop> {
    let own = Folder::at(place)?.open()?;
    let signer = signer(&own, how.key.as_deref())?;
    let prepared = match TicketId::parse(draft) {
        Some(id) => {
            let kept: KeptDraft = backend.get("reading the draft", &path::draft(&id)).await?;
            prepare(backend, &own, Wish::of_draft(kept, expires, &signer)?, clock::now()).await?
        }
        None => from_file(Path::new(draft), &own)?,
    };
    carry_on(backend, &own, prepared, &signer, &how, format).await
}

/// The key that signs, which must be one that counts now.
pub(crate) fn signer(own: &Organisation, key: Option<&str>) -> Result<Signer, Stop> {
    let list = own.anchor.live_list(clock::now()).map_err(|error| {
        Stop::failed(format!("no agent would take an order: {error}")).next("netsonde-desk org sign-list, then org publish")
    })?;
    signing::choose(key, &list.role(Role::Order).keys, &mut Passphrases::default())
}

fn from_file(file: &Path, own: &Organisation) -> Result<Prepared, Stop> {
    let bytes = private_file::read(file, MAX_FILE_BYTES)?;
    let submitted: SubmitOrder = serde_json::from_slice(&bytes).map_err(|error| {
        Stop::usage(format!("{} is neither a draft's id nor an order's file: {error}", file.display()))
            .next("give the 16 characters of a draft, or a file that --output wrote")
    })?;
    prepare::of_submitted(submitted, own)
}

async fn carry_on(
    backend: &Backend,
    own: &Organisation,
    prepared: Prepared,
    signer: &Signer,
    how: &SignWish,
    format: Format,
) -> Result<(), Stop> {
    terminal::say(&describe(&prepared, &own.anchor.root().name, signer));
    if !how.yes && !terminal::confirm("Sign this order?")? {
        return Err(Stop::failed("nothing was signed").next("change what you asked for"));
    }
    let id = prepared.order.id.clone();
    match finish(backend, own, prepared, signer, how.output.as_deref()).await? {
        Outcome::Kept { file, signed, needed } => terminal::output(&format!(
            "{signed} of {needed} signatures: the order is in {0}. A second engineer shows and signs it before it expires: netsonde-desk sign {0}\n",
            file.display()
        )),
        Outcome::Written { file } => {
            terminal::output(&format!("The signed order is in {}; nothing was submitted.\n", file.display()))
        }
        Outcome::Submitted if how.no_follow => terminal::output(&format!(
            "Order {id} is submitted. See what becomes of it: netsonde-desk orders show {id} --follow\n"
        )),
        Outcome::Submitted => {
            terminal::say(&format!("Order {id} is submitted. To end it: netsonde-desk orders cancel {id}"));
            follow::follow(backend, &id, format).await
        }
    }
}

#[cfg(test)]
mod tests;
