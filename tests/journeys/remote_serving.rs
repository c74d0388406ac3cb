use super::world::World;
use crate::small_network::{SmallNetwork, possible};
use netsonde_contract::api::fleet::DeliveryState as State;
use netsonde_contract::bundle;
use netsonde_contract::observation::{Fact, Reflection};
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::Backend;
use std::time::Duration;

const PORT: u16 = 8_862;
/// The series, the search for sizes, and the quiet after which the other agent stops answering.
const PATIENCE: Duration = Duration::from_secs(240);
/// Every fifth packet of the series on the way there; large packets on the way back.
const RULES: &str = "udp dport 8862 meta length < 600 numgen inc mod 5 0 drop\nudp sport 8862 meta length > 1400 drop";

fn policy(more: &str) -> String {
    format!("version = 1\n[orders]\nremote = \"allow\"\n{more}\n[budget]\nper_target_rate = 100\n")
}

async fn machine(world: &World, backend: &Backend, name: &str, policy: &str, node: &str, back: &str) -> Agent {
    let mut agent = Agent::enrol(&world.stage, backend, name, policy, Some(&world.root)).await.unwrap();
    world.stage.enter(node);
    agent.start(&world.stage).unwrap();
    world.stage.enter(back);
    agent.until_online(&world.stage, backend).await.unwrap();
    agent
}

/// Oslo at `c` measures towards Rome at `s`; the backend and the desk stand at the router between them.
#[tokio::test(flavor = "multi_thread")]
async fn one_order_has_one_agent_answer_and_the_other_tell_both_directions_apart() {
    if !possible("two agents under one order") {
        return;
    }
    let network = SmallNetwork::new("p", 88);
    let [rome_at, _] = network.server();
    let [router_at, _] = network.router();
    let desk_at = network.node("r");
    let world = World::new();
    let stage = &world.stage;
    stage.enter(&desk_at);
    let backend = Backend::start_at(stage, &format!("{router_at}:0")).await.unwrap();
    remote::found(stage, &backend).await.unwrap();
    let target = format!("{rome_at}:{PORT}");
    stage.ticket(&backend, "P-2", "reflect", std::slice::from_ref(&target)).await.unwrap();
    let measures = policy(&format!("[targets]\nnetworks = [\"{rome_at}/32\"]"));
    let oslo = machine(&world, &backend, "oslo", &measures, &network.node("c"), &desk_at).await;
    // The customer of Rome lets nothing be measured from there, and nobody be answered yet.
    let rome = machine(&world, &backend, "rome", &policy(""), &network.node("s"), &desk_at).await;
    network.filter("r", "forward", RULES);
    let wanted = [
        "reflect",
        "--agent",
        oslo.short(),
        "--with",
        rome.short(),
        "--answering",
        "10.88.0.1",
        "--target",
        &target,
        "--case",
        "P-2",
        "--param",
        "count=20",
    ];

    let refused = remote::trigger(stage, &backend, &wanted).await.unwrap();
    let delivery = until(stage, &backend, &refused, &rome, State::Refused).await;
    assert_eq!(delivery.code.as_deref(), Some("serving_not_allowed"), "{delivery:?}");
    let detail = remote::order(stage, &backend, &refused).await.unwrap();
    assert!(detail.order.stopped && oslo.runs(&refused) == 0, "where nobody answers, nobody measures: {detail:?}");

    rome.allow(&policy("[serve]\npeers = [\"10.88.0.1\"]\ntime = \"3m\"\nports = [\"8862\"]")).unwrap();
    let id = remote::trigger(stage, &backend, &wanted).await.unwrap();
    let answering = until(stage, &backend, &id, &rome, State::Running).await;
    assert!(answering.detail.unwrap().contains("answering 10.88.0.1 at UDP port 8862"), "the engineer sees where");
    let measured = until(stage, &backend, &id, &oslo, State::Uploaded).await;
    let answered = until(stage, &backend, &id, &rome, State::Uploaded).await;
    let began = |agent: &Agent| agent.audited(&id).into_iter().find(|line| line.what == "run_began").unwrap().at;
    assert!(began(&rome) < began(&oslo), "who answers comes first");

    let found = series(stage, &backend, measured.bundle.as_ref().unwrap().as_str()).await;
    let [series] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((series.sent, series.received, series.authenticated), (20, 16, true), "{series:?}");
    assert_eq!((series.forward.lost, series.reverse.lost, series.lost_unknown), (Some(4), Some(0), 0), "{series:?}");
    let (there, back) = (series.forward.mtu.unwrap(), series.reverse.mtu.unwrap());
    assert_eq!((there.passed_bytes, there.stopped_bytes), (1_500, None), "{series:?}");
    assert_eq!((back.passed_bytes, back.stopped_bytes), (1_400, Some(1_401)), "{series:?}");
    // One machine, one clock: what each direction took is true here, and both together are what the round trip was.
    let (there, back) = (series.forward.least_delay_us.unwrap(), series.reverse.least_delay_us.unwrap());
    assert!(there >= 0 && back >= 0 && there + back < 1_000_000, "{series:?}");
    assert!(series.forward.variation.is_some() && series.reverse.variation.is_some() && series.round_trip.is_some());

    assert!(self::series(stage, &backend, answered.bundle.as_ref().unwrap().as_str()).await.is_empty(), "it measured nothing");
    let words = rome.audited(&id).into_iter().find(|line| line.what == "answered").unwrap().decision.unwrap();
    assert!(words.contains("10.88.0.1:") && words.contains("4 lost on the way here"), "{words}");
}

async fn until(
    stage: &netsonde_tests::stage::Stage,
    backend: &Backend,
    id: &netsonde_contract::id::OrderId,
    agent: &Agent,
    wanted: State,
) -> netsonde_contract::api::fleet::Delivery {
    let waiting = async {
        loop {
            let detail = remote::order(stage, backend, id).await.unwrap();
            let delivery = detail.deliveries.into_iter().find(|one| one.agent == agent.id).unwrap();
            match delivery.state {
                state if state == wanted => return delivery,
                state if state.is_final() => panic!("wanted {}, but it is {delivery:?}\n{}", wanted.name(), agent.log()),
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{} did not come: {}", wanted.name(), agent.log()))
}

/// The series to a reflector in a bundle, which is fetched and verified.
async fn series(stage: &netsonde_tests::stage::Stage, backend: &Backend, bundle: &str) -> Vec<Reflection> {
    let file = stage.folder().join(bundle);
    remote::desk(stage, backend, &["fetch", bundle, "--out", &file.to_string_lossy()]).await.unwrap();
    let document = bundle::verify(&std::fs::read(&file).unwrap()).unwrap().document().unwrap();
    let facts = document.outcomes.into_iter().flat_map(|outcome| outcome.observations).map(|observation| observation.fact);
    facts.filter_map(|fact| if let Fact::Reflection(series) = fact { Some(*series) } else { None }).collect()
}
