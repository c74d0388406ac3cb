use crate::clock::Clock;
use crate::context::{Context, Recorder};
use netsonde_contract::failure::{Failure, Step};
use netsonde_contract::observation::{Exchange, Fact, Handshake};
use std::ops::{Deref, DerefMut};

/// A fact in the making. It is recorded when it is finished; where the probe is dropped in the middle of it, by the check's
/// deadline or an interruption, it is recorded as far as it got.
pub(crate) struct Draft<T: Drafted> {
    recorder: Recorder,
    clock: Clock,
    began_us: u64,
    open: bool,
    /// What is being done, for the failure of a draft that is cut off.
    pub(crate) step: Step,
    fact: T,
}

/// A fact that can be cut off.
pub(crate) trait Drafted: Clone {
    /// Notes that it was cut off, `after_us` after the fact's measuring began.
    fn cut_off(&mut self, failure: Failure, after_us: u64);
    fn into_fact(self) -> Fact;
}

impl<T: Drafted> Draft<T> {
    pub(crate) fn begin(context: &Context, step: Step, fact: T) -> Self {
        Self {
            recorder: context.recorder.clone(),
            clock: context.clock,
            began_us: context.clock.now_us(),
            open: true,
            step,
            fact,
        }
    }

    /// Records the fact as it is.
    pub(crate) fn finish(mut self) -> T {
        self.open = false;
        self.recorder.record(self.began_us, self.fact.clone().into_fact());
        self.fact.clone()
    }
}

impl<T: Drafted> Deref for Draft<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.fact
    }
}

impl<T: Drafted> DerefMut for Draft<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.fact
    }
}

impl<T: Drafted> Drop for Draft<T> {
    fn drop(&mut self) {
        if self.open {
            let failure = self.recorder.cut_off(self.step);
            self.fact.cut_off(failure, self.clock.now_us().saturating_sub(self.began_us));
            self.recorder.record(self.began_us, self.fact.clone().into_fact());
        }
    }
}

impl Drafted for Handshake {
    fn cut_off(&mut self, failure: Failure, after_us: u64) {
        match failure.during {
            Step::Connect => self.connect_us = after_us,
            _ => self.took_us = after_us.saturating_sub(self.connect_us),
        }
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::Handshake(Box::new(self))
    }
}

impl Drafted for Exchange {
    fn cut_off(&mut self, failure: Failure, _after_us: u64) {
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::Exchange(Box::new(self))
    }
}
