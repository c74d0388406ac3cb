use crate::bundling::{self, Agreement, Signer};
use crate::delivery::{self, Route};
use crate::exit::BundleFate;
use crate::interruption::Interruption;
use crate::keeping::{self, Kept};
use crate::measurement::Measured;
use crate::spool::Depth;
use crate::state::{self, Sequence, StateDirectory};
use crate::stop::Stop;
use crate::terminal;
use ed25519_dalek::SigningKey;
use netsonde_contract::bundle::Packed;
use netsonde_contract::document::BundlePlace;
use netsonde_contract::ticket::Ticket;
use std::path::Path;

/// What a measured run becomes: where its bundle goes, and what stays of it.
pub(super) struct Closing<'a> {
    /// None where no directory can be written: then nothing is kept.
    pub(super) state: Option<&'a StateDirectory>,
    /// A file of the person's choice for the bundle.
    pub(super) out: Option<&'a Path>,
    /// Keep the bundle of a ticket after it was delivered.
    pub(super) keep: bool,
    /// The agent's own key; none for a run on a ticket, whose key is made for it.
    pub(super) key: Option<SigningKey>,
    /// The bundle is to be sent, but nobody was there to agree.
    pub(super) unagreed: bool,
}

/// Where the bundle is now, and what did not come true.
pub(super) struct Placed {
    /// None where the bundle is neither kept nor delivered.
    pub(super) place: Option<BundlePlace>,
    pub(super) fate: BundleFate,
}

/// A bundle just made.
struct Made {
    packed: Packed,
    signer: Signer,
    kept: Option<Kept>,
    fate: BundleFate,
}

impl Closing<'_> {
    /// Packs, keeps and, where there is a route, sends the bundle. One that cannot be kept is sent all the same; one that cannot be
    /// sent is kept, and how to send it is said.
    ///
    /// # Errors
    /// Where there is no bundle at all.
    pub(super) async fn close(
        &self,
        measured: Measured,
        agreement: &Agreement<'_>,
        route: Option<&mut Route<'_>>,
        interruption: &Interruption,
    ) -> Result<Placed, Stop> {
        let interrupted = measured.document.run.interrupted;
        let clock = measured.clock;
        let Made { packed, signer, kept, fate } = self.make(measured, agreement)?;
        let path = kept.as_ref().map(|kept| kept.path.clone());
        let unsent = path.as_ref().map(|path| BundlePlace {
            id: packed.id.clone(),
            path: Some(path.display().to_string()),
            case_url: None,
        });
        let Some(ticket) = agreement.ticket else { return Ok(Placed { place: unsent, fate }) };
        let unsent_fate = if unsent.is_some() { BundleFate::NotUploaded } else { BundleFate::NotKept };
        let not_uploaded = Placed { place: unsent.clone(), fate: unsent_fate };
        let route = match route {
            Some(route) if !interrupted => route,
            wanted => {
                say_unsent(ticket, path.as_deref(), interrupted, self.unagreed);
                let was_to_be_sent = wanted.is_some() || self.unagreed;
                return Ok(if was_to_be_sent { not_uploaded } else { Placed { place: unsent, fate } });
            }
        };
        match route.send(&packed, signer.key.verifying_key(), interruption).await {
            Ok(delivered) => {
                terminal::say("Sent; the backend's signed receipt is valid.");
                let put_away = self
                    .state
                    .zip(kept.as_ref())
                    .and_then(|(state, kept)| keeping::settle(&state.spool(), &kept.entry, &delivered, self.keep, clock.wall()));
                if let Some(state) = self.state.filter(|_| !self.keep) {
                    state.remove_if_unused();
                }
                let path = self.out.and(path).or(put_away);
                // A bundle that reached the backend is where it should be, unless a file of it was asked for.
                let fate = if self.out.is_some() || self.keep { fate } else { BundleFate::InPlace };
                Ok(Placed { place: Some(keeping::delivered_place(&packed, &delivered, path)), fate })
            }
            Err(failure) => {
                delivery::say_undelivered(ticket, &failure, path.as_deref());
                Ok(not_uploaded)
            }
        }
    }

    /// Holds the state directory's lock from the bundle's number to its place in the spool.
    fn make(&self, measured: Measured, agreement: &Agreement<'_>) -> Result<Made, Stop> {
        let now = measured.clock.wall();
        let disk = |error: std::io::Error| {
            let place = self.state.map(|state| state.path().display().to_string()).unwrap_or_default();
            Stop::usage(format!("no bundle was made: writing to the state directory {place} failed: {error}"))
                .next("make room on the disk or name another one with --state-dir DIR")
        };
        let locked = self.state.map(StateDirectory::lock).transpose().map_err(disk)?;
        let scan = self.state.map(|state| state.spool().scan(Depth::Entries));
        for damaged in scan.iter().flat_map(|scan| &scan.quarantined) {
            keeping::say_damaged(damaged);
        }
        let signer = match (&self.key, &locked) {
            (Some(key), Some(locked)) => Signer { key: key.clone(), sequence: locked.next_number().map_err(disk)? },
            _ => Signer { key: state::new_signing_key()?, sequence: Sequence { number: 1, previous: None } },
        };
        // A run on a ticket leaves no key behind, so the tokens of its strict redaction are for good.
        let mapping_home = self.state.filter(|_| self.key.is_some() || self.keep);
        let (document, packed) = bundling::make(measured, agreement, &signer, mapping_home)?;
        let (kept, fate) = match keeping::keep(&packed, &document, self.state, self.out, now) {
            Ok(kept) => (kept, BundleFate::InPlace),
            Err(stop) => {
                terminal::say_stop(&stop);
                (None, BundleFate::NotKept)
            }
        };
        if let Some(locked) = locked.filter(|_| self.key.is_some() && kept.is_some()) {
            locked.note_bundle(&packed.id).map_err(disk)?;
        }
        Ok(Made { packed, signer, kept, fate })
    }
}

fn say_unsent(ticket: &Ticket, path: Option<&Path>, interrupted: bool, unagreed: bool) {
    let why = if interrupted {
        "the run was interrupted, so its bundle was not sent"
    } else if unagreed {
        "the bundle was not sent: nobody could be asked here, and neither --yes nor --upload was given"
    } else {
        "the bundle was not sent"
    };
    match path {
        Some(path) => {
            terminal::say(&format!("netsonde: {why}: {}", path.display()));
            terminal::say(&format!("  to send it: {}", delivery::how_to_send(ticket, path)));
        }
        None => terminal::say(&format!("netsonde: {why}, and it is not kept; {}", delivery::RUN_AGAIN)),
    }
}
