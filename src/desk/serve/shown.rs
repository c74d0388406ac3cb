use crate::orders::Prepared;
use netsonde_contract::id::OrderId;
use std::collections::VecDeque;

/// More orders than a person has open in tabs; the oldest goes first.
const MAX_SHOWN: usize = 32;

/// Orders that a page has shown and nobody has signed yet.
#[derive(Default)]
pub(super) struct Shown {
    orders: VecDeque<Prepared>,
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
}
