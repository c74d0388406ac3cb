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
pub(crate) use signed::{Outcome, sign_prepared, submit};
pub(crate) use wish::{Wish, known_set};

use crate::arguments::{Format, SignWish, TriggerWish};
use crate::backend::Backend;
use crate::organisation::{Folder, Organisation};
use crate::signing::{self, Passphrases, Signer};
use crate::stop::{NOT_SUBMITTED, Stop};
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
    carry_on(backend, &own, prepared, &signer, (how, None), format).await
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
    let (prepared, file) = match TicketId::parse(draft) {
        Some(id) => {
            let kept: KeptDraft = backend.get("reading the draft", &path::draft(&id)).await?;
            (prepare(backend, &own, Wish::of_draft(kept, expires, &signer)?, clock::now()).await?, None)
        }
        // Where a third engineer must sign, the file is the same one.
        None => (from_file(backend, Path::new(draft), &own).await?, Some(Path::new(draft))),
    };
    carry_on(backend, &own, prepared, &signer, (&how, file), format).await
}

/// The key that signs, which must be one that counts now.
pub(crate) fn signer(own: &Organisation, key: Option<&str>) -> Result<Signer, Stop> {
    let list = own.live_list(clock::now()).map_err(|error| {
        Stop::failed(format!("no agent would take an order: {error}")).next("netsonde-desk org sign-list, then org publish")
    })?;
    signing::choose(key, &list.role(Role::Order).keys, &mut Passphrases::default())
}

async fn from_file(backend: &Backend, file: &Path, own: &Organisation) -> Result<Prepared, Stop> {
    let bytes = private_file::read(file, MAX_FILE_BYTES)?;
    let submitted: SubmitOrder = serde_json::from_slice(&bytes).map_err(|error| {
        Stop::usage(format!("{} is neither a draft's id nor an order's file: {error}", file.display()))
            .next("give the 16 characters of a draft, or a file that --output wrote")
    })?;
    prepare::of_submitted(backend, submitted, own).await
}

async fn carry_on(
    backend: &Backend,
    own: &Organisation,
    mut prepared: Prepared,
    signer: &Signer,
    (how, file): (&SignWish, Option<&Path>),
    format: Format,
) -> Result<(), Stop> {
    signed::refuse_twice(&prepared, signer)?;
    terminal::say(&describe(&prepared, &own.anchor.root().name, signer));
    let output = place_of_file(own, &prepared, how.output.as_deref(), file)?;
    if !how.yes && !terminal::confirm("Sign this order?")? {
        return Err(Stop::failed("nothing was signed").next("change what you asked for"));
    }
    let id = prepared.order.id.clone();
    let outcome = sign_prepared(own, &mut prepared, signer, output.as_deref())?;
    terminal::say(&format!("Signed with {} {}", signer.public().fingerprint(), signer.public().comment()));
    match outcome {
        Outcome::Kept { file, signed, needed } => {
            let file = file.display();
            terminal::output(&format!("{file}\n"))?;
            Err(Stop {
                exit: NOT_SUBMITTED,
                ..Stop::failed(format!("nothing was submitted: the order has {signed} of {needed} signatures and is in {file}"))
            }
            .next(format!("before it expires, another engineer shows, signs and submits it: netsonde-desk sign {file}")))
        }
        Outcome::Written { file } => {
            terminal::output(&format!("The signed order is in {}; nothing was submitted.\n", file.display()))
        }
        Outcome::Ready(order) => {
            submit(backend, &id, &order).await?;
            if how.no_follow {
                return terminal::output(&format!(
                    "Order {id} is submitted. See what becomes of it: netsonde-desk orders show {id} --follow\n"
                ));
            }
            terminal::say(&format!("Order {id} is submitted. To end it: netsonde-desk orders cancel {id}"));
            follow::follow(backend, &id, format).await
        }
    }
}

/// Where the order's file goes that more engineers must sign; none where this signature is the last one, and no file was asked for.
fn place_of_file(
    own: &Organisation,
    prepared: &Prepared,
    output: Option<&Path>,
    came_from: Option<&Path>,
) -> Result<Option<PathBuf>, Stop> {
    let signed = signed::signed_with_this(own, prepared)?;
    if signed >= prepared.needed || output.is_some() {
        return Ok(output.map(Path::to_owned));
    }
    if let Some(file) = came_from {
        return Ok(Some(file.to_owned()));
    }
    let offered = format!("order-{}.json", prepared.order.id.short());
    let asked = terminal::ask("More engineers must sign. Write the order to", &offered)?;
    asked.map(|file| Some(PathBuf::from(file))).ok_or_else(|| {
        Stop::usage(format!("this would be signature {signed} of {}: the order goes to a file", prepared.needed))
            .next(format!("say where: --output {offered}"))
    })
}

#[cfg(test)]
mod tests;
