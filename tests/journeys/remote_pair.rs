use super::remote::{ALLOW, founded, machine};
use netsonde_contract::api::fleet::DeliveryState as State;
use netsonde_contract::bundle;
use netsonde_contract::observation::Fact;
use netsonde_tests::programs::program;
use netsonde_tests::remote;
use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// Twice twenty packets at half the policy's rate, and the sizes of two directions.
const PATIENCE: Duration = Duration::from_secs(180);

/// A reflector, as the customer of a machine lets it run; it ends with this value.
fn reflector() -> (String, Child) {
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = Command::new(program("netsonde").unwrap());
    command.args(["reflect", "--listen", &address, "--allow", "127.0.0.0/8"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    (address, command.spawn().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_measure_each_other_under_one_order() {
    let ((oslo_at, _oslo_reflects), (rome_at, _rome_reflects)) = (reflector(), reflector());
    let (world, backend) = founded("P-1", &[oslo_at.clone(), rome_at.clone()]).await;
    let stage = &world.stage;
    let oslo = machine(&world, &backend, "oslo", ALLOW).await;
    let rome = machine(&world, &backend, "rome", ALLOW).await;
    let agents = ["--agent", oslo.short(), "--agent", rome.short()];
    let targets = ["--target", &oslo_at, "--target", &rome_at, "--case", "P-1", "--param", "count=20"];
    let id = remote::trigger(stage, &backend, &[&["reflect"][..], &agents[..], &targets].concat()).await.unwrap();
    let over = async {
        loop {
            let detail = remote::order(stage, &backend, &id).await.unwrap();
            if detail.deliveries.iter().all(|delivery| delivery.state.is_final()) {
                return detail;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let detail = tokio::time::timeout(PATIENCE, over).await.expect("both came to an end");
    assert_eq!(detail.deliveries.len(), 2);
    for delivery in &detail.deliveries {
        assert_eq!(delivery.state, State::Uploaded, "{delivery:?}");
        let file = stage.folder().join(delivery.agent.short());
        let bundle = delivery.bundle.as_ref().unwrap();
        remote::desk(stage, &backend, &["fetch", bundle.as_str(), "--out", &file.to_string_lossy()]).await.unwrap();
        let document = bundle::verify(&std::fs::read(&file).unwrap()).unwrap().document().unwrap();
        let observations = document.outcomes.iter().flat_map(|outcome| &outcome.observations);
        let mut seen = BTreeSet::new();
        for observation in observations {
            let Fact::Reflection(series) = &observation.fact else { continue };
            assert_eq!((series.sent, series.received), (20, 20), "{series:?}");
            assert_eq!((series.forward.lost, series.reverse.lost), (Some(0), Some(0)), "{series:?}");
            assert!(series.round_trip.is_some() && series.forward.variation.is_some() && series.reverse.variation.is_some());
            seen.insert(series.address.to_string());
        }
        assert_eq!(seen, BTreeSet::from([oslo_at.clone(), rome_at.clone()]), "{:?}", document.outcomes);
    }
}
