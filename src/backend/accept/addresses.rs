use crate::source::subscriber;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// How many connections each address has, so that none takes them all.
#[derive(Clone)]
pub(super) struct Addresses {
    most: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of an address, until this is dropped.
pub(super) struct Place {
    addresses: Addresses,
    source: IpAddr,
}

impl Addresses {
    pub(super) fn of_at_most(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// Nothing where the address has as many as it may.
    pub(super) fn begin(&self, source: IpAddr) -> Option<Place> {
        let source = subscriber(source);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(source).or_insert(0);
        (*count < self.most).then(|| {
            *count += 1;
            Place { addresses: self.clone(), source }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_others_have_theirs() {
        let addresses = Addresses::of_at_most(2);
        let begin = |text: &str| addresses.begin(text.parse().unwrap());
        let held = [begin("2001:db8::1"), begin("2001:db8::2")];
        assert!(held.iter().all(Option::is_some) && begin("2001:db8::3").is_none());
        assert!(begin("192.0.2.1").is_some());
        drop(held);
        assert!(begin("2001:db8::3").is_some());
        assert!(addresses.open.lock().unwrap().is_empty(), "nothing is remembered of who has gone");
    }
}
