use super::folder::{Folder, Organisation};
use super::*;
use crate::arguments::RootWish;
use crate::signing::{self, Signer};
use netsonde_contract::trust::{Role, TrustError};
use std::path::Path;

const NAME: &str = "Contoso support";

fn wish(threshold: usize, root_keys: &[&Path]) -> RootWish {
    RootWish {
        root_keys: root_keys.iter().map(|path| path.to_path_buf()).collect(),
        threshold: Some(threshold),
        keys: 1,
        no_passphrase: true,
    }
}

fn key(folder: &Path, name: &str) -> Signer {
    signing::make(&folder.join(name), name, None).unwrap()
}

fn folder(place: &Path) -> Folder {
    Folder::at(Some(place.join("organisation"))).unwrap()
}

fn line(signer: &Signer) -> String {
    signer.public().to_string()
}

fn sign_list(folder: &Folder, given: &[PathBuf]) -> Result<(), Stop> {
    let wanted = list::Wanted { life: "90d", order_threshold: None, without_receipts: true };
    list::sign_list(folder, &wanted, given, &mut Passphrases::default())
}

fn signers(own: &Organisation) -> Vec<String> {
    let list = own.anchor.list().unwrap();
    list.role(Role::Order).keys.iter().map(|key| key.comment().to_owned()).collect()
}

#[test]
fn an_organisation_from_its_root_to_a_revoked_signer() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(place.path());
    assert!(folder.open().err().unwrap().next.unwrap().contains("org init"));
    init::init(&folder, NAME, &wish(1, &[]), &mut Passphrases::default()).unwrap();
    assert!(init::init(&folder, NAME, &wish(1, &[]), &mut Passphrases::default()).is_err(), "there is one already");
    let (asha, bo) = (key(place.path(), "asha"), key(place.path(), "bo"));
    for signer in [&asha, &bo] {
        keys::add_signer(&folder, &line(signer)).unwrap();
    }
    assert!(keys::add_signer(&folder, &line(&asha)).is_err(), "twice");
    let root = folder.path.join("root-keys/root-1-1.pub");
    assert!(keys::add_signer(&folder, root.to_str().unwrap()).is_err(), "the root signs no orders");
    sign_list(&folder, &[]).unwrap();
    let own = folder.open().unwrap();
    assert_eq!((own.anchor.versions(), signers(&own)), ((1, 1), vec!["asha".to_owned(), "bo".to_owned()]));
    keys::remove_signer(&folder, "bo", false).unwrap();
    assert!(
        status::warnings(&folder, &own, &folder.next_list(Some(&own)).unwrap(), own.anchor.latest_issue())
            .iter()
            .any(|warning| warning.contains("next.json holds changes"))
    );
    sign_list(&folder, &[]).unwrap();
    let own = folder.open().unwrap();
    assert_eq!((own.anchor.versions().1, signers(&own)), (2, vec!["asha".to_owned()]));
    assert_eq!(own.anchor.list().unwrap().revoked[0].key(), bo.public().key());
    let late = own.anchor.list().unwrap().expires;
    assert!(matches!(own.anchor.live_list(late), Err(TrustError::Expired(_))));
    let warnings = status::warnings(&folder, &own, &folder.next_list(Some(&own)).unwrap(), late);
    assert!(warnings[0].contains("expired"), "{warnings:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |file: &str| std::fs::metadata(folder.path.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("root-keys/root-1-1"), mode("root-keys"), mode("keys.json")), (0o600, 0o700, 0o600));
    }
}

/// Whoever looks sees what waits for the root, and whether agents can have heard of what it signed.
#[tokio::test]
async fn status_names_what_is_noted_and_what_was_published() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(place.path());
    init::init(&folder, NAME, &wish(1, &[]), &mut Passphrases::default()).unwrap();
    let look = || {
        let own = folder.open().unwrap();
        let next = folder.next_list(Some(&own)).unwrap();
        let warnings = status::warnings(&folder, &own, &next, own.anchor.latest_issue()).join("; ");
        (status::text(&folder, &own, &next).unwrap(), warnings)
    };
    assert!(!look().0.contains("Noted") && !look().1.contains("next.json"), "{:?}", look());
    assert!(look().1.contains("nobody may sign an order"), "{:?}", look());
    let (asha, receipts) = (key(place.path(), "asha"), key(place.path(), "receipts"));
    keys::add_signer(&folder, &line(&asha)).unwrap();
    keys::receipt_key(&folder, Some(&line(&receipts)), false, true, || panic!("the key was given")).await.unwrap();
    let (text, warnings) = look();
    for (what, signer) in [("signer", &asha), ("receipt key", &receipts)] {
        let shown = format!("new {what}: {}", signer.public().fingerprint());
        assert!(text.contains(&shown), "{shown} in {text}");
    }
    assert!(warnings.contains("next.json holds changes"), "{warnings}");
    sign_list(&folder, &[]).unwrap();
    let (text, warnings) = look();
    assert!(!text.contains("Noted") && !text.contains("Published"), "{text}");
    assert!(warnings.contains("list version 1 was not published from here"), "{warnings}");
    let (backend, _) = crate::test_backend::start(Default::default()).await;
    publish::publish(&folder, &backend).await.unwrap();
    let (text, warnings) = look();
    assert!(
        text.contains("root version 1, list version 1, at http://127.0.0.1:") && !warnings.contains("published"),
        "{text}{warnings}"
    );
    keys::remove_signer(&folder, "asha", false).unwrap();
    let (text, _) = look();
    assert!(text.contains("no longer a signer: SHA256:") && text.contains("new revoked key: SHA256:"), "{text}");
}

#[test]
fn two_of_three_sign_one_after_the_other_on_machines_of_their_own() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(place.path());
    let [one, two, three] = ["one", "two", "three"].map(|name| {
        key(place.path(), name);
        place.path().join(name)
    });
    let public = two.with_extension("pub");
    let third = three.with_extension("pub");
    let passphrases = &mut Passphrases::default();
    init::init(&folder, NAME, &wish(2, &[&one, &public, &third]), passphrases).unwrap();
    let pending = folder.path.join("pending/root-1.json");
    assert!(folder.open().err().unwrap().next.unwrap().contains("org sign"), "one signature is no root");
    // The document is carried to where the second key is, in a folder of its own, and back.
    let carried = place.path().join("carried.json");
    std::fs::copy(&pending, &carried).unwrap();
    settle::sign(&folder, &carried, std::slice::from_ref(&one), passphrases).unwrap();
    assert!(folder.open().is_err(), "the same key again is still one key");
    let stranger = key(place.path(), "stranger");
    drop(stranger);
    assert!(settle::sign(&folder, &carried, &[place.path().join("stranger")], passphrases).is_err());
    settle::sign(&folder, &carried, std::slice::from_ref(&three), passphrases).unwrap();
    assert_eq!(folder.open().unwrap().anchor.versions(), (1, 0));
    assert!(!pending.exists());
    keys::add_signer(&folder, &line(&key(place.path(), "asha"))).unwrap();
    sign_list(&folder, &[two]).unwrap();
    assert_eq!(folder.open().unwrap().anchor.versions(), (1, 0), "one signature is no list");
    settle::sign(&folder, &folder.path.join("pending/keys-1.json"), &[three], passphrases).unwrap();
    assert_eq!(folder.open().unwrap().anchor.versions(), (1, 1));
}

#[test]
fn a_root_is_replaced_and_the_list_after_it_counts_on() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(place.path());
    let passphrases = &mut Passphrases::default();
    init::init(&folder, NAME, &wish(1, &[]), passphrases).unwrap();
    keys::add_signer(&folder, &line(&key(place.path(), "asha"))).unwrap();
    sign_list(&folder, &[]).unwrap();
    let before = folder.open().unwrap();
    rotate::rotate(&folder, None, &wish(1, &[]), &[], passphrases).unwrap();
    let own = folder.open().unwrap();
    let words = own.live_list(own.anchor.latest_issue()).unwrap_err();
    assert!(words.contains("root version 1 signed") && words.contains("version 2 stands"), "{words}");
    assert_eq!(own.anchor.organisation(), before.anchor.organisation());
    assert_ne!(own.fingerprint, before.fingerprint);
    assert!(own.anchor.live_list(own.anchor.latest_issue()).is_err(), "the new root has signed no list");
    std::fs::remove_file(folder.path.join("root-keys/root-1-1")).unwrap();
    sign_list(&folder, &[]).unwrap();
    let own = folder.open().unwrap();
    assert_eq!((own.anchor.versions(), signers(&own)), ((2, 2), vec!["asha".to_owned()]));
    assert_eq!(own.documents.roots.len(), 2);
    // An agent that enrolled with the first root follows.
    let mut agent = before.anchor;
    agent.accept_root(own.documents.roots[1].as_bytes()).unwrap();
    agent.accept_list(own.documents.list.unwrap().as_bytes()).unwrap();
    assert_eq!(agent.versions(), (2, 2));
}

#[test]
fn a_list_without_a_receipt_key_is_signed_only_where_that_is_meant() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(place.path());
    init::init(&folder, NAME, &wish(1, &[]), &mut Passphrases::default()).unwrap();
    keys::add_signer(&folder, &line(&key(place.path(), "asha"))).unwrap();
    let wanted = list::Wanted { life: "90d", order_threshold: None, without_receipts: false };
    let stop = list::sign_list(&folder, &wanted, &[], &mut Passphrases::default()).unwrap_err();
    assert!(stop.message.contains("receipt key") && stop.next.unwrap().contains("--without-receipts"), "{}", stop.message);
    let own = folder.open().unwrap();
    assert_eq!(own.anchor.versions(), (1, 0), "nothing was signed");
    assert!(own.live_list(own.anchor.latest_issue()).unwrap_err().contains("no list of keys yet"));
}

#[test]
fn a_changed_folder_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(place.path());
    init::init(&folder, NAME, &wish(1, &[]), &mut Passphrases::default()).unwrap();
    keys::add_signer(&folder, &line(&key(place.path(), "asha"))).unwrap();
    sign_list(&folder, &[]).unwrap();
    let other = Folder::at(Some(place.path().join("other"))).unwrap();
    init::init(&other, NAME, &wish(1, &[]), &mut Passphrases::default()).unwrap();
    keys::add_signer(&other, &line(&key(place.path(), "mallory"))).unwrap();
    sign_list(&other, &[]).unwrap();
    std::fs::copy(other.path.join("keys.json"), folder.path.join("keys.json")).unwrap();
    let stop = folder.open().err().unwrap();
    assert!(stop.message.contains("another organisation") && stop.next.unwrap().contains("runbook"), "{}", stop.message);
}

/// An organisation whose list names the keys `signers`, for tests of what it is used for.
pub(crate) fn founded(place: &Path, signers: &[&Signer]) -> Organisation {
    let folder = folder(place);
    init::init(&folder, NAME, &wish(1, &[]), &mut Passphrases::default()).unwrap();
    for signer in signers {
        keys::add_signer(&folder, &line(signer)).unwrap();
    }
    let mut next = folder.next_list(None).unwrap();
    next.receipt.keys.push(key(place, "receipts").public().clone());
    folder.keep_next_list(&next).unwrap();
    sign_list(&folder, &[]).unwrap();
    folder.open().unwrap()
}
