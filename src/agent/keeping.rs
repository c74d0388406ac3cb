use crate::spool::{Entry, Quarantined, Spool, Stage};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{disk, terminal, upload};
use jiff::Timestamp;
use netsonde_contract::bundle::Packed;
use netsonde_contract::document::{BundlePlace, Document};
use std::path::{Path, PathBuf};

/// Where a kept bundle lies.
pub(crate) struct Kept {
    /// The file to show and to send: the one asked for, else the one in the spool.
    pub(crate) path: PathBuf,
    pub(crate) entry: Entry,
}

/// Writes the bundle to the spool, where there is one, and to a file of the person's choice, where asked for. Without either there is
/// no place for it.
///
/// # Errors
/// Where the disk refuses. The caller still has the bundle to send and the document to show.
pub(crate) fn keep(
    packed: &Packed,
    document: &Document,
    state: Option<&StateDirectory>,
    out: Option<&Path>,
    now: Timestamp,
) -> Result<Option<Kept>, Stop> {
    let name = file_name(packed, document);
    let entry = Entry {
        case: document.run.case.clone(),
        ticket: document.run.ticket.clone(),
        made: Some(now),
        ..Entry::of(&packed.id, name, &packed.bytes)
    };
    let failed = |what: &Path, error: std::io::Error| {
        Stop::usage(format!("the bundle is not kept: writing it to {} failed: {error}", what.display()))
            .next("make room on the disk, or choose another place with --out FILE or --state-dir DIR, and run again")
    };
    let spooled = state.map(|state| spool(state, &entry, &packed.bytes, now)).transpose();
    // A spool that cannot be written is no reason not to write the file that was asked for.
    let written = out.map(|out| disk::replace_file(out, &packed.bytes).map_err(|error| failed(out, error))).transpose()?;
    let path = match written.and(out) {
        Some(out) => {
            if let Err(stop) = spooled {
                terminal::say_stop(&stop);
            }
            Some(out.to_owned())
        }
        None => spooled?,
    };
    Ok(path.map(|path| Kept { path: std::path::absolute(&path).unwrap_or(path), entry }))
}

/// Into the spool, with what had to go for it said.
fn spool(state: &StateDirectory, entry: &Entry, bytes: &[u8], now: Timestamp) -> Result<PathBuf, Stop> {
    let kept = state.spool().keep(entry, bytes, now).map_err(|error| {
        Stop::usage(format!("the bundle is not kept: writing it to {} failed: {error}", state.path().display()))
            .next(error.next_step())
    })?;
    for lost in kept.lost {
        terminal::say(&format!(
            "netsonde: the old bundle {}, which {} made, was removed to make room for new ones",
            lost.file,
            lost.maker()
        ));
    }
    Ok(kept.file)
}

/// After delivery: a run on a ticket leaves nothing behind, unless it was asked to.
pub(crate) fn settle(spool: &Spool, entry: &Entry, delivered: &upload::Delivered, keep: bool, now: Timestamp) -> Option<PathBuf> {
    let settled = if keep { spool.delivered(entry, &delivered.envelope, now) } else { spool.forget(&entry.bundle) };
    match settled {
        Ok(()) if keep => std::path::absolute(spool.file(Stage::Sent, entry)).ok(),
        Ok(()) => None,
        Err(error) => {
            terminal::say(&format!("netsonde: the delivered bundle could not be put away: {error}"));
            None
        }
    }
}

pub(crate) fn say_damaged(damaged: &Quarantined) {
    terminal::say(&format!("netsonde: a damaged bundle was put aside as {}: {}", damaged.aside.display(), damaged.reason));
}

/// The place of a delivered bundle.
pub(crate) fn delivered_place(packed: &Packed, delivered: &upload::Delivered, path: Option<PathBuf>) -> BundlePlace {
    let path = path.map(|path| path.display().to_string());
    BundlePlace { id: packed.id.clone(), path, case_url: delivered.receipt.case_url.clone() }
}

/// What a person recognises: the case or the set, and the bundle's first digits.
pub(crate) fn file_name(packed: &Packed, document: &Document) -> String {
    let about = document.run.case.as_ref().map_or(document.run.set.name.as_str(), |case| case.as_str());
    format!("netsonde-{about}-{}.tar.gz", packed.id.short())
}
