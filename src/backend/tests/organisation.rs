use super::server::Server;
use ed25519_dalek::{Signer, SigningKey};
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::api::fleet::{
    CheckIn, EnrolmentCodeIssued, EnrolmentCodeRequest, Introduce, Introduced, PolicySummary, SubmitOrder, TrustDocuments, Work,
};
use netsonde_contract::api::path;
use netsonde_contract::api::protocol::Protocol;
use netsonde_contract::dsse::Envelope;
use netsonde_contract::enrolment::{CodeProof, EnrolmentCode, Introduction};
use netsonde_contract::id::{AgentId, CaseId, OrderId, OrganisationId};
use netsonde_contract::kind::Kind;
use netsonde_contract::order::{Addressee, Addressees, Epoch, Order};
use netsonde_contract::request_signature::{Covered, SIGNATURE, SIGNATURE_INPUT, content_digest, sign};
use netsonde_contract::set::find_built_in;
use netsonde_contract::trust::{KeyList, PublicKey, RoleKeys, RootStatement};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Key 200 is the root; engineers 210 and 211 may sign orders.
const ROOT: u8 = 200;
pub(super) const ENGINEER: u8 = 210;

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(super) fn public(seed: u8) -> PublicKey {
    PublicKey::new(key(seed).verifying_key(), &format!("key {seed}"))
}

pub(super) fn signed(mut envelope: Envelope, seeds: &[u8]) -> String {
    for seed in seeds {
        let signature = key(*seed).sign(&envelope.to_be_signed()).to_bytes();
        envelope.add_signature(&key(*seed).verifying_key(), signature);
    }
    String::from_utf8(envelope.to_json()).unwrap()
}

pub(super) fn root() -> RootStatement {
    RootStatement {
        name: "Contoso".into(),
        organisation: None,
        version: 1,
        issued: Timestamp::from_second(1_699_000_000).unwrap(),
        keys: vec![public(ROOT)],
        threshold: 1,
    }
}

fn organisation() -> OrganisationId {
    OrganisationId::new(RootStatement::fingerprint(root().envelope().unverified()))
}

/// The root and its list of this number.
pub(super) fn documents(version: u64) -> TrustDocuments {
    let issued = Timestamp::from_second(1_699_900_000).unwrap();
    let list = KeyList {
        organisation: organisation(),
        root: 1,
        version,
        issued,
        expires: issued + SignedDuration::from_hours(30 * 24),
        order: RoleKeys { threshold: 1, keys: vec![public(ENGINEER), public(ENGINEER + 1)] },
        receipt: RoleKeys { threshold: 1, keys: vec![public(220)] },
        revoked: vec![public(230)],
    };
    TrustDocuments { roots: vec![signed(root().envelope(), &[ROOT])], list: Some(signed(list.envelope(), &[ROOT])) }
}

/// A machine with an agent on it.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) bundle: SigningKey,
    pub(super) transport: SigningKey,
    pub(super) epoch: Epoch,
    pub(super) link: Option<String>,
}

static NONCES: AtomicU64 = AtomicU64::new(0);

impl Machine {
    pub(super) fn new(seed: u8) -> Self {
        Self { bundle: key(seed), transport: key(seed + 100), epoch: Epoch::from_bytes([seed; 16]), link: None }
    }

    pub(super) fn id(&self) -> AgentId {
        AgentId::of(&self.bundle.verifying_key())
    }

    pub(super) fn addressee(&self) -> Addressee {
        Addressee { agent: self.id(), epoch: self.epoch.clone() }
    }

    pub(super) fn check_in(&self) -> CheckIn {
        CheckIn {
            epoch: self.epoch.clone(),
            version: "0.1.0".into(),
            platform: "x86_64-unknown-linux-gnu".into(),
            policy: PolicySummary { remote: "allow".into(), paused: false, sha256: None },
            kinds: vec![Kind::Tcp, Kind::Dns],
            instance: "one".into(),
            protocol: Protocol::NEWEST,
            link: self.link.clone(),
        }
    }

    pub(super) fn introduction(&self, number: u64, code: Option<CodeProof>) -> Introduction {
        Introduction {
            bundle_key: PublicKey::new(self.bundle.verifying_key(), ""),
            transport_key: PublicKey::new(self.transport.verifying_key(), ""),
            number,
            replaces: None,
            code,
            host_name: Some("vm<b>1</b>".into()),
        }
    }

    /// A request as an agent signs it, at the server's time.
    pub(super) fn request(&self, server: &Server, method: Method, target: &str, body: &impl Serialize) -> RequestBuilder {
        let nonce = format!("nonce-{:020}", NONCES.fetch_add(1, Ordering::Relaxed));
        self.request_at(server, (method, target), serde_json::to_vec(body).unwrap(), server.app.clock.now(), &nonce)
    }

    pub(super) fn get(&self, server: &Server, target: &str) -> RequestBuilder {
        let nonce = format!("nonce-{:020}", NONCES.fetch_add(1, Ordering::Relaxed));
        self.request_at(server, (Method::GET, target), Vec::new(), server.app.clock.now(), &nonce)
    }

    /// A request whose head says everything.
    pub(super) fn post_empty(&self, server: &Server, target: &str) -> RequestBuilder {
        let nonce = format!("nonce-{:020}", NONCES.fetch_add(1, Ordering::Relaxed));
        self.request_at(server, (Method::POST, target), Vec::new(), server.app.clock.now(), &nonce)
    }

    pub(super) fn request_at(
        &self,
        server: &Server,
        (method, target): (Method, &str),
        body: Vec<u8>,
        created: Timestamp,
        nonce: &str,
    ) -> RequestBuilder {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let digest = content_digest(&body);
        let authority = server.url.split_once("://").unwrap().1;
        let covered = Covered { method: method.as_str(), authority, path, query, content_digest: &digest };
        let headers = sign(&covered, self.id().as_str(), created, nonce, &self.transport);
        server
            .client
            .request(method, format!("{}{target}", server.url))
            .header(SIGNATURE_INPUT, headers.input)
            .header(SIGNATURE, headers.signature)
            .header("content-type", "application/json")
            .body(body)
    }

    /// Asks to be enrolled with the code.
    pub(super) async fn enrol(&self, server: &Server, issued: &EnrolmentCodeIssued) -> Response {
        self.introduce(server, path::AGENTS, self.introduction(1, Some(self.proof(server, issued))).sign(&self.bundle)).await
    }

    pub(super) fn proof(&self, server: &Server, issued: &EnrolmentCodeIssued) -> CodeProof {
        let code = EnrolmentCode::parse(&issued.code).unwrap();
        let receipt_key = server.app.receipt_key.verifying_key();
        CodeProof { id: issued.id.clone(), proof: code.proof_key().proof(&issued.id, &self.bundle.verifying_key(), &receipt_key) }
    }

    pub(super) async fn introduce(&self, server: &Server, path: &str, envelope: Envelope) -> Response {
        let introduction = String::from_utf8(envelope.to_json()).unwrap();
        let body = Introduce { introduction, check_in: self.check_in() };
        self.request(server, Method::POST, path, &body).send().await.unwrap()
    }

    /// A request for work that waits in a task of its own until it is answered whole.
    pub(super) fn hold(&self, server: &Server, target: &str) -> tokio::task::JoinHandle<Work> {
        let sent = self.get(server, target).send();
        tokio::spawn(async move { sent.await.unwrap().json().await.unwrap() })
    }

    pub(super) async fn work(&self, server: &Server, after: u64, wait: u32) -> Work {
        let answer = self.get(server, &format!("{}?after={after}&wait={wait}&root=1&list=1", path::WORK)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }
}

impl Server {
    pub(super) async fn publish(&self, documents: &TrustDocuments) -> Response {
        let put = self.client.put(format!("{}{}", self.url, path::TRUST));
        put.bearer_auth(&self.desk_token).json(documents).send().await.unwrap()
    }

    pub(super) async fn code(&self, uses: u32) -> EnrolmentCodeIssued {
        let request = EnrolmentCodeRequest { uses, hours: 72, labels: [("site".to_owned(), "oslo".to_owned())].into() };
        let issued = self.post(path::ENROLMENTS).bearer_auth(&self.desk_token).json(&request).send().await.unwrap();
        assert_eq!(issued.status(), 201);
        issued.json().await.unwrap()
    }

    /// Machines that are enrolled, with an organisation that is published.
    pub(super) async fn enrolled<const N: usize>(&self, seeds: [u8; N]) -> [Machine; N] {
        assert_eq!(self.publish(&documents(1)).await.status(), 204);
        let code = self.code(N.try_into().unwrap()).await;
        let mut machines = seeds.map(Machine::new);
        for machine in &mut machines {
            let answer = machine.enrol(self, &code).await;
            assert_eq!(answer.status(), 201);
            machine.link = Some(answer.json::<Introduced>().await.unwrap().link);
        }
        machines
    }

    /// A signed order of the set `web` to these machines.
    pub(super) fn order(&self, number: u8, machines: &[&Machine]) -> SubmitOrder {
        self.spread_order(number, machines, None)
    }

    /// The same that each machine begins within so many seconds.
    pub(super) fn spread_order(&self, number: u8, machines: &[&Machine], spread_seconds: Option<u32>) -> SubmitOrder {
        let agents: Vec<Addressee> = machines.iter().map(|machine| machine.addressee()).collect();
        let now = self.app.clock.now();
        let order = Order {
            organisation: organisation(),
            id: OrderId::from_bytes([number; 16]),
            set: find_built_in("web").unwrap().parse().unwrap().text,
            targets: vec!["https://shop.example/".into()],
            parameters: [].into(),
            agents: Addressees::of(&agents).0,
            not_before: now,
            expires: now + SignedDuration::from_hours(1),
            case: CaseId::new("4711"),
            requester: "Asha".into(),
            reason: "it is slow".into(),
            signatures: 1,
            serve: None,
            repeat: None,
            bytes: None,
            deep: None,
            spread_seconds,
        };
        SubmitOrder {
            // Many agents take two engineers.
            envelope: signed(order.envelope(), if machines.len() > 20 { &[ENGINEER, ENGINEER + 1] } else { &[ENGINEER] }),
            agents,
            waves: Vec::new(),
            stop_at_failed_percent: None,
            draft: None,
        }
    }

    pub(super) async fn submit(&self, order: &SubmitOrder) -> Response {
        self.post(path::ORDERS).bearer_auth(&self.desk_token).json(order).send().await.unwrap()
    }

    /// Until the machine's request for work is held.
    pub(super) async fn until_listening(&self, machine: &Machine) {
        let listening = async {
            while !self.app.presence.is_online(&machine.id()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), listening).await.unwrap();
    }
}
