//! What netsonde makes in a state directory, and what it reads in the machine's configuration folder, each name once: whoever makes one takes its
//! name from here, and `netsonde self remove` takes away these and nothing else, since the directory may be one of other things too.

use netsonde_contract::id::{BundleId, OrderId};
use netsonde_disk::UNFINISHED;

/// Each file is a constant, and stands in the list of all.
macro_rules! files {
    ($($name:ident = $text:literal;)*) => {
        $(pub(crate) const $name: &str = $text;)*
        const FILES: &[&str] = &[$($text),*];
    };
}

files! {
    LOCK = "lock";
    KEY = "agent.key";
    MAPPING_KEY = "redaction.key";
    SEQUENCE = "sequence.json";
    IDENTITY = "identity.json";
    ENROLLING = "enrolling.json";
    ROTATING = "rotating.json";
    ANCHOR = "anchor.json";
    EPOCHS = "epochs.json";
    LINK = "link.json";
    HELD_LIST = "held-list.json";
    PAUSED = "paused";
    POLICY_IN_FORCE = "policy-in-force.json";
    TAKEN = "taken.json";
    CHANGES = "changes.json";
    CONTACT = "contact.json";
    RELEASED = "released.json";
    HEALTH = "health.json";
    SCHEDULES = "schedules.json";
    OWED = "owed.json";
    CONFINEMENT = "confinement.json";
    AUDIT = "audit.jsonl";
    AUDIT_LOCK = "audit.lock";
    HISTORY = "history.redb";
    AGENT_LOCK = "agent.lock";
}

/// What files that were damaged end in, in place of what they ended in before.
pub(crate) const DAMAGED: &str = "damaged";

/// Folders of orders, a file each.
pub(crate) const ORDERS: &str = "orders";
pub(crate) const ANSWERS: &str = "answers";
pub(crate) const STANDING: &str = "standing";

/// Bundles, and within it the folders of their stages, a folder for each bundle.
pub(crate) const SPOOL: &str = "spool";
pub(crate) const SPOOL_UNFINISHED: &str = "tmp";
pub(crate) const SPOOL_READY: &str = "ready";
pub(crate) const SPOOL_SENT: &str = "sent";
pub(crate) const SPOOL_QUARANTINE: &str = "quarantine";

/// What the machine's configuration folder holds of netsonde's.
pub(crate) const AGENT_FILE: &str = "agent.toml";
pub(crate) const POLICY_FILE: &str = "policy.toml";

/// An audit log that was put aside; the newest is 1.
pub(crate) fn audit_aside(number: u32) -> String {
    format!("audit.{number}.jsonl")
}

/// Whose something in a folder is, by its name.
pub(crate) enum Whose {
    /// A file of netsonde's.
    File,
    /// A folder that is netsonde's with all that is in it.
    Folder,
    /// A folder that netsonde made, in which each name is asked after.
    Holding(fn(&str) -> Whose),
    /// Somebody else's.
    Others,
}

/// In a state directory.
pub(crate) fn in_state(name: &str) -> Whose {
    match name {
        SPOOL => Whose::Holding(in_spool),
        ORDERS | ANSWERS | STANDING => Whose::Holding(in_orders),
        _ => file(is_listed(FILES, name) || is_damaged(name) || is_audit_aside(name)),
    }
}

/// In the machine's configuration folder.
pub(crate) fn in_configuration(name: &str) -> Whose {
    file(is_listed(&[AGENT_FILE, POLICY_FILE], name))
}

fn in_spool(name: &str) -> Whose {
    match name {
        SPOOL_UNFINISHED | SPOOL_READY | SPOOL_SENT | SPOOL_QUARANTINE => Whose::Holding(in_stage),
        _ => Whose::Others,
    }
}

fn in_stage(name: &str) -> Whose {
    if BundleId::parse(name).is_some() { Whose::Folder } else { Whose::Others }
}

fn in_orders(name: &str) -> Whose {
    let whole = unfinished(name).map_or(name, |(whole, _)| whole);
    file(whole.strip_suffix(".json").is_some_and(|id| OrderId::parse(id).is_some()))
}

fn file(is_ours: bool) -> Whose {
    if is_ours { Whose::File } else { Whose::Others }
}

/// A file of the list, or what a process left of it that died while it wrote.
fn is_listed(files: &[&str], name: &str) -> bool {
    let is_unfinished = |file: &&str| unfinished(name).is_some_and(|(whole, beside)| whole == *file || beside == *file);
    files.iter().any(|file| *file == name || is_unfinished(file))
}

/// `.NAME.RANDOM.new`, as files are written, and `.NAME.new`: NAME, without and with what may be random.
fn unfinished(name: &str) -> Option<(&str, &str)> {
    let beside = name.strip_prefix('.')?.strip_suffix(UNFINISHED)?;
    Some((beside.rsplit_once('.').map_or(beside, |(whole, _)| whole), beside))
}

fn is_damaged(name: &str) -> bool {
    let stem = |file: &str| file.rsplit_once('.').map_or(file.len(), |(stem, _)| stem.len());
    let of = name.strip_suffix(DAMAGED).and_then(|name| name.strip_suffix('.'));
    of.is_some_and(|of| FILES.iter().any(|file| file.get(..stem(file)) == Some(of)))
}

fn is_audit_aside(name: &str) -> bool {
    let number = name.strip_prefix("audit.").and_then(|name| name.strip_suffix(".jsonl"));
    number.is_some_and(|number| number.parse().is_ok_and(|parsed| audit_aside(parsed) == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_left_that_died_and_what_was_put_aside_is_netsondes_and_what_looks_alike_is_not() {
        let is_ours = |name: &str| matches!(in_state(name), Whose::File);
        for ours in [
            "agent.key",
            ".agent.key.0123456789abcdef.new",
            ".paused.0123456789abcdef.new",
            ".history.redb.new",
            "history.damaged",
            "sequence.damaged",
            "audit.4.jsonl",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for others in
            ["id_rsa", "notes.json", ".notes.json.0123456789abcdef.new", "audit.04.jsonl", "audit.x.jsonl", "notes.damaged"]
        {
            assert!(!is_ours(others), "{others}");
        }
        let order = "0123456789abcdef".repeat(2);
        let is_order = |name: &str| matches!(in_orders(name), Whose::File);
        assert!(is_order(&format!("{order}.json")) && is_order(&format!(".{order}.json.0123456789abcdef.new")));
        assert!(!is_order("2026-11.json") && !is_order(&order));
    }
}
