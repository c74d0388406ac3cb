use netsonde_contract::id::TicketId;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Which tickets are being sent a file through their page: one at a time each, so that whoever holds one ticket cannot take the place of all
/// others.
#[derive(Clone, Default)]
pub(crate) struct Arrivals {
    tickets: Arc<Mutex<HashSet<TicketId>>>,
}

/// A ticket's place, free again when this is dropped.
pub(crate) struct Place {
    arrivals: Arrivals,
    ticket: TicketId,
}

impl Arrivals {
    /// Nothing where a file for the ticket is arriving already.
    pub(crate) fn begin(&self, ticket: &TicketId) -> Option<Place> {
        let new = self.tickets.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket.clone());
        new.then(|| Place { arrivals: self.clone(), ticket: ticket.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.arrivals.tickets.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_has_one_place_until_it_is_given_back() {
        let (arrivals, one, other) = (Arrivals::default(), TicketId::from_bytes([1; 10]), TicketId::from_bytes([2; 10]));
        let place = arrivals.begin(&one).unwrap();
        assert!(arrivals.begin(&one).is_none());
        assert!(arrivals.begin(&other).is_some());
        drop(place);
        assert!(arrivals.begin(&one).is_some());
    }
}
