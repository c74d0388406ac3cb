use super::remote::{ALLOW, founded, holding, machine};
use netsonde_contract::api::fleet::DeliveryState as State;
use netsonde_tests::remote;
use std::process::Command;
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_run_twice_where_backend_and_agent_are_killed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let (world, mut backend) = founded("K-1", std::slice::from_ref(&target)).await;
    let stage = &world.stage;
    let mut agent = machine(&world, &backend, "oslo", ALLOW).await;

    // The backend dies while the agent measures: the bundle comes all the same.
    let short = holding(&world, 4);
    let name = agent.short().to_owned();
    let wanted = ["--agent", &name, "--target", &target, "--case", "K-1"];
    let through = remote::trigger(stage, &backend, &[&[short.as_str()][..], &wanted[..]].concat()).await.unwrap();
    let _held = listener.accept().await.unwrap();
    backend.kill().await.unwrap();
    backend.restart(stage).await.unwrap();
    remote::until(stage, &backend, &through, State::Uploaded).await.unwrap();
    assert_eq!(agent.runs(&through), 1);

    // The agent dies while it measures: the order has failed, and is not begun again.
    agent.until_online(stage, &backend).await.unwrap();
    let long = holding(&world, 60);
    let cut = remote::trigger(stage, &backend, &[&[long.as_str()][..], &wanted[..]].concat()).await.unwrap();
    let _held = listener.accept().await.unwrap();
    agent.kill().await.unwrap();
    agent.start(stage).unwrap();
    let delivery = remote::until(stage, &backend, &cut, State::Failed).await.unwrap();
    assert_eq!(delivery.code.as_deref(), Some("agent_stopped"));
    assert_eq!(agent.runs(&cut), 1);

    // An order for an agent that is away outlives the backend.
    agent.until_online(stage, &backend).await.unwrap();
    agent.kill().await.unwrap();
    let waiting = remote::trigger(stage, &backend, &[&["port"][..], &wanted[..]].concat()).await.unwrap();
    backend.kill().await.unwrap();
    backend.restart(stage).await.unwrap();
    agent.start(stage).unwrap();
    remote::until(stage, &backend, &waiting, State::Uploaded).await.unwrap();
    assert_eq!(agent.runs(&waiting), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_taken_is_not_taken_again_after_a_restart() {
    if Command::new("sqlite3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "the journey of the replayed order needs sqlite3");
        eprintln!("skipped: a replayed order: it needs sqlite3, with which the backend's database is rewound");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let (world, mut backend) = founded("K-2", std::slice::from_ref(&target)).await;
    let stage = &world.stage;
    let mut agent = machine(&world, &backend, "oslo", ALLOW).await;
    let name = agent.short().to_owned();
    let wanted = ["port", "--agent", &name, "--target", &target, "--case", "K-2"];
    let id = remote::trigger(stage, &backend, &wanted).await.unwrap();
    remote::until(stage, &backend, &id, State::Uploaded).await.unwrap();
    // The agent has the receipt, too, and nothing left to say.
    agent.until_told(&id, State::Uploaded).await.unwrap();

    agent.kill().await.unwrap();
    backend.kill().await.unwrap();
    let rewind = "UPDATE deliveries SET state = 'queued', bundle_id = NULL, code = NULL, detail = NULL";
    let database = stage.folder().join("backend").join("netsonde.db");
    let output = Command::new("sqlite3").arg(database).arg(rewind).output().unwrap();
    assert!(output.status.success(), "{}", super::world::text(&output));
    backend.restart(stage).await.unwrap();
    agent.start(stage).unwrap();
    let delivery = remote::until(stage, &backend, &id, State::Refused).await.unwrap();
    assert_eq!(delivery.code.as_deref(), Some("replayed"));
    assert_eq!(agent.runs(&id), 1);
}
