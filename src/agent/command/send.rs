use super::state_option::StateOption;
use crate::delivery::{self, Route};
use crate::interruption::Interruption;
use crate::keeping;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, terminal, ticket};
use clap::Args;
use netsonde_contract::bundle::{Bundle, Packed};
use netsonde_contract::harmless::clean;
use netsonde_contract::ticket::Ticket;
use netsonde_probes::clock::Clock;
use netsonde_probes::context::ProxyChoice;
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  netsonde bundle send netsonde-4711-0123456789ab.tar.gz --ticket -      asks for the ticket\n  netsonde bundle send b.tar.gz --ticket nst1_… --yes                    where nobody can be asked"
)]
pub(super) struct SendCommand {
    /// The bundle's file.
    file: PathBuf,
    #[command(flatten)]
    how: SendHow,
}

/// With what a bundle is sent.
#[derive(Args)]
pub(super) struct SendHow {
    /// The ticket that the bundle was made for, or `-` to be asked for it (or read it from standard input). A schedule's bundle needs none.
    #[arg(long, value_name = "nst1_…|-")]
    pub(super) ticket: Option<String>,
    /// Agree to the sending without being asked.
    #[arg(long, short)]
    yes: bool,
    /// Keep the bundle on this machine after it was delivered.
    #[arg(long)]
    keep: bool,
    /// Send through this proxy, or `none` for directly; otherwise HTTPS_PROXY and NO_PROXY count.
    #[arg(long, value_name = "URL|none", value_parser = super::measuring::parse_proxy)]
    proxy: Option<ProxyChoice>,
    #[command(flatten)]
    pub(super) state: StateOption,
}

impl SendCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        self.how.send_file(&self.file)
    }
}

impl SendHow {
    /// Sends a bundle's file, once somebody agreed.
    pub(super) fn send_file(&self, file: &Path) -> Result<u8, Stop> {
        let (bytes, bundle) = super::bundle::open(file)?;
        let ticket = self.ticket.as_deref().ok_or_else(|| {
            Stop::usage("nobody said for which ticket the bundle is to be sent")
                .next("give the one that it was made for with --ticket -")
        })?;
        let ticket = ticket::read(ticket)?;
        refuse_another(&bundle, &ticket, file)?;
        terminal::say(&describe(&bundle, &ticket, bytes.len()));
        self.agree()?;
        super::block_on(self.send(file, Packed { id: bundle.id.clone(), bytes }, &bundle, &ticket))
    }

    /// Somebody says yes to the sending.
    ///
    /// # Errors
    /// Where they do not, or nobody can be asked.
    pub(super) fn agree(&self) -> Result<(), Stop> {
        if self.yes {
            return Ok(());
        }
        if !terminal::can_ask() {
            return Err(Stop::usage("nobody can be asked here whether to send the bundle; nothing was sent")
                .next("agree on the command line with --yes"));
        }
        if terminal::ask("Send it?", true) { Ok(()) } else { Err(Stop::refused("nothing was sent")) }
    }

    async fn send(&self, file: &Path, packed: Packed, bundle: &Bundle, ticket: &Ticket) -> Result<u8, Stop> {
        let interruption = Interruption::listen();
        let proxy = self.proxy.clone().unwrap_or_default();
        match Route::straight(ticket, &proxy).send(&packed, bundle.key, &interruption).await {
            Ok(delivered) => {
                terminal::say("Sent; the backend's signed receipt is valid.");
                if let Some(url) = &delivered.receipt.case_url {
                    terminal::say(&format!("  support reads it at {url}"));
                }
                self.put_away(&packed, &delivered)?;
                Ok(exit::AS_EXPECTED)
            }
            Err(failure) => {
                let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
                delivery::say_undelivered(ticket, &failure, Some(&path));
                Ok(exit::NOT_UPLOADED)
            }
        }
    }

    /// The agent's own copy goes, as it does after a run that could send at once. A file that a person put elsewhere is theirs.
    fn put_away(&self, packed: &Packed, delivered: &crate::upload::Delivered) -> Result<(), Stop> {
        let Some(state) = StateDirectory::existing(self.state.path()) else { return Ok(()) };
        let busy = |error: std::io::Error| {
            Stop::usage(format!("the bundle was sent, but the copy in {} stays: {error}", state.path().display()))
        };
        let locked = state.lock().map_err(busy)?;
        if let Some(entry) = state.spool().find_ready(&packed.id) {
            keeping::settle(&state.spool(), &entry, delivered, self.keep, Clock::start().wall());
        }
        drop(locked);
        if !self.keep {
            state.remove_if_unused();
        }
        Ok(())
    }
}

/// The bundle's manifest, which is signed, proves one ticket; the backend takes it for no other.
fn refuse_another(bundle: &Bundle, ticket: &Ticket, file: &Path) -> Result<(), Stop> {
    match &bundle.predicate.ticket {
        Some(made_for) if made_for.id == ticket.id => Ok(()),
        Some(made_for) => Err(Stop::usage(format!(
            "{} was made for the ticket {}, not for {}",
            file.display(),
            clean(made_for.id.as_str()),
            ticket.id
        ))
        .next("give the ticket that it was made for, or run the new one: netsonde run --ticket -")),
        None => Err(Stop::usage(format!("{} was made without a ticket, so the backend cannot tell whose it is", file.display()))
            .next("hand the file to support in the way you usually do, or run what their ticket says: netsonde run --ticket -")),
    }
}

fn describe(bundle: &Bundle, ticket: &Ticket, bytes: usize) -> String {
    let level = bundle.predicate.redaction.level.name();
    let set = &bundle.predicate.set;
    format!(
        "Bundle {} ({} kB)\n  case      {}\n  measured  {}, probe set {}\n  redacted  {level}\n  goes to   {}",
        bundle.id.short(),
        bytes.div_ceil(1000),
        ticket.case,
        bundle.predicate.clocks.began,
        clean(&set.name),
        ticket.backend
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundling::tests::packed_bytes;
    use crate::ticket::tests::sample;
    use ed25519_dalek::SigningKey;
    use netsonde_contract::bundle::TicketProof;
    use netsonde_contract::id::TicketId;

    #[test]
    fn a_bundle_is_sent_only_with_the_ticket_it_was_made_for() {
        let ticket = sample(&SigningKey::from_bytes(&[1; 32]));
        let mut bundle = netsonde_contract::bundle::verify(&packed_bytes()).unwrap();
        let refused = |bundle: &Bundle| refuse_another(bundle, &ticket, Path::new("b.tar.gz")).err();
        assert!(refused(&bundle).unwrap().message.contains("without a ticket"));
        bundle.predicate.ticket = Some(TicketProof { id: TicketId::from_bytes([8; 10]), proof: String::new() });
        assert!(refused(&bundle).unwrap().message.contains("was made for the ticket"));
        bundle.predicate.ticket = Some(TicketProof { id: ticket.id.clone(), proof: String::new() });
        assert_eq!(refused(&bundle), None);
    }
}
