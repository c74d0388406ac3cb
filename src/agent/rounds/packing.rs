//! From a scheduled run to a bundle in the spool: with the reason for it, and with what was measured before.

use super::owed::Owing;
use super::running::{Fault, Job};
use crate::audit::Audit;
use crate::bundling::{self, Agreement, Because, Obeyed, Signer};
use crate::changes::Untold;
use crate::history::{Ring, Wanted};
use crate::identity::Home;
use crate::keeping;
use crate::measurement::Measured;
use crate::policy_file;
use crate::spool::{Entry, NotKept};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::terminal;
use jiff::SignedDuration;
use netsonde_contract::agent_config::UploadWhen;
use netsonde_contract::api::health::NumberedChange;
use netsonde_contract::bundle::{Consent, Scheduled, ScheduledFor};
use netsonde_contract::id::BundleId;
use netsonde_contract::redaction::Level;
use std::io;

/// A bundle tells of the day before it; what is older is in this machine's own history.
const BEFORE: SignedDuration = SignedDuration::from_hours(24);

/// Redacts as the policy wants it at least, packs, signs, and puts the bundle into the spool. Holds the state directory's lock from the bundle's
/// number to its place there.
///
/// # Errors
/// Where the disk refuses, the spool is full of what people made, or the bundle would pass its bounds.
pub(super) fn pack(job: &Job, state: &StateDirectory, mut measured: Measured, fault: &Fault) -> Result<Entry, Stop> {
    let why = ScheduledFor::Failing;
    let scheduled = Scheduled { schedule: job.schedule.name.clone(), why, target: fault.target.clone() };
    let disk = |error: io::Error| Stop::usage(format!("no bundle was made: writing to the state directory failed: {error}"));
    let now = measured.clock.wall();
    measured.history = past(job, state, now);
    measured.document.run.case = job.held.as_ref().map(|held| held.order.case.clone());
    // A policy that counts for nothing lets nothing out that it might have kept in.
    let policy = policy_file::load(&job.policy).ok();
    let level = policy.as_ref().map_or(Level::Strict, |policy| policy.redaction);
    let policy_sha256 = policy.as_ref().filter(|policy| !policy.text.is_empty()).map(|policy| policy.sha256());
    let obeyed = job.held.as_deref().zip(policy.as_ref());
    let order = obeyed.map(|(held, policy)| Obeyed { id: &held.order.id, envelope: held.shelved.envelope.as_bytes(), policy });
    let upload = job.schedule.upload;
    let locked = state.lock().map_err(disk)?;
    let signer = Signer { key: state.signing_key()?, sequence: locked.next_number().map_err(disk)? };
    let agreement = Agreement {
        consent: if upload == UploadWhen::Never { Consent::None } else { Consent::Policy },
        ticket: None,
        level,
        order,
        because: Some(Because { scheduled, policy_sha256 }),
        audit_head: Audit::of(state).head().map_err(disk)?,
        server_time: None,
    };
    let (document, packed) = bundling::make(measured, &agreement, &signer, Some(state))?;
    let entry = Entry {
        schedule: Some(job.schedule.name.clone()),
        failure: Some(fault.failure()),
        case: job.held.as_ref().map(|held| held.order.case.clone()),
        upload,
        made: Some(now),
        ..Entry::of(&packed.id, keeping::file_name(&packed, &document), &packed.bytes)
    };
    let not_kept = |error: NotKept| Stop::usage(format!("no bundle was kept: {error}")).next(error.next_step());
    let kept = state.spool().keep(&entry, &packed.bytes, now).map_err(not_kept)?;
    for lost in kept.lost {
        terminal::warn(&format!("netsonde: the bundle {} of {} made room for a newer one", lost.bundle.short(), lost.maker()));
    }
    locked.note_bundle(&packed.id).map_err(disk)?;
    Ok(entry)
}

/// What the schedule measured lately. A history that cannot be read costs the bundle its past and nothing else.
fn past(job: &Job, state: &StateDirectory, now: jiff::Timestamp) -> Option<netsonde_contract::history::History> {
    let wanted = Wanted { since: now.checked_sub(BEFORE).ok(), schedule: Some(job.schedule.name.clone()), check: None };
    match Ring::at(state.path()).read(&wanted) {
        Ok(recorded) => Some(recorded.document()),
        Err(error) => {
            terminal::say(&format!("{}: the bundle has no history: {error}", job.schedule.name));
            None
        }
    }
}

/// Notes which bundle was made of a failure, for the backend to hear, and then that none is owed of it. Whoever dies in between does both when it starts. The
/// caller holds the state directory's lock.
///
/// # Errors
/// Where the disk refuses.
pub(super) fn note_made(state: &StateDirectory, schedule: &str, fault: &Fault, bundle: &BundleId) -> io::Result<()> {
    attach(state, &fault.changes, bundle)?;
    Owing::of(state).made(schedule, fault)
}

/// Notes which bundle tells of these changes, for the backend to hear. The caller holds the state directory's lock.
///
/// # Errors
/// Where the disk refuses.
pub(super) fn attach(state: &StateDirectory, changes: &[NumberedChange], bundle: &BundleId) -> io::Result<()> {
    let identity = if changes.is_empty() { None } else { Home::of(state).identity().ok().flatten() };
    let Some(identity) = identity else { return Ok(()) };
    let mut untold = Untold::load(state, &identity.agent)?;
    untold.attach(changes, bundle);
    untold.save(state)
}
