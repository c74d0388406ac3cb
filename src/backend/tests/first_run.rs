use crate::clock::Clock;
use crate::command::{Running, Settings, announce, renew_desk_token};
use crate::limits::Limits;
use crate::store::Setting;
use netsonde_contract::desk_token::DeskToken;
use std::path::Path;

async fn start(data: &Path) -> anyhow::Result<Running> {
    Running::start(Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        data: data.to_owned(),
        public_url: Some("http://support.example".into()),
        plain: true,
        alerts: None,
        limits: Limits::default(),
        clock: Clock::system(),
    })
    .await
}

#[tokio::test]
async fn secrets_that_nobody_was_told_are_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = start(&data).await.unwrap();
    assert!(announce(&first, Some(&folder.path().join("missing/ready.json"))).is_err());
    drop(first);

    let second = start(&data).await.unwrap();
    assert!(second.first_run.is_some(), "the start before told nobody");
    let file = folder.path().join("ready.json");
    announce(&second, Some(&file)).unwrap();
    second.keep_first_run().await.unwrap();
    let ready = std::fs::read_to_string(file).unwrap();
    assert!(ready.contains("nsd1_") && ready.contains(&second.first_run.as_ref().unwrap().password));
    drop(second);
    assert!(start(&data).await.unwrap().first_run.is_none());
}

#[tokio::test]
async fn a_new_desk_token_replaces_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    assert!(renew_desk_token(folder.path()).await.is_err(), "there is no server's directory");
    let running = start(folder.path()).await.unwrap();
    running.keep_first_run().await.unwrap();
    let digest = async || running.app.store.setting(Setting::DeskTokenDigest).await.unwrap().unwrap();
    let before = digest().await;
    let token = DeskToken::parse(&renew_desk_token(folder.path()).await.unwrap()).ok().unwrap();
    assert_eq!(token.backend, "http://support.example");
    assert_ne!(digest().await, before);
    assert_eq!(digest().await, crate::api::token_digest(&token.token));
}

#[tokio::test]
async fn what_belongs_to_another_installation_is_not_served() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&one, &other] {
        let running = start(folder.path()).await.unwrap();
        running.keep_first_run().await.unwrap();
    }
    std::fs::copy(one.path().join("installation"), other.path().join("installation")).unwrap();
    let refused = start(other.path()).await.err().unwrap();
    assert!(refused.to_string().contains("another installation"), "{refused}");
    std::fs::remove_file(one.path().join("receipt.key")).unwrap();
    let refused = start(one.path()).await.err().unwrap();
    assert!(refused.to_string().contains("receipt.key is missing"), "{refused}");
}
