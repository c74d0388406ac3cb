use crate::context::Context;
use netsonde_contract::failure::Step;
use netsonde_contract::observation::{Fact, Lookup};
use std::ops::{Deref, DerefMut};

/// A lookup that is under way. It is recorded in any case: when it is cut off, as one that had not ended by then.
pub(super) struct Pending<'a> {
    context: &'a Context,
    /// When the lookup began, in microseconds since the run began.
    pub at_us: u64,
    lookup: Lookup,
}

impl<'a> Pending<'a> {
    pub(super) fn new(context: &'a Context, lookup: Lookup) -> Self {
        Self { context, at_us: context.clock.now_us(), lookup }
    }
}

impl Deref for Pending<'_> {
    type Target = Lookup;

    fn deref(&self) -> &Lookup {
        &self.lookup
    }
}

impl DerefMut for Pending<'_> {
    fn deref_mut(&mut self) -> &mut Lookup {
        &mut self.lookup
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.lookup.took_us.is_none() && self.lookup.failure.is_none() {
            self.lookup.failure = Some(self.context.recorder.cut_off(Step::Resolve));
        }
        self.context.recorder.record(self.at_us, Fact::Lookup(self.lookup.clone()));
    }
}
