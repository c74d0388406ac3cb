use super::backend::Backend;
use super::capture::Capture;
use super::case::{Enrolled, World};
use super::machine;
use super::servers::{self, Zone};
use super::trust::Organisation;
use crate::network::Network;
use crate::scenario::{Family, Scenario, User};
use crate::timestamp;
use crate::trial::Bench;
use anyhow::{Context, Result};
use netsonde_contract::id::AgentId;
use nix::sched::{CloneFlags, setns};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;

/// The backend's ports, on the loopback of the agent's namespace: what it is told there is no packet of a probe.
pub(super) const PORT: u16 = 8443;
pub(super) const TLS_PORT: u16 = 8444;
/// The machine's own name server, on its loopback.
pub(super) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
/// Something on the agent's machine that no order may reach.
const LOCAL_PORT: u16 = 7001;

/// A client, a server and a link between them, and no way out: the client's default route leads over that link, so that whatever leaves
/// is seen.
const NETWORK: &str = r#"
about = "the agent and its target"
routers = 0
ask = []

[[service]]
kind = "https"
port = 443
names = ["10.99.0.1"]
flaw = "missing_intermediate"

[[service]]
kind = "https"
port = 8444
names = ["10.99.0.1"]

[[service]]
kind = "https"
port = 9443
names = ["10.99.0.1"]
flaw = "names_responder"

[[service]]
kind = "time"
port = 123
text = "0"

[[service]]
kind = "mail"
port = 25
names = ["10.99.0.1"]
"#;
/// Addresses of the server beside those of its own: one that a name may lead to, and one that none may.
const PUBLIC: [&str; 2] = ["203.0.113.7", "203.0.113.66"];

/// Where attacks take place, one after the other.
pub(super) struct Ground {
    // The fields are dropped in this order: what looks at the network before the network.
    pub capture: Capture,
    pub backend: Backend,
    pub network: Network,
    zone: Arc<Mutex<Zone>>,
    enrolled: BTreeMap<Enrolled, Identity>,
    pub folder: TempDir,
    _bench: Bench,
}

/// A machine that has enrolled, whose state every case copies.
#[derive(Clone)]
pub(super) struct Identity {
    pub state: PathBuf,
    pub agent: AgentId,
    /// As it was then.
    pub organisation: Arc<Organisation>,
}

impl Ground {
    /// # Errors
    /// Where a namespace, a link or a server cannot be made.
    pub(super) fn new() -> Result<Self> {
        let scenario: Scenario = toml::from_str(NETWORK).context("reading the network of the attacks")?;
        let bench = Bench::new()?;
        let mut network = Network::of(&scenario)?;
        let addresses = PUBLIC.map(|address| format!("addr add {address}/32 dev lo"));
        network.batch(Some("s"), &addresses)?;
        network.settle()?;
        bench.start_services(&scenario, &mut network)?;
        let zone = Arc::new(Mutex::new(Zone::default()));
        network.resolvers(Family::V4, &[NAME_SERVER.to_string()], None)?;
        let theirs = Arc::clone(&zone);
        within(&network.namespace("s"), move || {
            servers::serve_redirects(TcpListener::bind("[::]:8080")?);
            servers::serve_silence(TcpListener::bind("[::]:7000")?);
            servers::serve_delegations(UdpSocket::bind("10.99.0.1:53")?, theirs);
            Ok(())
        })?;
        let own = Arc::clone(&zone);
        let backend = Backend::new(&bench)?;
        let server = backend.server();
        within(&network.namespace("c"), move || {
            servers::serve_names(UdpSocket::bind((NAME_SERVER, 53))?, own);
            servers::serve_silence(TcpListener::bind(("127.0.0.1", LOCAL_PORT))?);
            // Another program at the resolver's address.
            servers::serve_redirects(TcpListener::bind((NAME_SERVER, 8080))?);
            server.listen(TcpListener::bind(("127.0.0.1", PORT))?, TcpListener::bind(("127.0.0.1", TLS_PORT))?);
            Ok(())
        })?;
        let capture = Capture::of(&network.namespace("c"))?;
        let folder = tempfile::Builder::new().prefix("netsonde-attacks-").tempdir().context("making a folder")?;
        Ok(Self { capture, backend, network, zone, enrolled: BTreeMap::new(), folder, _bench: bench })
    }

    /// Sets names and addresses as the case has them.
    ///
    /// # Errors
    /// Where the hosts file cannot be written.
    pub(super) fn arrange(&self, world: &World) -> Result<()> {
        *self.zone.lock().unwrap_or_else(PoisonError::into_inner) =
            Zone { names: world.names.clone(), glue: world.glue, ..Zone::default() };
        self.network.hosts("c", &world.hosts)
    }

    /// Whether the machine's own name server has given this address since.
    pub(super) fn has_given(&self, address: &IpAddr) -> bool {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner).given.contains(address)
    }

    /// An agent that enrolled so; it enrols the first time.
    ///
    /// # Errors
    /// Where `netsonde enroll` fails.
    pub(super) fn enrolled(&mut self, how: Enrolled) -> Result<Identity> {
        if let Some(identity) = self.enrolled.get(&how) {
            return Ok(identity.clone());
        }
        let organisation = Arc::new(Organisation::of(how, timestamp()));
        let state = self.folder.path().join(format!("enrolled-{how:?}"));
        machine::enrol(self, how, &organisation, &state)?;
        let agent = self.backend.seen().agent.context("an agent has introduced itself")?;
        let identity = Identity { state, agent, organisation };
        self.enrolled.insert(how, identity.clone());
        Ok(identity)
    }

    /// `netsonde` in the agent's namespace, with nothing of this process's environment that would lead it elsewhere.
    pub(super) fn netsonde(&self) -> Result<Command> {
        let mut command = self.network.command("c", User::Root, netsonde_tests::programs::program("netsonde")?);
        for variable in
            ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"]
        {
            command.env_remove(variable);
        }
        command.env("HOME", self.folder.path());
        Ok(command)
    }
}

/// Does something on a thread in a namespace; threads that it starts stay there.
fn within(namespace: &str, act: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<()> {
    let path = Path::new("/run/netns").join(namespace);
    let thread = std::thread::spawn(move || -> Result<()> {
        let file = std::fs::File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        setns(file, CloneFlags::CLONE_NEWNET).context("entering a namespace")?;
        act().context("starting a server in a namespace")
    });
    thread.join().unwrap_or_else(|_| anyhow::bail!("starting a server panicked"))
}
