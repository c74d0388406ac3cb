//! The way to the backend that a ticket names: asked about the ticket before the run, and sent the bundle after it.

use crate::interruption::Interruption;
use crate::stop::Stop;
use crate::terminal;
use crate::upload::{self, Backend, Errand, Failure, NoAnswer, NotDelivered, Pace, Parcel, TlsTrust};
use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use netsonde_contract::api::{self, ProblemCode, TicketStateName};
use netsonde_contract::bundle::Packed;
use netsonde_contract::ticket::Ticket;
use netsonde_probes::context::ProxyChoice;
use std::path::Path;

/// The way to the backend, as far as it is known before the bundle is there.
pub(crate) struct Route<'a> {
    pub(crate) ticket: &'a Ticket,
    pub(crate) proxy: &'a ProxyChoice,
    trust: Option<TlsTrust>,
    /// The backend's clock, where it was heard.
    pub(crate) server_time: Option<jiff::Timestamp>,
}

impl<'a> Route<'a> {
    /// The way of a bundle that is there already. The backend is not asked about the ticket first: where an earlier receipt was lost on
    /// its way, the ticket is used, and the backend gives the same receipt once more.
    pub(crate) fn straight(ticket: &'a Ticket, proxy: &'a ProxyChoice) -> Self {
        Self { ticket, proxy, trust: Some(TlsTrust::Ticket), server_time: None }
    }

    /// Asks the backend, before anything is measured, whether the ticket is still good. A backend that cannot be reached is told of
    /// and no error: the machine that cannot reach it is the very one to measure.
    ///
    /// # Errors
    /// Where the backend says that the ticket is used, expired or revoked.
    pub(crate) async fn explore(ticket: &'a Ticket, proxy: &'a ProxyChoice) -> Result<Self, Stop> {
        let mut route = Self::straight(ticket, proxy);
        loop {
            let Some(trust) = route.trust else { return Ok(route) };
            let backend = Backend::new(ticket, trust, proxy).map_err(Stop::usage)?;
            match backend.ticket_state(&ticket.id).await {
                Ok(Ok(state)) => {
                    route.server_time = Some(state.server_time);
                    return refuse_spent(state.state).map(|()| route);
                }
                Ok(Err(problem)) => {
                    let stop = Stop::usage(format!("the backend {} does not take this ticket: {problem}", ticket.backend));
                    return Err(stop.next(problem.next_step.unwrap_or_else(|| NEW_TICKET.to_owned())));
                }
                Err(NoAnswer::PinMismatch) => route.ask_for_trust(),
                Err(NoAnswer::Unreachable(reason) | NoAnswer::Cut(reason)) => {
                    terminal::say(&format!(
                        "netsonde: the backend {} cannot be reached now ({reason}); measuring all the same",
                        ticket.backend
                    ));
                    return Ok(route);
                }
            }
        }
    }

    /// The server's key is not the one in the ticket. With a person there it is asked whether the platform's trust will do; without
    /// one nothing is sent.
    fn ask_for_trust(&mut self) {
        if self.trust == Some(TlsTrust::Platform) {
            terminal::say(
                "netsonde: this machine does not trust the server's certificate either; the bundle will be kept, not sent",
            );
            self.trust = None;
            return;
        }
        if self.ticket.tls_pin.is_none() {
            terminal::say(&format!(
                "netsonde: this machine does not trust the certificate of the server that answers for {}; the bundle will be kept, not sent",
                self.ticket.backend
            ));
            self.trust = None;
            return;
        }
        terminal::say(&format!(
            "netsonde: warning: the server that answers for {} does not have the key that the ticket names.\n  Something on the way, such as an inspecting proxy, opens the connection and could read the bundle. It could not change it, nor forge a receipt.",
            self.ticket.backend
        ));
        let agreed = terminal::ask("Send the bundle all the same, if this machine trusts that server?", false);
        self.trust = agreed.then_some(TlsTrust::Platform);
        if !agreed {
            terminal::say("netsonde: the bundle will be kept, not sent");
        }
    }

    /// Sends the bundle; asks again where TLS turned out not to be the ticket's only now.
    pub(crate) async fn send(
        &mut self,
        packed: &Packed,
        key: VerifyingKey,
        interruption: &Interruption,
    ) -> Result<upload::Delivered, Failure> {
        let parcel =
            Parcel { errand: Errand::Ticket(self.ticket), bundle: &packed.id, bytes: Bytes::from(packed.bytes.clone()), key };
        if self.trust.is_some() {
            terminal::say(&format!("Sending {} kB to {} …", packed.bytes.len().div_ceil(1000), self.ticket.backend));
        }
        loop {
            let Some(trust) = self.trust else {
                return Err(Failure::Untrusted);
            };
            let backend = Backend::new(self.ticket, trust, self.proxy).map_err(Failure::Unreachable)?;
            match upload::send(&backend, &parcel, &Pace::FREE, interruption).await {
                Ok(delivered) => return Ok(delivered),
                Err(NotDelivered::Failed(failure)) => return Err(failure),
                Err(NotDelivered::PinMismatch) => self.ask_for_trust(),
            }
        }
    }
}

const NEW_TICKET: &str = "ask support for a new ticket; --no-upload measures without sending";

fn refuse_spent(state: TicketStateName) -> Result<(), Stop> {
    let (why, code) = match state {
        TicketStateName::Open => return Ok(()),
        TicketStateName::Used => ("it was used already, and works once", ProblemCode::TicketUsed),
        TicketStateName::Revoked => ("support took it back", ProblemCode::TicketRevoked),
        TicketStateName::Expired => ("it has expired, by the backend's clock", ProblemCode::TicketExpired),
    };
    Err(Stop::usage(format!("the ticket cannot be used: {why}; nothing was measured ({code})")).next(NEW_TICKET))
}

/// Says why a bundle was not delivered, where it is, and how to send it.
pub(crate) fn say_undelivered(ticket: &Ticket, failure: &Failure, path: Option<&Path>) {
    terminal::say(&format!("netsonde: sending the bundle to {} failed: {}", ticket.backend, why(ticket, failure)));
    if let Failure::Refused(problem) = failure
        && let Some(next) = &problem.next_step
    {
        terminal::say(&format!("  the backend says: {next}"));
    }
    match path {
        Some(path) => {
            terminal::say(&format!("  the bundle is kept: {}", path.display()));
            terminal::say(&format!("  next: {}", how_to_send(ticket, path)));
        }
        None => terminal::say(&format!("  the bundle is not kept\n  next: {RUN_AGAIN}")),
    }
}

/// What is left to do about a bundle that is neither sent nor kept.
pub(crate) const RUN_AGAIN: &str = "run again with --out FILE, which keeps it there";

/// A ticket without a pin names no key; then it is the certificate that this machine does not trust.
fn why(ticket: &Ticket, failure: &Failure) -> String {
    match failure {
        Failure::Untrusted if ticket.tls_pin.is_none() => {
            "this machine does not trust the certificate of the server that answers there".to_owned()
        }
        failure => failure.to_string(),
    }
}

/// The same way once more, or the ticket's page, which takes the file from any browser, also on another machine. The ticket itself is
/// not repeated: what is said here ends up in logs.
pub(crate) fn how_to_send(ticket: &Ticket, path: &Path) -> String {
    format!(
        "netsonde bundle send {} --ticket -   (asks for the ticket)\n  or: open {}{} in a browser, on this or another machine, and choose the file there",
        quoted(path),
        ticket.backend,
        api::path::ticket_page(&ticket.id)
    )
}

/// The path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/\\:._-+".contains(c);
    if path.chars().all(plain) { path } else { format!("\"{path}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_without_a_pin_names_no_key_that_a_server_could_lack() {
        let sample = crate::ticket::tests::sample(&ed25519_dalek::SigningKey::from_bytes(&[1; 32]));
        let unpinned = Ticket { tls_pin: None, ..sample };
        assert!(why(&unpinned, &Failure::Untrusted).contains("does not trust the certificate"));
        let pin = netsonde_contract::pin::Pin::of_public_key_info(b"a key");
        let pinned = Ticket { tls_pin: Some(pin), ..unpinned };
        assert!(why(&pinned, &Failure::Untrusted).contains("the key that the ticket names"));
    }

    #[test]
    fn a_spent_ticket_stops_the_run_before_it_measures() {
        assert_eq!(refuse_spent(TicketStateName::Open), Ok(()));
        for state in [TicketStateName::Used, TicketStateName::Revoked, TicketStateName::Expired] {
            let stop = refuse_spent(state).unwrap_err();
            assert_eq!(stop.exit, crate::exit::USAGE);
            assert!(stop.next.is_some());
        }
    }
}
