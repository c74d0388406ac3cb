use super::folder::Folder;
use super::root_keys;
use crate::signing::{Passphrases, Signer};
use crate::stop::Stop;
use crate::{private_file, table, terminal};
use netsonde_contract::dsse::Envelope;
use netsonde_contract::trust::{Anchor, KEY_LIST_MEDIA_TYPE, KeyList, PublicKey, ROOT_MEDIA_TYPE, RootStatement, TrustError};
use std::path::{Path, PathBuf};

/// A document of the largest organisation is smaller.
const MAX_DOCUMENT_BYTES: u64 = 1 << 20;

/// What a document is.
enum Document {
    Root(RootStatement),
    List(KeyList),
}

/// Adds the signatures of `signers`, and puts the document in its place once enough keys have signed it; until then it is pending.
pub(super) fn settle(folder: &Folder, mut envelope: Envelope, signers: &[Signer]) -> Result<(), Stop> {
    let document = read(&envelope)?;
    if signers.is_empty() {
        return Err(Stop::failed("no root key that must sign is at hand")
            .next("give one with --root-key FILE, put it into root-keys/, or load it into the ssh-agent"));
    }
    for signer in signers {
        signer.sign(&mut envelope)?;
    }
    let json = envelope.to_json();
    let pending = format!("pending/{}", document.name());
    match document.accept(folder, &envelope, &json) {
        Ok(()) => {
            document.place(folder, &json)?;
            // What is in its place is pending no longer; a file that stays is taken for the same document again.
            let _ = std::fs::remove_file(folder.path.join(&pending));
            terminal::say(&document.done());
            Ok(())
        }
        Err(TrustError::TooFewSignatures { signed, needed }) => {
            folder.write(&pending, &json)?;
            let path = folder.path.join(&pending);
            terminal::say(&format!(
                "{signed} of {needed} keys have signed. The document waits in {0}.\nHave it signed by another root key: netsonde-desk org sign {0} --root-key FILE",
                path.display()
            ));
            Ok(())
        }
        Err(error) => Err(Stop::failed(format!("the document is not taken: {error}"))
            .next("see `netsonde-desk org status`; docs/runbook-lost-root.md tells what each state means")),
    }
}

/// `org sign FILE`: another root key's signature on a pending document, wherever the file was carried: `pending/keys-8.json` is
/// looked for here, and in the organisation's folder.
pub(super) fn sign(folder: &Folder, file: &Path, given: &[PathBuf], passphrases: &mut Passphrases) -> Result<(), Stop> {
    let inside = folder.inside(file);
    let file = if file.exists() || !inside.exists() { file } else { &inside };
    let bytes = private_file::read(file, MAX_DOCUMENT_BYTES)?;
    let envelope = Envelope::from_json(&bytes).map_err(|error| {
        Stop::usage(format!("{} is no document to sign: {error}", file.display())).next("give a file from the folder's pending/")
    })?;
    let document = read(&envelope)?;
    terminal::say(&document.shown());
    let mut wanted: Vec<PublicKey> = folder.open().map(|own| own.anchor.root().keys.clone()).unwrap_or_default();
    if let Document::Root(root) = &document {
        wanted.extend(root.keys.iter().cloned());
    }
    let signers = root_keys::at_hand(folder, given, &wanted, passphrases)?;
    settle(folder, envelope, &signers)
}

fn read(envelope: &Envelope) -> Result<Document, Stop> {
    let payload = envelope.unverified();
    let document = match envelope.payload_type.as_str() {
        ROOT_MEDIA_TYPE => serde_json::from_slice(payload).map(Document::Root),
        KEY_LIST_MEDIA_TYPE => serde_json::from_slice(payload).map(Document::List),
        other => {
            return Err(Stop::usage(format!("a `{}` is not signed by the root", terminal::harmless(other)))
                .next("sign orders with `netsonde-desk sign`"));
        }
    };
    document.map_err(|error| Stop::usage(format!("the document cannot be read: {error}")).next("give a file from pending/"))
}

impl Document {
    fn name(&self) -> String {
        match self {
            Self::Root(root) => format!("root-{}.json", root.version),
            Self::List(list) => format!("keys-{}.json", list.version),
        }
    }

    /// What the holder of a root key should read before signing.
    fn shown(&self) -> String {
        let lines = |title: &str, keys: &[PublicKey]| {
            let keys: String = keys.iter().map(|key| format!("    {} {}\n", key.fingerprint(), key.comment())).collect();
            format!("  {title}\n{keys}")
        };
        match self {
            Self::Root(root) => format!(
                "Root version {} of {}: {} of these keys must sign\n{}",
                root.version,
                root.name,
                root.threshold,
                lines("keys", &root.keys)
            ),
            Self::List(list) => format!(
                "List of keys version {}, until {}; {} of the order keys must sign an order\n{}{}{}",
                list.version,
                table::moment(list.expires),
                list.order.threshold,
                lines("order", &list.order.keys),
                lines("receipt", &list.receipt.keys),
                lines("revoked", &list.revoked)
            ),
        }
    }

    fn accept(&self, folder: &Folder, envelope: &Envelope, json: &[u8]) -> Result<(), TrustError> {
        let fingerprint = RootStatement::fingerprint(envelope.unverified());
        match self {
            Self::Root(root) if root.version == 1 => Anchor::pinned(json, &fingerprint).map(|_| ()),
            Self::Root(_) => anchor(folder)?.accept_root(json).map(|_| ()),
            Self::List(_) => anchor(folder)?.accept_list(json).map(|_| ()),
        }
    }

    fn place(&self, folder: &Folder, json: &[u8]) -> Result<(), Stop> {
        match self {
            Self::Root(root) => {
                folder.write(&format!("roots/{}.json", root.version), json)?;
                folder.write("root.json", json)
            }
            Self::List(_) => folder.write("keys.json", json),
        }
    }

    fn done(&self) -> String {
        match self {
            Self::Root(root) if root.version == 1 => format!(
                "{} has its root. Next: netsonde-desk org add-signer KEY.pub, org receipt-key, org sign-list, org publish.",
                root.name
            ),
            Self::Root(root) => format!(
                "Root version {} stands. Sign a list of keys with it before you publish: netsonde-desk org sign-list",
                root.version
            ),
            Self::List(list) => format!(
                "List of keys version {} is signed; it expires at {}. Publish it: netsonde-desk org publish",
                list.version,
                table::moment(list.expires)
            ),
        }
    }
}

fn anchor(folder: &Folder) -> Result<Anchor, TrustError> {
    folder.open().map(|own| own.anchor).map_err(|stop| TrustError::Malformed(stop.message))
}
