use super::folder::{Folder, Organisation, Published};
use super::next_list::{NextList, holds};
use crate::arguments::Format;
use crate::stop::Stop;
use crate::{clock, table, terminal};
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::order::AGENTS_OF_ONE_SIGNATURE;
use netsonde_contract::trust::{PublicKey, TrustError};
use serde_json::json;

/// Two weeks are enough to find the people who hold the root.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Who counts, until when, and what wants doing.
pub(super) fn status(folder: &Folder, format: Format) -> Result<(), Stop> {
    let own = folder.open()?;
    let next = folder.next_list(Some(&own))?;
    let warnings = warnings(folder, &own, &next, clock::now());
    if format == Format::Json {
        return terminal::output(&Format::json(&json!({
            "organisation": own.anchor.organisation(),
            "root": own.anchor.root(),
            "root_fingerprint": own.fingerprint,
            "list": own.anchor.list(),
            "noted": changes(&own, &next),
            "published": folder.published()?,
            "warnings": warnings,
        }))?);
    }
    terminal::output(
        &(text(folder, &own, &next)? + &warnings.iter().map(|warning| format!("warning: {warning}\n")).collect::<String>()),
    )
}

/// The keys that count, what is noted for the next list, and what was published.
pub(super) fn text(folder: &Folder, own: &Organisation, next: &NextList) -> Result<String, Stop> {
    let root = own.anchor.root();
    let mut text = format!(
        "{}\n  organisation  {}\n  root          version {}, {} of {} keys must sign\n  fingerprint   {}\n{}",
        root.name,
        own.anchor.organisation(),
        root.version,
        root.threshold,
        root.keys.len(),
        own.fingerprint,
        lines(&root.keys)
    );
    match own.anchor.list() {
        None => text += "List of keys: none yet\n",
        Some(list) => {
            text += &format!("List of keys version {}, expires {}\n", list.version, table::moment(list.expires));
            text += &format!("  {} of these must sign an order\n{}", list.order.threshold, lines(&list.order.keys));
            text += &format!("  receipts\n{}", lines(&list.receipt.keys));
            if !list.revoked.is_empty() {
                text += &format!("  revoked\n{}", lines(&list.revoked));
            }
        }
    }
    let noted = changes(own, next);
    if !noted.is_empty() {
        text += "Noted for the next list, which nobody has signed yet\n";
        text += &noted.iter().map(|change| format!("    {change}\n")).collect::<String>();
    }
    if let Some(Published { backend, root, list, at }) = folder.published()? {
        let backend = terminal::harmless(&backend);
        text +=
            &format!("Published from here last: root version {root}, list version {list}, at {backend}, {}\n", table::moment(at));
    }
    Ok(text)
}

/// What the next list would change, a line each.
fn changes(own: &Organisation, next: &NextList) -> Vec<String> {
    let now = own.anchor.list().map(NextList::of).unwrap_or_default();
    let mut changes = Vec::new();
    for (what, before, after) in [
        ("signer", &now.order.keys, &next.order.keys),
        ("receipt key", &now.receipt.keys, &next.receipt.keys),
        ("revoked key", &now.revoked, &next.revoked),
    ] {
        let mut say = |how: &str, key: &PublicKey| changes.push(format!("{how} {what}: {} {}", key.fingerprint(), key.comment()));
        after.iter().filter(|key| !holds(before, key)).for_each(|key| say("new", key));
        before.iter().filter(|key| !holds(after, key)).for_each(|key| say("no longer a", key));
    }
    if now.order.threshold != next.order.threshold {
        changes.push(format!("{} of the signers must sign an order, and not {}", next.order.threshold, now.order.threshold));
    }
    changes
}

fn lines(keys: &[PublicKey]) -> String {
    keys.iter().map(|key| format!("    {} {}\n", key.fingerprint(), key.comment())).collect()
}

pub(super) fn warnings(folder: &Folder, own: &Organisation, next: &NextList, now: Timestamp) -> Vec<String> {
    let mut warnings = Vec::new();
    match own.anchor.live_list(now) {
        Err(TrustError::Expired(at)) => {
            warnings.push(format!(
                "the list of keys expired at {}: agents refuse new orders until another is signed and published",
                table::moment(at)
            ));
        }
        Err(_) => {
            let words = own.live_list(now).err().unwrap_or_default();
            warnings.push(format!("{words}; agents refuse orders until one is signed (org sign-list) and published"));
        }
        Ok(list) if list.expires.duration_since(now) < SOON => {
            warnings.push(format!("the list of keys expires at {}: sign the next one", table::moment(list.expires)));
        }
        Ok(_) => {}
    }
    if !changes(own, next).is_empty() {
        warnings.push("next.json holds changes that no list has yet: netsonde-desk org sign-list".to_owned());
    }
    let versions = own.anchor.versions();
    let published = folder.published().ok().flatten();
    if own.anchor.list().is_some() && published.is_none_or(|published| (published.root, published.list) != versions) {
        warnings.push(format!("list version {} was not published from here: netsonde-desk org publish", versions.1));
    }
    if next.order.keys.is_empty() {
        warnings.push("nobody may sign an order: netsonde-desk org add-signer KEY.pub".to_owned());
    } else if next.order.keys.len() < 2 {
        warnings.push(format!("fewer than two engineers sign: orders to more than {AGENTS_OF_ONE_SIGNATURE} agents need two"));
    }
    if own.anchor.root().keys.len() == own.anchor.root().threshold {
        warnings.push("if one root key is lost, the root is: have more keys than must sign".to_owned());
    }
    for key in folder.root_keys() {
        warnings.push(format!("a private root key lies on this machine: {}", key.display()));
    }
    for pending in folder.pending() {
        warnings.push(format!("more root keys must sign {}: netsonde-desk org sign", pending.display()));
    }
    warnings
}
