//! An agent's keys change while orders come, and an answer to that is lost.

use super::remote::ALLOW;
use super::world::World;
use netsonde_contract::api::fleet::{AgentSummary, DeliveryState as State};
use netsonde_contract::bundle;
use netsonde_contract::desk_token::DeskToken;
use netsonde_contract::enrolment::Enrolment;
use netsonde_contract::id::AgentId;
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::Backend;
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A change is seen within a second; a machine that is busy building something gets longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A way to the backend that may swallow answers.
struct Relay {
    address: SocketAddr,
    swallows: watch::Sender<bool>,
}

impl Relay {
    async fn open(backend: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (swallows, look) = watch::channel(false);
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let look = look.clone();
                tokio::spawn(async move {
                    let server = TcpStream::connect(backend).await?;
                    if *look.borrow() { swallow(client, server, look).await } else { pass(client, server).await }
                });
            }
        });
        Self { address, swallows }
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream) -> std::io::Result<()> {
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Lets the handshake through and the request, and no answer: until answers pass again, which cuts the connection.
async fn swallow(client: TcpStream, server: TcpStream, mut look: watch::Receiver<bool>) -> std::io::Result<()> {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.into_split(), server.into_split());
    let mut bytes = vec![0; 64 * 1024];
    // The server's part of a handshake of TLS 1.3 is one flight, between the client's two (RFC 8446 section 2).
    let count = from_client.read(&mut bytes).await?;
    to_server.write_all(&bytes[..count]).await?;
    let handshake = async {
        loop {
            let count = from_server.read(&mut bytes).await?;
            to_client.write_all(&bytes[..count]).await?;
            if count == 0 {
                return std::io::Result::Ok(());
            }
        }
    };
    let mut second = vec![0; 64 * 1024];
    let count = tokio::select! {
        count = from_client.read(&mut second) => count?,
        ended = handshake => return ended,
    };
    to_server.write_all(&second[..count]).await?;
    let passes = async { drop(look.wait_for(|swallows| !swallows).await) };
    let lost = async {
        let _ = copy(&mut from_server, &mut tokio::io::sink()).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = copy(&mut from_client, &mut to_server) => ended.map(drop),
        () = lost => Ok(()),
        () = passes => Ok(()),
    }
}

/// The fingerprints that the agent shows of its bundle key and its transport key.
async fn keys(world: &World, agent: &Agent) -> [String; 2] {
    let shown = agent.netsonde(&world.stage, &["identity"]).await.unwrap();
    let of = |name: &str| shown.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap().trim().to_owned();
    [of("bundle key"), of("transport key")]
}

/// Runs an order at the agent, and tells who signed its bundle.
async fn signer(world: &World, backend: &Backend, agent: &Agent, target: &str) -> AgentId {
    agent.until_online(&world.stage, backend).await.unwrap();
    let wanted = ["port", "--agent", agent.id.as_str(), "--target", target, "--case", "T-1"];
    let id = remote::trigger(&world.stage, backend, &wanted).await.unwrap();
    let delivery = remote::until(&world.stage, backend, &id, State::Uploaded).await.unwrap();
    assert_eq!(agent.runs(&id), 1);
    let file = world.stage.folder().join("fetched.tar.gz");
    let bundle = delivery.bundle.unwrap();
    remote::desk(&world.stage, backend, &["fetch", bundle.as_str(), "--out", &file.to_string_lossy()]).await.unwrap();
    let verified = bundle::verify(&std::fs::read(&file).unwrap()).unwrap();
    std::fs::remove_file(file).unwrap();
    AgentId::of(&verified.key)
}

async fn known(world: &World, backend: &Backend) -> BTreeSet<AgentId> {
    let agents = remote::desk(&world.stage, backend, &["agents", "--format", "json"]).await.unwrap();
    let agents: Vec<AgentSummary> = serde_json::from_str(&agents).unwrap();
    agents.into_iter().filter(|agent| !agent.revoked).map(|agent| agent.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_while_orders_come_and_a_lost_answer_changes_nothing_twice() {
    let world = World::new();
    let stage = &world.stage;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let relay = Relay::open(free).await;
    let url = format!("https://{}", relay.address);
    let mut backend = Backend::start_reached_at(stage, free, &url).await.unwrap();
    // The desk goes past the relay, as it does on the same machine.
    let token = DeskToken::parse(&backend.desk_token).unwrap();
    backend.desk_token = DeskToken { backend: format!("https://{free}"), ..token }.encode().to_string();
    remote::found(stage, &backend).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    stage.ticket(&backend, "T-1", "port", std::slice::from_ref(&target)).await.unwrap();

    let mut agent = Agent::on(stage, "oslo", ALLOW, None).unwrap();
    let made = remote::desk(stage, &backend, &["enrol", "--format", "json"]).await.unwrap();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let string = Enrolment { backend: url, ..Enrolment::parse(made["enrolment"].as_str().unwrap()).unwrap() }.encode();
    let policy = agent.policy().to_string_lossy().into_owned();
    agent.netsonde(stage, &["enroll", "--yes", &string, "--policy", &policy]).await.unwrap();
    agent.id = agent.own_id(stage).await.unwrap();
    agent.start(stage).unwrap();
    assert_eq!(signer(&world, &backend, &agent, &target).await, agent.id);
    let first = (agent.id.clone(), keys(&world, &agent).await);

    // A new transport key: the agent that runs goes on as the same one.
    let rotate = ["identity", "rotate", "--policy", &policy];
    agent.netsonde(stage, &rotate).await.unwrap();
    let [bundle_key, transport_key] = keys(&world, &agent).await;
    assert!(bundle_key == first.1[0] && transport_key != first.1[1], "{first:?} {transport_key}");
    assert_eq!(agent.own_id(stage).await.unwrap(), first.0);
    assert_eq!(signer(&world, &backend, &agent, &target).await, first.0);

    // A new bundle key: another id, by which it signs from now on.
    agent.netsonde(stage, &[&rotate[..], &["--bundle-key"]].concat()).await.unwrap();
    agent.id = agent.own_id(stage).await.unwrap();
    assert_ne!(agent.id, first.0);
    assert_eq!(signer(&world, &backend, &agent, &target).await, agent.id);
    assert_eq!(known(&world, &backend).await, BTreeSet::from([agent.id.clone()]), "the former id is no agent any more");

    // The backend takes another bundle key, and its answer is lost.
    agent.kill().await.unwrap();
    let second = keys(&world, &agent).await;
    relay.swallows.send_replace(true);
    let with_bundle_key = [&rotate[..], &["--bundle-key"]].concat();
    let taken = async {
        while known(&world, &backend).await.contains(&agent.id) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        relay.swallows.send_replace(false);
    };
    let (lost, taken) = tokio::join!(agent.netsonde(stage, &with_bundle_key), tokio::time::timeout(PATIENCE, taken));
    taken.expect("the backend takes the new keys");
    let lost = format!("{:#}", lost.unwrap_err());
    assert!(lost.contains("the keys were not changed") && lost.contains("tries again with the same new ones"), "{lost}");
    assert_eq!(keys(&world, &agent).await, second, "until the backend has answered, the former keys count here");
    let theirs = known(&world, &backend).await;
    agent.netsonde(stage, &rotate).await.unwrap();
    agent.id = agent.own_id(stage).await.unwrap();
    assert_eq!(theirs, BTreeSet::from([agent.id.clone()]), "the same keys were asked for again");
    agent.start(stage).unwrap();
    assert_eq!(signer(&world, &backend, &agent, &target).await, agent.id);
    agent.netsonde(stage, &["audit", "verify"]).await.unwrap();
}
