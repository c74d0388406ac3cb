//! From bytes to an acknowledged bundle.
//!
//! The order is the promise. (1) Every byte is verified, the ticket or the agent's order checked and
//! the observations diagnosed again, in memory. (2) The bytes go to the blob
//! store and are on the disk. (3) One transaction uses the ticket and adds the
//! row with its signed receipt; its commit is on the disk. (4) Only then is the
//! receipt given out. A kill before (3) leaves at most a blob that no row names,
//! and a ticket that still works; a kill after it leaves a bundle whose receipt
//! is given to whoever asks again. The work runs in a task of its own, so that a
//! connection that breaks in the middle stops nothing half way.

mod arrivals;
mod order_check;
mod part;
mod scheduled_check;
mod sweep;
mod ticket_check;
mod turns;

pub(crate) use arrivals::Arrivals;
pub(crate) use part::{Part, Progress, append, check_offset, fenced, unknown_upload};
pub(crate) use scheduled_check::check_bounds as check_scheduled_bounds;
pub(crate) use sweep::{sweep_at_start, sweep_stale};
pub(crate) use ticket_check::{check_open, check_proof, status_at, unknown_ticket};
pub(crate) use turns::Turns;

use crate::app::App;
use crate::blobs::Blobs;
use crate::problem::Refused;
use crate::store::{Accepted, BundleRow, Origin, Sender, TicketRow};
use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use netsonde_contract::api::{ProblemCode, path};
use netsonde_contract::audit::Head;
use netsonde_contract::bundle::{self, Bundle};
use netsonde_contract::finding::Diagnosis;
use netsonde_contract::harmless::clean;
use netsonde_contract::id::{AgentId, BundleId, CaseId};
use netsonde_contract::receipt::Receipt;
use std::sync::Arc;

/// This program as it signs what it concluded.
pub(crate) const DIAGNOSED_BY: &str = concat!("netsonde-backend ", env!("CARGO_PKG_VERSION"));

/// Who brings a file.
pub(crate) enum By {
    /// For a ticket, or an agent for an order or of its own schedule.
    Sender(Sender),
    /// An engineer, for this case, or for the one that the file itself proves to belong to.
    Desk(Option<CaseId>),
}

/// A file that somebody brought.
pub(crate) struct Arrival {
    pub(crate) by: By,
    pub(crate) bytes: Bytes,
    /// What an upload said beforehand; a form says nothing.
    pub(crate) announced: Option<Announced>,
}

/// What the beginning of an upload promised of its end.
pub(crate) struct Announced {
    pub(crate) upload: String,
    pub(crate) bundle: BundleId,
    pub(crate) key: VerifyingKey,
}

/// Verifies, stores and acknowledges; or refuses and keeps nothing.
pub(crate) async fn take(app: &Arc<App>, arrival: Arrival) -> Result<BundleRow, Refused> {
    let app = Arc::clone(app);
    let work = app.tasks.spawn(take_whole(Arc::clone(&app), arrival));
    work.await.unwrap_or_else(|error| Err(Refused::internal(error)))
}

async fn take_whole(app: Arc<App>, arrival: Arrival) -> Result<BundleRow, Refused> {
    let Arrival { by, bytes, announced } = arrival;
    let checked = check(&app, bytes.clone()).await?;
    if let Some(announced) = &announced {
        check_announced(&checked.bundle, announced)?;
    }
    let now = app.clock.now();
    let before = app.store.bundle(&checked.bundle.id).await?;
    let belongs = match by_whom(&app, by, &checked.bundle).await? {
        By::Sender(Sender::Ticket(ticket)) => {
            let ticket = app.store.ticket(&ticket).await?.ok_or_else(unknown_ticket)?;
            check_belongs(&app, &checked.bundle, &ticket)?;
            if let Some(before) = before {
                return Ok(before);
            }
            check_open(&ticket, now)?;
            Belongs { origin: Origin::Ticket(ticket.id), case: ticket.case, set: ticket.set }
        }
        By::Sender(Sender::Agent(agent)) => {
            order_check::check_own(&app, &checked.bundle, &agent).await?;
            match (before, &checked.bundle.predicate.scheduled) {
                (Some(before), _) => return Ok(before),
                (None, Some(scheduled)) if checked.bundle.predicate.order.is_none() => {
                    scheduled_check::place(&app, &checked.bundle, scheduled, (&agent, bytes.len() as u64)).await?
                }
                // A schedule that an engineer signed: the order names its case.
                (None, Some(scheduled)) => {
                    let ordered = order_check::check_belongs(&app, &checked.bundle, &agent).await?;
                    scheduled_check::ordered(&app, ordered, scheduled, (&agent, bytes.len() as u64)).await?
                }
                (None, _) => order_check::check_belongs(&app, &checked.bundle, &agent).await?,
            }
        }
        By::Desk(case) => {
            if let Some(before) = before {
                return Ok(before);
            }
            let set = harmless_set(&checked.bundle);
            Belongs { origin: Origin::Brought, case: case.ok_or_else(no_case)?, set }
        }
    };

    let _storing = app.storing.lock().await;
    let audit = app.store.audit_head().await?;
    let row = row(&app, checked, belongs, &bytes, Stamp { now, audit });
    app.blobs.put(&row.file_sha256, bytes).await.map_err(Refused::internal)?;
    match app.store.accept(&row, announced.as_ref().map(|announced| announced.upload.as_str())).await {
        Ok(Accepted::Stored(woken)) => {
            app.presence.ring(&woken);
            tracing::info!(bundle = row.id.short(), case = %row.case, state = ?row.backend.state, bytes = row.size_bytes, "bundle stored");
            Ok(row)
        }
        Ok(Accepted::Already(before)) => {
            // The same bundle with other files withheld is another file.
            if before.file_sha256 != row.file_sha256 {
                app.blobs.remove(&row.file_sha256).await.map_err(Refused::internal)?;
            }
            Ok(*before)
        }
        Ok(Accepted::NotOpen) => {
            app.blobs.remove(&row.file_sha256).await.map_err(Refused::internal)?;
            let Origin::Ticket(ticket) = &row.origin else { return Err(order_check::has_another()) };
            let ticket = app.store.ticket(ticket).await?.ok_or_else(unknown_ticket)?;
            Err(check_open(&ticket, app.clock.now()).err().unwrap_or_else(unknown_ticket))
        }
        // Whether the commit reached the disk is not known here, so the blob stays: the next start sets it aside if no row names it.
        Err(error) => Err(error.into()),
    }
}

/// An engineer who names no case brings the file in the place of whoever could have sent it.
async fn by_whom(app: &App, by: By, bundle: &Bundle) -> Result<By, Refused> {
    let By::Desk(None) = by else { return Ok(by) };
    if let Some(claim) = &bundle.predicate.ticket {
        return Ok(By::Sender(Sender::Ticket(claim.id.clone())));
    }
    let agent = AgentId::of(&bundle.key);
    let is_agents = bundle.predicate.order.is_some() || bundle.predicate.scheduled.is_some();
    let is_known = is_agents && app.store.agent(agent.as_str()).await?.is_some_and(|row| row.id == agent);
    Ok(if is_known { By::Sender(Sender::Agent(agent)) } else { By::Desk(None) })
}

fn no_case() -> Refused {
    Refused::new(ProblemCode::InvalidParameter, "Nothing in the bundle says which case it is for.")
        .next_step("Name the case: netsonde-desk import FILE --case NUMBER.")
}

/// The set's name, which in such a bundle is nobody's word but its maker's.
fn harmless_set(bundle: &Bundle) -> String {
    const MAX_CHARS: usize = 64;
    clean(&bundle.predicate.set.name).chars().take(MAX_CHARS).collect()
}

/// Verifies and diagnoses away from the threads that serve, a few at once and each for a bounded time. The permit goes with the work: what
/// takes too long is refused, and still counts until it has ended.
async fn check(app: &App, bytes: Bytes) -> Result<Checked, Refused> {
    let permit = Arc::clone(&app.verifications).acquire_owned().await.map_err(Refused::internal)?;
    let work = tokio::task::spawn_blocking(move || {
        let checked = Checked::of(&bytes);
        drop(permit);
        checked
    });
    match tokio::time::timeout(app.limits.verification, work).await {
        Ok(checked) => checked.map_err(Refused::internal)?,
        Err(_) => Err(Refused::new(ProblemCode::TooLarge, "The bundle holds so much that it cannot be diagnosed in time.")
            .next_step("Run fewer checks or targets at once; the bundle file can still be sent to support by other means.")),
    }
}

/// A bundle that verified, with what two programs concluded of it.
struct Checked {
    bundle: Bundle,
    agent: Diagnosis,
    backend: Diagnosis,
}

impl Checked {
    fn of(bytes: &[u8]) -> Result<Self, Refused> {
        let bundle = bundle::verify(bytes)?;
        let document = bundle.document()?;
        let backend = netsonde_diagnosis::diagnose(&document.outcomes, &document.environment);
        let agent = Diagnosis {
            state: document.state,
            findings: document.findings,
            unexplained: document.unexplained,
            not_measured: document.not_measured,
        };
        Ok(Self { bundle, agent, backend })
    }
}

fn check_announced(bundle: &Bundle, announced: &Announced) -> Result<(), Refused> {
    if bundle.key != announced.key {
        return Err(Refused::new(ProblemCode::UnknownKey, "The bundle is signed by another key than the upload was begun with.")
            .next_step("Begin the upload with the key that signed the bundle."));
    }
    if bundle.id != announced.bundle {
        return Err(Refused::malformed(format!(
            "The upload was begun for bundle {} and holds bundle {}.",
            announced.bundle.short(),
            bundle.id.short()
        )));
    }
    Ok(())
}

/// Whether the bundle's key was given this ticket, and ran the ticket's set.
fn check_belongs(app: &App, bundle: &Bundle, ticket: &TicketRow) -> Result<(), Refused> {
    let claim = bundle.predicate.ticket.as_ref().ok_or_else(|| {
        Refused::new(ProblemCode::UnknownKey, "The bundle was made without a ticket, so nothing says whose key signed it.")
            .next_step("Run netsonde again with --ticket and send the new bundle.")
    })?;
    if claim.id != ticket.id {
        return Err(Refused::new(ProblemCode::TicketProofInvalid, "The bundle was made for another ticket.")
            .next_step("Send it on the page of the ticket that it was made for."));
    }
    check_proof(app, ticket, &bundle.key, &claim.proof)?;
    let set = &bundle.predicate.set;
    if set.name != ticket.set || set.sha256 != ticket.set_sha256 {
        return Err(Refused::new(
            ProblemCode::TicketWrongSet,
            format!(
                "The ticket asks for the probe set {} and the bundle holds a run of {}, or of another version of it.",
                ticket.set, set.name
            ),
        )
        .next_step("Run netsonde again with --ticket, which runs exactly what was asked for."));
    }
    Ok(())
}

/// What a bundle answers, and so where it goes.
struct Belongs {
    origin: Origin,
    case: CaseId,
    set: String,
}

/// When a bundle was received, and where the audit log stood.
struct Stamp {
    now: jiff::Timestamp,
    audit: Option<Head>,
}

fn row(app: &App, checked: Checked, belongs: Belongs, bytes: &Bytes, stamp: Stamp) -> BundleRow {
    let (Belongs { origin, case, set }, Stamp { now, audit }) = (belongs, stamp);
    let Checked { bundle, agent, backend } = checked;
    let file_sha256 = Blobs::digest(bytes);
    let size_bytes = bytes.len() as u64;
    let receipt = Receipt {
        bundle: bundle.id.clone(),
        file_sha256: file_sha256.clone(),
        size_bytes,
        ticket: origin.ticket().cloned(),
        case: Some(case.clone()),
        received: now,
        case_url: Some(format!("{}{}", app.place.url, path::case_page(&case))),
        audit,
    };
    BundleRow {
        id: bundle.id,
        file_sha256,
        size_bytes,
        key: bundle.key,
        origin,
        case,
        set,
        received: now,
        receipt: receipt.sign(&app.receipt_key).to_json(),
        agent,
        backend,
        diagnosed_by: DIAGNOSED_BY.to_owned(),
    }
}
