use super::cable::Impairment;
use super::network::SECOND_MACHINE;
use netsonde_tests::certificates::Flaw;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often a machine is taken from netsonde, in milliseconds (`stolen_ms`).
pub(crate) const STEAL_PERIOD_MS: u64 = 70;

/// One network, what is broken in it, and what netsonde must say.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// The file's name without its ending.
    #[serde(skip)]
    pub name: String,
    /// What the network is, in one sentence.
    pub about: String,
    /// Routers between the client and the server.
    #[serde(default = "three")]
    pub routers: u8,
    /// The arguments of netsonde. `{s}` is the server's address, `{url}` the same in URL form, `{r1}` the first router's in URL form, `{r1.plain}` as it is, and so on,
    /// `{family}` is `v4` or `v6`.
    pub ask: Vec<String>,
    /// What is asked with the fault off, where the fault lies in what is asked for.
    pub ask_off: Option<Vec<String>>,
    /// A probe set of the scenario's own, whose file `{set}` stands for in the arguments.
    pub set: Option<String>,
    /// Variables of netsonde's environment, filled in as the arguments are.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The same with the fault off, where the fault lies in them.
    pub env_off: Option<BTreeMap<String, String>>,
    /// The client's name servers with the fault on, the first asked first; the lab's server where nothing is said.
    pub resolvers: Option<Vec<String>>,
    #[serde(default = "both_families")]
    pub families: Vec<Family>,
    #[serde(default = "both_users")]
    pub users: Vec<User>,
    /// The client's search list with the fault on, tried before the name itself.
    pub search: Option<String>,
    /// Lines of the client's hosts file with the fault on, beside those of loopback.
    pub hosts: Option<String>,
    /// How many files and sockets netsonde may have open with the fault on.
    pub descriptors: Option<u32>,
    /// Of each 70 ms so many milliseconds netsonde stands still with the fault on, as where other programs or a hypervisor's other machines
    /// have the processors; at most 60.
    #[serde(default)]
    pub stolen_ms: u64,
    /// With the fault on a security policy lets netsonde open no socket for connections over TCP.
    #[serde(default)]
    pub no_connections: bool,
    /// Seconds of quiet before each trial with the fault on, where an earlier one leaves its mark in the network.
    #[serde(default)]
    pub quiet_s: u64,
    /// Everybody on the client may ping, as most distributions have it.
    #[serde(default)]
    pub everybody_pings: bool,
    /// Netsonde and the servers come before every ordinary program of this machine: where netsonde measures how late the machine itself is,
    /// what else runs on it is no part of the network.
    #[serde(default)]
    pub undisturbed: bool,
    /// The maker and the model that the client's firmware names, as those of clouds do.
    pub firmware: Option<[String; 2]>,
    /// Links that are not as plain as the others.
    #[serde(default)]
    pub link: Vec<Link>,
    /// A router beside which a second one stands, `r2b` beside `r2`; the router before shares the flows among both.
    pub twin: Option<String>,
    /// The flows of TCP and UDP take both ways in turn, as where sessions are shared out, and not as a hash has it: a fault on one way then
    /// meets exactly every second connection, and not by chance none or all of a few.
    #[serde(default)]
    pub in_turn: bool,
    /// What cables do from the beginning, with the fault off as well.
    #[serde(default)]
    pub cable: Vec<Impairment>,
    #[serde(default)]
    pub service: Vec<Service>,
    #[serde(default)]
    pub fault: Vec<Fault>,
    /// What is odd from the beginning, with the fault off as well, and hurts nobody.
    #[serde(default)]
    pub oddity: Vec<Fault>,
    /// Notices that are true of the network and need not be said.
    #[serde(default)]
    pub true_notices: Vec<String>,
    /// Another run, which the answer is held against, as `netsonde diagnose A --against B` does: what is said then is what is judged.
    pub control: Option<Control>,
    /// What must be said with the fault on; none for a healthy network, whose oddities are `fault`s that hurt nobody.
    pub expect: Option<Expect>,
    /// A notice that must be said of a healthy network, beside nothing worse.
    pub notice: Option<String>,
    /// What must be said unprivileged, where that is less.
    pub expect_user: Option<Expect>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// The cause of the first finding.
    pub cause: String,
    /// Causes that are as right as the first, where what can be seen from the client does not tell them apart or the order is open.
    #[serde(default)]
    pub or: Vec<String>,
    /// Of each of these lists one cause must be named: one list a fault, where several are there at once and can be seen.
    #[serde(default)]
    pub named: Vec<Vec<String>>,
    /// Causes of a fault that another one hides: right where they are named, and not missed where they are not.
    #[serde(default)]
    pub behind: Vec<String>,
    /// The hop at which it lies, where it must be named.
    pub hop: Option<u8>,
    /// Where causes lie: a place that is named for one of them must be the right one.
    #[serde(default)]
    pub places: Vec<Place>,
    /// The least confidence with which it must be named.
    pub least: Option<f64>,
    /// Without follow-ups it must be less certain than this, or not be named at all.
    pub alone_below: Option<f64>,
    /// Causes that must not be reported beside it.
    #[serde(default)]
    pub never: Vec<String>,
    #[serde(default = "one")]
    pub exit: i32,
}

/// Where the fault of some causes lies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    pub causes: Vec<String>,
    /// Hops of which each is right, where it lies on the way.
    #[serde(default)]
    pub hops: Vec<u8>,
    /// The port that it is about.
    pub port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum User {
    Root,
    Nobody,
}

impl User {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Nobody => "nobody",
        }
    }
}

/// Another run of the same question by the same user over the same family: of a second machine, or of the client at another time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Control {
    /// The router beside which the second machine stands, which is the node `k` for faults; none where the client itself ran before.
    pub beside: Option<String>,
    /// It measures with the fault on; else it has measured before the fault came.
    #[serde(default)]
    pub with_fault: bool,
    /// The client's own other run is another agent's: of another user or with another state folder, so that another key signs it.
    #[serde(default)]
    pub other_state: bool,
    /// What it does to the first finding.
    pub effect: Option<Effect>,
    /// What both runs must be told to see differently with the fault on, by the names that the document has: `reach`, `quic`, `time` …
    #[serde(default)]
    pub differs: Vec<String>,
}

/// What a control does to a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effect {
    Raised,
    Lowered,
    Found,
    Unchanged,
}

/// A server on a node's addresses, both families: of `s` those of its loopback, of a router all.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// `s`, or a router such as `r1`.
    #[serde(default = "server")]
    pub node: String,
    pub kind: ServiceKind,
    #[serde(default)]
    pub port: u16,
    /// For `https`: the names in the certificate; `{family}` stands for both.
    #[serde(default)]
    pub names: Vec<String>,
    /// For `https`: what is wrong with the certificate.
    #[serde(default)]
    pub flaw: Flaw,
    /// For `https`: it wants a certificate of the client.
    #[serde(default)]
    pub mutual: bool,
    /// For `openssl`: what it needs beside its own arguments.
    #[serde(default)]
    pub material: Option<Material>,
    /// For `banner`: what it says. For `name_filter`: how blocked names begin. For `openssl`: its arguments. For `cloud`: which one. For `quic`: its application protocols (ALPN), `h3` where none is given. For `proxy`: the name and password that it wants, as `name:password`.
    #[serde(default)]
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServiceKind {
    Dns,
    Http,
    Https,
    /// QUIC handshakes; the certificate is that of `https` at the same port.
    Quic,
    /// A mail server with STARTTLS, at port 465 within TLS.
    Mail,
    /// A PostgreSQL server that makes TLS, up to where a user would be named.
    Database,
    /// Accepts and says nothing.
    Silence,
    Banner,
    /// A forward proxy.
    Proxy,
    /// HTTPS behind a filter that breaks off connections that name a host.
    NameFilter,
    /// HTTPS by a server that never reads past a hello's first packet.
    SmallHellos,
    /// `openssl s_server`.
    Openssl,
    /// Serves the intermediate's certificate, as authorities do, or the file that `text` names, such as `444.ocsp`.
    Issuer,
    /// An HTTP server whose path says how it misbehaves.
    Unruly,
    /// Accepts one connection in as many milliseconds as `text` says.
    Busy,
    /// Listens, never accepts, and its queue is full: the system drops every connection.
    Hung,
    /// Accepts, says nothing, and closes in order as many milliseconds later as `text` says.
    Hasty,
    /// A time server, as many seconds wrong as `text` says.
    Time,
    /// What the cloud that `text` names (azure, aws, gcp) gives every machine at its own addresses, which the router then has: metadata,
    /// and of Azure the platform's address. Its ports are the cloud's.
    Cloud,
}

impl ServiceKind {
    /// It has a certificate.
    pub(crate) fn has_identity(self) -> bool {
        matches!(
            self,
            Self::Https | Self::NameFilter | Self::SmallHellos | Self::Openssl | Self::Quic | Self::Mail | Self::Database
        )
    }
}

/// What openssl makes itself for its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Material {
    /// A certificate of the lab's root with an RSA key of 1024 bits, signed with SHA-1.
    WeakCertificate,
    /// A certificate with an RSA key of 2048 bits, signed with SHA-1 by an RSA authority below the lab's root.
    OldSignature,
    /// The root's statement that the certificate was revoked, in `PORT.ocsp`.
    Revocation,
    /// The root's statement that it was not, in the same place.
    GoodStanding,
}

/// A link of the chain that is not plain.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    /// The nodes at its ends, the one nearer to the client first.
    pub between: [String; 2],
    /// A cable, whose delay, loss and the like can be set.
    #[serde(default)]
    pub cable: bool,
    /// The largest packet that it takes, in bytes.
    pub mtu: Option<u32>,
    /// The cable's dice fall the same for the same seed.
    #[serde(default = "seed")]
    pub seed: u64,
}

/// One change that breaks something.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// Where rules, commands and settings go.
    #[serde(default = "server")]
    pub node: String,
    /// What cables do from now on.
    #[serde(default)]
    pub cable: Vec<Impairment>,
    /// Rules for the table `inet f`, which has the chains raw, pre, divert, input, forward, output, hide and post.
    #[serde(default)]
    pub nft: String,
    /// Arguments of `ip` in the node, one command a line.
    #[serde(default)]
    pub ip: Vec<String>,
    /// Arguments of `tc` in the node, one command a line: queues that are too short.
    #[serde(default)]
    pub tc: Vec<String>,
    /// Kernel settings, such as `net.ipv4.icmp_ratelimit=1000`.
    #[serde(default)]
    pub sysctl: Vec<String>,
    /// The table in which the node's kernel tracks connections is full. It tracks any where a rule asks for their state.
    #[serde(default)]
    pub tracks_no_more: bool,
}

impl Scenario {
    /// What must be said to this user.
    pub(crate) fn expectation(&self, user: User) -> Option<&Expect> {
        match (user, &self.expect_user) {
            (User::Nobody, Some(expect)) => Some(expect),
            _ => self.expect.as_ref(),
        }
    }

    /// The network's nodes: the client, the routers from the first, the server, the second router beside one of them, and the second machine.
    pub(crate) fn nodes(&self) -> Vec<String> {
        let routers = (1..=self.routers).map(|number| format!("r{number}"));
        let chain = std::iter::once("c".to_owned()).chain(routers).chain(["s".to_owned()]);
        let twin = self.twin.iter().map(|twin| format!("{twin}b"));
        let beside = self.control.iter().filter(|control| control.beside.is_some());
        chain.chain(twin).chain(beside.map(|_| SECOND_MACHINE.to_owned())).collect()
    }
}

fn three() -> u8 {
    3
}

fn seed() -> u64 {
    1
}

fn one() -> i32 {
    1
}

fn server() -> String {
    "s".into()
}

fn both_families() -> Vec<Family> {
    vec![Family::V4, Family::V6]
}

fn both_users() -> Vec<User> {
    vec![User::Root, User::Nobody]
}
