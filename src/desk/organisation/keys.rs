use super::folder::Folder;
use super::next_list::holds;
use crate::backend::Backend;
use crate::signing;
use crate::stop::Stop;
use crate::terminal;
use netsonde_contract::api::{fleet::ReceiptKey, path};
use netsonde_contract::ticket::Ticket;
use netsonde_contract::trust::PublicKey;

const THEN: &str = "It counts once the root has signed the next list: netsonde-desk org sign-list, then org publish.";

/// Notes a signer for the next list. No key is needed for that.
pub(super) fn add_signer(folder: &Folder, key: &str) -> Result<(), Stop> {
    let key = signing::public_key(key)?;
    let own = folder.open()?;
    let mut next = folder.next_list(Some(&own))?;
    if holds(&next.order.keys, &key) {
        return Err(Stop::failed(format!("{} is a signer already", key.fingerprint())).next("see `netsonde-desk org status`"));
    }
    if holds(&own.anchor.root().keys, &key) {
        return Err(Stop::usage("that is a key of the root, which stays offline and signs no orders")
            .next("make another for daily use: ssh-keygen -t ed25519"));
    }
    next.revoked.retain(|gone| gone.key() != key.key());
    terminal::say(&format!("{} {} is noted as a signer. {THEN}", key.fingerprint(), key.comment()));
    next.order.keys.push(key);
    folder.keep_next_list(&next)
}

/// Takes a signer off the next list, by key, fingerprint or comment, and lists it as revoked unless it is to be forgotten.
pub(super) fn remove_signer(folder: &Folder, wanted: &str, forget: bool) -> Result<(), Stop> {
    let own = folder.open()?;
    let mut next = folder.next_list(Some(&own))?;
    let given = signing::public_key(wanted).ok();
    let fits = |key: &PublicKey| {
        given.as_ref().is_some_and(|given| given.key() == key.key()) || key.fingerprint() == wanted || key.comment() == wanted
    };
    let mut fitting = next.order.keys.iter().filter(|key| fits(key)).cloned();
    let (Some(key), None) = (fitting.next(), fitting.next()) else {
        let known: Vec<String> = next.order.keys.iter().map(|key| format!("{} {}", key.fingerprint(), key.comment())).collect();
        return Err(Stop::usage(format!("not one signer is `{}`", terminal::harmless(wanted)))
            .next(format!("give the fingerprint of one of these: {}", known.join("; "))));
    };
    next.order.keys.retain(|one| one.key() != key.key());
    next.order.threshold = next.order.threshold.min(next.order.keys.len().max(1));
    terminal::say(&format!("{} {} is taken off the next list. {THEN}", key.fingerprint(), key.comment()));
    if !forget {
        next.revoked.push(key);
    }
    folder.keep_next_list(&next)
}

/// Notes the backend's receipt key: from a line, a file or a ticket that was given, else as the backend names it, once a person has compared
/// it with what the backend's own machine says.
pub(super) async fn receipt_key(
    folder: &Folder,
    given: Option<&str>,
    replace: bool,
    yes: bool,
    backend: impl FnOnce() -> Result<Backend, Stop>,
) -> Result<(), Stop> {
    let own = folder.open()?;
    let mut next = folder.next_list(Some(&own))?;
    let key = match given {
        Some(text) => match Ticket::parse(text) {
            Ok(ticket) => PublicKey::new(ticket.receipt_key, "receipts"),
            Err(_) => signing::public_key(text)?,
        },
        None => {
            let answer: ReceiptKey = backend()?.get("asking for the receipt key", path::RECEIPT_KEY).await?;
            answer.key
        }
    };
    if holds(&next.receipt.keys, &key) {
        terminal::say(&format!("The receipt key {} is noted already.", key.fingerprint()));
        return Ok(());
    }
    terminal::say(&format!("The backend's receipt key is {}", key.fingerprint()));
    if !yes && !terminal::confirm("Is that what the backend's own machine says?")? {
        return Err(Stop::failed("the receipt key was not taken").next("find out who answers in the backend's place"));
    }
    if replace {
        next.receipt.keys.clear();
    }
    next.receipt.keys.push(key);
    terminal::say(THEN);
    folder.keep_next_list(&next)
}
