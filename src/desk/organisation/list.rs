use super::folder::Folder;
use super::{root_keys, settle};
use crate::signing::Passphrases;
use crate::stop::Stop;
use crate::{clock, duration, terminal};
use jiff::SignedDuration;
use netsonde_contract::trust::{KeyList, MAX_LIST_LIFE};
use std::path::PathBuf;

/// What the next list is to be, besides the keys that are noted for it.
pub(super) struct Wanted<'a> {
    pub(super) life: &'a str,
    pub(super) order_threshold: Option<usize>,
    /// A list on which no receipt key stands is meant.
    pub(super) without_receipts: bool,
}

/// Signs the next list of keys with the root.
pub(super) fn sign_list(
    folder: &Folder,
    wanted: &Wanted<'_>,
    given: &[PathBuf],
    passphrases: &mut Passphrases,
) -> Result<(), Stop> {
    let own = folder.open()?;
    let mut next = folder.next_list(Some(&own))?;
    if let Some(threshold) = wanted.order_threshold {
        next.order.threshold = threshold;
    }
    if next.order.threshold > next.order.keys.len().max(1) {
        let why = format!("{} of {} order keys cannot be asked for", next.order.threshold, next.order.keys.len());
        return Err(Stop::usage(why).next("give --order-threshold 1, or add signers first"));
    }
    if next.receipt.keys.is_empty() && !wanted.without_receipts {
        return Err(Stop::usage(
            "no receipt key is noted for the list: agents would know no receipt of the backend's, and nobody could be enrolled",
        )
        .next("note it: netsonde-desk org receipt-key; or sign without one: --without-receipts"));
    }
    if next.order.keys.is_empty() {
        terminal::say(
            "warning: nobody on this list may sign an order: netsonde-desk org add-signer KEY.pub, and then sign another",
        );
    }
    let most = MAX_LIST_LIFE.as_secs().unsigned_abs();
    let life = duration::seconds(wanted.life, "a list of keys", most).map_err(|why| Stop::usage(why).next("give --life 90d"))?;
    let issued = clock::now();
    // After a rotation the anchor holds no list, but the version must go on from the last one.
    let last = own.anchor.versions().1.max(last_version(&own.documents.list));
    let list = KeyList {
        organisation: own.anchor.organisation().clone(),
        root: own.anchor.root().version,
        version: last + 1,
        issued,
        expires: issued + SignedDuration::from_secs(i64::try_from(life).unwrap_or(0)),
        order: next.order.clone(),
        receipt: next.receipt.clone(),
        revoked: next.revoked.clone(),
    };
    folder.keep_next_list(&next)?;
    let signers = root_keys::at_hand(folder, given, &own.anchor.root().keys, passphrases)?;
    settle::settle(folder, list.envelope(), &signers)
}

fn last_version(list: &Option<String>) -> u64 {
    let envelope = list.as_ref().and_then(|json| netsonde_contract::dsse::Envelope::from_json(json.as_bytes()).ok());
    let list = envelope.and_then(|envelope| serde_json::from_slice::<KeyList>(envelope.unverified()).ok());
    list.map_or(0, |list| list.version)
}
