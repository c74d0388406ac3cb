use super::remote::{ALLOW, founded, holding, machine};
use netsonde_contract::api::fleet::DeliveryState as State;
use netsonde_tests::remote;
use tokio::net::TcpListener;

/// Whoever reads the service's log sees what became of each order, and learns no address from it.
#[tokio::test(flavor = "multi_thread")]
async fn the_agents_log_tells_each_step_of_an_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let (world, backend) = founded("R-1", std::slice::from_ref(&target)).await;
    let agent = machine(&world, &backend, "oslo", ALLOW).await;
    let wanted = |set: &str| [set, "--agent", agent.short(), "--target", &target, "--case", "R-1"].map(str::to_owned);

    let short = wanted("port");
    let id = remote::trigger(&world.stage, &backend, &short.each_ref().map(String::as_str)).await.unwrap();
    remote::until(&world.stage, &backend, &id, State::Uploaded).await.unwrap();
    for step in ["runs", "is measured", "is done"] {
        agent.until_says(&format!("order {} {step}", id.short())).await.unwrap();
    }

    let long = wanted(&holding(&world, 60));
    let id = remote::trigger(&world.stage, &backend, &long.each_ref().map(String::as_str)).await.unwrap();
    agent.until_says(&format!("order {} runs", id.short())).await.unwrap();
    remote::desk(&world.stage, &backend, &["orders", "cancel", id.as_str()]).await.unwrap();
    agent.until_says(&format!("order {} ended: cancelled (cancelled)", id.short())).await.unwrap();
    let log = agent.log();
    let orders: Vec<&str> = log.lines().filter(|line| line.contains(": order ")).collect();
    assert!(!orders.is_empty() && orders.iter().all(|line| !line.contains(&target)), "{orders:?}");
}
