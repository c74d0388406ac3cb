//! Whether this machine is still the agent that this process works as, and what ends where it is not.

use super::running::EndedBy;
use super::{Daemon, Outbox, RunEvent};
use crate::audit::Entry as Note;
use crate::identity::Home;
use crate::orders::{Book, Record};
use crate::standing::Shelf;
use crate::state::StateDirectory;
use crate::{policy_file, terminal};
use netsonde_contract::api::fleet::DeliveryState;
use netsonde_contract::id::{BundleId, OrderId};
use std::io;

/// A stable code, and one sentence.
const FORGOTTEN: (&str, &str) = ("forgotten", "somebody at the machine ended the enrolment");
const REVOKED: (&str, &str) = ("agent_revoked", "support took this agent off their list");

impl Daemon {
    /// Follows changed keys. An enrolment that was ended, or another one in its place, ends this daemon's work.
    pub(super) fn look_at_identity(&mut self) {
        let home = Home::of(&self.state);
        let identity = match home.identity() {
            Ok(Some(identity)) => identity,
            Ok(None) => return self.is_forgotten = true,
            // What cannot be read today says nothing of the enrolment.
            Err(_) => return,
        };
        let identity = identity.by_policy(policy_file::load(&self.policy_path).ok().as_ref());
        let is_same = identity.is_same_as(&self.identity);
        if is_same && identity.tls_pin == self.identity.tls_pin {
            return;
        }
        if !is_same && !identity.succeeds(&self.identity) {
            return self.is_forgotten = true;
        }
        if let (Ok(client), Ok(key)) = (super::Client::new(&identity, self.clock), self.state.signing_key()) {
            (self.client, self.key, self.identity) = (std::sync::Arc::new(client), key, identity);
        }
    }

    /// Support ended the enrolment. What was ordered is theirs no more to ask for; nobody but the backend says so, which may stop what it likes.
    pub(super) fn revoked(&mut self) {
        let running = self.running.as_mut().map(|run| {
            run.end(EndedBy::Revoked);
            run.id.clone()
        });
        if self.end_orders(running.as_ref(), REVOKED) {
            self.note(Note::new(self.clock.wall(), "agent_revoked").decided("all orders are over"));
            terminal::say("netsonde: support took this agent off their list: all orders are over, schedules of theirs included");
        }
    }

    /// Ends all that was ordered, and drops what is on its way.
    pub(super) async fn leave(&mut self, outbox: &mut Outbox) {
        *outbox = Outbox::default();
        if let Some(run) = &mut self.running {
            run.end(EndedBy::Forgotten);
            let last = loop {
                match run.next().await {
                    RunEvent::Outcome(_) | RunEvent::Answered(_) => {}
                    last => break last,
                }
            };
            self.heard_of_run(last);
        }
        self.end_orders(None, FORGOTTEN);
        terminal::say("netsonde: the enrolment was ended: what was ordered is over, and support is asked for nothing more");
    }

    /// Whether there was anything to end.
    fn end_orders(&mut self, except: Option<&OrderId>, (code, why): (&str, &str)) -> bool {
        let mut any = except.is_some();
        for record in self.book.open_but(except) {
            any = true;
            self.end(&record.id, DeliveryState::Cancelled, code, why);
            if let Some((_, sending)) = self.uploading.take_if(|(sent, _)| *sent == record.id) {
                sending.cancel();
            }
            if let Some(bundle) = &record.bundle {
                self.queue.remove(bundle);
            }
            self.warn(throw_away(&self.state, record.bundle.as_ref()));
        }
        self.warn(clear(&Shelf::of(&self.state)));
        self.reshelved.notify_one();
        any
    }
}

/// Ends all that was ordered where no agent runs that would.
///
/// # Errors
/// Where the state directory cannot be read or written.
pub(crate) fn end_orders_at_rest(state: &StateDirectory) -> io::Result<()> {
    let (code, why) = FORGOTTEN;
    let mut book = Book::open(state)?;
    for record in book.open_but(None) {
        throw_away(state, record.bundle.as_ref())?;
        book.put(Record { bundle: None, ..record }.ended(DeliveryState::Cancelled, Some((code, why))))?;
    }
    clear(&Shelf::of(state))
}

fn throw_away(state: &StateDirectory, bundle: Option<&BundleId>) -> io::Result<()> {
    let Some(bundle) = bundle else { return Ok(()) };
    match state.lock_soon().and_then(|_lock| state.spool().forget(bundle)) {
        // Somebody dropped it by hand, or it has arrived.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn clear(shelf: &Shelf) -> io::Result<()> {
    shelf.all().iter().try_for_each(|shelved| shelf.remove(&shelved.id).map(drop))
}
