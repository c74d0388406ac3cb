use crate::app::App;
use crate::problem::Refused;
use crate::store::{TicketRow, TicketStatus};
use ed25519_dalek::VerifyingKey;
use jiff::Timestamp;
use netsonde_contract::api::{Problem, ProblemCode, TicketStateName};

/// What a ticket is at `now`. What it became stays, even where its time is over too.
pub(crate) fn status_at(ticket: &TicketRow, now: Timestamp) -> TicketStateName {
    match ticket.status {
        TicketStatus::Used { .. } => TicketStateName::Used,
        TicketStatus::Revoked => TicketStateName::Revoked,
        TicketStatus::Open if ticket.expires <= now => TicketStateName::Expired,
        TicketStatus::Open => TicketStateName::Open,
    }
}

/// # Errors
/// Where the ticket is used, revoked or expired.
pub(crate) fn check_open(ticket: &TicketRow, now: Timestamp) -> Result<(), Refused> {
    let (code, detail) = match status_at(ticket, now) {
        TicketStateName::Open => return Ok(()),
        TicketStateName::Used => (ProblemCode::TicketUsed, "A bundle was already received for this ticket.".to_owned()),
        TicketStateName::Revoked => (ProblemCode::TicketRevoked, "Support revoked this ticket.".to_owned()),
        TicketStateName::Expired => (ProblemCode::TicketExpired, format!("This ticket was valid until {}.", ticket.expires)),
    };
    let problem = Problem::new(code, detail)
        .with_next_step("Ask support for a new ticket; the bundle file stays good and can be sent to them by any means.");
    Err(Problem { server_time: Some(now), ..problem }.into())
}

/// # Errors
/// Where the proof does not show that whoever holds `key` was given the ticket.
pub(crate) fn check_proof(app: &App, ticket: &TicketRow, key: &VerifyingKey, proof: &str) -> Result<(), Refused> {
    if ticket.proof_key.verify(&ticket.id, key, &app.receipt_key.verifying_key(), proof) {
        return Ok(());
    }
    Err(Refused::new(ProblemCode::TicketProofInvalid, "The proof does not show that the sender was given this ticket.")
        .next_step("Paste the whole ticket from support's message and run netsonde again."))
}

pub(crate) fn unknown_ticket() -> Refused {
    Refused::new(ProblemCode::TicketUnknown, "This backend has issued no such ticket.")
        .next_step("Check that the whole ticket was pasted, or ask support for a new one.")
}
