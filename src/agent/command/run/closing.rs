use crate::bundling::{self, Agreement, Signer};
use crate::delivery::{self, Route};
use crate::interruption::Interruption;
use crate::keeping::{self, Kept};
use crate::measurement::Measured;
use crate::state::{self, Sequence, StateDirectory};
use crate::stop::Stop;
use crate::terminal;
use netsonde_contract::bundle::Packed;
use netsonde_contract::document::BundlePlace;
use netsonde_contract::ticket::Ticket;
use std::path::Path;

/// What a measured run becomes: where its bundle goes, and what stays of it.
pub(super) struct Closing<'a> {
    pub(super) state: &'a StateDirectory,
    /// A file of the person's choice for the bundle.
    pub(super) out: Option<&'a Path>,
    /// Keep the bundle of a ticket after it was delivered.
    pub(super) keep: bool,
}

/// Where the bundle is now, and whether it should be elsewhere.
pub(super) struct Placed {
    pub(super) place: BundlePlace,
    pub(super) not_uploaded: bool,
}

impl Closing<'_> {
    /// Packs, keeps and, where there is a route, sends the bundle. Only the packing and keeping can fail; a bundle that cannot be sent
    /// is kept, and how to send it is said.
    pub(super) async fn close(
        &self,
        measured: Measured,
        agreement: &Agreement<'_>,
        route: Option<&mut Route<'_>>,
        interruption: &Interruption,
    ) -> Result<Placed, Stop> {
        let interrupted = measured.document.run.interrupted;
        let (packed, signer, kept) = self.pack_and_keep(measured, agreement)?;
        let path = kept.path.display().to_string();
        let unsent = BundlePlace { id: packed.id.clone(), path: Some(path.clone()), case_url: None };
        let Some(ticket) = agreement.ticket else { return Ok(Placed { place: unsent, not_uploaded: false }) };
        let route = match route {
            Some(route) if !interrupted => route,
            wanted => {
                say_unsent(ticket, &path, interrupted);
                return Ok(Placed { place: unsent, not_uploaded: wanted.is_some() });
            }
        };
        match route.send(&packed, signer.key.verifying_key(), interruption).await {
            Ok(delivered) => {
                terminal::say("Sent; the backend's signed receipt is valid.");
                let place = keeping::settle(&self.state.spool(), &kept, &delivered, self.keep, self.out);
                if !self.keep {
                    self.state.remove_if_unused();
                }
                Ok(Placed { place, not_uploaded: false })
            }
            Err(failure) => {
                delivery::say_undelivered(ticket, &failure, &kept.path);
                Ok(Placed { place: unsent, not_uploaded: true })
            }
        }
    }

    /// Holds the state directory's lock from the bundle's number to its place in the spool.
    fn pack_and_keep(&self, measured: Measured, agreement: &Agreement<'_>) -> Result<(Packed, Signer, Kept), Stop> {
        let disk = |error: std::io::Error| {
            Stop::usage(format!("writing to the state directory {} failed: {error}", self.state.path().display()))
                .next("make room on the disk or name another one with --state-dir DIR")
        };
        let locked = self.state.lock().map_err(disk)?;
        for (aside, reason) in self.state.spool().scan().quarantined {
            terminal::say(&format!("netsonde: a damaged bundle was put aside as {}: {reason}", aside.display()));
        }
        let own_key = agreement.ticket.is_none();
        let signer = if own_key {
            Signer { key: self.state.signing_key()?, sequence: locked.next_number().map_err(disk)? }
        } else {
            Signer { key: state::new_signing_key()?, sequence: Sequence { number: 1, previous: None } }
        };
        // A run on a ticket leaves no key behind, so the tokens of its strict redaction are for good.
        let keeps_keys = own_key || self.keep;
        let (document, packed) = bundling::make(measured, agreement, &signer, keeps_keys.then_some(self.state))?;
        let kept = keeping::keep(&packed, &document, self.state, self.out)?;
        if own_key {
            locked.note_bundle(&packed.id).map_err(disk)?;
        }
        Ok((packed, signer, kept))
    }
}

fn say_unsent(ticket: &Ticket, path: &str, interrupted: bool) {
    let why = if interrupted { "the run was interrupted, so its bundle was not sent" } else { "the bundle was not sent" };
    terminal::say(&format!("netsonde: {why}: {path}"));
    terminal::say(&format!("  to send it: {}", delivery::how_to_send(ticket)));
}
