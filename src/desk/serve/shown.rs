use crate::orders::Prepared;
use netsonde_contract::api::fleet::SubmitOrder;
use netsonde_contract::id::OrderId;
use std::collections::VecDeque;

/// More orders than a person has open in tabs; the oldest goes first.
const MAX_SHOWN: usize = 32;

/// Orders that a page has shown and nobody has signed yet, and those that were signed and did not get through.
#[derive(Default)]
pub(super) struct Shown {
    orders: VecDeque<Prepared>,
    unsent: VecDeque<(OrderId, Box<SubmitOrder>)>,
}

impl Shown {
    pub(super) fn keep(&mut self, prepared: Prepared) {
        if self.orders.len() == MAX_SHOWN {
            self.orders.pop_front();
        }
        self.orders.push_back(prepared);
    }

    /// Each is signed once: a form that is sent again finds nothing.
    pub(super) fn take(&mut self, id: &OrderId) -> Option<Prepared> {
        let place = self.orders.iter().position(|prepared| prepared.order.id == *id)?;
        self.orders.remove(place)
    }

    /// A signed order that the backend has not taken.
    pub(super) fn keep_unsent(&mut self, id: OrderId, order: Box<SubmitOrder>) {
        if self.unsent.len() == MAX_SHOWN {
            self.unsent.pop_front();
        }
        self.unsent.push_back((id, order));
    }

    pub(super) fn take_unsent(&mut self, id: &OrderId) -> Option<Box<SubmitOrder>> {
        let place = self.unsent.iter().position(|(unsent, _)| unsent == id)?;
        self.unsent.remove(place).map(|(_, order)| order)
    }
}
