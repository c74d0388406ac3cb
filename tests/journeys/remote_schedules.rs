//! An order that is a schedule: run again and again, until its time is over or somebody ends it.

use super::remote::{ALLOW, founded, machine};
use super::world::World;
use netsonde_contract::api::fleet::DeliveryState as State;
use netsonde_contract::bundle;
use netsonde_contract::history::History;
use netsonde_contract::id::BundleId;
use netsonde_tests::remote;
use netsonde_tests::stage::Backend;
use std::time::Duration;
use tokio::net::TcpListener;

/// One connection, and less time for it than lies between two.
fn connecting(world: &World, name: &str, budget: &str) -> String {
    let set = format!(
        "name = \"{name}\"\nversion = 1\nquestion = \"Does it answer?\"\nbudget = \"{budget}\"\ntarget = \"endpoint\"\n\n\
         [[check]]\nid = \"connect\"\nkind = \"tcp\"\nrequired = true\ndeadline = \"4s\"\n\
         with = {{ host = \"{{target.host}}\", port = \"{{target.port}}\" }}\n"
    );
    let path = world.stage.folder().join(format!("{name}.toml"));
    std::fs::write(&path, set).unwrap();
    path.to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_repeated_through_a_restart_and_ends_where_either_side_says_so() {
    // Nobody listens there any more: the third run in a row makes it failing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (world, backend) = founded("S-1", std::slice::from_ref(&target)).await;
    let stage = &world.stage;
    let mut agent = machine(&world, &backend, "oslo", ALLOW).await;
    let (name, set) = (agent.short().to_owned(), connecting(&world, "connecting", "5s"));
    // What is run once where it fails may take longer than lies between two runs.
    let deep = connecting(&world, "looking", "15s");
    let wanted = [&set, "--agent", &name, "--target", &target, "--case", "S-1", "--every", "10s", "--for", "1h", "--deep", &deep];

    // Not unless the policy says so.
    let refused = remote::trigger(stage, &backend, &wanted).await.unwrap();
    let delivery = remote::until(stage, &backend, &refused, State::Refused).await.unwrap();
    assert_eq!(delivery.code.as_deref(), Some("schedule_not_allowed"));
    agent.allow(&format!("{ALLOW}[schedules]\nlife = \"2h\"\nevery = \"10s\"\n")).unwrap();

    let id = remote::trigger(stage, &backend, &wanted).await.unwrap();
    let delivery = remote::until(stage, &backend, &id, State::Running).await.unwrap();
    assert_eq!(delivery.detail.as_deref(), Some("it runs every 10s for 1h"));
    let schedule = format!("order-{}", id.short());
    agent.kill().await.unwrap();
    agent.start(stage).unwrap();
    let listed = agent.netsonde(stage, &["schedule", "list", "--config", &agent.config().to_string_lossy()]).await.unwrap();
    assert!(listed.contains(&format!("{schedule}  connecting every 10s")), "{listed}");

    agent.until_says(&format!("{schedule}: what was seen of {target} is in the bundle")).await.unwrap();
    let fetched = stage.folder().join("fetched.tar.gz");
    let found = tokio::time::timeout(Duration::from_secs(60), arrived(&world, &backend, "S-1")).await.unwrap();
    remote::desk(stage, &backend, &["fetch", found.as_str(), "--out", &fetched.to_string_lossy()]).await.unwrap();
    let verified = bundle::verify(&std::fs::read(&fetched).unwrap()).unwrap();
    assert_eq!(verified.predicate.order.as_ref(), Some(&id), "the bundle names its order");
    assert_eq!(verified.predicate.scheduled.as_ref().map(|scheduled| scheduled.schedule.as_str()), Some(schedule.as_str()));
    assert_eq!(verified.predicate.set.name, "looking", "the deep run is packed, and no slot");
    let past: History = serde_json::from_slice(&verified.files[bundle::file_name::HISTORY]).unwrap();
    let samples: usize = past.checks.iter().map(|check| check.samples.len()).sum();
    assert_eq!((past.checks.len(), samples), (1, 3), "the three runs that made it failing: {past:?}");
    let delivery = remote::until(stage, &backend, &id, State::Running).await.unwrap();
    assert_eq!(delivery.bundle, None, "the order goes on after a bundle");

    // The engineer ends this one, and the person at the machine the next.
    remote::desk(stage, &backend, &["orders", "cancel", id.as_str()]).await.unwrap();
    remote::until(stage, &backend, &id, State::Cancelled).await.unwrap();
    let next = remote::trigger(stage, &backend, &wanted).await.unwrap();
    remote::until(stage, &backend, &next, State::Running).await.unwrap();
    agent.netsonde(stage, &["orders", "stop", next.as_str()]).await.unwrap();
    let delivery = remote::until(stage, &backend, &next, State::Cancelled).await.unwrap();
    assert_eq!(delivery.code.as_deref(), Some("schedule_removed"));
    agent.netsonde(stage, &["audit", "verify"]).await.unwrap();
}

/// The first bundle of the case, once it has arrived.
async fn arrived(world: &World, backend: &Backend, case: &str) -> BundleId {
    loop {
        let shown = remote::desk(&world.stage, backend, &["show", case, "--format", "json"]).await.unwrap();
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        if let Some(id) = shown["case"]["bundles"][0]["id"].as_str() {
            return BundleId::new(id);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
