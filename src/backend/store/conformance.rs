//! What every store must do, as one story.

use super::{Accepted, BundleRow, Origin, Sender, SessionRow, Setting, Store, TicketRow, TicketStatus, UploadRow};
use crate::clock::{from_micros, later};
use ed25519_dalek::SigningKey;
use netsonde_contract::finding::{Diagnosis, State};
use netsonde_contract::id::{BundleId, CaseId, TicketId};
use netsonde_contract::ticket::ProofKey;
use std::time::Duration;

/// Runs the story; `open` opens the same database anew, as a restart does.
pub(super) async fn run<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    store.check().await.unwrap();
    assert!(store.faults().await.unwrap().is_empty());
    settings_are_replaced(&store).await;
    tickets_open_their_case_and_are_revoked_once(&store).await;
    an_upload_replaces_the_one_before_and_moves_only_from_its_offset(&store).await;
    a_ticket_is_used_once_however_many_arrive(&store).await;
    sessions_end(&store).await;
    super::conformance_fleet::run(&store).await;
    super::conformance_health::run(&store).await;
    drop(store);
    let store = open().await;
    assert!(store.bundle(&bundle_id(1)).await.unwrap().is_some(), "a restart keeps what was accepted");
    assert_eq!(store.ticket(&ticket_id(1)).await.unwrap().unwrap().status, TicketStatus::Used { by: bundle_id(1) });
    super::conformance_fleet::run_after_restart(&store).await;
    super::conformance_health::run_after_restart(&store).await;
}

async fn settings_are_replaced(store: &dyn Store) {
    assert_eq!(store.setting(Setting::PasswordHash).await.unwrap(), None);
    store.set(Setting::PasswordHash, "one").await.unwrap();
    store.set(Setting::PasswordHash, "two").await.unwrap();
    assert_eq!(store.setting(Setting::PasswordHash).await.unwrap().as_deref(), Some("two"));
    assert_eq!(store.setting(Setting::DeskTokenDigest).await.unwrap(), None);
}

async fn tickets_open_their_case_and_are_revoked_once(store: &dyn Store) {
    for number in 0..4 {
        store.add_ticket(&ticket(number)).await.unwrap();
    }
    assert!(store.add_ticket(&ticket(0)).await.is_err(), "an id is used once");
    let read = store.ticket(&ticket_id(0)).await.unwrap().unwrap();
    assert_eq!((read.targets, read.parameters, read.created), (ticket(0).targets, ticket(0).parameters, ticket(0).created));
    assert_eq!(read.proof_key.to_bytes(), ticket(0).proof_key.to_bytes());
    assert!(store.revoke_ticket(&ticket_id(0)).await.unwrap());
    assert!(!store.revoke_ticket(&ticket_id(0)).await.unwrap());
    assert_eq!(store.ticket(&ticket_id(0)).await.unwrap().unwrap().status, TicketStatus::Revoked);
    assert!(store.ticket(&ticket_id(99)).await.unwrap().is_none());
    let newest_first: Vec<TicketId> = store.tickets_of(&case(), 2).await.unwrap().into_iter().map(|ticket| ticket.id).collect();
    assert_eq!(newest_first, [ticket_id(3), ticket_id(2)]);
    assert_eq!(store.case(&case()).await.unwrap().unwrap().bundles, 0);
}

async fn an_upload_replaces_the_one_before_and_moves_only_from_its_offset(store: &dyn Store) {
    assert!(store.begin_upload(&upload("a", 1)).await.unwrap().is_empty());
    assert!(store.begin_upload(&upload("b", 2)).await.unwrap().is_empty());
    assert_eq!(store.begin_upload(&upload("c", 1)).await.unwrap(), ["a"]);
    assert!(store.upload("a").await.unwrap().is_none());
    assert!(store.advance_upload("c", 0, 40, time(5)).await.unwrap());
    assert!(!store.advance_upload("c", 0, 80, time(5)).await.unwrap());
    assert!(!store.advance_upload("a", 0, 1, time(5)).await.unwrap());
    let read = store.upload("c").await.unwrap().unwrap();
    assert_eq!((read.offset, read.touched), (40, time(5)));
    assert_eq!(store.sweep_uploads(time(3)).await.unwrap(), ["c"], "b was not continued");
    store.remove_upload("c").await.unwrap();
    store.remove_upload("c").await.unwrap();
    assert!(store.upload("c").await.unwrap().is_none());
}

async fn a_ticket_is_used_once_however_many_arrive(store: &dyn Store) {
    store.begin_upload(&upload("d", 1)).await.unwrap();
    let (one, other) = (bundle(1, 1), bundle(2, 1));
    let (first, second) = tokio::join!(store.accept(&one, Some("d")), store.accept(&other, None));
    assert_eq!((first.unwrap(), second.unwrap()), (Accepted::Stored(Vec::new()), Accepted::NotOpen));
    assert!(store.upload("d").await.unwrap().is_none());
    assert_eq!(store.accept(&one, None).await.unwrap(), Accepted::Already(Box::new(one.clone())));
    assert_eq!(store.accept(&bundle(3, 0), None).await.unwrap(), Accepted::NotOpen, "revoked");
    let late = BundleRow { received: ticket(2).expires, ..bundle(3, 2) };
    assert_eq!(store.accept(&late, None).await.unwrap(), Accepted::NotOpen, "expired");
    assert_eq!(store.accept(&bundle(4, 3), None).await.unwrap(), Accepted::Stored(Vec::new()));

    assert_eq!(store.bundle(&bundle_id(1)).await.unwrap(), Some(one));
    let newest_first: Vec<BundleId> = store.bundles_of(&case(), 9).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(newest_first, [bundle_id(4), bundle_id(1)]);
    assert_eq!(store.bundle_ids_after(None, 1).await.unwrap(), [bundle_id(1)]);
    assert_eq!(store.bundle_ids_after(Some(&bundle_id(1)), 9).await.unwrap(), [bundle_id(4)]);
    assert!(store.names_blob(&"ab".repeat(32)).await.unwrap());
    assert!(!store.names_blob(&"cd".repeat(32)).await.unwrap());
    let listed = store.cases(9).await.unwrap();
    assert_eq!(listed, [store.case(&case()).await.unwrap().unwrap()]);
    assert_eq!((listed[0].bundles, listed[0].state, listed[0].updated), (2, Some(State::AsExpected), bundle(4, 3).received));
}

async fn sessions_end(store: &dyn Store) {
    let session = |digest: u8| SessionRow { digest: [digest; 32], form_token: "f".into(), expires: time(10) };
    for digest in 0..3 {
        store.add_session(&session(digest)).await.unwrap();
    }
    assert!(store.session(&[0; 32], time(9)).await.unwrap() == Some(session(0)));
    assert!(store.session(&[0; 32], time(10)).await.unwrap().is_none());
    store.remove_session(&[1; 32]).await.unwrap();
    assert!(store.session(&[1; 32], time(9)).await.unwrap().is_none());
    store.sweep_sessions(time(10)).await.unwrap();
    assert!(store.session(&[2; 32], time(0)).await.unwrap().is_none());
}

fn time(seconds: i64) -> jiff::Timestamp {
    from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

fn case() -> CaseId {
    CaseId::new("4711")
}

fn ticket_id(number: u8) -> TicketId {
    TicketId::from_bytes([number; 10])
}

fn bundle_id(number: u8) -> BundleId {
    BundleId::new(format!("{number:02x}").repeat(32))
}

fn ticket(number: u8) -> TicketRow {
    TicketRow {
        id: ticket_id(number),
        case: case(),
        set: "web".into(),
        set_sha256: "00".repeat(32),
        targets: vec!["https://shop.example/".into()],
        parameters: [("count".to_owned(), "3".to_owned())].into(),
        proof_key: ProofKey::from_bytes([number; 32]),
        created: time(number.into()),
        expires: later(time(0), Duration::from_secs(100)),
        status: TicketStatus::Open,
    }
}

fn upload(id: &str, ticket: u8) -> UploadRow {
    let key = SigningKey::from_bytes(&[1; 32]).verifying_key();
    UploadRow {
        id: id.into(),
        bundle: bundle_id(1),
        sender: Sender::Ticket(ticket_id(ticket)),
        key,
        length: 100,
        offset: 0,
        touched: time(1),
    }
}

fn bundle(number: u8, ticket: u8) -> BundleRow {
    let nothing = Diagnosis { state: State::AsExpected, findings: Vec::new(), unexplained: Vec::new(), not_measured: Vec::new() };
    BundleRow {
        id: bundle_id(number),
        file_sha256: "ab".repeat(32),
        size_bytes: 7,
        key: SigningKey::from_bytes(&[number; 32]).verifying_key(),
        origin: Origin::Ticket(ticket_id(ticket)),
        case: case(),
        set: "web".into(),
        received: time(20 + i64::from(number)),
        receipt: vec![1, 2, 3],
        agent: nothing.clone(),
        backend: nothing,
        diagnosed_by: "test".into(),
    }
}
