use super::world::World;
use crate::small_network::{SmallNetwork, possible};
use jiff::{SignedDuration, Timestamp};
use netsonde_agent::load::Clock;
use netsonde_contract::api::fleet::{Delivery, DeliveryState as State};
use netsonde_contract::id::OrderId;
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::Backend;
use std::time::Duration;

/// docs/remote.md: another network is noticed within 10 s, and the backend asked within one more. The rest is for starting a run on a busy machine.
const AFTER_MOVING: SignedDuration = SignedDuration::from_secs(15);
/// A connection is dead 20 s after the last packet, and asked anew within 3 more.
const AFTER_SILENCE: SignedDuration = SignedDuration::from_secs(25);
/// Who wakes up asks within a second.
const AFTER_WAKING: SignedDuration = SignedDuration::from_secs(6);
/// Longer than lies between two looks, and by so much that it is no busy machine any more.
const ASLEEP: Duration = Duration::from_millis(16_500);
const PATIENCE: Duration = Duration::from_secs(30);

/// Oslo at `c`, the backend and the desk at `s`, and a router between them. What runs is over before the network is taken down.
struct Away {
    agent: Agent,
    backend: Backend,
    world: World,
    network: SmallNetwork,
    /// The backend's own port, which answers where there is a way to it.
    target: String,
    case: &'static str,
}

impl Away {
    /// With an agent that has had its first order, so that nothing is under way but a request for work, which has only just begun.
    async fn new(name: &str, number: u8, case: &'static str) -> Self {
        let network = SmallNetwork::new(name, number);
        let [server, _] = network.server();
        let world = World::new();
        world.stage.enter(&network.node("s"));
        let backend = Backend::start_at(&world.stage, &format!("{server}:0")).await.unwrap();
        remote::found(&world.stage, &backend).await.unwrap();
        let target = backend.listens.clone();
        world.stage.ticket(&backend, case, "port", std::slice::from_ref(&target)).await.unwrap();
        let policy =
            format!("version = 1\n[orders]\nremote = \"allow\"\n[targets]\nnetworks = [\"{server}/32\"]\nresolvers = false\n");
        let mut agent = Agent::enrol(&world.stage, &backend, "oslo", &policy, Some(&world.root)).await.unwrap();
        world.stage.enter(&network.node("c"));
        agent.start(&world.stage).unwrap();
        world.stage.enter(&network.node("s"));
        agent.until_online(&world.stage, &backend).await.unwrap();
        let away = Self { agent, backend, world, network, target, case };
        let first = away.order(&[]).await;
        away.ran_once(&first).await;
        away
    }

    async fn order(&self, more: &[&str]) -> OrderId {
        let wanted = ["port", "--agent", self.agent.short(), "--target", &self.target, "--case", self.case];
        remote::trigger(&self.world.stage, &self.backend, &[&wanted[..], more].concat()).await.unwrap()
    }

    /// Waits until the order's bundle is there; when its one run began.
    async fn ran_once(&self, order: &OrderId) -> Timestamp {
        let uploaded = remote::until(&self.world.stage, &self.backend, order, State::Uploaded).await;
        uploaded.unwrap_or_else(|error| panic!("{error:#}\n{}", self.agent.log()));
        self.agent.until_told(order, State::Uploaded).await.unwrap();
        assert_eq!(self.agent.runs(order), 1, "{}", self.agent.log());
        self.agent.audited(order).into_iter().find(|line| line.what == "run_began").unwrap().at
    }

    async fn delivery(&self, order: &OrderId) -> Delivery {
        let detail = remote::order(&self.world.stage, &self.backend, order).await.unwrap();
        detail.deliveries.into_iter().next().unwrap()
    }

    /// From here on the router drops, without a word, what belongs to the connections that the agent has now. New ones have a way.
    fn forget_connections(&self) {
        let mut command = self.network.command("c");
        let listed = command.args(["ss", "-Htn", "state", "established"]).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        // Recv-Q, Send-Q, local address, peer.
        let ports = listed.lines().filter_map(|line| line.split_whitespace().nth(2)?.rsplit(':').next());
        let ports = ports.collect::<Vec<_>>().join(", ");
        assert!(!ports.is_empty(), "the agent holds no connection: {listed}\n{}", self.agent.log());
        self.network.filter("r", "forward", &format!("tcp sport {{ {ports} }} drop\ntcp dport {{ {ports} }} drop"));
    }
}

/// As a laptop that is carried from one office to another: the former address is gone without a farewell, and an order is given while there is none.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_given_between_two_networks_runs_once_soon_after_the_next_one_is_there() {
    if !possible("an agent that comes into another network") {
        return;
    }
    let away = Away::new("y", 84, "S-1").await;
    let clock = Clock::start();
    let (client, [router, _]) = (away.network.node("c"), away.network.router());
    away.network.filter("r", "forward", "ip saddr 10.84.0.1 drop\nip daddr 10.84.0.1 drop");
    away.network.shell(&format!("ip -n {client} addr del 10.84.0.1/24 dev c0"));
    let order = away.order(&[]).await;
    assert_eq!(away.agent.runs(&order), 0);
    let back = clock.wall();
    away.network
        .shell(&format!("ip -n {client} addr add 10.84.0.7/24 dev c0; ip -n {client} route replace default via {router}"));
    let took = away.ran_once(&order).await.duration_since(back);
    eprintln!("another network to start: {took:#}");
    assert!(took <= AFTER_MOVING, "{took:#}\n{}", away.agent.log());
    assert!(away.agent.log().contains("stands in another network"), "{}", away.agent.log());
}

/// As where a NAT or a firewall was started anew: addresses and routes stay, and the agent's connection leads nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_runs_once_though_the_held_connection_was_forgotten_on_the_way() {
    if !possible("a connection that is forgotten on the way") {
        return;
    }
    let away = Away::new("z", 85, "S-2").await;
    let forgotten = Clock::start().wall();
    away.forget_connections();
    let order = away.order(&[]).await;
    let took = away.ran_once(&order).await.duration_since(forgotten);
    eprintln!("a forgotten connection to start: {took:#}");
    assert!(took <= AFTER_SILENCE, "{took:#}\n{}", away.agent.log());
}

/// As a machine that sleeps: its program stands still, something on the way forgets its connections, and orders are given meanwhile, one of which it
/// has in its network card's memory when its time is over.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_sleep_an_order_runs_once_and_at_once_and_one_that_expired_meanwhile_is_refused() {
    if !possible("an agent that sleeps") {
        return;
    }
    let away = Away::new("x", 86, "S-3").await;
    let clock = Clock::start();
    away.agent.signal("STOP").await.unwrap();
    let expired = away.order(&["--expires", "6s"]).await;
    let expires = remote::order(&away.world.stage, &away.backend, &expired).await.unwrap().order.expires;
    let until_expired = Duration::try_from(expires.duration_since(clock.wall())).unwrap_or_default();
    tokio::time::sleep(until_expired).await;
    away.forget_connections();
    let order = away.order(&[]).await;
    tokio::time::sleep(ASLEEP.saturating_sub(clock.now())).await;
    let woken = clock.wall();
    away.agent.signal("CONT").await.unwrap();
    let took = away.ran_once(&order).await.duration_since(woken);
    eprintln!("waking up to start: {took:#}");
    assert!(took <= AFTER_WAKING, "{took:#}\n{}", away.agent.log());
    assert!(away.agent.log().contains("slept, or this program stood still"), "{}", away.agent.log());

    let refusing = async {
        loop {
            let delivery = away.delivery(&expired).await;
            // By itself the backend knows no code.
            if delivery.code.is_some() {
                return delivery;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refusing).await.unwrap_or_else(|_| panic!("{}", away.agent.log()));
    assert_eq!((refused.state, refused.code.as_deref()), (State::Refused, Some("expired")), "{refused:?}");
    assert_eq!(away.agent.runs(&expired), 0, "{}", away.agent.log());
}
