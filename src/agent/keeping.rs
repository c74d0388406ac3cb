use crate::spool::{Entry, Spool, Stage};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{disk, terminal, upload};
use netsonde_contract::bundle::Packed;
use netsonde_contract::document::{BundlePlace, Document};
use std::path::{Path, PathBuf};

/// Where a kept bundle lies.
pub(crate) struct Kept {
    /// The file to show and to send: the one asked for, else the one in the spool.
    pub(crate) path: PathBuf,
    pub(crate) entry: Entry,
}

/// Writes the bundle to the spool and, where asked for, to a file of the person's choice.
///
/// # Errors
/// Where the disk refuses. The caller still has the document to show.
pub(crate) fn keep(packed: &Packed, document: &Document, state: &StateDirectory, out: Option<&Path>) -> Result<Kept, Stop> {
    let name = file_name(packed, document);
    let entry = Entry {
        case: document.run.case.clone(),
        ticket: document.run.ticket.clone(),
        ..Entry::of(&packed.id, name, &packed.bytes)
    };
    let spool = state.spool();
    let failed = |what: &Path, error: std::io::Error| {
        Stop::usage(format!("keeping the bundle as {} failed: {error}", what.display()))
            .next("make room on the disk, or choose another place with --out FILE or --state-dir DIR, and run again")
    };
    let spooled = spool.keep(&entry, &packed.bytes).map_err(|error| failed(state.path(), error))?;
    let path = match out {
        Some(out) => {
            disk::replace_file(out, &packed.bytes).map_err(|error| failed(out, error))?;
            out.to_owned()
        }
        None => spooled,
    };
    Ok(Kept { path: std::path::absolute(&path).unwrap_or(path), entry })
}

/// After delivery: a run on a ticket leaves nothing behind, unless it was asked to.
pub(crate) fn settle(spool: &Spool, kept: &Kept, delivered: &upload::Delivered, keep: bool, out: Option<&Path>) -> BundlePlace {
    let id = kept.entry.bundle.clone();
    let settled = if keep { spool.delivered(&id, &delivered.envelope) } else { spool.forget(&id) };
    if let Err(error) = settled {
        terminal::say(&format!("netsonde: the delivered bundle could not be put away: {error}"));
    }
    let path = match out {
        Some(_) => Some(kept.path.clone()),
        None if keep => std::path::absolute(spool.file(Stage::Sent, &kept.entry)).ok(),
        None => None,
    };
    let path = path.map(|path| path.display().to_string());
    BundlePlace { id, path, case_url: delivered.receipt.case_url.clone() }
}

/// What a person recognises: the case or the set, and the bundle's first digits.
fn file_name(packed: &Packed, document: &Document) -> String {
    let about = document.run.case.as_ref().map_or(document.run.set.name.as_str(), |case| case.as_str());
    format!("netsonde-{about}-{}.tar.gz", packed.id.short())
}
