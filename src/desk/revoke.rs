use crate::arguments::Format;
use crate::backend::Backend;
use crate::stop::Stop;
use crate::terminal;
use netsonde_contract::api::{TicketState, TicketStateName, path};
use netsonde_contract::id::TicketId;
use netsonde_contract::ticket::Ticket;
use serde_json::json;

/// Takes a ticket back. Saying that one already used is revoked would be false, so the backend is asked what became of it.
pub(crate) async fn revoke(backend: &Backend, id: &str, format: Format) -> Result<(), Stop> {
    let id = id_of(id)?;
    backend.delete("revoking the ticket", &path::ticket(&id)).await?;
    let ticket: TicketState = backend.get("asking for the ticket's state", &path::ticket_state(&id)).await?;
    let said = match ticket.state {
        TicketStateName::Revoked => "is revoked: the customer's command no longer works",
        TicketStateName::Used => "had been used already: its bundle is in the case",
        TicketStateName::Expired => "had expired already",
        TicketStateName::Open => {
            return Err(Stop::failed(format!("the backend took the request, but ticket {id} is still open"))
                .next("try again; if it stays open, tell whoever runs the support backend"));
        }
    };
    match format {
        Format::Json => terminal::output(&Format::json(&json!({"id": id, "state": ticket.state, "case": ticket.case}))?),
        Format::Human => terminal::output(&format!("Ticket {id} of case {} {said}.\n", terminal::harmless(ticket.case.as_str()))),
    }
}

/// A ticket's id, or that of a whole ticket string, which people have at hand as well.
fn id_of(text: &str) -> Result<TicketId, Stop> {
    TicketId::parse(text).or_else(|| Ticket::parse(text).ok().map(|ticket| ticket.id)).ok_or_else(|| {
        Stop::usage(format!("`{}` is no ticket's id", terminal::harmless(text)))
            .next("copy the 16 letters and digits that `netsonde-desk show CASE` lists")
    })
}

#[cfg(test)]
mod tests {
    use super::id_of;

    #[test]
    fn only_an_id_goes_into_the_path() {
        assert!(id_of("aaaaaaaaaaaaaaaa").is_ok());
        for wrong in ["", "../cases", "AAAAAAAAAAAAAAAA", "aaaaaaaaaaaaaaa?"] {
            assert!(id_of(wrong).is_err(), "{wrong}");
        }
    }
}
