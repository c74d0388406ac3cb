use super::sample::Agent;
use super::server::Server;
use crate::blobs::Blobs;
use crate::command::{Report, verify_store};
use crate::ingest::sweep_stale;
use crate::staging::Staging;
use netsonde_contract::api::{CaseSummary, path};
use netsonde_disk::Disk;
use std::time::Duration;

#[tokio::test]
async fn a_restart_keeps_everything_and_sweeps_what_nobody_was_promised() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    let receipt = server.upload_whole(&agent, &ticket, &bundle).await.bytes().await.unwrap();
    // What a kill between blob and row, and between row and file of an upload, leaves.
    server.app.blobs.put(&Blobs::digest(b"orphan"), "orphan".into()).await.unwrap();
    std::fs::write(server.data("uploads/lost.part"), b"half").unwrap();
    assert_eq!(server.files(), (2, 1));

    let server = server.restart().await;
    assert_eq!(server.files(), (1, 0));
    let again = server.begin(&agent, &ticket, &bundle.id, bundle.bytes.len()).send().await.unwrap();
    assert_eq!(again.bytes().await.unwrap(), receipt);
    let cases = server.get(path::CASES).bearer_auth(&server.desk_token).send().await.unwrap();
    assert_eq!(cases.json::<Vec<CaseSummary>>().await.unwrap().len(), 1);
}

impl Server {
    async fn verified(&self) -> Report {
        let (app, staging) = (&self.app, Staging::in_folder(&self.data("uploads"), Disk::system()));
        verify_store(&*app.store, &app.blobs, &staging, &app.receipt_key.verifying_key()).await.unwrap()
    }

    /// Changes the database behind the server's back, as a restore from a backup does.
    pub(super) async fn change_rows(&self, statements: &'static str) {
        let file = sqlx::sqlite::SqliteConnectOptions::new().filename(self.data("netsonde.db"));
        let database = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_with(file).await.unwrap();
        sqlx::raw_sql(statements).execute(&database).await.unwrap();
        database.close().await;
    }
}

#[tokio::test]
async fn an_older_database_destroys_no_bundle_and_the_latest_finds_it_again() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    let receipt = server.upload_whole(&agent, &ticket, &bundle).await.bytes().await.unwrap();
    let older =
        "CREATE TABLE later AS SELECT * FROM bundles; UPDATE tickets SET status = 'open', used_by = NULL; DELETE FROM bundles";
    server.change_rows(older).await;
    let before = server.verified().await;
    assert_eq!((before.faults.len(), before.unnamed_blobs), (1, 1), "{before:?}");

    let server = server.restart().await;
    assert_eq!(std::fs::read_dir(server.data("blobs/orphans")).unwrap().count(), 1);
    let aside = server.verified().await;
    assert_eq!((aside.faults.len(), aside.unnamed_blobs), (1, 1), "{aside:?}");
    assert!(aside.faults[0].0.starts_with("orphan ") && aside.faults[0].1.contains("older"), "{aside:?}");

    let latest = "INSERT INTO bundles SELECT * FROM later; UPDATE tickets SET status = 'used', used_by = (SELECT id FROM later)";
    server.change_rows(latest).await;
    let server = server.restart().await;
    let after = server.verified().await;
    assert_eq!((after.bundles, after.faults.len(), after.unnamed_blobs), (1, 0, 0), "{after:?}");
    let again = server.begin(&agent, &ticket, &bundle.id, bundle.bytes.len()).send().await.unwrap();
    assert_eq!(again.bytes().await.unwrap(), receipt);
}

#[tokio::test]
async fn an_upload_that_nobody_continues_is_swept_and_one_that_goes_on_is_not() {
    let server = Server::start().await;
    let agent = Agent::new(1);
    let ((_, left), (_, continued)) = (server.ticket("web").await, server.ticket("web").await);
    let (first, second) = (agent.bundle(&left), agent.bundle(&continued));
    let left = server.begun(&agent, &left, &first).await;
    let going_on = server.begun(&agent, &continued, &second).await;
    assert_eq!(server.part(&left, 0, &first.bytes[..9], false).send().await.unwrap().status(), 204);
    server.advance(Duration::from_secs(23 * 3600));
    assert_eq!(server.part(&going_on, 0, &second.bytes[..9], false).send().await.unwrap().status(), 204);
    server.advance(Duration::from_secs(2 * 3600));
    assert!(sweep_stale(&server.app).await.is_ok());
    assert_eq!(server.files(), (0, 1));
    assert_eq!(server.part(&left, 9, &first.bytes[9..], true).send().await.unwrap().status(), 404);
    assert_eq!(server.part(&going_on, 9, &second.bytes[9..], true).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn verification_finds_every_bundle_that_is_lost_or_changed() {
    let server = Server::start().await;
    let agent = Agent::new(1);
    let mut files = Vec::new();
    for _ in 0..3 {
        let (_, ticket) = server.ticket("web").await;
        let bundle = agent.bundle(&ticket);
        assert_eq!(server.upload_whole(&agent, &ticket, &bundle).await.status(), 200);
        let digest = server.app.store.bundle(&bundle.id).await.unwrap().unwrap().file_sha256;
        files.push(server.data("blobs/sha256").join(&digest[..2]).join(&digest));
    }
    let sound = server.verified().await;
    assert_eq!((sound.bundles, sound.faults.len(), sound.unnamed_blobs), (3, 0, 0), "{sound:?}");
    std::fs::remove_file(&files[0]).unwrap();
    std::fs::write(&files[1], b"changed").unwrap();
    let broken = server.verified().await;
    assert_eq!((broken.bundles, broken.faults.len()), (3, 2), "{broken:?}");
}
