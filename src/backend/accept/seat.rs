use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// What a connection holds of the bounds on connections, until it ends. A request may change it for another: an enrolled agent that waits for work
/// for its whole life takes no place away from strangers.
#[derive(Clone)]
pub(crate) struct Seat {
    held: Arc<Mutex<Box<dyn Any + Send>>>,
    end: CancellationToken,
}

impl Seat {
    /// `end` has the connection finish what runs on it, and take nothing more.
    pub(super) fn of(held: impl Any + Send, end: CancellationToken) -> Self {
        Self { held: Arc::new(Mutex::new(Box::new(held))), end }
    }

    pub(crate) fn end(&self) -> &CancellationToken {
        &self.end
    }

    /// Gives back what was held and holds `next` instead.
    pub(crate) fn change(&self, next: impl Any + Send) {
        let before = std::mem::replace(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner), Box::new(next));
        drop(before);
    }

    /// Whether it holds something of this type.
    pub(crate) fn is<T: Any>(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).is::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[test]
    fn a_changed_seat_gives_the_place_back_at_once() {
        let places = Arc::new(Semaphore::new(1));
        let seat = Seat::of(Arc::clone(&places).try_acquire_owned().unwrap(), CancellationToken::new());
        assert_eq!(places.available_permits(), 0);
        seat.change("another");
        assert_eq!(places.available_permits(), 1);
        assert!(seat.is::<&str>());
    }
}
